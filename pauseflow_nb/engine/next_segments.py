"""Queue the next segments of one or many executions whose suspensions are settled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.engine.decision_records import MadeDecision, name_records, record_decisions
from pauseflow_nb.engine.jobs import Jobs
from pauseflow_nb.identity import facts_of
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import Wake
from pauseflow_nb.runner.cards import describe_decision
from pauseflow_nb.store import audit, executions, segments, steps, suspensions
from pauseflow_nb.store.database import format_time, now
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.segments import NewSegment
from pauseflow_nb.store.views import has_rules, name_settlement


@dataclass(frozen=True)
class Settlement:
    """A settled suspension that wakes its execution."""

    suspension: Row
    #: The segment that ended with it.
    before: Row | None
    #: The process that is attached to the execution; None: any worker runs it.
    attached_to: str | None
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
    suspensions.settle_all(connection, [(each.suspension, each.approvals) for each in settlements], moment)
    _wake_all(connection, jobs, settlements, "resume", moment)


def time_out_all(connection: sa.Connection, jobs: Jobs, settlements: Sequence[Settlement], moment: float) -> None:
    """Settle suspensions whose deadline has passed at a moment, and wake their executions; the caller holds all rows."""
    suspensions.time_out_all(connection, [each.suspension for each in settlements], moment)
    _wake_all(connection, jobs, settlements, "timeout", moment)


def wake_one(connection: sa.Connection, jobs: Jobs, settlement: Settlement) -> None:
    """Wake one execution; the caller has settled its suspension and recorded that in the audit trail."""
    name_records(connection, _queue_all(connection, jobs, [settlement], now(connection)))


def _wake_all(
    connection: sa.Connection, jobs: Jobs, settlements: Sequence[Settlement], action: str, moment: float
) -> None:
    signed = _queue_all(connection, jobs, settlements, moment)
    lines = [_make_audit_line(each, action, signed.get(each.suspension.execution, {})) for each in settlements]
    audit.add_lines(connection, lines, moment)


def _queue_all(
    connection: sa.Connection, jobs: Jobs, settlements: Sequence[Settlement], moment: float
) -> dict[str, dict[str, JSON]]:
    """Queue the next segments, at most one of each execution, and store `$resume_data` for all later segments.

    Returns:
        Facts of the records for the audit trail; see `record_decisions`.
    """
    at = format_time(moment) or ""
    answers = [complete_envelope(each, at) for each in settlements]
    steps.export_all(
        connection,
        {
            (each.suspension.execution, each.suspension.step, each.suspension.run): {"$resume_data": answer}
            for each, answer in zip(settlements, answers, strict=True)
            if answer is not None
        },
    )
    wakes = [_wake(each, answer, at) for each, answer in zip(settlements, answers, strict=True)]
    signed = record_decisions(
        connection,
        [
            MadeDecision(each.suspension, describe_decision(wake, answer), each.seen)
            for each, wake, answer in zip(settlements, wakes, answers, strict=True)
            # The end of a delay and a rerun by the clock are not decisions.
            if each.by != "notebooks" and (each.by != "clock" or each.suspension.kind == "suspend")
        ],
        moment,
    )
    # Not simply the next number: there may be a segment that refused an earlier answer.
    numbers = segments.next_numbers(connection, [each.suspension.execution for each in settlements])
    segments.add_all(
        connection,
        [
            NewSegment(
                each.suspension.execution,
                numbers[each.suspension.execution],
                each.suspension.cell + (each.suspension.then != "rerun"),
                wake,
                each.before,
                None if each.before is None else each.before.bound,
            )
            for each, wake in zip(settlements, wakes, strict=True)
        ],
        moment,
    )
    executions.set_queued(connection, numbers)
    free = [each.suspension.execution for each in settlements if each.attached_to is None]
    jobs.enqueue_all(connection, [(execution, numbers[execution], 0) for execution in free])
    return signed


def complete_envelope(settlement: Settlement, moment: str) -> dict[str, JSON] | None:
    """Add to an envelope who answered, when, and who else approved."""
    if settlement.envelope is None:
        return None
    envelope, by = settlement.envelope, settlement.by
    envelope = {**envelope, "by": by, **facts_of(by), "received_at": envelope.get("received_at") or moment}
    if settlement.approvals and has_rules(settlement.suspension.rules):
        envelope["approvals"] = settlement.approvals
    return envelope


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
