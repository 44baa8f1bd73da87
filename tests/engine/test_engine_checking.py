"""Checking an answer holds up nobody else: no transaction is open, and it ends in time."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine.stage import Stage, finish, suspend

from pauseflow_nb.engine import attempt_end
from pauseflow_nb.engine.authorization import Verdict, judge_early
from pauseflow_nb.forms.check_process import Checker
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Briefing, Outcome, SuspensionRequest

WaitUntil = Callable[..., None]

#: Python's engine tries every way to cut the letters into groups: for these, longer than anybody lives.
ENDLESS = {"type": "object", "properties": {"a": {"pattern": "^(?=a)([a-z]+)+$"}}, "required": ["a"]}
HOSTILE = {"a": "a" * 100 + "!"}
GOOD = {"a": "abc"}


@pytest.fixture
def checker(stage: Stage) -> Iterator[Checker]:
    """A checker whose checks go on until somebody ends them."""
    stage.queue.checker = Checker(cpu_seconds=600, wall_seconds=600)
    yield stage.queue.checker
    stage.queue.checker.close()


def give_little_time(stage: Stage) -> Checker:
    stage.queue.checker = Checker(cpu_seconds=0.5, wall_seconds=60)
    return stage.queue.checker


def early(*bodies: Any, known: list[str], stage: Stage, **ask: Any) -> Callable[[Briefing], Outcome]:
    """Answer the step before it has ended."""

    def step(briefing: Briefing) -> Outcome:
        for body in bodies:
            assert stage.send(known[0], body=body)[0] == 202
        return suspend(**ask)(briefing)

    return step


def test_of_early_answers_only_those_to_this_question_are_judged_and_each_once(stage: Stage) -> None:
    request = SuspensionRequest(kind="suspend", on_timeout="cancel", schema=ENDLESS)
    first, again = {}, {}

    def step(briefing: Briefing) -> Outcome:
        for ordinal in (0, 1):
            assert stage.send(briefing.execution, body=GOOD, ordinal=ordinal)[0] == 202
        claim = Claim(briefing.execution, 0, "ask", 1, "")
        first.update(judge_early(stage.queue, claim, request, {}, seconds=60))
        again.update(judge_early(stage.queue, claim, request, first, seconds=60))
        return finish(briefing)

    stage.script.steps["ask"] = step
    execution = stage.start("%%step ask")
    stage.play(execution)

    assert list(first.values()) == [Verdict(None)]
    assert [first[id_] is again[id_] for id_ in again] == [True]


@pytest.mark.parametrize(("approvals", "judged"), [(1, 1), (2, 2)])
def test_no_early_answer_is_judged_after_the_one_that_settles(stage: Stage, approvals: int, judged: int) -> None:
    request = SuspensionRequest(kind="suspend", on_timeout="cancel", schema=ENDLESS, approvals=approvals)
    found = {}

    def step(briefing: Briefing) -> Outcome:
        for _ in range(2):
            assert stage.send(briefing.execution, body=GOOD)[0] == 202
        claim = Claim(briefing.execution, 0, "ask", 0, "")
        found.update(judge_early(stage.queue, claim, request, {}, seconds=60))
        return finish(briefing)

    stage.script.steps["ask"] = step
    stage.play(stage.start("%%step ask"))

    assert len(found) == judged


class TestWhileAnAnswerIsChecked:
    def test_others_are_started_answered_and_cancelled(
        self, stage: Stage, checker: Checker, wait_until: WaitUntil
    ) -> None:
        slow, other, third = (stage.suspended(schema=ENDLESS) for _ in range(3))
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(stage.send(slow, body=HOSTILE)[0]))
        thread.start()
        wait_until(lambda: checker._lanes[-1].processes[0]._process, description="the check")

        assert stage.send(other, body=GOOD)[0] == 200
        stage.queue.cancel(third, by="user:ann")
        started = stage.start("%%step first")
        assert [stage.queue.state(each) for each in (slow, other, third, started)] == [
            "suspended", "queued", "cancelled", "queued",
        ]  # fmt: skip
        assert answers == []
        checker.close()
        thread.join(60)
        assert answers == [422]
        assert stage.queue.state(slow) == "suspended"

    def test_the_same_one_can_be_cancelled(self, stage: Stage, checker: Checker, wait_until: WaitUntil) -> None:
        execution = stage.suspended(schema=ENDLESS)
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(stage.send(execution, body=HOSTILE)[0]))
        thread.start()
        wait_until(lambda: checker._lanes[-1].processes[0]._process, description="the check")

        assert stage.send(execution, "cancel")[0] == 200
        checker.close()
        thread.join(60)
        assert answers == [409]


class TestOneThatTakesTooLong:
    def test_it_is_refused_and_the_next_answer_counts(self, stage: Stage) -> None:
        checker = give_little_time(stage)
        execution = stage.suspended(schema=ENDLESS)

        status, body = stage.send(execution, body=HOSTILE)

        assert status == 422
        assert (
            body["error"] == "the answer takes too long, or needs too much memory, to be checked: nothing was settled"
        )
        assert (body["state"], stage.whats(execution)[-1]) == ("suspended", "refused")
        assert stage.send(execution, body=GOOD)[0] == 200
        checker.close()

    def test_an_early_one_is_refused_and_the_good_one_after_it_counts(self, stage: Stage) -> None:
        checker = give_little_time(stage)
        known: list[str] = []
        stage.script.steps["ask"] = early(HOSTILE, GOOD, known=known, stage=stage, schema=ENDLESS)
        known.append(stage.start("%%step ask", "%%step last"))

        assert stage.play(known[0]) == "ended"
        assert stage.queue.state(known[0]) == "queued"
        assert stage.queue.view(known[0])["steps"]["ask"]["exports"]["$resume_data"]["body"] == GOOD
        checker.close()

    def test_early_ones_that_there_is_no_time_for_are_refused_and_said_so(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attempt_end, "_EARLY_SECONDS", 0.0)
        known: list[str] = []
        stage.script.steps["ask"] = early(GOOD, known=known, stage=stage, schema=ENDLESS)
        known.append(stage.start("%%step ask", "%%step last"))
        stage.play(known[0])

        assert stage.queue.state(known[0]) == "suspended"
        refused = [line for line in stage.queue.audit(known[0]) if line["what"] == "refused"]
        assert [line["details"]["error"] for line in refused] == [
            "there was no time left to check the answer: send it again"
        ]
        assert stage.send(known[0], body=GOOD)[0] == 200


class TestOneThatComesBetweenCheckAndTransaction:
    @pytest.mark.parametrize(("body", "state"), [(GOOD, "queued"), ({"a": "?"}, "suspended"), ({}, "suspended")])
    def test_an_early_one_is_checked_before_it_counts(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch, body: Any, state: str
    ) -> None:
        known: list[str] = []
        stage.script.steps["ask"] = early({}, known=known, stage=stage, schema=ENDLESS)
        judge, late = judge_early, [body]

        def judge_and_send(*args: Any, **options: Any) -> Any:
            found = judge(*args, **options)
            while late:
                assert stage.send(known[0], body=late.pop())[0] == 202
            return found

        monkeypatch.setattr(attempt_end, "judge_early", judge_and_send)
        known.append(stage.start("%%step ask", "%%step last"))

        assert stage.play(known[0]) == "ended"
        assert late == []
        assert stage.queue.state(known[0]) == state

    def test_one_judged_before_there_was_a_suspension_is_judged_again(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The step ends while the answer is on its way from the first look to the transaction."""
        stage.script.steps["ask"] = suspend(schema=ENDLESS)
        execution = stage.start("%%step ask", "%%step last")
        change, ends = stage.queue.change, [lambda: stage.play(execution)]

        def end_then_change(*args: Any) -> Any:
            if ends:
                ends.pop()()
            return change(*args)

        monkeypatch.setattr(stage.queue, "change", end_then_change)

        status, body = stage.send(execution, body={})

        assert (status, body["errors"]) == (422, [{"path": ["a"], "message": "is required"}])
        assert stage.queue.state(execution) == "suspended"


def test_a_large_error_list_does_not_fill_the_audit_trail(stage: Stage) -> None:
    schema = {"type": "array", "items": {"type": "string"}}
    execution = stage.suspended(schema=schema)

    status, body = stage.send(execution, body=list(range(2000)))

    assert status == 422
    assert len(body["errors"]) <= 50
    assert len(str(stage.queue.audit(execution))) < 20_000
