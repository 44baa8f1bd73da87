"""What a waiting notebook says, and what it says once it was decided."""

import json
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import SuspensionRequest, Unsaved, Wake
from pauseflow_nb.runner import cards, cell_statuses
from pauseflow_nb.runner.document import Document


@pytest.fixture
def document() -> Document:
    document = Document(new_notebook(cells=[new_code_cell("%%step ask"), new_code_cell("2")]))
    cell_statuses.reset(document, 0)
    return document


def shown(document: Document) -> Any:
    written = nbformat.reads(document.to_bytes().decode(), as_version=4)
    nbformat.validate(written)
    return written.cells[0].outputs


def test_a_card_shows_the_question_its_deadline_and_what_happens_then(document: Document) -> None:
    request = SuspensionRequest(
        "suspend", 7200, on_timeout="cancel", title="Ship <it>?", message="a & b", data={"auc": 0.9}
    )

    cards.write_card(document, 0, cards.Place("ask"), request)

    html, plain = (shown(document)[0].data[mime] for mime in ("text/html", "text/plain"))
    assert "Ship &lt;it&gt;?" in html
    assert "a &amp; b" in html
    assert "Ship <it>?\na & b\nWaits for an answer.\nUntil " in plain
    assert "(2 h); then it is cancelled." in plain
    assert '"auc": 0.9' in plain


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (SuspensionRequest("suspend"), "Step ask waits for an answer"),
        (SuspensionRequest("rerun", 60), "at the latest, or earlier by its link."),
        (SuspensionRequest("operator"), "Step ask was suspended from outside"),
        (SuspensionRequest("delay", 60), "Step ask waits for the clock\nUntil "),
    ],
)
def test_each_kind_of_suspension_has_its_words(document: Document, request_: SuspensionRequest, expected: str) -> None:
    cards.write_card(document, 0, cards.Place("ask"), request_)

    assert expected in shown(document)[0].data["text/plain"]


def test_long_data_is_shortened(document: Document) -> None:
    cards.write_card(document, 0, cards.Place("ask"), SuspensionRequest("suspend", data=["x" * 10_000]))

    assert len(shown(document)[0].data["text/plain"]) < 3000


def test_what_a_terminal_would_obey_is_written_out_in_a_card(document: Document) -> None:
    request = SuspensionRequest("suspend", title="Ship\x1b[2J it\u202e?", message="a\x07b\nc")

    cards.write_card(document, 0, cards.Place("ask"), request)

    for mime in ("text/html", "text/plain"):
        text = shown(document)[0].data[mime]
        assert r"Ship\x1b[2J it\u202e?" in text
        assert "a\\x07b" in text
        assert "\x07" not in text


def test_the_card_names_what_was_not_saved(document: Document) -> None:
    lost = Unsaved("db", "sqlite3.Connection", "a database connection", cell=2)
    idle = Unsaved("lock", "_thread.lock", "a lock belongs to this process", "left out")
    again = Unsaved("client", "Client", "is made again", "replayed")
    cards.write_card(document, 0, cards.Place("ask"), SuspensionRequest("suspend"), [lost, idle, again])

    assert shown(document)[-1].data["text/plain"].splitlines()[-3:] == [
        "db (sqlite3.Connection, made by cell 3) was not saved: a database connection. Later cells need it.",
        "lock (_thread.lock) was not saved: a lock belongs to this process.",
        "Its kernel is kept alive meanwhile; if that ends, the execution fails (kernel-lost).",
    ]


@pytest.mark.parametrize(
    ("wake", "sentence"),
    [
        (
            Wake("ask", "suspend", by="user:ann", at="2026-11-20T10:30:00+00:00"),
            "Approved by ann at 2026-11-20 10:30:00 UTC.",
        ),
        (
            Wake("ask", "suspend", by="link", at="2026-11-20T11:30:00+01:00"),
            "Approved by someone with the link at 2026-11-20 10:30:00 UTC.",
        ),
        (Wake("ask", "suspend", by="clock", at=""), "Timed out by the clock."),
    ],
)
def test_the_decision_stands_below_the_question(document: Document, wake: Wake, sentence: str) -> None:
    cards.write_card(document, 0, cards.Place("ask"), SuspensionRequest("suspend"))

    assert cards.write_decision(document, "ask", cards.describe_decision(wake))

    assert [output.data["text/plain"] for output in shown(document)] == [f"Step ask asked for an answer\n{sentence}"]
    assert not cards.write_decision(document, "ask", cards.Decision("somebody", "resume"))
    assert not cards.write_decision(document, "other", cards.Decision("somebody", "resume"))


@pytest.mark.parametrize(
    ("answer", "line"),
    [(None, "Answer: null"), (0, "Answer: 0"), (False, "Answer: false"), ("", 'Answer: ""'), ([], "Answer: []")],
)
def test_an_answer_that_is_next_to_nothing_is_shown_all_the_same(document: Document, answer: JSON, line: str) -> None:
    wake = Wake("ask", "suspend", by="link", at="", callback={"body": answer, "body_raw": json.dumps(answer)})
    cards.write_card(document, 0, cards.Place("ask"), SuspensionRequest("suspend"))

    cards.write_decision(document, "ask", cards.describe_decision(wake))

    card = shown(document)[0]
    assert card.data["text/plain"].splitlines()[1:] == ["Approved by someone with the link.", *line.splitlines()]
    assert "Answer:" in card.data["text/html"]


@pytest.mark.parametrize("envelope", [None, {}, {"body": None, "body_raw": "", "query": {}}, {"body": {}}])
def test_no_answer_is_shown_where_nothing_was_answered(document: Document, envelope: dict[str, JSON] | None) -> None:
    cards.write_card(document, 0, cards.Place("ask"), SuspensionRequest("suspend"))

    cards.write_decision(document, "ask", cards.describe_decision(Wake("ask", "suspend", by="link", at=""), envelope))

    assert "Answer" not in shown(document)[0].data["text/plain"]
