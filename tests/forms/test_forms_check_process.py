"""Answers are checked in processes of their own, and none of them takes longer than it may."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pauseflow_nb.errors import CannotCheck, CheckersBusy, NoChecker
from pauseflow_nb.forms.check_process import Checker
from pauseflow_nb.forms.schema import TOO_MANY

WaitUntil = Callable[..., None]

#: Python's engine tries every way to cut the letters into groups: for these, longer than anybody lives.
ENDLESS: dict[str, Any] = {"pattern": "^(?=a)([a-z]+)+$"}
ENDLESS_ANSWER = "a" * 100 + "!"


def union_of_two_that_contain_themselves() -> dict[str, Any]:
    inner = {"$ref": "#/$defs/Either"}
    one = {"type": "object", "properties": {"inner": inner}, "required": ["inner"]}
    other = {"type": "object", "properties": {"inner": inner, "n": {"type": "integer"}}, "required": ["inner"]}
    return {"$defs": {"Either": {"anyOf": [one, other, {"type": "null"}]}}, **inner}


@pytest.fixture
def checker() -> Iterator[Checker]:
    checker = Checker(cpu_seconds=0.5, wall_seconds=60)
    yield checker
    checker.close()


def process_of(checker: Checker) -> int:
    """The process that was used last."""
    return next(each._process.pid for each in reversed(checker._lanes[0].processes) if each._process is not None)


def test_what_fits_and_what_does_not(checker: Checker) -> None:
    assert checker.find_errors({"type": "integer"}, 3) == []
    assert checker.find_errors({"type": "integer"}, "3") == [{"path": [], "message": "must be a whole number"}]


def test_a_schema_at_which_the_compiler_panics_is_named_and_the_process_goes_on(checker: Checker) -> None:
    """Two parts with one `$id`, and a reference into one of them."""
    schema = {"allOf": [{"$id": "http://x/y", "$anchor": "z", "$ref": "#z"}, {"$id": "http://x/y"}]}
    checker.find_errors({}, 1)
    before = process_of(checker)

    with pytest.raises(CannotCheck, match="because its schema is not a JSON Schema: it cannot be compiled"):
        checker.find_errors(schema, 1)
    assert checker.find_errors({}, 1) == []
    assert process_of(checker) == before


def test_a_check_without_end_is_ended_and_the_next_one_goes_on(checker: Checker) -> None:
    with pytest.raises(CannotCheck, match="takes too long, or needs too much memory, to be checked: nothing was"):
        checker.find_errors(ENDLESS, ENDLESS_ANSWER)
    assert checker.find_errors(ENDLESS, "abc") == []


def test_the_clock_ends_a_check_too() -> None:
    checker = Checker(cpu_seconds=60, wall_seconds=60)
    try:
        with pytest.raises(CannotCheck):
            checker.find_errors(ENDLESS, ENDLESS_ANSWER, wall_seconds=0.5)
    finally:
        checker.close()


def test_an_answer_whose_errors_cannot_be_counted_does_not_fit(checker: Checker) -> None:
    answer: Any = "wrong"
    for _ in range(60):
        answer = {"inner": answer}

    assert checker.find_errors(union_of_two_that_contain_themselves(), answer) == TOO_MANY


def test_many_wrong_entries_make_few_errors(checker: Checker) -> None:
    found = checker.find_errors({"type": "array", "items": {"type": "string"}}, list(range(5000)))

    assert {"path": [0], "message": "must be text"} in found
    assert len(found) <= 50


def test_what_the_sender_chose_is_not_repeated_at_length(checker: Checker) -> None:
    schema = {"additionalProperties": {"type": "integer"}, "propertyNames": {"maxLength": 3}}

    found = checker.find_errors(schema, {"k" * 100_000: "v" * 100_000})

    assert len(str(found)) < 1000


def test_equal_entries_are_found_among_many(checker: Checker) -> None:
    entries = [{"n": n} for n in range(20_000)]

    assert checker.find_errors({"uniqueItems": True}, entries) == []
    assert checker.find_errors({"uniqueItems": True}, [*entries, {"n": 3}]) != []


def test_a_process_that_somebody_ended_is_started_again(checker: Checker) -> None:
    checker.find_errors({"type": "integer"}, 3)
    killed = process_of(checker)
    os.kill(killed, signal.SIGKILL)

    assert checker.find_errors({"type": "integer"}, "x") != []
    assert process_of(checker) != killed


def test_a_schema_that_cannot_be_used_is_named(checker: Checker) -> None:
    """An older version may have stored it."""
    with pytest.raises(CannotCheck, match=r"because its schema has a pattern that is not a regular expression: \("):
        checker.find_errors({"pattern": "("}, "x")


def test_a_check_that_needs_too_much_memory_is_ended() -> None:
    checker = Checker(cpu_seconds=60, wall_seconds=60, memory_bytes=100 * 1024 * 1024)
    try:
        with pytest.raises(CannotCheck):
            checker.find_errors({"uniqueItems": True}, [f"{n}" * 10 for n in range(1_000_000)])
        assert checker.find_errors({"type": "integer"}, 3) == []
    finally:
        checker.close()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
def test_its_process_has_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch, checker: Checker) -> None:
    monkeypatch.setenv("PAUSEFLOW_SMTP_PASSWORD", "s3cr3t")
    checker.find_errors({"type": "integer"}, 3)

    folder = Path(f"/proc/{process_of(checker)}")
    assert "s3cr3t" not in (folder / "environ").read_text()
    assert {each.name for each in (folder / "fd").iterdir()} == {"0", "1", "2"}


def test_who_has_sent_a_costly_answer_no_longer_uses_the_quick_processes(checker: Checker) -> None:
    checker.find_errors({}, 1, execution="other")
    with pytest.raises(CannotCheck):
        checker.find_errors(ENDLESS, ENDLESS_ANSWER, execution="hostile")
    checker.find_errors({}, 1, execution="other")
    quick = process_of(checker)

    for _ in range(2):
        with pytest.raises(CannotCheck):
            checker.find_errors(ENDLESS, ENDLESS_ANSWER, execution="hostile")
        # The process would have been ended.
        assert process_of(checker) == quick


def test_a_large_answer_of_somebody_unknown_does_not_use_the_processes_of_small_ones(checker: Checker) -> None:
    with pytest.raises(CannotCheck):
        checker.find_errors(ENDLESS, ENDLESS_ANSWER + "!" * 100_000)

    assert [process._process for process in checker._lanes[0].processes] == [None, None]


def test_who_sends_a_cheap_answer_uses_the_quick_processes_again(checker: Checker) -> None:
    with pytest.raises(CannotCheck):
        checker.find_errors(ENDLESS, ENDLESS_ANSWER, execution="a")
    checker.find_errors({}, 1, execution="a")

    checker._lanes[-1].close()

    assert checker.find_errors({}, 1, execution="a") == []


def test_who_waits_for_others_all_the_time_is_told_to_come_again(wait_until: WaitUntil) -> None:
    checker = Checker(cpu_seconds=600, wall_seconds=600)

    def check() -> None:
        with suppress(CannotCheck, NoChecker):
            checker.find_errors(ENDLESS, ENDLESS_ANSWER, execution="first")

    thread = threading.Thread(target=check)
    thread.start()
    try:
        wait_until(lambda: checker._lanes[-1].processes[0]._process, description="the first check")
        with pytest.raises(
            CheckersBusy,
            match=r"cannot be checked now \(other answers are being checked\).*send the answer again later",
        ):
            checker.find_errors(ENDLESS, ENDLESS_ANSWER, execution="second", wall_seconds=2)
    finally:
        checker.close()
        thread.join(60)


def test_closing_ends_a_check_that_goes_on(wait_until: WaitUntil) -> None:
    checker = Checker(cpu_seconds=600, wall_seconds=600)
    refused: list[Exception] = []

    def check() -> None:
        try:
            checker.find_errors(ENDLESS, ENDLESS_ANSWER)
        except (CannotCheck, NoChecker) as problem:
            refused.append(problem)

    thread = threading.Thread(target=check)
    thread.start()
    wait_until(lambda: checker._lanes[-1].processes[0]._process, description="a check")
    checker.close()
    thread.join(60)

    assert not thread.is_alive()
    assert len(refused) == 1
