"""Settle suspensions: exactly one callback, or the clock, wins.

Each method runs in a transaction of its caller, which locks the segment's row first, then the execution's. Whether
an answer is late depends on the deadline itself, not on when a process notices it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.engine.authorization import Callback, NotJudged, Verdict, find_comment, shorten_comment
from pauseflow_nb.engine.children import gather
from pauseflow_nb.engine.decision_records import add_drift, add_errors, record_decision
from pauseflow_nb.engine.describe_end import describe_ending_decision
from pauseflow_nb.engine.jobs import Jobs
from pauseflow_nb.engine.locking import lock_rows
from pauseflow_nb.engine.next_segments import Settlement, complete_envelope, resume_all, wake_one
from pauseflow_nb.engine.unanswered import make_ending
from pauseflow_nb.errors import LinkWithdrawn, StoreDamaged
from pauseflow_nb.identity import LINK, facts_of, list_people
from pauseflow_nb.json_values import JSON, NOTHING
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Failure, PauseAnswer, Wake, extract_answer, has_answer
from pauseflow_nb.runner.cards import describe_approval, describe_decision, describe_pause_decision
from pauseflow_nb.store import executions, segments, steps, suspensions
from pauseflow_nb.store.audit import add_line
from pauseflow_nb.store.database import format_time, now
from pauseflow_nb.store.executions import FINAL, Row
from pauseflow_nb.store.segments import NewSegment
from pauseflow_nb.store.views import name_settlement, view_approvals

#: Seconds that a worker has to finish the notebook of an execution that was cancelled while it ran.
RECORD_AFTER = 15.0
_NOT_KEPT = "this was decided before: your request changed nothing, and its data and comment were not kept"


@dataclass(frozen=True)
class Response:
    """The reply to the sender of a callback: an HTTP status and a JSON body.

    The body always holds `execution`, `step` and `state` (the execution's); `action` if the callback settled
    something or was stored for later, `already` and `note` for a repeated decision, `error` if it is refused.
    """

    status: int
    body: dict[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True)
class Settling:
    """Applies callbacks and deadlines within one transaction."""

    connection: sa.Connection
    #: Queues the segments that no attached process runs.
    jobs: Jobs

    def apply(self, claim: Claim, callback: Callback, verdict: Verdict | None) -> Response:
        """Apply one callback, and return the reply to its sender.

        Args:
            claim: The claim of its link.
            callback: The callback.
            verdict: The verdict on it; None if there was no open suspension when it was judged.

        Raises:
            LinkWithdrawn: If its link was withdrawn after it was verified.
            NotJudged: If there is an open suspension now: roll the transaction back and judge the callback.
        """
        rows = lock_rows(self.connection, claim)
        suspension, segment, execution = rows.suspension, rows.segment, rows.execution
        if segment is None or execution is None:
            return Response(404, {"error": "this server does not know this link"})
        if rows.is_withdrawn:
            raise LinkWithdrawn
        if suspension is None:
            return self._early(claim, callback, segment, execution)
        if suspension.state == "open":
            # A suspension for notebooks has no deadline: it is due when one of them has ended.
            if suspension.kind != "notebook" and self._is_overdue(suspension):
                self.time_out(suspension)
                return self._over(claim, "the time for an answer is over")
            return self._decide(claim, suspension, callback, verdict)
        return self._repeated(claim, callback, suspension)

    def time_out(self, suspension: Row) -> bool:
        """Settle an overdue suspension; return False if it was settled before. The caller holds the rows."""
        if suspension.kind == "notebook":
            return self._gather(suspension)
        if not suspensions.settle(self.connection, suspension, "timeout", "clock"):
            return False
        self._note_settled(suspension, "timeout", "clock")
        if suspension.kind == "pause":
            self._return(suspension, None)
            self._record_pause("timeout", suspension, None)
            return True
        if wakes_in_time(suspension):
            self._wake(suspension, "clock", make_default(suspension))
            return True
        executions.end_all(self.connection, [make_ending(suspension)], now(self.connection))
        self.record_end(suspensions.make_claim(suspension))
        return True

    def apply_early(
        self, execution: str, segment: int, suspension: Row | None, verdicts: Mapping[int, Verdict] | None = None
    ) -> None:
        """Apply the callbacks that arrived before the step had ended, in the order of arrival.

        Args:
            execution: Its id.
            segment: Number of the segment that ends.
            suspension: The suspension that ends the segment, if there is one.
            verdicts: Id of a callback → its verdict.

        Raises:
            NotJudged: If one of them may settle the suspension, and has no verdict yet.
        """
        for early in suspensions.list_early(self.connection, execution, segment):
            verdict = "void"
            if suspension is not None and (early.step, early.ordinal) == (suspension.step, suspension.ordinal):
                claim = Claim(execution, segment, early.step, early.ordinal, early.action)
                verdict = self._apply_one(claim, early, (verdicts or {}).get(early.id))
            suspensions.set_verdict(self.connection, early, verdict)
            if verdict not in ("settled", "approved"):
                details = {"action": early.action, "verdict": verdict}
                add_line(self.connection, execution, "ignored", early.by, segment=segment, step=early.step, **details)

    def ask_again(self, suspension: Row, errors: list[dict[str, JSON]]) -> None:
        """Reopen a suspension whose answer the notebook's own validators refused; the caller holds the rows."""
        suspensions.reopen(self.connection, suspension, errors)
        suspensions.set_shown(self.connection, suspension, add_errors(suspension.shown, errors))
        steps.withdraw(self.connection, suspension.execution, suspension.step, suspension.run, "$resume_data")
        executions.set_state(self.connection, suspension.execution, "suspended")
        self._note(suspension, "refused", f"step:{suspension.step}", status=422, errors=errors)

    def ask_about_drift(self, suspension: Row, checks: list[dict[str, JSON]], fresh: list[dict[str, JSON]]) -> None:
        """Reopen a suspension because shown values have changed: all people are asked again. The caller holds the rows.

        Args:
            suspension: Its row.
            checks: The checks of the fresh cells.
            fresh: The new values to show.
        """
        suspensions.reopen(self.connection, suspension, None)
        suspensions.set_shown(self.connection, suspension, add_drift(suspension, checks, fresh))
        steps.withdraw(self.connection, suspension.execution, suspension.step, suspension.run, "$resume_data")
        executions.set_state(self.connection, suspension.execution, "suspended")
        self._note(suspension, "reopened", "notebook", checks=checks)

    def _apply_one(self, claim: Claim, early: Row, verdict: Verdict | None) -> str:
        # Read again each time: the previous one may have changed the row.
        suspension = suspensions.lock(self.connection, claim)
        if suspension is None or suspension.state != "open":
            return "late"
        is_read = verdict is not None and verdict.refusal is None
        envelope = suspensions.read_envelope(self.connection, early) if is_read else None
        response = self._decide(claim, suspension, Callback(early.action, envelope, early.by), verdict)
        if response.status == 200:
            return "late" if response.body.get("already") else "settled"
        return "approved" if response.status == 202 else "refused"

    def _decide(self, claim: Claim, suspension: Row, callback: Callback, verdict: Verdict | None) -> Response:
        """Apply a callback to an open suspension with a locked row, if the verdict allows it."""
        if verdict is None:
            raise NotJudged
        envelope = callback.envelope or make_envelope(NOTHING, callback.by)
        refusal = verdict.refusal
        if refusal is not None:
            found = {"errors": refusal.errors} if refusal.errors else {}
            details = {"action": callback.action, "status": refusal.status, "error": refusal.error, **found}
            self._note(suspension, "refused", callback.by, **details)
            return self._respond(refusal.status, claim, error=refusal.error, **found)
        if callback.seen is not None and callback.seen != (suspension.shown or {}).get("digest"):
            stale = "the question has changed since you saw it: look at it again, then decide"
            self._note(suspension, "refused", callback.by, action=callback.action, status=409, error=stale)
            return self._respond(409, claim, error=stale, stale=True)
        if callback.action == "cancel":
            self._cancel(suspension, callback.by, shorten_comment(envelope), callback.seen)
            return self._respond(200, claim, action="cancel")
        if callback.action == "send_back":
            self._send_back(suspension, callback, envelope)
            return self._respond(200, claim, action="send_back")
        return self._approve(claim, suspension, callback, envelope)

    def _approve(self, claim: Claim, suspension: Row, callback: Callback, envelope: dict[str, JSON]) -> Response:
        """Count an approval; the last one needed wakes the execution, with its data."""
        by, seen = callback.by, callback.seen
        approvals = view_approvals(suspension.rules, suspension.given)
        needed = approvals["needed"]
        if any(list_people(one["by"], one.get("via")) & list_people(by) for one in approvals["given"]):
            return self._respond(200, claim, action="resume", already=True, note=_NOT_KEPT, approvals=approvals)
        comment = shorten_comment(envelope)
        details = {} if comment is None else {"comment": comment}
        if len(approvals["given"]) + 1 >= needed and suspension.kind != "pause":
            moment = now(self.connection)
            approved = [*approvals["given"], suspensions.make_approval(by, comment, moment)]
            known = {"envelope": envelope, "is_sent": True, "approvals": approved, "seen": seen, "comment": comment}
            resume_all(self.connection, self.jobs, [self._make_settlement(suspension, by, **known)], moment)
            return self._respond(200, claim, action="resume")
        approvals["given"] = suspensions.approve(self.connection, suspension, by, comment)
        count = len(approvals["given"])
        if count < needed:
            self._note(suspension, "approved", by, given=count, needed=needed, **details)
            one = describe_approval("approve", approvals["given"][-1:], envelope)
            record_decision(self.connection, suspension, one, seen=seen, is_final=False)
            return self._respond(202, claim, action="resume", approvals=approvals)
        suspensions.settle(self.connection, suspension, "resume", by)
        self._note_settled(suspension, "resume", by, **details)
        settlement = self._make_settlement(suspension, by, envelope=envelope, approvals=approvals["given"])
        answer = complete_envelope(settlement, format_time(now(self.connection)) or "")
        self._return(suspension, answer)
        self._record_pause("resume", suspension, answer, seen)
        return self._respond(200, claim, action="resume")

    def _send_back(self, suspension: Row, callback: Callback, envelope: dict[str, JSON]) -> None:
        """Run the step again with the comment, which is not an answer and so does not become `$resume_data`."""
        by, comment = callback.by, shorten_comment(envelope)
        suspensions.settle(self.connection, suspension, "send_back", by)
        details = {} if comment is None else {"comment": comment}
        self._note_settled(suspension, "send_back", by, **details)
        moment = format_time(now(self.connection)) or ""
        known: dict[str, JSON] = {"by": by, "at": moment, **facts_of(by)}
        wake = Wake(
            step=suspension.step,
            kind=suspension.kind,
            then="rerun",
            suspend_data=suspension.data,
            by=by,
            at=moment,
            approvals=[{**known, "comment": comment}],
            sent_back={
                **known,
                "comment": find_comment(envelope),
                "data": extract_answer(envelope) if has_answer(envelope) else None,
            },
        )
        record_decision(self.connection, suspension, describe_decision(wake), seen=callback.seen)
        self._queue_next(suspension, wake)

    def _cancel(self, suspension: Row, by: str, comment: str | None, seen: str | None = None) -> None:
        if suspensions.settle(self.connection, suspension, "cancel", by):
            details = {} if comment is None else {"comment": comment}
            self._note_settled(suspension, "cancel", by, **details)
            if suspension.kind == "pause":
                # The notebook receives the cancel, and may handle it without ending.
                self._return(suspension, None)
                self._record_pause("cancel", suspension, None, seen)
                return
            executions.end(
                self.connection,
                suspension.execution,
                "cancelled",
                by=by,
                reason=make_cancel_reason(by, comment),
                record_after=0.0,
            )
            self.record_end(suspensions.make_claim(suspension), seen)

    def record_end(self, claim: Claim, seen: str | None = None) -> None:
        """Sign the decision that ended the execution, which the caller has ended."""
        try:
            row = executions.find(self.connection, claim.execution)
            settled = suspensions.lock(self.connection, claim)
        except StoreDamaged as problem:
            # A row that cannot be read must not prevent the end of its execution.
            add_line(
                self.connection, claim.execution, "unrecorded", "engine", segment=claim.segment, problem=str(problem)
            )
            return
        if row is not None and settled is not None:
            record_decision(self.connection, settled, describe_ending_decision(row, settled), seen=seen)

    def _record_pause(
        self, action: str, suspension: Row, envelope: dict[str, JSON] | None, seen: str | None = None
    ) -> None:
        settled = suspensions.lock(self.connection, suspensions.make_claim(suspension))
        if settled is not None:
            answer = PauseAnswer(action, envelope, settled.settled_by or "", format_time(settled.settled_at) or "")
            record_decision(self.connection, settled, describe_pause_decision(answer), seen=seen)

    def _wake(self, suspension: Row, by: str, envelope: dict[str, JSON] | None) -> None:
        """Queue the next segment of an execution whose suspension is settled."""
        wake_one(self.connection, self.jobs, self._make_settlement(suspension, by, envelope=envelope))

    def _make_settlement(self, suspension: Row, by: str, **known: Any) -> Settlement:
        before = segments.find(self.connection, suspension.execution, suspension.segment)
        row = executions.find_plain(self.connection, suspension.execution)
        return Settlement(suspension, before, row, by, **known)

    def _queue_next(self, suspension: Row, wake: Wake) -> None:
        before = segments.find(self.connection, suspension.execution, suspension.segment)
        first_cell = suspension.cell + (wake.then != "rerun")
        # Not simply the next number: there may be a segment that refused an earlier answer.
        n = segments.next_number(self.connection, suspension.execution)
        kernel_variables = None if before is None else before.bound
        self.queue_segment(NewSegment(suspension.execution, n, first_cell, wake, before, kernel_variables))

    def _gather(self, suspension: Row) -> bool:
        """Continue if all notebooks that it waits for have ended; fail if one of them failed and must not."""
        # The row is locked before the children are read: a child that ends meanwhile makes it due again afterwards.
        locked = suspensions.lock(self.connection, suspensions.make_claim(suspension))
        if locked is None or locked.state != "open":
            return False
        found = gather(self.connection, suspension)
        if found.is_incomplete:
            suspensions.clear_deadline(self.connection, suspension)
            return False
        suspensions.settle(self.connection, suspension, "resume", "notebooks")
        self._note_settled(suspension, "resume", "notebooks")
        steps.export(self.connection, suspension.execution, suspension.step, suspension.run, **found.exports)
        if found.problem is None:
            self._wake(suspension, "notebooks", None)
            return True
        failure = Failure("NotebookFailed", found.problem, suspension.cell, suspension.step)
        steps.fail_ended(self.connection, suspension.execution, suspension.step, suspension.run, failure)
        by = f"step:{suspension.step}"
        executions.end(
            self.connection,
            suspension.execution,
            "failed",
            by=by,
            reason={"kind": "error", "by": by, "text": found.problem},
            error=asdict(failure),
            record_after=0.0,
        )
        return True

    def _return(self, suspension: Row, envelope: dict[str, JSON] | None) -> None:
        """Store the answer for the kernel that waits; if the kernel has died, the next attempt finds it."""
        suspensions.leave_answer(self.connection, suspension, envelope)
        row = executions.find(self.connection, suspension.execution)
        if row is not None and row.state == "paused":
            executions.set_state(self.connection, suspension.execution, "running")

    def queue_segment(self, new: NewSegment) -> None:
        """Add a queued segment, and a job for it unless an attached process will run it."""
        execution = new.execution
        segments.add_all(self.connection, [new])
        executions.set_state(self.connection, execution, "queued", segment=new.n)
        row = executions.find(self.connection, execution)
        if row is not None and row.attached_to is None:
            self.jobs.enqueue(self.connection, execution, new.n, 0)

    def _early(self, claim: Claim, callback: Callback, segment: Row, execution: Row) -> Response:
        over = (
            segment.state == "ended"
            or execution.state in FINAL
            or steps.has_ended(self.connection, claim.execution, claim.segment, claim.step)
        )
        if over:
            return self._over(claim, "this pause is over")
        if not suspensions.add_early(self.connection, claim, callback.action, callback.envelope, callback.by):
            return self._respond(
                429, claim, error="too many callbacks arrived before this step has ended: send it again later"
            )
        action = {"action": callback.action}
        add_line(
            self.connection, claim.execution, "kept", callback.by, segment=claim.segment, step=claim.step, **action
        )
        return self._respond(202, claim, action=callback.action)

    def _repeated(self, claim: Claim, callback: Callback, suspension: Row) -> Response:
        if suspension.state == "void" or suspension.action == "timeout":
            return self._over(claim, "this pause is over")
        execution = executions.find(self.connection, claim.execution)
        # A cancel ends the execution: a second sender gets the decision, and not the end, as the reply. But a
        # notebook may continue after a cancel: if it catches that of a `flow.pause`, or by `retry`.
        decided = None if execution is None else (suspension.action, execution.state)
        if execution is not None and execution.state in FINAL and decided != ("cancel", "cancelled"):
            return self._respond(410, claim, action=suspension.action, error=f"the notebook has {execution.state}")
        if suspension.action == callback.action:
            return self._respond(200, claim, action=suspension.action, already=True, note=_NOT_KEPT)
        error = f"the other decision came first: {suspension.action}; your answer changed nothing"
        return self._respond(409, claim, action=suspension.action, error=error)

    def _over(self, claim: Claim, error: str) -> Response:
        return self._respond(410, claim, error=error)

    def _respond(self, status: int, claim: Claim, **body: JSON) -> Response:
        row = executions.find(self.connection, claim.execution)
        state = None if row is None else row.state
        return Response(status, {"execution": claim.execution, "step": claim.step, "state": state, **body})

    def _is_overdue(self, suspension: Row) -> bool:
        return suspension.deadline is not None and suspension.deadline <= now(self.connection)

    def _note_settled(self, suspension: Row, action: str, by: str, **details: Any) -> None:
        self._note(
            suspension, "settled", by, action=action, decision=name_settlement(suspension, action, by), **details
        )

    def _note(self, suspension: Row, what: str, by: str, **details: Any) -> None:
        where = {"segment": suspension.segment, "step": suspension.step}
        add_line(self.connection, suspension.execution, what, by, **where, **details)


def wakes_in_time(suspension: Row) -> bool:
    """Whether the clock wakes its execution at the deadline, and neither ends it nor answers a waiting kernel."""
    if suspension.kind in ("pause", "notebook"):
        return False
    return bool(suspension.on_timeout == "resume" or suspension.kind != "suspend")


def make_default(suspension: Row) -> dict[str, JSON] | None:
    """Make the clock's answer to a question; None if the suspension is not a question."""
    return make_envelope(suspension.default, "clock") if suspension.kind == "suspend" else None


def make_envelope(body: JSON, by: str) -> dict[str, JSON]:
    """Make the envelope of an answer without a request: from a command, a program or the clock.

    Args:
        body: The answer; `NOTHING` if there is none.
        by: Who or what answered.
    """
    body, raw = (None, None) if body is NOTHING else (body, "null" if body is None else None)
    empty: dict[str, JSON] = {"method": None, "path": None, "query": {}, "headers": {}}
    return {**empty, "body": body, "body_raw": raw, "client_ip": None, "url": None, "received_at": None, "by": by}


def make_cancel_reason(by: str, text: str | None) -> dict[str, JSON]:
    """Make the reason of an execution that was cancelled."""
    kind = "link" if by == LINK else "parent" if by.startswith("parent") else "user"
    known = {} if by == LINK else facts_of(by)
    return {"kind": kind, "by": by, "text": text, **known}
