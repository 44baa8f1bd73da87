"""Changes of a suspension's row, and the callbacks that came before there was one."""

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.identity import facts_of
from pauseflow_nb.json_values import JSON
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Outcome, SuspensionRequest
from pauseflow_nb.store.database import lock_row, now
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.tables import callbacks, suspensions
from pauseflow_nb.store.views import iso

__all__ = [
    "KEPT_AT_MOST",
    "add",
    "copy",
    "due",
    "envelope_of",
    "find",
    "judge",
    "keep",
    "kept",
    "last_of",
    "leave",
    "lock",
    "not_due",
    "open_ones",
    "reopen",
    "rules_of",
    "settle",
    "take_reminder",
    "to_remind",
    "void",
    "void_pauses",
]

#: Callbacks that are kept for one suspension before its step has ended.
KEPT_AT_MOST = 100

_KEY = (suspensions.c.execution, suspensions.c.segment, suspensions.c.step, suspensions.c.ordinal)


def add(connection: sa.Connection, execution: str, segment: int, outcome: Outcome, cell: int) -> Row:
    """Insert an open suspension; its clock starts now."""
    ask = outcome.suspension
    assert ask is not None, "only a suspended step leaves one"
    moment = now(connection)
    statement = suspensions.insert().values(
        execution=execution,
        segment=segment,
        step=outcome.step,
        ordinal=outcome.ordinal,
        run=outcome.run,
        cell=cell,
        kind=ask.kind,
        title=ask.title,
        message=ask.message,
        data=ask.data,
        since=moment,
        deadline=None if ask.seconds is None else moment + ask.seconds,
        on_timeout=ask.on_timeout,
        default=ask.default,
        then=ask.then,
        context=ask.context,
        max_retries=ask.max_retries,
        schema=ask.schema,
        notice=None if ask.remind is None else {"every": ask.remind, "messages": [asdict(m) for m in ask.messages]},
        remind_at=None if ask.remind is None else moment + ask.remind,
        rules=rules_of(ask),
        state="open",
    )
    return connection.execute(statement.returning(*suspensions.c)).one()


def copy(connection: sa.Connection, suspension: Row, execution: str) -> None:
    """Let another execution wait for the same, in its first segment; it has waited for nothing so far."""
    # Who approved the one has not approved the other.
    own = {"execution": execution, "segment": 0, "since": now(connection), "given": None, "errors": None}
    connection.execute(suspensions.insert().values({**suspension._mapping, **own}))  # noqa: SLF001  (SQLAlchemy's public name for a row as a mapping)


def find(connection: sa.Connection, claim: Claim) -> Row | None:
    """Read the suspension that a claim means."""
    return connection.execute(sa.select(suspensions).where(*_of(suspensions, claim))).first()


def lock(connection: sa.Connection, claim: Claim) -> Row | None:
    """Read the suspension that a claim means, and keep it; the segment's row is locked before."""
    return connection.execute(lock_row(sa.select(suspensions).where(*_of(suspensions, claim)))).first()


def open_ones(connection: sa.Connection, execution: str) -> list[Row]:
    """List what an execution waits for."""
    where = (suspensions.c.execution == execution, suspensions.c.state == "open")
    return list(connection.execute(sa.select(suspensions).where(*where).order_by(suspensions.c.segment)))


def due(connection: sa.Connection, execution: str | None = None, limit: int = 100) -> list[Claim]:
    """Name open suspensions whose deadline has passed, the longest overdue first."""
    # A literal, not a parameter: the index holds open ones only, and a plan made without values could not use it.
    where = [suspensions.c.state == sa.literal_column("'open'"), suspensions.c.deadline <= now(connection)]
    if execution is not None:
        where.append(suspensions.c.execution == execution)
    found = connection.execute(sa.select(*_KEY).where(*where).order_by(suspensions.c.deadline).limit(limit))
    return [Claim(*row, "") for row in found]


def to_remind(connection: sa.Connection, execution: str | None = None, limit: int = 20) -> list[Claim]:
    """Name open suspensions whose reminder is due."""
    is_open = suspensions.c.state == sa.literal_column("'open'")
    where = [is_open, suspensions.c.remind_at.is_not(None), suspensions.c.remind_at <= now(connection)]
    if execution is not None:
        where.append(suspensions.c.execution == execution)
    return [Claim(*row, "") for row in connection.execute(sa.select(*_KEY).where(*where).limit(limit))]


def take_reminder(connection: sa.Connection, suspension: Row) -> bool:
    """Put the next reminder off to its time; False if another process has taken this one, or it is over."""
    where = (*_of(suspensions, _claim(suspension)), suspensions.c.remind_at == suspension.remind_at)
    statement = suspensions.update().where(*where, suspensions.c.state == "open")
    return connection.execute(statement.values(remind_at=now(connection) + suspension.notice["every"])).rowcount == 1


def last_of(connection: sa.Connection, execution: str, segment: int | None = None) -> Row | None:
    """Read the newest suspension of an execution, or of one of its segments, whatever became of it."""
    statement = sa.select(suspensions).where(suspensions.c.execution == execution)
    if segment is not None:
        statement = statement.where(suspensions.c.segment == segment)
    return connection.execute(
        statement.order_by(suspensions.c.segment.desc(), suspensions.c.since.desc()).limit(1)
    ).first()


def settle(connection: sa.Connection, suspension: Row, action: str, by: str) -> bool:
    """Settle an open suspension; False if somebody else was first."""
    return _close(connection, suspension, "settled", action, by)


def approve(connection: sa.Connection, suspension: Row, by: str, comment: str | None) -> list[dict[str, JSON]]:
    """Note one more approval of a suspension that the caller has locked.

    Returns:
        All that were given, this one last.
    """
    given = [*(suspension.given or []), {"by": by, "at": iso(now(connection)), "comment": comment, **facts_of(by)}]
    connection.execute(suspensions.update().where(*_of(suspensions, _claim(suspension))).values(given=given))
    return given


def reopen(connection: sa.Connection, suspension: Row, errors: list[dict[str, JSON]]) -> None:
    """Ask again, with the same links and the same deadline, because the notebook refused the answer."""
    settled: dict[str, Any] = dict.fromkeys(("action", "settled_by", "settled_at", "envelope"))
    # What others approved stands; whoever gave this answer may give another.
    values = {"state": "open", "errors": errors, "given": (suspension.given or [])[:-1] or None, **settled}
    connection.execute(suspensions.update().where(*_of(suspensions, _claim(suspension))).values(**values))


def not_due(connection: sa.Connection, suspension: Row) -> None:
    """Take the deadline off: what made it due was not the last thing that it waits for."""
    connection.execute(suspensions.update().where(*_of(suspensions, _claim(suspension))).values(deadline=None))


def leave(connection: sa.Connection, suspension: Row, envelope: dict[str, JSON] | None) -> None:
    """Leave the answer for a kernel that waits for it."""
    connection.execute(suspensions.update().where(*_of(suspensions, _claim(suspension))).values(envelope=envelope))


def void_pauses(connection: sa.Connection, execution: str, segment: int, by: str) -> None:
    """Void the pauses of a segment whose step has ended all the same."""
    _void(connection, execution, by, suspensions.c.kind == "pause", suspensions.c.segment == segment)


def void(connection: sa.Connection, execution: str, by: str) -> None:
    """Void what an execution waits for: it ended in another way."""
    _void(connection, execution, by)


def keep(connection: sa.Connection, claim: Claim, action: str, envelope: dict[str, JSON] | None, by: str) -> bool:
    """Keep a callback that came before its step had ended; False if too many are kept already."""
    many = sa.select(sa.func.count()).select_from(callbacks).where(*_of(callbacks, claim))
    if connection.execute(many).scalar_one() >= KEPT_AT_MOST:
        return False
    connection.execute(
        callbacks.insert().values(
            execution=claim.execution,
            segment=claim.segment,
            step=claim.step,
            ordinal=claim.ordinal,
            action=action,
            envelope=envelope,
            by=by,
            at=now(connection),
        )
    )
    return True


def kept(connection: sa.Connection, execution: str, segment: int) -> list[Row]:
    """List the callbacks of a segment that are not judged yet, in the order of arrival, without their envelopes."""
    where = (
        callbacks.c.execution == execution,
        callbacks.c.segment == segment,
        callbacks.c.verdict.is_(None),
    )
    columns = [column for column in callbacks.c if column is not callbacks.c.envelope]
    return list(connection.execute(sa.select(*columns).where(*where).order_by(callbacks.c.id)))


def envelope_of(connection: sa.Connection, callback: Row) -> dict[str, JSON] | None:
    """Read what a kept callback brought; a hundred of them may be large."""
    statement = sa.select(callbacks.c.envelope).where(callbacks.c.id == callback.id)
    found: dict[str, JSON] | None = connection.execute(statement).scalar_one()
    return found


def judge(connection: sa.Connection, callback: Row, verdict: str) -> None:
    """Note what became of a kept callback: `"settled"`, `"approved"`, `"refused"`, `"late"` or `"void"`."""
    connection.execute(callbacks.update().where(callbacks.c.id == callback.id).values(verdict=verdict))


def _void(connection: sa.Connection, execution: str, by: str, *where: sa.ColumnElement[bool]) -> None:
    # Without reading them: one that is damaged ends with its execution, too.
    of_execution = (suspensions.c.execution == execution, suspensions.c.state == "open", *where)
    values = {"state": "void", "settled_by": by, "settled_at": now(connection)}
    connection.execute(suspensions.update().where(*of_execution).values(**values))


def _close(connection: sa.Connection, suspension: Row, state: str, action: str | None, by: str) -> bool:
    statement = (
        suspensions.update()
        .where(*_of(suspensions, _claim(suspension)), suspensions.c.state == "open")
        .values(state=state, action=action, settled_by=by, settled_at=now(connection))
    )
    return connection.execute(statement).rowcount == 1


def _claim(suspension: Row) -> Claim:
    return Claim(suspension.execution, suspension.segment, suspension.step, suspension.ordinal, "")


def rules_of(ask: SuspensionRequest) -> dict[str, JSON] | None:
    """The rules of who may answer, and the words on the buttons; None if anybody with a link may, and the words are ours."""
    labels: dict[str, JSON] = {"labels": ask.labels} if ask.labels else {}
    if ask.approvals == 1 and ask.approvers is None and ask.self_approval:
        return labels or None
    return {"approvals": ask.approvals, "approvers": ask.approvers, "self_approval": ask.self_approval, **labels}


def _of(table: sa.Table, claim: Claim) -> tuple[Any, ...]:
    return (
        table.c.execution == claim.execution,
        table.c.segment == claim.segment,
        table.c.step == claim.step,
        table.c.ordinal == claim.ordinal,
    )
