"""Read and change the rows of triggers, and of what they started, inside the transaction that the caller opened."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.errors import UnknownTrigger
from pauseflow_nb.json_values import JSON
from pauseflow_nb.store.database import lock_row
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.tables import executions, starts, triggers


def add(connection: sa.Connection, **values: Any) -> None:
    """Insert an active trigger; `created_at` is the moment from which its intervals are counted."""
    connection.execute(triggers.insert().values(state="active", rotations=0, **values))


def find(connection: sa.Connection, trigger: str) -> Row | None:
    """Read a row without locking it."""
    return connection.execute(sa.select(triggers).where(triggers.c.id == trigger)).first()


def require(connection: sa.Connection, trigger: str) -> Row:
    """Read a row without locking it.

    Raises:
        UnknownTrigger: If there is none.
    """
    row = find(connection, trigger)
    if row is None:
        raise UnknownTrigger(trigger)
    return row


def lock(connection: sa.Connection, trigger: str) -> Row:
    """Read a row and keep it; lock it before any row of an execution.

    Raises:
        UnknownTrigger: If there is none.
    """
    row = connection.execute(lock_row(sa.select(triggers).where(triggers.c.id == trigger))).first()
    if row is None:
        raise UnknownTrigger(trigger)
    return row


def list_all(connection: sa.Connection) -> list[Row]:
    """List all triggers, oldest first."""
    return list(connection.execute(sa.select(triggers).order_by(triggers.c.created_at, triggers.c.id)))


def list_due(connection: sa.Connection, moment: float, limit: int = 20) -> list[Row]:
    """List the schedules whose time has come, those first that have been due for the longest."""
    where = (triggers.c.state == "active", triggers.c.next_at <= moment)
    return list(connection.execute(sa.select(triggers).where(*where).order_by(triggers.c.next_at).limit(limit)))


def update(connection: sa.Connection, trigger: str, **values: Any) -> None:
    """Change columns of a trigger; the caller holds its row."""
    connection.execute(triggers.update().where(triggers.c.id == trigger).values(**values))


def remove(connection: sa.Connection, trigger: str) -> None:
    """Remove a trigger; what it started stays."""
    connection.execute(triggers.delete().where(triggers.c.id == trigger))


# What triggers started


def add_start(
    connection: sa.Connection, execution: str, *, trigger: str, kind: str, event: JSON, key: str | None = None
) -> None:
    """Note what started an execution.

    Raises:
        sqlalchemy.exc.IntegrityError: If the key has started another one.
    """
    values = {"execution": execution, "trigger": trigger, "kind": kind, "event": event, "key": key}
    connection.execute(starts.insert().values(**values))


def copy_start(connection: sa.Connection, source: str, execution: str) -> None:
    """Note that an execution was started by what started another one."""
    row = find_start(connection, source)
    if row is not None:
        add_start(connection, execution, trigger=row.trigger, kind=row.kind, event=row.event)


def find_start(connection: sa.Connection, execution: str) -> Row | None:
    """Read what started an execution; None if no trigger did."""
    return connection.execute(sa.select(starts).where(starts.c.execution == execution)).first()


def name_starts(connection: sa.Connection, ids: Iterable[str]) -> dict[str, dict[str, JSON]]:
    """Name the triggers that started executions, `{"id", "kind"}` each; without those that none started."""
    columns = (starts.c.execution, starts.c.trigger, starts.c.kind)
    rows = connection.execute(sa.select(*columns).where(starts.c.execution.in_(list(ids))))
    return {row.execution: {"id": row.trigger, "kind": row.kind} for row in rows}


def find_key(connection: sa.Connection, trigger: str, key: str) -> str | None:
    """Find the execution that a key of a trigger has started."""
    where = (starts.c.trigger == trigger, starts.c.key == key)
    return connection.execute(sa.select(starts.c.execution).where(*where)).scalar()


def find_unended(connection: sa.Connection, trigger: str, likely: str | None = None) -> str | None:
    """Find an execution of a trigger that has not ended; `likely` is looked at first, which takes no time."""
    where = (starts.c.trigger == trigger, executions.c.ended_at.is_(None))
    first = sa.select(executions.c.id).where(executions.c.id == likely, executions.c.ended_at.is_(None))
    if likely is not None and connection.execute(first).scalar() is not None:
        return likely
    statement = sa.select(executions.c.id).join(starts, starts.c.execution == executions.c.id).where(*where)
    return connection.execute(statement.order_by(executions.c.created_at.desc()).limit(1)).scalar()


def count_queued(connection: sa.Connection, trigger: str, most: int) -> int:
    """Count the executions of a trigger that no worker has taken yet, up to `most`."""
    where = (executions.c.state == "queued", starts.c.trigger == trigger)
    statement = sa.select(executions.c.id).join(starts, starts.c.execution == executions.c.id).where(*where)
    return connection.execute(sa.select(sa.func.count()).select_from(statement.limit(most).subquery())).scalar_one()


def set_response(connection: sa.Connection, execution: str, response: JSON) -> bool:
    """Store the response of an execution, if it has none; returns whether it was stored."""
    where = (starts.c.execution == execution, starts.c.response.is_(None))
    return connection.execute(starts.update().where(*where).values(response=response)).rowcount == 1


def read_response(connection: sa.Connection, execution: str) -> tuple[JSON, str] | None:
    """Read the response and the state of an execution that a trigger started; None if it was removed."""
    columns = (starts.c.response, executions.c.state)
    statement = sa.select(*columns).join(executions, executions.c.id == starts.c.execution)
    row = connection.execute(statement.where(starts.c.execution == execution)).first()
    return None if row is None else (row.response, row.state)
