"""Read and change the rows of suspensions, and of callbacks that came before their step had ended."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import sqlalchemy as sa

from pauseflow_nb.actions import USUAL_ACTIONS
from pauseflow_nb.identity import facts_of
from pauseflow_nb.json_values import JSON
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Outcome, SuspensionRequest
from pauseflow_nb.store import decisions
from pauseflow_nb.store.database import clock, format_time, lock_row, now
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.many_rows import name_keys, select_among, update_many
from pauseflow_nb.store.tables import callbacks, executions, keys, segments, suspensions

#: Callbacks that are stored for one suspension before its step has ended.
MOST_EARLY = 100

#: What names a suspension: execution, segment, step, ordinal.
Key: TypeAlias = tuple[str, int, str, int]

_KEY = (suspensions.c.execution, suspensions.c.segment, suspensions.c.step, suspensions.c.ordinal)
#: What settling does not need to know.
_UNUSED = {"envelope", "errors", "notice", "remind_at"}
_LOCKED_WHERE_FREE = (
    sa.select(
        *(column for column in suspensions.c if column.name not in _UNUSED),
        *(segments.c[name] for name in ("snapshot", "digest", "signature", "bound")),
        *(executions.c[name] for name in ("attached_to", "revocations", "queues")),
        sa.exists().where(keys.c.withdrawn_at.is_not(None)).label("has_withdrawn_keys"),
        clock().label("now"),
    )
    .join(segments, (segments.c.execution == suspensions.c.execution) & (segments.c.n == suspensions.c.segment))
    .join(executions, executions.c.id == suspensions.c.execution)
    .where(select_among(*_KEY), suspensions.c.state == "open")
    .with_for_update(skip_locked=True)
)
_QUESTIONS = (
    sa.select(
        *(executions.c[name] for name in ("id", "created_by", "options", "revocations")),
        *(suspensions.c[name] for name in ("execution", "segment", "step", "ordinal", "kind", "schema", "rules")),
    )
    .outerjoin(
        suspensions,
        sa.and_(
            suspensions.c.execution == executions.c.id, suspensions.c.state == "open", select_among(*_KEY[1:], first=1)
        ),
    )
    .where(select_among(executions.c.id))
)


def add(
    connection: sa.Connection,
    execution: str,
    segment: int,
    outcome: Outcome,
    cell: int,
    *,
    shown: dict[str, JSON] | None = None,
) -> Row:
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
        rules=collect_rules(ask),
        shown=shown,
        state="open",
    )
    return connection.execute(statement.returning(*suspensions.c)).one()


def copy(connection: sa.Connection, suspension: Row, execution: str) -> None:
    """Let another execution wait for the same, in its first segment; it has waited for nothing so far."""
    # Who approved the one has not approved the other.
    own = {"execution": execution, "segment": 0, "since": now(connection), "given": None, "errors": None}
    connection.execute(suspensions.insert().values({**suspension._mapping, **own}))  # noqa: SLF001  (SQLAlchemy's public name for a row as a mapping)
    cells = (suspension.shown or {}).get("cells")
    # An earlier version noted the list itself.
    decisions.copy_cells(connection, suspension.execution, execution, {cells} if isinstance(cells, str) else ())


def find(connection: sa.Connection, claim: Claim) -> Row | None:
    """Read the suspension that a claim means."""
    return connection.execute(sa.select(suspensions).where(*_is(suspensions, claim))).first()


def lock(connection: sa.Connection, claim: Claim) -> Row | None:
    """Read the suspension that a claim means, and keep it; the segment's row is locked before."""
    return connection.execute(lock_row(sa.select(suspensions).where(*_is(suspensions, claim)))).first()


def lock_where_free(connection: sa.Connection, claims: Sequence[Claim]) -> list[Row | None]:
    """Lock the open suspensions that claims name, each with its segment and its execution, without waiting.

    Returns:
        For each claim a row; None if the suspension is not open, or if another transaction has locked one of the
        three rows. Besides the columns of the suspension it has:

        - of the segment: `snapshot`, `digest`, `signature`, `bound`
        - of the execution: `attached_to`, `revocations`, `queues`
        - `has_withdrawn_keys`: whether any key of the store is withdrawn
        - `now`: the time in seconds since 1970
    """
    rows: sa.Result[Any] = connection.execute(_LOCKED_WHERE_FREE, name_keys(map(key_of, claims)))
    found = {(row.execution, row.segment, row.step, row.ordinal): row for row in rows}
    return [found.get(key_of(claim)) for claim in claims]


def find_questions(connection: sa.Connection, claims: Sequence[Claim]) -> list[tuple[Row | None, Row | None]]:
    """Read who started the executions that claims name, and the questions of the open suspensions.

    Returns:
        For each claim two rows: one with `created_by`, `options` and `revocations` of the execution, or None if that
        does not exist; and one with `execution`, `step`, `kind`, `schema` and `rules` of the suspension, or None if
        that is not open.
    """
    rows: Sequence[Row] = connection.execute(_QUESTIONS, name_keys(map(key_of, claims))).all()
    starters = {row.id: row for row in rows}
    questions = {(row.execution, row.segment, row.step, row.ordinal): row for row in rows}
    return [(starters.get(claim.execution), questions.get(key_of(claim))) for claim in claims]


def list_open(connection: sa.Connection, execution: str) -> list[Row]:
    """List what an execution waits for."""
    where = (suspensions.c.execution == execution, suspensions.c.state == "open")
    return list(connection.execute(sa.select(suspensions).where(*where).order_by(suspensions.c.segment)))


def list_open_claims(connection: sa.Connection, execution: str) -> list[Claim]:
    """Name what an execution waits for, also where a row holds what cannot be read."""
    where = (suspensions.c.execution == execution, suspensions.c.state == "open")
    return [
        Claim(*row, "") for row in connection.execute(sa.select(*_KEY).where(*where).order_by(suspensions.c.segment))
    ]


def list_due(connection: sa.Connection, execution: str | None = None, limit: int = 100) -> list[Claim]:
    """Name open suspensions whose deadline has passed, the longest overdue first."""
    # A literal, not a parameter: the index holds open ones only, and a plan made without values could not use it.
    where = [suspensions.c.state == sa.literal_column("'open'"), suspensions.c.deadline <= now(connection)]
    if execution is not None:
        where.append(suspensions.c.execution == execution)
    found = connection.execute(sa.select(*_KEY).where(*where).order_by(suspensions.c.deadline).limit(limit))
    return [Claim(*row, "") for row in found]


def list_to_remind(connection: sa.Connection, execution: str | None = None, limit: int = 20) -> list[Claim]:
    """Name open suspensions whose reminder is due."""
    is_open = suspensions.c.state == sa.literal_column("'open'")
    where = [is_open, suspensions.c.remind_at.is_not(None), suspensions.c.remind_at <= now(connection)]
    if execution is not None:
        where.append(suspensions.c.execution == execution)
    return [Claim(*row, "") for row in connection.execute(sa.select(*_KEY).where(*where).limit(limit))]


def take_reminder(connection: sa.Connection, suspension: Row) -> bool:
    """Put the next reminder off to its time; False if another process has taken this one, or it is over."""
    where = (suspensions.c.remind_at == suspension.remind_at, suspensions.c.state == "open")
    return _update(connection, suspension, *where, remind_at=now(connection) + suspension.notice["every"])


def find_last(connection: sa.Connection, execution: str, segment: int | None = None) -> Row | None:
    """Read the newest suspension of an execution, or of one of its segments, whatever became of it."""
    statement = sa.select(suspensions).where(suspensions.c.execution == execution)
    if segment is not None:
        statement = statement.where(suspensions.c.segment == segment)
    return connection.execute(
        statement.order_by(suspensions.c.segment.desc(), suspensions.c.since.desc()).limit(1)
    ).first()


def find_before(connection: sa.Connection, segment: Row) -> Row | None:
    """Read the suspension that the execution waited in before a segment; None if it has not waited yet.

    Pauses do not count: a segment continues after them, and so the segment itself, or one that failed, may have some.
    """
    where = (
        suspensions.c.execution == segment.execution,
        suspensions.c.segment < segment.n,
        suspensions.c.kind != "pause",
    )
    newest = sa.select(suspensions).where(*where).order_by(suspensions.c.segment.desc()).limit(1)
    return connection.execute(newest).first()


def settle(connection: sa.Connection, suspension: Row, action: str, by: str) -> bool:
    """Settle an open suspension; False if it was settled before."""
    values = {"state": "settled", "action": action, "settled_by": by, "settled_at": now(connection)}
    return _update(connection, suspension, suspensions.c.state == "open", **values)


def settle_all(
    connection: sa.Connection, approvals: Sequence[tuple[Row, list[dict[str, JSON]]]], moment: float
) -> None:
    """Settle open suspensions that the caller has locked: each was resumed by the last of those who approved it."""
    rows = [{**_settled(row, "resume", approved[-1]["by"], moment), "given": approved} for row, approved in approvals]
    update_many(connection, suspensions, rows)


def time_out_all(connection: sa.Connection, overdue: Sequence[Row], moment: float) -> None:
    """Settle open suspensions that the caller has locked, because their time is over."""
    update_many(connection, suspensions, [_settled(row, "timeout", "clock", moment) for row in overdue])


def _settled(row: Row, action: str, by: JSON, moment: float) -> dict[str, Any]:
    key = {column.name: getattr(row, column.name) for column in _KEY}
    return {**key, "state": "settled", "action": action, "settled_by": by, "settled_at": moment}


def make_approval(by: str, comment: str | None, moment: float) -> dict[str, JSON]:
    """Describe one approval, as `given` holds it."""
    return {"by": by, "at": format_time(moment), "comment": comment, **facts_of(by)}


def approve(connection: sa.Connection, suspension: Row, by: str, comment: str | None) -> list[dict[str, JSON]]:
    """Note one more approval of a suspension that the caller has locked.

    Returns:
        All approvals, this one last.
    """
    approved = [*(suspension.given or []), make_approval(by, comment, now(connection))]
    _update(connection, suspension, given=approved)
    return approved


def reopen(connection: sa.Connection, suspension: Row, errors: list[dict[str, JSON]] | None) -> None:
    """Ask again, with the same links and the same deadline.

    Args:
        connection: The caller's transaction.
        suspension: Its row.
        errors: Why the notebook refused the answer; None: what was shown has changed.
    """
    values: dict[str, Any] = dict.fromkeys(("action", "settled_by", "settled_at", "envelope", "given"))
    values |= {"state": "open", "errors": errors}
    if errors is not None:
        # The approvals of others stand; the sender of this answer may send another.
        values["given"] = (suspension.given or [])[:-1] or None
    elif suspension.notice is not None:
        # Those who were written to learn of it at once.
        values["remind_at"] = now(connection)
    _update(connection, suspension, **values)


def set_shown(connection: sa.Connection, suspension: Row, shown: dict[str, JSON] | None) -> None:
    """Note that a question shows something else from now on."""
    connection.execute(suspensions.update().where(*_is(suspensions, make_claim(suspension))).values(shown=shown))


def clear_deadline(connection: sa.Connection, suspension: Row) -> None:
    """Take the deadline off: what made it due was not the last thing that it waits for."""
    _update(connection, suspension, deadline=None)


def leave_answer(connection: sa.Connection, suspension: Row, envelope: dict[str, JSON] | None) -> None:
    """Leave the answer for a kernel that waits for it."""
    _update(connection, suspension, envelope=envelope)


def void_pauses(connection: sa.Connection, execution: str, segment: int, by: str) -> None:
    """Void the pauses of a segment whose step has ended all the same."""
    _void(connection, execution, by, suspensions.c.kind == "pause", suspensions.c.segment == segment)


def void(connection: sa.Connection, execution: str, by: str) -> None:
    """Void what an execution waits for: it ended in another way."""
    _void(connection, execution, by)


def add_early(connection: sa.Connection, claim: Claim, action: str, envelope: dict[str, JSON] | None, by: str) -> bool:
    """Store a callback that came before its step had ended; False if too many are stored already."""
    many = sa.select(sa.func.count()).select_from(callbacks).where(*_is(callbacks, claim))
    if connection.execute(many).scalar_one() >= MOST_EARLY:
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


def list_early(connection: sa.Connection, execution: str, segment: int) -> list[Row]:
    """List the callbacks of a segment that are not judged yet, in the order of arrival, without their envelopes."""
    where = (
        callbacks.c.execution == execution,
        callbacks.c.segment == segment,
        callbacks.c.verdict.is_(None),
    )
    columns = [column for column in callbacks.c if column is not callbacks.c.envelope]
    return list(connection.execute(sa.select(*columns).where(*where).order_by(callbacks.c.id)))


def read_envelope(connection: sa.Connection, callback: Row) -> dict[str, JSON] | None:
    """Read the envelope of an early callback; those of a hundred may be large together."""
    statement = sa.select(callbacks.c.envelope).where(callbacks.c.id == callback.id)
    found: dict[str, JSON] | None = connection.execute(statement).scalar_one()
    return found


def set_verdict(connection: sa.Connection, callback: Row, verdict: str) -> None:
    """Note the verdict on an early callback: `"settled"`, `"approved"`, `"refused"`, `"late"` or `"void"`."""
    connection.execute(callbacks.update().where(callbacks.c.id == callback.id).values(verdict=verdict))


def make_claim(suspension: Row, action: str = "", revocations: int = 0) -> Claim:
    """Name a suspension as a link does.

    Args:
        suspension: Its row.
        action: What the link does; empty where that does not matter.
        revocations: How often the links of its execution were revoked.
    """
    return Claim(suspension.execution, suspension.segment, suspension.step, suspension.ordinal, action, revocations)


def key_of(claim: Claim) -> Key:
    """Take what names the suspension that a claim means."""
    return claim.execution, claim.segment, claim.step, claim.ordinal


def _update(connection: sa.Connection, suspension: Row, *where: sa.ColumnElement[bool], **values: Any) -> bool:
    statement = suspensions.update().where(*_is(suspensions, make_claim(suspension)), *where)
    return connection.execute(statement.values(**values)).rowcount == 1


def _void(connection: sa.Connection, execution: str, by: str, *where: sa.ColumnElement[bool]) -> None:
    # Without reading them: one that is damaged ends with its execution, too.
    of_execution = (suspensions.c.execution == execution, suspensions.c.state == "open", *where)
    values = {"state": "void", "settled_by": by, "settled_at": now(connection)}
    connection.execute(suspensions.update().where(*of_execution).values(**values))


def collect_rules(ask: SuspensionRequest) -> dict[str, JSON] | None:
    """Collect who may answer, what an answer may do, and the words on the buttons; None if all of that is as usual."""
    buttons: dict[str, JSON] = {"labels": ask.labels} if ask.labels else {}
    buttons |= {} if ask.allow == list(USUAL_ACTIONS) else {"allow": ask.allow}
    if ask.approvals == 1 and ask.approvers is None and ask.self_approval:
        return buttons or None
    return {"approvals": ask.approvals, "approvers": ask.approvers, "self_approval": ask.self_approval, **buttons}


def _is(table: sa.Table, claim: Claim) -> tuple[Any, ...]:
    return (
        table.c.execution == claim.execution,
        table.c.segment == claim.segment,
        table.c.step == claim.step,
        table.c.ordinal == claim.ordinal,
    )
