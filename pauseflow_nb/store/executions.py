"""Read and change the rows of executions, in the caller's transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.errors import UnknownExecution
from pauseflow_nb.identity import Who, facts_of
from pauseflow_nb.json_values import JSON
from pauseflow_nb.queues import DEFAULT_QUEUE, QueuePlan
from pauseflow_nb.store.audit import Line, add_line, add_lines
from pauseflow_nb.store.database import lock_row, now
from pauseflow_nb.store.many_rows import name_ids, name_keys, pipelined, select_among, update_many
from pauseflow_nb.store.tables import callbacks, executions, segments, starts, steps, suspensions, workers

#: A row of any table, with its columns as attributes.
Row = sa.Row[Any]

#: All states, in the order in which they occur.
STATES = ("queued", "running", "suspended", "waiting", "paused", "completed", "failed", "cancelled")

#: States that an execution does not leave, except by `retry`.
FINAL = frozenset({"completed", "failed", "cancelled"})

_PLAIN = tuple(column for column in executions.c if not isinstance(column.type, sa.JSON))

_AMONG = select_among(executions.c.id)
_PARENTS = sa.select(executions.c.parent, executions.c.nested).where(_AMONG, executions.c.parent.is_not(None))
_QUEUES = (
    sa.select(segments.c.execution, segments.c.n, segments.c.first_cell, executions.c.queues)
    .join(executions, executions.c.id == segments.c.execution)
    .where(executions.c.queues.is_not(None), select_among(segments.c.execution, segments.c.n))
)

#: The option that names the caller of sudo who started it.
_VIA = "created_via"


def add(connection: sa.Connection, execution: str, *, by: str, **values: Any) -> None:
    """Insert a queued execution.

    Raises:
        sqlalchemy.exc.IntegrityError: If another execution that has not ended owns the output.
    """
    if values.get("parent") is None:
        # A nested execution was started by the person who started its parent.
        options = {name: value for name, value in values["options"].items() if name != _VIA}
        values["options"] = options | ({_VIA: facts_of(by)["via"]} if "via" in facts_of(by) else {})
    connection.execute(
        executions.insert().values(
            id=execution,
            state="queued",
            created_at=now(connection),
            created_by=by,
            segment=0,
            cells_done=0,
            **values,
        )
    )
    add_line(connection, execution, "started", by, segment=0)


def find_starter(row: Row) -> Who:
    """Read who started an execution, and who called sudo to do so."""
    return Who(row.created_by, via=row.options.get(_VIA))


def find(connection: sa.Connection, execution: str) -> Row | None:
    """Read a row without locking it."""
    return connection.execute(sa.select(executions).where(executions.c.id == execution)).first()


def require(connection: sa.Connection, execution: str) -> Row:
    """Read a row without locking it.

    Raises:
        UnknownExecution: If there is none.
    """
    row = find(connection, execution)
    if row is None:
        raise UnknownExecution(execution)
    return row


def find_plain(connection: sa.Connection, execution: str) -> Row | None:
    """Read the columns of a row that are not JSON, which can always be read."""
    return connection.execute(sa.select(*_PLAIN).where(executions.c.id == execution)).first()


def find_existing(connection: sa.Connection, ids: Collection[str]) -> set[str]:
    """Find which of some executions exist."""
    return set(connection.execute(sa.select(executions.c.id).where(executions.c.id.in_(ids))).scalars())


def find_queues(connection: sa.Connection, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
    """Find the queues of segments, named by execution and number, from the cells that they begin with.

    Executions that use only the default queue are left out.
    """
    return {
        (row.execution, row.n): QueuePlan.parse(row.queues).find(row.first_cell)
        for row in connection.execute(_QUEUES, name_keys(keys))
    }


def lock(connection: sa.Connection, execution: str) -> Row | None:
    """Lock and read a row; lock the segment's row before."""
    return connection.execute(lock_row(sa.select(executions).where(executions.c.id == execution))).first()


def lock_plain(connection: sa.Connection, execution: str) -> Row | None:
    """Lock a row, and read the columns that are not JSON; lock the segment's row before."""
    return connection.execute(lock_row(sa.select(*_PLAIN).where(executions.c.id == execution))).first()


def find_owner(connection: sa.Connection, output: str) -> Row | None:
    """Find the execution that has not ended and writes this output."""
    where = (executions.c.output == output, executions.c.ended_at.is_(None))
    return connection.execute(sa.select(executions).where(*where)).first()


def set_state(connection: sa.Connection, execution: str, state: str, **values: Any) -> None:
    """Change the state to one that is not final."""
    _update(connection, execution, state=state, **values)


def set_queued(connection: sa.Connection, numbers: Mapping[str, int]) -> None:
    """Change the states of executions to `queued`, with the number of the next segment of each."""
    rows = [{"id": execution, "state": "queued", "segment": n} for execution, n in numbers.items()]
    update_many(connection, executions, rows)


@dataclass(frozen=True)
class Ending:
    """How an execution ends."""

    execution: str
    #: One of `FINAL`.
    state: str
    #: Who or what caused it.
    by: str
    #: `{kind, by, text}`
    reason: dict[str, JSON] | None = None
    #: `{type, message, cell, step}`
    error: dict[str, JSON] | None = None
    #: Seconds after which any process may write the decision into the notebook; None if there is nothing to write.
    record_after: float | None = None


def end(connection: sa.Connection, execution: str, state: str, **how: Any) -> None:
    """Change to a final state; see `Ending`. The caller has locked the row, and its state is not final."""
    end_all(connection, [Ending(execution, state, **how)], now(connection))


def end_all(
    connection: sa.Connection,
    endings: Sequence[Ending],
    moment: float,
    details: Mapping[str, Mapping[str, JSON]] = MappingProxyType({}),
) -> None:
    """Change executions to final states at a moment; see `end`.

    Args:
        connection: The transaction.
        endings: How each ends.
        moment: When, in seconds since 1970.
        details: Further details for the line of each in the audit trail, by execution.
    """
    rows = [
        {
            "id": each.execution,
            "state": each.state,
            "reason": each.reason,
            "error": each.error,
            "ended_at": moment,
            "record_due": None if each.record_after is None else moment + each.record_after,
        }
        for each in endings
    ]
    lines = [
        Line(
            each.execution,
            each.state,
            each.by,
            None,
            None,
            {"kind": (each.reason or {}).get("kind"), **details.get(each.execution, {})},
        )
        for each in endings
    ]
    with pipelined(connection):
        update_many(connection, executions, rows)
        add_lines(connection, lines, moment)
    _wake_parents(connection, [each.execution for each in endings], moment)


def list_children(
    connection: sa.Connection, execution: str, *, step: str | None = None, segment: int | None = None
) -> list[Row]:
    """List the executions that a step of this one has started, in the order in which it requested them."""
    found = sorted(connection.execute(sa.select(executions).where(executions.c.parent == execution)), key=_by_place)
    return [row for row in found if step is None or (row.nested["step"], row.nested["segment"]) == (step, segment)]


def name_children(connection: sa.Connection, execution: str, *, step: str, segment: int) -> dict[str, str]:
    """Read the names that a step gave to the executions that it started, by their ids."""
    columns = (executions.c.id, executions.c.nested, executions.c.created_at)
    found = connection.execute(sa.select(*columns).where(executions.c.parent == execution))
    return {
        row.id: row.nested["name"]
        for row in sorted(found, key=_by_place)
        if (row.nested["step"], row.nested["segment"]) == (step, segment)
    }


def _by_place(child: Any) -> tuple[float, int, str]:
    # Those of one request have the same time of creation. An earlier version did not record their order.
    return child.created_at, child.nested.get("place", 0), child.id


def reopen(connection: sa.Connection, execution: str) -> None:
    """Queue an execution that had ended.

    Raises:
        sqlalchemy.exc.IntegrityError: If another execution owns the output now.
    """
    cleared = dict.fromkeys(("reason", "error", "ended_at", "record_due", "suspend_by"))
    _update(connection, execution, state="queued", **cleared)


def ask_to_suspend(connection: sa.Connection, execution: str, by: str | None) -> None:
    """Record who requests a suspend at the next cell; None: drop the request."""
    _update(connection, execution, suspend_by=by)


def list_to_suspend(connection: sa.Connection, ids: list[str]) -> dict[str, str]:
    """Return those executions that should be suspended, and who requested it."""
    where = (executions.c.id.in_(ids), executions.c.suspend_by.is_not(None))
    found = connection.execute(sa.select(executions.c.id, executions.c.suspend_by).where(*where))
    return {row.id: row.suspend_by for row in found}


def set_progress(connection: sa.Connection, execution: str, done: int) -> None:
    """Record how many cells are done."""
    _update(connection, execution, cells_done=done)


def attach(connection: sa.Connection, execution: str, process: str | None) -> None:
    """Attach an execution to a process, or with None to no process, so that workers run it."""
    _update(connection, execution, attached_to=process)


def count_unended(connection: sa.Connection, *, by: str | None = None, queue: str | None = None) -> int:
    """Count the executions that run or wait, without nested ones.

    Args:
        connection: The database.
        by: Count only those that this user has started.
        queue: Count only those of notebooks of this queue.
    """
    where: list[sa.ColumnElement[bool]] = [executions.c.ended_at.is_(None), executions.c.parent.is_(None)]
    if by is not None:
        where.append(executions.c.created_by == by)
    if queue is not None:
        plan = sa.func.coalesce(executions.c.queues, DEFAULT_QUEUE)
        where.append(sa.or_(plan == queue, plan.startswith(f"{queue} ", autoescape=True)))
    return connection.execute(sa.select(sa.func.count()).select_from(executions).where(*where)).scalar_one()


def list_started_by(connection: sa.Connection, by: str) -> list[str]:
    """List the executions that a user has started, nested ones too."""
    return list(connection.execute(sa.select(executions.c.id).where(executions.c.created_by == by)).scalars())


def list_attached(connection: sa.Connection, process: str) -> list[str]:
    """List the executions attached to a process."""
    return list(connection.execute(sa.select(executions.c.id).where(executions.c.attached_to == process)).scalars())


def list_unended(connection: sa.Connection, process: str) -> list[Row]:
    """List the executions attached to a process that have not ended: `id`, `state`, `segment`."""
    columns = (executions.c.id, executions.c.state, executions.c.segment)
    where = (executions.c.attached_to == process, executions.c.ended_at.is_(None))
    return list(connection.execute(sa.select(*columns).where(*where).order_by(executions.c.created_at)))


def list_abandoned(connection: sa.Connection, limit: int = 20) -> list[str]:
    """List executions attached to a process that is no longer registered."""
    is_known = sa.exists().where(workers.c.id == executions.c.attached_to)
    where = (executions.c.attached_to.is_not(None), executions.c.ended_at.is_(None), ~is_known)
    return list(connection.execute(sa.select(executions.c.id).where(*where).limit(limit)).scalars())


def list_to_record(connection: sa.Connection, limit: int = 20) -> list[str]:
    """List executions whose notebooks do not show their end yet, longest overdue first."""
    where = executions.c.record_due <= now(connection)
    statement = sa.select(executions.c.id).where(where).order_by(executions.c.record_due).limit(limit)
    return list(connection.execute(statement).scalars())


def claim_record(connection: sa.Connection, row: Row, seconds: float) -> Row | None:
    """Claim the task to write an execution's end into its notebook; None if another process has it or has done it.

    Args:
        connection: The caller's transaction.
        row: The execution as the caller has read it, with the time when this became due.
        seconds: How long the claim holds, in case the caller dies.
    """
    where = (executions.c.id == row.id, executions.c.record_due == row.record_due)
    values = {"record_due": now(connection) + seconds}
    return connection.execute(executions.update().where(*where).values(values).returning(*executions.c)).first()


def is_record_claimed(connection: sa.Connection, row: Row) -> bool:
    """Lock an execution; return whether the claim of `claim_record` that returned this row still holds."""
    locked = lock_plain(connection, row.id)
    return locked is not None and locked.record_due == row.record_due


def set_recorded(connection: sa.Connection, execution: str, *, due: float | None = None, **values: Any) -> None:
    """Record that the notebook shows the end; `due` is when to write the output, if it must still be written."""
    _update(connection, execution, record_due=due, **values)


def is_output_taken(connection: sa.Connection, row: Row) -> bool:
    """Whether an execution that was started later writes the same output, or has written it."""
    where = (executions.c.output == row.output, executions.c.created_at > row.created_at, executions.c.id != row.id)
    return connection.execute(sa.select(sa.literal(1)).where(*where).limit(1)).first() is not None


def list_ended_before(connection: sa.Connection, moment: float) -> list[str]:
    """List executions that ended before a moment, oldest first, if all related by nesting did, too."""
    is_old = (executions.c.ended_at < moment, executions.c.record_due.is_(None))
    found = connection.execute(sa.select(executions.c.id).where(*is_old).order_by(executions.c.ended_at)).scalars()
    old = dict.fromkeys(found)
    parents = executions.alias()
    pairs = connection.execute(
        sa.select(executions.c.id, executions.c.parent).join(parents, parents.c.id == executions.c.parent)
    ).all()
    # An execution that must stay keeps all that are related to it by nesting.
    while young := {name for pair in pairs for name in pair if name in old and not set(pair) <= old.keys()}:
        for name in young:
            del old[name]
    return list(old)


def remove(connection: sa.Connection, execution: str) -> None:
    """Remove an execution with all its rows."""
    connection.execute(executions.delete().where(executions.c.id == execution))


def is_named_in_answers(connection: sa.Connection, execution: str, word: str) -> bool:
    """Whether an ASCII word, such as a part of a file's name, is in an answer to, or the request for, an execution."""
    columns = (callbacks.c.envelope, segments.c.wake, steps.c.exports, suspensions.c.envelope, starts.c.event)
    for column in columns:
        of_execution = column.table.c.execution == execution
        holds = sa.cast(column, sa.Text).contains(word, autoescape=True)
        if connection.execute(sa.select(sa.literal(1)).where(of_execution, holds).limit(1)).first():
            return True
    return False


def _wake_parents(connection: sa.Connection, ids: Sequence[str], moment: float) -> None:
    """Make the parents' suspensions due, so that the clock checks whether all children have ended."""
    for row in connection.execute(_PARENTS, name_ids(ids)).all():
        where = (
            suspensions.c.execution == row.parent,
            suspensions.c.segment == row.nested["segment"],
            suspensions.c.kind == "notebook",
            suspensions.c.state == "open",
        )
        connection.execute(suspensions.update().where(*where).values(deadline=moment))


def _update(connection: sa.Connection, execution: str, **values: Any) -> None:
    connection.execute(executions.update().where(executions.c.id == execution).values(**values))
