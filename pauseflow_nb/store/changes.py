"""Read the latest changes of all executions with one cheap query, for live events."""

from dataclasses import dataclass

import sqlalchemy as sa

from pauseflow_nb.store.tables import audit, executions


@dataclass(frozen=True)
class Line:
    """A line of the audit trail, without the names in it."""

    id: int
    execution: str
    what: str
    step: str | None


@dataclass(frozen=True)
class Standing:
    """The state and progress of an execution."""

    execution: str
    state: str
    segment: int
    cells_done: int
    cells_total: int


def last_lines(connection: sa.Connection, limit: int) -> list[Line]:
    """Read the last lines of the audit trail, oldest first.

    PostgreSQL assigns ids before it commits, so a new line may have a lower id than one that was already read: a
    query for "all after the last id" would miss it, so a reader must remember the lines that it has seen.
    """
    columns = (audit.c.id, audit.c.execution, audit.c.what, audit.c.step)
    rows = connection.execute(sa.select(*columns).order_by(audit.c.id.desc()).limit(limit))
    return [Line(*row) for row in reversed(list(rows))]


def running(connection: sa.Connection) -> list[Standing]:
    """Read the progress of running executions, which the audit trail does not hold."""
    return _standing(connection, executions.c.state == "running")


def standing(connection: sa.Connection, ids: list[str]) -> list[Standing]:
    """Read the state and progress of some executions; removed ones are left out."""
    return _standing(connection, executions.c.id.in_(ids))


def _standing(connection: sa.Connection, where: sa.ColumnElement[bool]) -> list[Standing]:
    row = executions.c
    columns = (row.id, row.state, row.segment, row.cells_done, row.cells_total)
    return [Standing(*found) for found in connection.execute(sa.select(*columns).where(where))]
