"""What is found about an answer before the transaction: who may give it, how, and whether it fits."""

from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pauseflow_nb.engine.authorization import (
    Callback,
    Question,
    Refusal,
    Verdict,
    find_not_allowed,
    judge,
    shorten_comment,
)
from pauseflow_nb.errors import CheckersBusy
from pauseflow_nb.forms.check_process import Checker
from pauseflow_nb.forms.codec import Reading
from pauseflow_nb.store.executions import Row

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
QUESTION = Question("e1", "ask", "suspend", NUMBER, None, "user:ann")
BOOKS = Question("e1", "ask", "notebook", None, None, "user:ann")


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    made = Checker(cpu_seconds=600, wall_seconds=600)
    yield made
    made.close()


def answer(body: Any, action: Any = "resume", **envelope: Any) -> Callback:
    return Callback(action, {"method": "POST", "body": body, **envelope}, "link")


def status_of(verdict: Verdict) -> int | None:
    return None if verdict.refusal is None else verdict.refusal.status


def test_an_answer_that_fits_may_act(checker: Checker) -> None:
    assert judge(QUESTION, answer({"n": 1}), checker) == Verdict(None)


def test_an_answer_that_does_not_fit_is_refused_with_what_is_wrong(checker: Checker) -> None:
    refusal = judge(QUESTION, answer({"n": "x"}), checker).refusal

    assert refusal is not None
    assert (refusal.status, [error["path"] for error in refusal.errors]) == (422, [["n"]])


def test_a_sentence_names_three_of_many_errors_and_the_list_has_all(checker: Checker) -> None:
    names = ["height", "width", "depth", "weight", "colour"]
    schema = {"type": "object", "properties": {name: {"type": "integer"} for name in names}}

    refusal = judge(replace(QUESTION, schema=schema), answer(dict.fromkeys(names, "x")), checker).refusal

    assert refusal is not None
    assert sum(name in refusal.error for name in names) == 3
    assert len(refusal.errors) == 5


def test_a_cancel_need_not_fit(checker: Checker) -> None:
    assert judge(QUESTION, answer({"n": "x"}, "cancel"), checker) == Verdict(None)


def test_an_answer_is_refused_where_no_time_is_left_to_check_it(checker: Checker) -> None:
    """Then it is not checked at all; with a little time it is tried, whatever comes of it."""
    sentence = "there was no time left to check the answer: send it again"

    for seconds in (0, -1):
        assert judge(QUESTION, answer({"n": 1}), checker, seconds=seconds) == Verdict(Refusal(422, sentence))
    tried = judge(QUESTION, answer({"n": 1}), checker, seconds=0.001)
    assert tried.refusal is None or tried.refusal.error != sentence


def test_an_early_answer_is_refused_where_no_process_is_free_to_check_it_and_others_are_to_come_again() -> None:
    def find_errors(*_arguments: Any, **_options: Any) -> None:
        raise CheckersBusy

    busy = cast("Checker", SimpleNamespace(find_errors=find_errors))

    refusal = judge(QUESTION, answer({"n": 1}), busy, seconds=5).refusal
    assert refusal is not None
    assert refusal.status == 422
    with pytest.raises(CheckersBusy):
        judge(QUESTION, answer({"n": 1}), busy)


def test_what_could_not_be_read_is_refused_without_a_form_too(checker: Checker) -> None:
    reading = Reading(None, [{"path": [], "message": "is not JSON"}])
    unread = Callback("resume", {"method": "POST", "body": "{"}, "link", reading=reading)

    refusal = judge(replace(QUESTION, schema=None), unread, checker).refusal

    assert refusal is not None
    assert (refusal.status, refusal.errors) == (422, reading.problems)


@pytest.mark.parametrize("action", ["resume", "cancel", "send_back"])
def test_a_link_says_whether_the_author_allows_its_action(action: str) -> None:
    def found(*allow: str) -> str | None:
        return find_not_allowed(cast("Row", SimpleNamespace(rules={"allow": list(allow)})), action)

    assert found(action) is None
    assert "does not allow it" in (found("other") or "")


def test_what_waits_for_notebooks_can_be_cancelled_but_not_resumed(checker: Checker) -> None:
    assert status_of(judge(BOOKS, answer(None), checker)) == 409
    assert status_of(judge(BOOKS, answer(None, "cancel"), checker)) is None


@pytest.mark.parametrize(
    ("question", "status"),
    [
        (QUESTION, 405),
        (replace(QUESTION, schema=None, rules={"approvals": 2}), 405),
        (replace(QUESTION, schema=None), None),
    ],
)
def test_a_get_answers_only_what_asks_for_no_more_than_a_click(
    checker: Checker, question: Question, status: int | None
) -> None:
    assert status_of(judge(question, answer({"n": 1}, method="GET"), checker)) == status


@pytest.mark.parametrize(("length", "kept"), [(1999, 1999), (2000, 2000), (2001, 2000)])
def test_a_comment_is_cut_after_2000_characters(length: int, kept: int) -> None:
    assert shorten_comment({"comment": "x" * length}) == "x" * kept


@pytest.mark.parametrize(
    ("judged", "name"),
    [(QUESTION, "step"), (answer(1), "by"), (Refusal(403, "no"), "status"), (Verdict(None), "refusal")],
)
def test_what_was_judged_cannot_be_changed_afterwards(judged: Any, name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(judged, name, "another")
