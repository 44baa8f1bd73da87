"""Read the latest changes of all executions with one cheap query, for live events."""

from dataclasses import dataclass

import sqlalchemy as sa

from pauseflow_nb.store.tables import audit, executions

_LAST_LINES = (
    sa.select(audit.c.id, audit.c.at, audit.c.execution, audit.c.what, audit.c.step)
    .where(audit.c.id >= sa.bindparam("lowest"))
    .order_by(audit.c.id.desc())
    .limit(sa.bindparam("most"))
)
_STANDING = sa.select(*(executions.c[name] for name in ("id", "state", "segment", "cells_done", "cells_total")))
# In the order of the index, so that SQLite uses it: if `ANALYZE` found one state only, it would read all executions.
_RUNNING = _STANDING.where(executions.c.state == "running").order_by(executions.c.created_at)
_SOME = _STANDING.where(executions.c.id.in_(sa.bindparam("ids", expanding=True)))


@dataclass(frozen=True)
class Line:
    """A line of the audit trail, without the names in it."""

    id: int
    at: float
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


def list_last_lines(connection: sa.Connection, limit: int, lowest: int = 0) -> list[Line]:
    """Read the last lines of the audit trail, oldest first.

    PostgreSQL assigns ids before it commits, so a new line may have a lower id than one that was already read: a
    query for "all after the last id" would miss it, so a reader must remember the lines that it has seen. SQLite gives
    the ids of deleted lines to new ones, so the id alone does not tell whether a line was seen.

    Args:
        connection: The database.
        limit: Most lines to read.
        lowest: The lowest id to read.
    """
    found = connection.execute(_LAST_LINES, {"lowest": lowest, "most": limit}).all()
    return [Line(*row) for row in reversed(found)]


def list_running(connection: sa.Connection) -> list[Standing]:
    """Read the progress of running executions, which the audit trail does not hold."""
    return [Standing(*found) for found in connection.execute(_RUNNING)]


def find_standings(connection: sa.Connection, ids: list[str]) -> list[Standing]:
    """Read the state and progress of some executions; removed ones are left out."""
    return [Standing(*found) for found in connection.execute(_SOME, {"ids": ids})]
