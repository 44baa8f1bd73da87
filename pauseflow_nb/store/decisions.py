"""The signed records of an execution, in the order in which they were made."""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa

from pauseflow_nb.json_values import JSON
from pauseflow_nb.store.database import now
from pauseflow_nb.store.tables import decisions


def list_all(connection: sa.Connection, execution: str) -> list[dict[str, JSON]]:
    """Read the DSSE envelopes of an execution, oldest first."""
    statement = sa.select(decisions.c.envelope).where(decisions.c.execution == execution)
    return list(connection.execute(statement.order_by(decisions.c.number)).scalars())


def find_newest(connection: sa.Connection, ids: Sequence[str]) -> dict[str, tuple[int, dict[str, JSON]]]:
    """Read number and envelope of the newest record of executions; those without any are left out."""
    row = decisions.c
    newest = sa.select(row.execution, sa.func.max(row.number).label("number"))
    last = newest.where(row.execution.in_(ids)).group_by(row.execution).subquery()
    is_last = (row.execution == last.c.execution) & (row.number == last.c.number)
    found = connection.execute(sa.select(row.execution, row.number, row.envelope).join(last, is_last))
    return {execution: (number, envelope) for execution, number, envelope in found}


def add(connection: sa.Connection, execution: str, number: int, envelope: dict[str, JSON]) -> None:
    """Insert a record; see `add_all`."""
    add_all(connection, [(execution, number, envelope)])


def add_all(
    connection: sa.Connection, records: Iterable[tuple[str, int, dict[str, JSON]]], moment: float | None = None
) -> None:
    """Insert records: execution, number and envelope of each.

    The caller holds the executions' rows, so that no other takes their numbers. They are of a moment; without one, of now.
    """
    moment = now(connection) if moment is None else moment
    rows = [
        {"execution": execution, "number": number, "at": moment, "envelope": envelope}
        for execution, number, envelope in records
    ]
    connection.execute(decisions.insert(), rows)


def copy(connection: sa.Connection, source: str, execution: str) -> None:
    """Let a fork begin with the records of what it was forked from."""
    for number, envelope in enumerate(list_all(connection, source), 1):
        add(connection, execution, number, envelope)
