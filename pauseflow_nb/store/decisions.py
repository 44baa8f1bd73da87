"""Read and write the signed records of an execution, in order, and the cells that they are about."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pauseflow_nb.decisions.digests import CellList
from pauseflow_nb.decisions.statement import Signed, digest_payload, expand
from pauseflow_nb.errors import StoreDamaged
from pauseflow_nb.json_values import JSON
from pauseflow_nb.store.database import now
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.many_rows import insert_many, name_ids, name_keys, select_among
from pauseflow_nb.store.tables import cell_lists, decisions

_LAST = (
    sa.select(decisions.c.execution, sa.func.max(decisions.c.number).label("number"))
    .where(select_among(decisions.c.execution))
    .group_by(decisions.c.execution)
    .subquery()
)
# Made once: building the statement takes longer than executing it.
_NEWEST = sa.select(decisions).join(
    _LAST, (decisions.c.execution == _LAST.c.execution) & (decisions.c.number == _LAST.c.number)
)
_CELLS = sa.select(cell_lists).where(select_among(cell_lists.c.execution, cell_lists.c.digest))


@dataclass(frozen=True)
class Record:
    """A row of the table."""

    execution: str
    #: Number of the record within the execution, from 1, without gaps.
    number: int
    signed: Signed
    #: `CellList.digest` of its cells; None if an earlier version made it, with the cells in `signed.brief`.
    cells: str | None


def list_all(connection: sa.Connection, execution: str) -> list[dict[str, JSON]]:
    """Read the DSSE envelopes of an execution, oldest first."""
    records = list_brief(connection, execution)
    known = find_cells(connection, {(execution, each.cells) for each in records if each.cells is not None})
    return [
        each.signed.brief if each.cells is None else expand(each.signed.brief, known[execution, each.cells])
        for each in records
    ]


def list_brief(connection: sa.Connection, execution: str) -> list[Record]:
    """Read the records of an execution, oldest first."""
    statement = sa.select(decisions).where(decisions.c.execution == execution)
    return [_read(row) for row in connection.execute(statement.order_by(decisions.c.number))]


def count_since(connection: sa.Connection, execution: str, moment: float) -> int:
    """Count the records that were made at a moment or later."""
    where = (decisions.c.execution == execution, decisions.c.at >= moment)
    return connection.execute(sa.select(sa.func.count()).select_from(decisions).where(*where)).scalar_one()


def find_newest(connection: sa.Connection, ids: Sequence[str]) -> dict[str, Record]:
    """Read the newest record of each execution; executions without records are left out."""
    return {row.execution: _read(row) for row in connection.execute(_NEWEST, name_ids(ids))}


def add_all(connection: sa.Connection, records: Iterable[Record], moment: float | None = None) -> None:
    """Insert records; the caller has locked the executions' rows, so that the numbers stay free.

    Their time is `moment`; the default is now.
    """
    made = list(records)
    if not made:
        return
    moment = now(connection) if moment is None else moment
    rows = [
        {
            "execution": each.execution,
            "number": each.number,
            "at": moment,
            "envelope": each.signed.brief,
            "digest": each.signed.digest,
            "cells": each.cells,
        }
        for each in made
    ]
    insert_many(connection, decisions, rows)


def add_cells(connection: sa.Connection, execution: str, cells: CellList) -> None:
    """Store the cells for records, unless they are stored; the caller has locked the execution's row."""
    is_it = (cell_lists.c.execution == execution, cell_lists.c.digest == cells.digest)
    if connection.execute(sa.select(cell_lists.c.digest).where(*is_it)).first() is None:
        values = {"digest": cells.digest, "cells": cells.cells, "subjects": cells.subjects}
        connection.execute(cell_lists.insert().values(execution=execution, **values))


def find_cells(connection: sa.Connection, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], CellList]:
    """Read cells, by execution and `CellList.digest`.

    Raises:
        StoreDamaged: If one of them is missing.
    """
    if not names:
        return {}
    found = {
        (row.execution, row.digest): CellList(row.digest, row.cells, row.subjects)
        for row in connection.execute(_CELLS, name_keys(names))
        if (row.execution, row.digest) in names
    }
    if missing := names - found.keys():
        raise StoreDamaged(f"the cells that records are about are missing: {', '.join(name for name, _ in missing)}")
    return found


def copy(connection: sa.Connection, source: str, execution: str) -> None:
    """Copy the records of an execution to a fork of it."""
    records = list_brief(connection, source)
    copy_cells(connection, source, execution, {each.cells for each in records if each.cells is not None})
    if records:
        add_all(connection, [Record(execution, each.number, each.signed, each.cells) for each in records])


def copy_cells(connection: sa.Connection, source: str, execution: str, digests: Collection[str]) -> None:
    """Copy cells of an execution to a fork of it."""
    for cells in find_cells(connection, {(source, digest) for digest in digests}).values():
        add_cells(connection, execution, cells)


def _read(row: Row) -> Record:
    digest = digest_payload(row.envelope) if row.digest is None else row.digest
    return Record(row.execution, row.number, Signed(row.envelope, digest), row.cells)
