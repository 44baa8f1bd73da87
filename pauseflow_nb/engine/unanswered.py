"""End one or many executions whose questions nobody has answered in time."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pauseflow_nb.engine.decision_records import MadeDecision, describe_records, sign_decisions
from pauseflow_nb.engine.describe_end import describe_ending_decision
from pauseflow_nb.json_values import JSON
from pauseflow_nb.store import audit, decisions, executions, suspensions
from pauseflow_nb.store.executions import Ending, Row
from pauseflow_nb.store.many_rows import pipelined
from pauseflow_nb.store.views import name_settlement


def ends_unanswered(suspension: Row) -> bool:
    """Whether the execution ends at the deadline of this suspension."""
    return bool(suspension.kind == "suspend" and suspension.on_timeout != "resume")


def make_ending(suspension: Row) -> Ending:
    """Return the state and reason of an execution whose question nobody has answered in time."""
    text = f"nobody answered step {suspension.step!r} in time"
    reason = {"kind": "timeout", "by": "clock", "text": text}
    if suspension.on_timeout != "fail":
        return Ending(suspension.execution, "cancelled", "clock", reason, record_after=0.0)
    # Prefect's words, as in `PauseTimeout`.
    text += ": it suspended and never resumed"
    error = {"type": "TimeoutError", "message": text, "cell": suspension.cell, "step": suspension.step}
    return Ending(suspension.execution, "failed", "clock", {**reason, "text": text}, error, record_after=0.0)


def end_all_unanswered(connection: sa.Connection, overdue: Sequence[Row], moment: float) -> None:
    """Settle open questions, at most one of each execution, and end their executions; the caller holds all rows."""
    lines = [
        audit.Line(
            each.execution,
            "settled",
            "clock",
            each.segment,
            each.step,
            {"action": "timeout", "decision": name_settlement(each, "timeout", "clock")},
        )
        for each in overdue
    ]
    endings = [make_ending(each) for each in overdue]
    made = [
        MadeDecision(each, describe_ending_decision(_Ended(ending.state, ending.reason, moment), each), None)
        for each, ending in zip(overdue, endings, strict=True)
    ]
    records = sign_decisions(connection, made)
    with pipelined(connection):
        suspensions.time_out_all(connection, overdue, moment)
        audit.add_lines(connection, lines, moment)
        decisions.add_all(connection, records, moment)
    executions.end_all(connection, endings, moment, describe_records(records))


@dataclass(frozen=True)
class _Ended:
    """How an execution is about to end: what its row will hold. Writing the row and reading it again would take longer."""

    state: str
    reason: dict[str, JSON] | None
    ended_at: float
