"""One callback settles a suspension; what everybody else is told."""

from typing import Any

import pytest
import sqlalchemy as sa
from engine.stage import ME, Stage, at_once, fail, finish, in_turn, suspend

from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.retry_fork import retry
from pauseflow_nb.errors import AmbiguousSuspension, NotJSON, NotSuspended, UnknownExecution
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Briefing, Outcome
from pauseflow_nb.store.suspensions import MOST_EARLY
from pauseflow_nb.store.tables import callbacks


def test_a_resume_queues_the_next_segment(stage: Stage) -> None:
    execution = stage.suspended(data={"n": 1})

    status, body = stage.send(execution, body={"ok": True})

    assert (status, body) == (200, {"execution": execution, "step": "ask", "state": "queued", "action": "resume"})
    view = stage.queue.view(execution)
    assert (view["state"], view["segment"], view["suspended"]) == ("queued", 1, [])
    assert view["steps"]["ask"]["state"] == "finished"


def test_the_next_segment_is_told_what_woke_it(stage: Stage) -> None:
    execution = stage.suspended(data={"n": 1}, context={"k": 2})
    stage.send(execution, body={"ok": True})

    stage.play(execution)

    briefing = stage.script.briefings[-1]
    assert (briefing.segment, briefing.first_cell, briefing.snapshot is not None) == (1, 2, True)
    wake = briefing.wake
    assert wake is not None
    assert (wake.step, wake.kind, wake.then, wake.by) == ("ask", "suspend", "continue", "link")
    assert (wake.suspend_data, wake.context) == ({"n": 1}, {"k": 2})
    assert wake.callback is not None
    assert (wake.callback["body"], wake.callback["by"]) == ({"ok": True}, "link")
    assert wake.at.endswith("Z")
    assert briefing.steps["ask"].exports["$resume_data"]["body"] == {"ok": True}
    assert stage.queue.view(execution)["state"] == "completed"


def test_then_rerun_runs_the_same_step_again(stage: Stage) -> None:
    execution = stage.suspended(then="rerun")
    stage.send(execution)
    stage.script.steps["ask"] = finish

    stage.play(execution)

    assert stage.script.briefings[-1].first_cell == 1
    assert [run for run in stage.script.ran if run[0] == "ask"] == [("ask", 1, 1), ("ask", 2, 1)]
    assert stage.queue.view(execution)["steps"]["ask"]["runs"] == 2


def test_a_cancel_ends_the_execution(stage: Stage) -> None:
    execution = stage.suspended()

    status, body = stage.send(execution, "cancel")

    assert (status, body["state"]) == (200, "cancelled")
    view = stage.queue.view(execution)
    assert view["reason"] == {"kind": "link", "by": "link", "text": None}
    assert view["ended_at"] is not None
    assert view["steps"]["ask"]["state"] == "cancelled"


@pytest.mark.parametrize("action", ["resume", "cancel"])
def test_the_same_decision_again(stage: Stage, action: str) -> None:
    execution = stage.suspended()
    stage.send(execution, action)

    status, body = stage.send(execution, action)

    assert (status, body["already"], body["action"]) == (200, True, action)


def test_the_other_decision_later(stage: Stage) -> None:
    execution = stage.suspended()
    stage.send(execution, "resume")

    status, body = stage.send(execution, "cancel")

    assert (status, body["action"]) == (409, "resume")


@pytest.mark.parametrize("action", ["resume", "cancel"])
def test_after_the_end_of_the_notebook_it_is_over(stage: Stage, action: str) -> None:
    execution = stage.suspended()
    stage.send(execution, "resume")
    stage.play(execution)

    status, body = stage.send(execution, action)

    assert (status, body["state"], body["action"]) == (410, "completed", "resume")
    assert stage.queue.view(execution)["state"] == "completed"


@pytest.mark.parametrize("action", ["resume", "cancel"])
def test_after_a_cancel_from_which_it_went_on_its_end_is_what_counts(stage: Stage, action: str) -> None:
    execution = stage.suspended()
    stage.send(execution, "cancel")
    stage.script.steps.clear()
    retry(stage.queue, execution, by="user:ann", from_step="ask", attached_to=ME)
    stage.play(execution)

    status, body = stage.send(execution, action)

    assert (status, body["state"]) == (410, "completed")


@pytest.mark.parametrize("action", ["resume", "cancel"])
def test_after_the_deadline_the_clock_has_settled_it(stage: Stage, action: str) -> None:
    execution = stage.suspended(seconds=60.0)
    stage.make_overdue(execution)

    status, body = stage.send(execution, action)

    assert (status, body["state"]) == (410, "cancelled")
    assert stage.queue.view(execution)["reason"]["kind"] == "timeout"
    assert Clock(stage.queue).sweep() == 0


def test_an_unknown_execution(stage: Stage) -> None:
    assert stage.send("nowhere")[0] == 404
    assert stage.send(stage.suspended(), segment=7)[0] == 404


def early(stage: Stage, execution_of: list[str], *sent: tuple[str, Any], **claim: Any) -> Any:
    """What a step does during which callbacks come."""

    def act(briefing: Briefing) -> Outcome:
        for action, body in sent:
            assert stage.send(execution_of[0], action, body, **claim)[0] == 202
        return suspend()(briefing)

    return act


def test_a_callback_before_the_end_of_the_step_is_kept_and_used(stage: Stage) -> None:
    known: list[str] = []
    stage.script.steps["ask"] = early(stage, known, ("resume", 1), ("cancel", 2), ("resume", 3))
    known.append(stage.start("%%step ask", "%%step last"))

    stage.play(known[0])

    view = stage.queue.view(known[0])
    assert view["state"] == "queued"
    assert view["steps"]["ask"]["exports"]["$resume_data"]["body"] == 1
    assert stage.whats(known[0]).count("kept") == 3
    assert _verdicts(stage, known[0]) == [("cancel", "late"), ("resume", "late")]
    assert stage.send(known[0], "resume")[0] == 200


def test_an_early_cancel(stage: Stage) -> None:
    known: list[str] = []
    stage.script.steps["ask"] = early(stage, known, ("cancel", None), ("resume", None))
    known.append(stage.start("%%step ask", "%%step last"))

    stage.play(known[0])

    assert stage.queue.view(known[0])["state"] == "cancelled"


def test_an_early_callback_survives_a_crash_of_the_step(stage: Stage) -> None:
    from engine.stage import die

    known: list[str] = []

    def answered_then_dead(briefing: Briefing) -> Outcome:
        stage.send(known[0], "resume", "early")
        return die(briefing)

    stage.script.steps["ask"] = in_turn(answered_then_dead, suspend())
    known.append(stage.start("%%step ask", "%%step last"))

    stage.play(known[0])

    assert stage.queue.view(known[0])["steps"]["ask"]["exports"]["$resume_data"]["body"] == "early"


@pytest.mark.every(2)
def test_no_more_than_so_many_are_kept(stage: Stage) -> None:
    statuses: list[int] = []
    known: list[str] = []

    def flooded(briefing: Briefing) -> Outcome:
        statuses.extend(stage.send(known[0])[0] for _ in range(MOST_EARLY + 5))
        return suspend()(briefing)

    stage.script.steps["ask"] = flooded
    known.append(stage.start("%%step ask", "%%step last"))
    stage.play(known[0])

    assert statuses == [202] * MOST_EARLY + [429] * 5
    with stage.queue.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(callbacks)).scalar() == MOST_EARLY
    assert stage.queue.view(known[0])["state"] == "queued"


def test_links_of_a_step_that_did_not_suspend_are_void(stage: Stage) -> None:
    execution = stage.suspended()

    status, body = stage.send(execution, step="first")

    assert (status, body["state"]) == (410, "suspended")


def test_an_early_callback_of_a_step_that_fails_is_void(stage: Stage) -> None:
    known: list[str] = []

    def answered_then_broken(briefing: Briefing) -> Outcome:
        assert stage.send(known[0])[0] == 202
        return fail()(briefing)

    stage.script.steps["ask"] = answered_then_broken
    known.append(stage.start("%%step ask"))
    stage.play(known[0])

    status, body = stage.send(known[0])
    assert (status, body["state"]) == (410, "failed")
    assert _verdicts(stage, known[0]) == [("resume", "void")]


def _verdicts(stage: Stage, execution: str) -> list[tuple[str, str]]:
    """What was sent, and why it was ignored."""
    ignored = [line["details"] for line in stage.queue.audit(execution) if line["what"] == "ignored"]
    return [(each["action"], each["verdict"]) for each in ignored]


def test_links_of_an_earlier_try_within_the_step_are_void(stage: Stage) -> None:
    def second_try(briefing: Briefing) -> Outcome:
        return Outcome(**{**vars(suspend()(briefing)), "ordinal": 1})

    stage.script.steps["ask"] = second_try
    execution = stage.start("%%step ask --retries 1", "%%step last")
    stage.play(execution)

    assert [len(links) for links in [stage.script.briefings[0].steps["ask"].links]] == [2]
    assert stage.send(execution, ordinal=0)[0] == 410
    assert stage.send(execution, ordinal=1)[0] == 200


def test_links_of_an_earlier_run_do_not_answer_a_later_one(stage: Stage) -> None:
    execution = stage.suspended(then="rerun")
    stage.send(execution)
    stage.play(execution)

    assert stage.queue.view(execution)["state"] == "suspended"
    assert stage.send(execution, segment=0)[1]["already"] is True
    assert stage.queue.view(execution)["state"] == "suspended"
    assert stage.send(execution, segment=1)[0] == 200


def test_a_rerun_beyond_its_budget_left_no_suspension(stage: Stage) -> None:
    stage.script.steps["ask"] = in_turn(suspend(kind="rerun", then="rerun", seconds=60.0, max_retries=1), finish)
    execution = stage.start("%%step ask", "%%step last")
    stage.play(execution)
    stage.make_overdue(execution)
    Clock(stage.queue).sweep()
    stage.play(execution)

    assert stage.script.briefings[1].wake is not None
    assert stage.script.briefings[1].wake.max_retries == 1
    status, body = stage.send(execution, segment=1)
    assert (status, body["state"]) == (410, "completed")


def test_resume_by_name(stage: Stage) -> None:
    execution = stage.suspended()

    answer = stage.queue.resume(execution, data={"a": 1}, by="user:ann")

    assert answer.status == 200
    resumed = stage.queue.view(execution)["steps"]["ask"]["exports"]["$resume_data"]
    assert (resumed["body"], resumed["by"], resumed["method"]) == ({"a": 1}, "user:ann", None)
    assert resumed["received_at"].endswith("Z")


def test_resume_of_what_does_not_wait(stage: Stage) -> None:
    execution = stage.start("%%step ask")

    with pytest.raises(NotSuspended, match="queued"):
        stage.queue.resume(execution, by="user:ann")
    with pytest.raises(UnknownExecution):
        stage.queue.resume("nowhere", by="user:ann")


def test_resume_of_another_step(stage: Stage) -> None:
    with pytest.raises(NotSuspended, match="'last'"):
        stage.queue.resume(stage.suspended(), step="last", by="user:ann")


def test_resume_of_several_asks_which(stage: Stage) -> None:
    from pauseflow_nb.store import suspensions

    execution = stage.suspended()
    with stage.queue.engine.begin() as connection:
        again = Outcome(**{**vars(suspend()(stage.script.briefings[0])), "step": "sign"})
        suspensions.add(connection, execution, 0, again, 2)

    with pytest.raises(AmbiguousSuspension, match="ask, sign"):
        stage.queue.resume(execution, by="user:ann")
    assert stage.queue.resume(execution, step="sign", by="user:ann").status == 200


def test_data_must_be_json(stage: Stage) -> None:
    with pytest.raises(NotJSON):
        stage.queue.resume(stage.suspended(), data={"when": object()}, by="user:ann")


def test_text_that_no_database_likes(stage: Stage) -> None:
    execution = stage.suspended(data={"nul": "a\0b", "lone": "\ud800"}, title="a\0b", message="c\0d")
    stage.send(execution, body={"x": "\0", "y": "\udfff", "z": "é😀"})

    body = stage.queue.view(execution)["steps"]["ask"]["exports"]["$resume_data"]["body"]
    assert body == {"x": "\0", "y": "\udfff", "z": "é😀"}


def test_many_senders_one_winner(stage: Stage) -> None:
    execution = stage.suspended()
    actions = ["resume", "cancel"] * 12

    answers = at_once(*(lambda action=action: stage.send(execution, action) for action in actions))

    settled = [body["action"] for status, body in answers if status == 200 and not body.get("already")]
    assert len(settled) == 1
    others = sorted(status for status, body in answers if not (status == 200 and not body.get("already")))
    assert others == [200] * 11 + [409] * 12
    assert stage.whats(execution).count("settled") == 1
    assert stage.queue.view(execution)["segment"] == (1 if settled == ["resume"] else 0)


def test_callbacks_against_the_clock(stage: Stage) -> None:
    for _ in range(5):
        execution = stage.suspended(seconds=3600.0)

        def overtaken(execution: str = execution) -> int:
            stage.make_overdue(execution)
            return Clock(stage.queue).sweep(execution)

        answers = at_once(overtaken, *(lambda: stage.send(execution) for _ in range(4)))  # noqa: B023

        won = [answer for answer in answers[1:] if answer[0] == 200 and not answer[1].get("already")]
        state = stage.queue.view(execution)["state"]
        assert stage.whats(execution).count("settled") == 1
        assert (len(won), state) in [(1, "queued"), (0, "cancelled")]


def test_callbacks_against_a_cancel(stage: Stage) -> None:
    for _ in range(5):
        execution = stage.suspended()

        answers = at_once(
            lambda: stage.queue.cancel(execution, by="user:ann"),  # noqa: B023
            *(lambda: stage.send(execution) for _ in range(4)),  # noqa: B023
        )

        assert answers[0] is None
        assert stage.queue.view(execution)["state"] == "cancelled"
        assert {status for status, _ in answers[1:]} <= {200, 410}


@pytest.mark.every(2)
def test_a_callback_at_the_very_end_of_the_step_is_not_lost(stage: Stage) -> None:
    for _ in range(15):
        execution = stage.start("%%step ask", "%%step last")
        stage.script.steps["ask"] = suspend()

        _, answer = at_once(lambda: stage.play(execution, 0), lambda: stage.send(execution))  # noqa: B023

        assert answer[0] in (200, 202)
        assert stage.queue.view(execution)["state"] == "queued"


def test_a_claim_is_what_a_token_says(stage: Stage) -> None:
    execution = stage.suspended()
    claim = Claim(execution, 0, "ask", 0, "approve")

    # The page for a person settles with what the person pressed, not with the link's own action.
    assert stage.queue.settle(claim, Callback("cancel", None, "link")).status == 200
