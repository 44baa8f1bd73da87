"""Read the latest changes of all executions with one cheap query, for those who watch them."""

from dataclasses import dataclass

import sqlalchemy as sa

from pauseflow_nb.store.tables import audit, executions

_LAST_LINES = (
    sa.select(audit.c.id, audit.c.execution, audit.c.what, audit.c.step)
    .where(audit.c.id >= sa.bindparam("lowest"))
    .order_by(audit.c.id.desc())
    .limit(sa.bindparam("most"))
)
_STANDING = sa.select(*(executions.c[name] for name in ("id", "state", "segment", "cells_done", "cells_total")))
# In the order of an index, so that SQLite uses it. Where `ANALYZE` has found one state only, it would read all executions.
_RUNNING = _STANDING.where(executions.c.state == "running").order_by(executions.c.created_at)
_SOME = _STANDING.where(executions.c.id.in_(sa.bindparam("ids", expanding=True)))


@dataclass(frozen=True)
class Line:
    """A line of the audit trail, without the names in it."""

    id: int
    execution: str
    what: str
    step: str | None


@dataclass(frozen=True)
class Standing:
    """Where an execution stands."""

    execution: str
    state: str
    segment: int
    cells_done: int
    cells_total: int


def last_lines(connection: sa.Connection, limit: int, lowest: int = 0) -> list[Line]:
    """Read the last lines of the audit trail, the oldest of them first.

    PostgreSQL hands out ids before it commits, so a line may appear before one that is there already:
    "all after the last id" would lose it, and a reader has to know lines that it saw.

    Args:
        connection: The database.
        limit: How many lines at most.
        lowest: The lowest id to read.
    """
    found = connection.execute(_LAST_LINES, {"lowest": lowest, "most": limit}).all()
    return [Line(*row) for row in reversed(found)]


def running(connection: sa.Connection) -> list[Standing]:
    """Read the progress of the executions that run now: it is in no audit trail."""
    return [Standing(*found) for found in connection.execute(_RUNNING)]


def standing(connection: sa.Connection, ids: list[str]) -> list[Standing]:
    """Read the progress of some executions; those that are gone are left out."""
    return [Standing(*found) for found in connection.execute(_SOME, {"ids": ids})]
