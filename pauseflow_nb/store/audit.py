"""Read and write the audit trail: who changed what, and when. Each line is written in the transaction of its change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa

from pauseflow_nb.errors import StoreDamaged
from pauseflow_nb.identity import LINK, facts_of
from pauseflow_nb.json_values import JSON, dump_compact
from pauseflow_nb.store.database import now
from pauseflow_nb.store.many_rows import insert_many
from pauseflow_nb.store.tables import audit

Row: TypeAlias = sa.Row[Any]

_PLAIN = tuple(column for column in audit.c if column.name != "details")


@dataclass(frozen=True)
class Line:
    """One line to add; see `add_line`."""

    execution: str
    what: str
    by: str
    segment: int | None
    step: str | None
    details: Mapping[str, JSON]


def add_line(
    connection: sa.Connection,
    execution: str,
    what: str,
    by: str,
    *,
    segment: int | None = None,
    step: str | None = None,
    **details: JSON,
) -> None:
    """Add one line.

    Args:
        connection: The transaction of the change itself.
        execution: Id of the execution.
        what: A past participle: `"started"`, `"suspended"`, `"settled"`, …
        by: `"clock"`, `"link"`, `"user:NAME"`, or the id of a worker.
        segment: Number of the segment, if it concerns one.
        step: Name of the step, if it concerns one.
        details: Other facts; never links and never data that people sent.
    """
    add_lines(connection, [Line(execution, what, by, segment, step, details)])


def add_lines(connection: sa.Connection, lines: Iterable[Line], moment: float | None = None) -> None:
    """Add several lines in order, at a moment; the default is now."""
    moment = now(connection) if moment is None else moment
    rows = [
        {
            "execution": line.execution,
            "at": moment,
            "what": line.what,
            "by": line.by,
            "segment": line.segment,
            "step": line.step,
            "details": {**line.details, **({} if line.by == LINK else facts_of(line.by))},
        }
        for line in lines
    ]
    insert_many(connection, audit, rows)


def add_details(connection: sa.Connection, details: Mapping[str, Mapping[str, JSON]], *what: str) -> None:
    """Add details to the newest line of these kinds of each execution, which this transaction has written."""
    newest = sa.select(sa.func.max(audit.c.id)).where(audit.c.execution.in_(details), audit.c.what.in_(what))
    ids = connection.execute(newest.group_by(audit.c.execution)).scalars().all()
    found = connection.execute(sa.select(audit).where(audit.c.id.in_(ids)))
    rows = [{"of_id": row.id, "details": {**row.details, **details[row.execution]}} for row in found]
    if rows:
        changed = audit.update().where(audit.c.id == sa.bindparam("of_id"))
        connection.execute(changed.values(details=sa.bindparam("details")), rows)


def find_last(connection: sa.Connection, execution: str, what: str) -> dict[str, Any] | None:
    """Read the newest line of this kind of an execution, or None."""
    where = (audit.c.execution == execution, audit.c.what == what)
    row = connection.execute(sa.select(audit).where(*where).order_by(audit.c.id.desc()).limit(1)).first()
    return None if row is None else dict(row._mapping)  # noqa: SLF001  (SQLAlchemy's public name for a row as a mapping)


def read_trail(connection: sa.Connection, execution: str) -> list[dict[str, Any]]:
    """Read the lines of one execution, oldest first; `at` is in seconds since 1970, `known_by` says how `by` is known."""
    where = audit.c.execution == execution
    try:
        return [_line(row) for row in connection.execute(sa.select(audit).where(where).order_by(audit.c.id))]
    except (StoreDamaged, TypeError, ValueError):
        found = list(connection.execute(sa.select(*_PLAIN).where(where).order_by(audit.c.id)))
    return [_line_or_problem(connection, row) for row in found]


def _line_or_problem(connection: sa.Connection, plain: Row) -> dict[str, Any]:
    """Read one line; if its details cannot be read, return the problem in their place."""
    try:
        return _line(connection.execute(sa.select(audit).where(audit.c.id == plain.id)).one())
    except (StoreDamaged, TypeError, ValueError) as problem:
        known = {"known_by": facts_of(plain.by).get("known_by"), "via": None}
        return {**plain._mapping, "details": {}, **known, "problem": str(problem)}  # noqa: SLF001  (see _line)


def _line(row: Row) -> dict[str, Any]:
    details = dict(row.details)
    dump_compact(details)
    known = {key: details.pop(key, None) for key in ("known_by", "via")}
    known["known_by"] = known["known_by"] or facts_of(row.by).get("known_by")
    return {**row._mapping, "details": details, **known}  # noqa: SLF001  (SQLAlchemy's public name for a row as a mapping)
