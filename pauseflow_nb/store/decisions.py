"""The signed records of an execution, in the order in which they were made."""

from typing import Any

import sqlalchemy as sa

from pauseflow_nb.json_values import JSON
from pauseflow_nb.store.database import now
from pauseflow_nb.store.tables import decisions

__all__ = ["add", "all_of", "copy"]


def all_of(connection: sa.Connection, execution: str) -> list[dict[str, JSON]]:
    """Read the DSSE envelopes of an execution, oldest first."""
    statement = sa.select(decisions.c.envelope).where(decisions.c.execution == execution)
    return list(connection.execute(statement.order_by(decisions.c.number)).scalars())


def add(connection: sa.Connection, execution: str, number: int, envelope: dict[str, JSON]) -> None:
    """Insert a record; the caller holds the execution's row, so that no other takes its number."""
    values: dict[str, Any] = {"execution": execution, "number": number, "envelope": envelope}
    connection.execute(decisions.insert().values(at=now(connection), **values))


def copy(connection: sa.Connection, source: str, execution: str) -> None:
    """Let a fork begin with the records of what it was forked from."""
    for number, envelope in enumerate(all_of(connection, source), 1):
        add(connection, execution, number, envelope)
