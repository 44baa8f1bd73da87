"""Queue the next segments of one or many executions whose suspensions are settled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.engine.decision_records import MadeDecision, describe_records, name_records, sign_decisions
from pauseflow_nb.engine.jobs import Jobs, NewJob
from pauseflow_nb.identity import facts_of
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import Wake
from pauseflow_nb.queues import QueuePlan
from pauseflow_nb.runner.cards import describe_decision
from pauseflow_nb.store import audit, decisions, executions, segments, steps, suspensions
from pauseflow_nb.store.database import format_time, now
from pauseflow_nb.store.decisions import Record
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.many_rows import pipelined
from pauseflow_nb.store.segments import NewSegment
from pauseflow_nb.store.views import has_rules, name_settlement


@dataclass(frozen=True)
class Settlement:
    """A settled suspension that wakes its execution."""

    suspension: Row
    #: The segment that ended with it.
    before: Row | None
    #: The execution; None if it was removed.
    execution: Row | None
    by: str
    #: The answer, also a default of the clock; None if there is none.
    envelope: dict[str, JSON] | None = None
    #: Whether a person or program has sent it.
    is_sent: bool = False
    approvals: list[dict[str, JSON]] = field(default_factory=list)
    #: Digest of the question that the sender saw.
    seen: str | None = None
    comment: str | None = None


def resume_all(connection: sa.Connection, jobs: Jobs, settlements: Sequence[Settlement], moment: float) -> None:
    """Settle open suspensions at a moment, and wake their executions; the caller holds all rows."""
    plan = _prepare(connection, settlements, moment)
    with pipelined(connection):
        suspensions.settle_all(connection, [(each.suspension, each.approvals) for each in settlements], moment)
        _write(connection, jobs, plan, moment)
        audit.add_lines(connection, _make_audit_lines(settlements, "resume", plan.signed), moment)


def time_out_all(connection: sa.Connection, jobs: Jobs, settlements: Sequence[Settlement], moment: float) -> None:
    """Settle suspensions whose deadline has passed at a moment, and wake their executions; the caller holds all rows."""
    plan = _prepare(connection, settlements, moment)
    with pipelined(connection):
        suspensions.time_out_all(connection, [each.suspension for each in settlements], moment)
        _write(connection, jobs, plan, moment)
        audit.add_lines(connection, _make_audit_lines(settlements, "timeout", plan.signed), moment)


def wake_one(connection: sa.Connection, jobs: Jobs, settlement: Settlement) -> None:
    """Wake one execution; the caller has settled its suspension and recorded that in the audit trail."""
    moment = now(connection)
    plan = _prepare(connection, [settlement], moment)
    _write(connection, jobs, plan, moment)
    name_records(connection, plan.signed)


@dataclass(frozen=True)
class _Plan:
    """What is written for executions that wake; all of it is known before the first row is written."""

    #: Execution, step and run → what the run has published, with `$resume_data`.
    exports: dict[tuple[str, str, int], dict[str, JSON]]
    records: list[Record]
    #: At most one of each execution.
    segments: list[NewSegment]
    jobs: list[NewJob]

    @property
    def signed(self) -> dict[str, dict[str, JSON]]:
        """Facts of the records for the audit trail."""
        return describe_records(self.records)


def _prepare(connection: sa.Connection, settlements: Sequence[Settlement], moment: float) -> _Plan:
    """Read what is needed, sign the decisions, and plan the next segments, at most one of each execution."""
    at = format_time(moment) or ""
    answers = [complete_envelope(each, at) for each in settlements]
    answered = {
        (each.suspension.execution, each.suspension.step, each.suspension.run): answer
        for each, answer in zip(settlements, answers, strict=True)
        if answer is not None
    }
    exports = steps.find_exports(connection, answered)
    wakes = [_wake(each, answer, at) for each, answer in zip(settlements, answers, strict=True)]
    records = sign_decisions(
        connection,
        [
            MadeDecision(each.suspension, describe_decision(wake, answer), each.seen)
            for each, wake, answer in zip(settlements, wakes, answers, strict=True)
            # The end of a delay and a rerun by the clock are not decisions.
            if each.by != "notebooks" and (each.by != "clock" or each.suspension.kind == "suspend")
        ],
    )
    # Not simply the next number: there may be a segment that refused an earlier answer.
    numbers = segments.next_numbers(connection, [each.suspension.execution for each in settlements])
    new = [_make_segment(each, wake, numbers) for each, wake in zip(settlements, wakes, strict=True)]
    return _Plan(
        {run: {**published, "$resume_data": answered[run]} for run, published in exports.items()},
        records,
        new,
        [
            NewJob(one.execution, one.n, queue=QueuePlan.parse(each.execution.queues).find(one.first_cell))
            for each, one in zip(settlements, new, strict=True)
            if each.execution is not None and each.execution.attached_to is None
        ],
    )


def _make_segment(settlement: Settlement, wake: Wake, numbers: Mapping[str, int]) -> NewSegment:
    suspension, before = settlement.suspension, settlement.before
    first_cell = suspension.cell + (suspension.then != "rerun")
    kernel_variables = None if before is None else before.bound
    execution = suspension.execution
    return NewSegment(execution, numbers[execution], first_cell, wake, before, kernel_variables)


def _write(connection: sa.Connection, jobs: Jobs, plan: _Plan, moment: float) -> None:
    steps.set_exports(connection, plan.exports)
    decisions.add_all(connection, plan.records, moment)
    segments.add_all(connection, plan.segments, moment)
    executions.set_queued(connection, {each.execution: each.n for each in plan.segments})
    jobs.enqueue_all(connection, plan.jobs)


def complete_envelope(settlement: Settlement, moment: str) -> dict[str, JSON] | None:
    """Add to an envelope who answered, when, and who else approved."""
    if settlement.envelope is None:
        return None
    envelope, by = settlement.envelope, settlement.by
    envelope = {**envelope, "by": by, **facts_of(by), "received_at": envelope.get("received_at") or moment}
    if settlement.approvals and has_rules(settlement.suspension.rules):
        envelope["approvals"] = settlement.approvals
    return envelope


def _make_audit_lines(
    settlements: Sequence[Settlement], action: str, signed: Mapping[str, Mapping[str, JSON]]
) -> list[audit.Line]:
    return [_make_audit_line(each, action, signed.get(each.suspension.execution, {})) for each in settlements]


def _make_audit_line(settlement: Settlement, action: str, signed: Mapping[str, JSON]) -> audit.Line:
    suspension = settlement.suspension
    details: dict[str, Any] = {"action": action, "decision": name_settlement(suspension, action, settlement.by)}
    details |= {} if settlement.comment is None else {"comment": settlement.comment}
    details |= signed
    return audit.Line(suspension.execution, "settled", settlement.by, suspension.segment, suspension.step, details)


def _wake(settlement: Settlement, answer: dict[str, JSON] | None, moment: str) -> Wake:
    suspension = settlement.suspension
    return Wake(
        step=suspension.step,
        kind=suspension.kind,
        then=suspension.then,
        callback=answer if settlement.is_sent else None,
        context=suspension.context,
        suspend_data=suspension.data,
        max_retries=suspension.max_retries,
        by=settlement.by,
        at=moment,
        approvals=settlement.approvals,
    )
