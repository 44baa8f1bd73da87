"""Nothing of a text from outside reaches a terminal as more than text."""

import io
import json
import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pauseflow_nb.printable import clean_logs, json_printable, printable, printable_lines

ATTACKS = {
    "title of the window": "\x1b]0;root@host\x07",
    "clear": "\x1b[2J\x1b[H",
    "one-character CSI": "\x9b2J",
    "one-character OSC": "\x9d0;x\x9c",
    "link": "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "device control": "\x1bPq\x1b\\",
    "reset": "\x1bc",
    "bell": "\x07",
    "backspaces": "approved\x08\x08\x08\x08\x08\x08\x08\x08refused",
    "carriage return": "refused\rapproved",
    "turned around": "\u202egnp.exe\u202c",
    "isolated": "\u2066a\u2069\u2067b\u2069\u2068c\u2069",
    "marks": "\u200e\u200f\u061c",
    "no width": "a\u200bb\ufeffc\u2060d",
    "separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "delete": "a\x7fb",
    "half": "\ud800",
    "tags": "a\U000e0041b",
}
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_what_a_terminal_acts_on_is_written_out(text: str) -> None:
    assert not ACTS.search(printable(text))
    assert not ACTS.search(printable_lines(text))
    assert printable(text).isprintable()


def test_nothing_is_lost_and_other_texts_stay_as_they_are() -> None:
    text = "Größe 日本語 नमस्ते מימין family 👩‍👩‍👧 é €"

    assert printable(text) == printable_lines(text) == text
    assert printable("a\x1b[2J\u202eb\U000e0041") == r"a\x1b[2J\u202eb\U000e0041"


def test_a_line_stays_one_line_and_lines_are_indented() -> None:
    assert printable("fine\n  usage     0 s\tx") == r"fine\x0a  usage     0 s\x09x"
    assert printable_lines("one\r\ntwo\rthree\n\tfour", indent="    ") == "one\n    two\n    three\n    \tfour"


def test_of_a_traceback_colours_may_stay_and_nothing_else() -> None:
    text = "\x1b[0;31mValueError\x1b[0m: \x1b[2Jx\x1b]0;t\x07"

    assert printable_lines(text, colours="kept") == "\x1b[0;31mValueError\x1b[0m: \\x1b[2Jx\\x1b]0;t\\x07\x1b[0m"
    assert printable_lines(text, colours="dropped") == r"ValueError: \x1b[2Jx\x1b]0;t\x07"
    assert printable_lines(text) == r"\x1b[0;31mValueError\x1b[0m: \x1b[2Jx\x1b]0;t\x07"


@given(st.text(st.characters(codec=None), max_size=50))
def test_json_is_the_same_value_and_holds_nothing_that_acts(text: str) -> None:
    written = json_printable(json.dumps({"text": text}, ensure_ascii=False))

    assert not ACTS.search(written)
    assert json.loads(written) == {"text": text}


def test_logs_are_cleaned_with_their_arguments_and_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("pauseflow_nb.test")
    in_a_file = io.StringIO()
    # Two handlers get the same record.
    handlers: list[logging.Handler] = [logging.StreamHandler(in_a_file), logging.StreamHandler()]
    for handler in handlers:
        log.addHandler(handler)
    log.propagate = False
    try:
        clean_logs(log)
        clean_logs(log)
        try:
            raise ValueError("bad\x1b[2J")
        except ValueError:
            log.exception("step %s\nworker x ended", "a\x1b]0;t\x07")
    finally:
        for handler in handlers:
            log.removeHandler(handler)
    shown = capsys.readouterr().err

    assert in_a_file.getvalue() == shown
    assert not ACTS.search(shown)
    assert "step a\\x1b]0;t\\x07\n    worker x ended" in shown
    assert r"ValueError: bad\x1b[2J" in shown


def test_a_log_record_with_nothing_to_clean_keeps_its_message_and_arguments() -> None:
    log, handler = logging.getLogger("pauseflow_nb.test"), logging.StreamHandler(io.StringIO())
    records: list[logging.LogRecord] = []

    def keep(record: logging.LogRecord) -> bool:
        records.append(record)
        return True

    log.addHandler(handler)
    log.propagate = False
    try:
        clean_logs(log)
        handler.addFilter(keep)
        log.warning("%s is ready", "the server")
    finally:
        log.removeHandler(handler)

    assert [(record.msg, record.args) for record in records] == [("%s is ready", ("the server",))]
