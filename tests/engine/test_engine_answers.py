"""Who may answer and with what: the same for every way to answer, however many ask at once."""

from typing import Any

import pytest
from engine.stage import ME, Stage, at_once, in_turn, suspend

from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.run_segment import Segments
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Briefing, Outcome
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.observer import SegmentEnd

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def say(stage: Stage, execution: str, by: str, action: str = "resume", body: Any = None, **envelope: Any) -> Any:
    """Answer as somebody: over a link, or signed in."""
    whole = {"method": "POST", "body": body, **envelope}
    answer = stage.queue.settle(Claim(execution, 0, "ask", 0, action), Callback(action, whole, by))  # type: ignore[arg-type]
    return answer.status, answer.body


def approvals(stage: Stage, execution: str) -> dict[str, Any]:
    found: dict[str, Any] = stage.queue.view(execution)["suspended"][0]["approvals"]
    return found


class TestApprovals:
    def test_it_goes_on_when_enough_different_people_have_resumed(self, stage: Stage) -> None:
        execution = stage.suspended(approvals=3)

        assert say(stage, execution, "user:ann", body={"comment": "fine"})[0] == 202
        assert say(stage, execution, "user:ann")[0] == 200
        assert say(stage, execution, "link")[0] == 202
        assert stage.queue.state(execution) == "suspended"
        assert [each["by"] for each in approvals(stage, execution)["given"]] == ["user:ann", "link"]
        status, body = say(stage, execution, "user:bob", body={"x": 1})

        assert (status, body["action"], body["state"]) == (200, "resume", "queued")
        stage.play(execution)
        wake = stage.script.briefings[-1].wake
        assert wake is not None
        assert [(each["by"], each["comment"]) for each in wake.approvals] == [
            ("user:ann", "fine"),
            ("link", None),
            ("user:bob", None),
        ]
        resumed = stage.queue.view(execution)["steps"]["ask"]["exports"]["$resume_data"]
        assert (resumed["body"], resumed["by"], len(resumed["approvals"])) == ({"x": 1}, "user:bob", 3)
        history = stage.queue.view(execution, history=True)["history"]["suspensions"][0]
        assert [each["by"] for each in history["approvals"]["given"]] == ["user:ann", "link", "user:bob"]
        assert stage.whats(execution).count("approved") == 2

    def test_one_cancel_cancels(self, stage: Stage) -> None:
        execution = stage.suspended(approvals=3)
        say(stage, execution, "user:ann")

        assert say(stage, execution, "link", "cancel")[0] == 200
        assert stage.queue.state(execution) == "cancelled"
        assert say(stage, execution, "user:bob")[0] == 409

    def test_the_deadline_does_not_wait_for_the_rest(self, stage: Stage) -> None:
        execution = stage.suspended(approvals=2, seconds=60.0)
        say(stage, execution, "user:ann")
        stage.make_overdue(execution)

        assert say(stage, execution, "user:bob")[0] == 410
        assert stage.queue.state(execution) == "cancelled"

    def test_many_at_once_are_counted_once_each(self, stage: Stage) -> None:
        execution = stage.suspended(approvals=4)
        people = [f"user:p{n}" for n in range(6)] * 2

        answers = at_once(*(lambda by=by: say(stage, execution, by) for by in people))

        assert [status for status, _ in answers].count(202) == 3
        assert sum(status == 200 and not body.get("already") for status, body in answers) == 1
        given = stage.queue.view(execution, history=True)["history"]["suspensions"][0]["approvals"]["given"]
        assert len({each["by"] for each in given}) == len(given) == 4
        assert stage.queue.view(execution)["segment"] == 1

    def test_foundagainst_a_cancel(self, stage: Stage) -> None:
        for _ in range(4):
            execution = stage.suspended(approvals=2)
            answers = at_once(
                lambda: say(stage, execution, "user:ann"),  # noqa: B023
                lambda: say(stage, execution, "user:bob"),  # noqa: B023
                lambda: say(stage, execution, "user:eve", "cancel"),  # noqa: B023
            )

            settled = [body["action"] for status, body in answers if status == 200 and not body.get("already")]
            assert len(settled) == 1
            assert stage.queue.state(execution) == {"resume": "queued", "cancel": "cancelled"}[settled[0]]

    def test_early_ones_are_counted_at_the_end_of_the_step(self, stage: Stage) -> None:
        known: list[str] = []

        def early(briefing: Briefing) -> Outcome:
            for by in ("link", "link", "user:ann"):
                assert say(stage, known[0], by)[0] == 202
            return suspend(approvals=3)(briefing)

        stage.script.steps["ask"] = early
        known.append(stage.start("%%step ask", "%%step last"))
        stage.play(known[0])

        assert [each["by"] for each in approvals(stage, known[0])["given"]] == ["link", "user:ann"]
        assert say(stage, known[0], "user:bob")[0] == 200


class TestApprovers:
    def test_only_they_may_answer_whatever_the_door(self, stage: Stage) -> None:
        execution = stage.suspended(approvers=["ann", "bob"])

        for by in ("link", "user:eve"):
            for action in ("resume", "cancel"):
                status, body = say(stage, execution, by, action)
                assert status == 403
                assert "only ann, bob" in body["error"]
        assert stage.queue.resume(execution, by="user:eve").status == 403
        assert stage.queue.state(execution) == "suspended"
        assert stage.whats(execution).count("refused") == 5
        assert stage.queue.resume(execution, by="user:bob").status == 200

    def test_two_of_them(self, stage: Stage) -> None:
        execution = stage.suspended(approvers=["ann", "bob", "eve"], approvals=2)

        assert [say(stage, execution, by)[0] for by in ("user:ann", "link", "user:eve")] == [202, 403, 200]

    def test_an_early_answer_by_a_link_is_ignored(self, stage: Stage) -> None:
        known: list[str] = []

        def early(briefing: Briefing) -> Outcome:
            assert say(stage, known[0], "link")[0] == 202
            return suspend(approvers=["ann"])(briefing)

        stage.script.steps["ask"] = early
        known.append(stage.start("%%step ask", "%%step last"))
        stage.play(known[0])

        assert stage.queue.state(known[0]) == "suspended"
        assert {"refused", "ignored"} <= set(stage.whats(known[0]))


class TestSelfApproval:
    def test_whoever_started_it_may_not_approve_it_on_any_path(self, stage: Stage) -> None:
        execution = stage.suspended(self_approval=False)

        assert say(stage, execution, "user:ann")[1]["error"] == "ann started this and may not approve it"
        assert say(stage, execution, "link")[0] == 403
        assert stage.queue.resume(execution, by="user:ann").status == 403
        assert say(stage, execution, "user:bob")[0] == 200

    def test_an_early_approval_of_his_own_does_not_count(self, stage: Stage) -> None:
        known: list[str] = []

        def early(briefing: Briefing) -> Outcome:
            assert say(stage, known[0], "user:ann")[0] == 202
            return suspend(self_approval=False)(briefing)

        stage.script.steps["ask"] = early
        known.append(stage.start("%%step ask", "%%step last"))
        stage.play(known[0])

        assert stage.queue.state(known[0]) == "suspended"

    def test_he_may_withdraw_it(self, stage: Stage) -> None:
        execution = stage.suspended(self_approval=False)

        assert say(stage, execution, "user:ann", "cancel")[0] == 200


class TestSchema:
    @pytest.mark.parametrize("body", [None, {}, {"n": "3"}, {"n": 3.5}, {"n": True}, [3], "3"])
    def test_what_does_not_fit_wakes_nothing(self, stage: Stage, body: Any) -> None:
        execution = stage.suspended(schema=SCHEMA)

        assert say(stage, execution, "link", body=body)[0] == 422
        assert stage.queue.resume(execution, data=body, by="user:ann").status == 422
        assert (stage.queue.state(execution), stage.queue.view(execution)["segment"]) == ("suspended", 0)

    @pytest.mark.parametrize(("body", "status"), [(3, 200), ({"value": 3}, 200), ("3", 422), (None, 422), ({}, 422)])
    def test_a_bare_value_fits_the_form_of_a_plain_type(self, stage: Stage, body: Any, status: int) -> None:
        form = {"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]}
        execution = stage.suspended(schema=form)

        assert say(stage, execution, "link", body=body)[0] == status

    def test_the_schema_is_shown(self, stage: Stage) -> None:
        assert stage.queue.view(stage.suspended(schema=SCHEMA))["suspended"][0]["schema"] == SCHEMA

    def test_a_get_does_not_act_whoever_sends_it(self, stage: Stage) -> None:
        execution = stage.suspended(schema=SCHEMA)

        assert say(stage, execution, "link", method="GET", body=None, query={"n": 3})[0] == 405

    def test_among_many_at_once_one_that_fits_wins(self, stage: Stage) -> None:
        execution = stage.suspended(schema=SCHEMA)
        bodies: list[Any] = [{"n": n if n % 2 else "x"} for n in range(12)]

        answers = at_once(*(lambda body=body: say(stage, execution, "link", body=body) for body in bodies))

        assert sum(status == 200 and not body.get("already") for status, body in answers) == 1
        assert stage.whats(execution).count("settled") == 1


class TestRefusedByTheNotebook:
    """The notebook's own validators refuse an answer when the next segment starts."""

    ERRORS = ({"path": ["n"], "message": "must be even"},)

    def refuse(self, stage: Stage, execution: str) -> None:
        def refusing(_document: Any, briefing: Briefing, **_options: Any) -> SegmentEnd:
            return SegmentEnd("refused", briefing.first_cell, errors=list(self.ERRORS))

        n = stage.queue.view(execution)["segment"]
        assert Segments(stage.queue, ME, run=refusing).run(execution, n, Control()) == "ended"

    def test_the_suspension_opens_again_with_the_errors_and_the_same_deadline(self, stage: Stage) -> None:
        execution = stage.suspended(schema=SCHEMA, seconds=3600.0)
        before = stage.queue.view(execution)["suspended"][0]
        say(stage, execution, "link", body={"n": 3})
        self.refuse(stage, execution)

        view = stage.queue.view(execution)
        assert view["state"] == "suspended"
        (again,) = view["suspended"]
        assert again["errors"] == list(self.ERRORS)
        kept = ("step", "deadline", "resume_url", "schema", "since")
        assert [again[key] for key in kept] == [before[key] for key in kept]
        assert "$resume_data" not in view["steps"]["ask"]["exports"]

    def test_the_same_link_takes_another_answer(self, stage: Stage) -> None:
        execution = stage.suspended(schema=SCHEMA)
        for _ in range(2):
            assert say(stage, execution, "link", body={"n": 3})[0] == 200
            self.refuse(stage, execution)
        assert say(stage, execution, "link", body={"n": 4})[0] == 200
        stage.play(execution)

        briefing = stage.script.briefings[-1]
        assert (briefing.first_cell, briefing.segment) == (2, 3)
        assert briefing.snapshot is not None
        assert stage.queue.view(execution)["state"] == "completed"
        assert stage.queue.view(execution)["usage"]["wakeups"] == 3

    def test_a_deadline_that_passed_meanwhile_decides(self, stage: Stage) -> None:
        execution = stage.suspended(schema=SCHEMA, seconds=60.0)
        say(stage, execution, "link", body={"n": 3})
        stage.make_overdue(execution)
        self.refuse(stage, execution)

        assert Clock(stage.queue).sweep() == 1
        assert stage.queue.state(execution) == "cancelled"

    def test_what_others_approved_stands(self, stage: Stage) -> None:
        execution = stage.suspended(schema=SCHEMA, approvals=2)
        say(stage, execution, "user:ann", body={"n": 4})
        say(stage, execution, "user:bob", body={"n": 3})
        self.refuse(stage, execution)

        assert [each["by"] for each in approvals(stage, execution)["given"]] == ["user:ann"]
        assert say(stage, execution, "user:bob", body={"n": 4})[0] == 200

    def test_a_cancel_while_it_is_judged_stands(self, stage: Stage) -> None:
        execution = stage.suspended(schema=SCHEMA)
        say(stage, execution, "link", body={"n": 3})
        stage.queue.cancel(execution, by="user:ann")

        assert stage.queue.state(execution) == "cancelled"
        assert say(stage, execution, "link", body={"n": 4})[0] == 410
        assert stage.queue.state(execution) == "cancelled"


def test_sequential_suspensions_have_answers_of_their_own(stage: Stage) -> None:
    stage.script.steps["ask"] = in_turn(suspend(then="rerun"), suspend(then="rerun", schema=SCHEMA), suspend())
    execution = stage.start("%%step ask", "%%step last")
    for body in ("one", {"n": 2}):
        stage.play(execution)
        stage.queue.resume(execution, data=body, by="user:ann")
    stage.play(execution)

    view = stage.queue.view(execution, history=True)
    assert [run["exports"]["$resume_data"]["body"] for run in view["history"]["runs"][:2]] == ["one", {"n": 2}]
    assert "$resume_data" not in view["steps"]["ask"]["exports"]
