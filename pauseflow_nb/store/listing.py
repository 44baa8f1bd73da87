"""List the ids of executions, the newest first: all, those in some states, or those that a text finds."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.errors import UnknownExecution
from pauseflow_nb.store.search import SHORTEST, can_be_stored, find_by_index, holds
from pauseflow_nb.store.tables import executions

#: Executions that a search looks at before it uses the index. What is found often is found here, and not sorted.
_NEWEST = 500
#: Executions that are looked at for a text that is too short for the index.
_NEWEST_FOR_SHORT = 10_000
#: What a list is sorted by, and the order.
_PLACE = (executions.c.id, executions.c.created_at)
_ORDER = (executions.c.created_at.desc(), executions.c.id)


def find_ids(
    connection: sa.Connection,
    *,
    states: Iterable[str] | None = None,
    text: str | None = None,
    after: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> list[str]:
    """Find executions, the newest first.

    Args:
        connection: The database.
        states: Only those in one of these states.
        text: Only those whose notebook, output or id contains this. One or two characters are looked for in the newest
            10,000 executions only.
        after: Only those that come after this one, which costs the same at any depth.
        limit: How many at most.
        offset: How many to skip; the database passes over each of them.

    Raises:
        UnknownExecution: If there is none to come after.
    """
    where = [] if after is None else [_comes_after(connection, after)]
    chosen = None if states is None else sorted(set(states))
    if chosen == [] or not can_be_stored(text or ""):
        return []
    if not text:
        return _read_page(connection, _select_newest(_PLACE, chosen, where, limit + offset), limit, offset)
    is_short = len(text) < SHORTEST
    count = _NEWEST_FOR_SHORT if is_short else _NEWEST
    newest = _select_newest((*_PLACE, executions.c.notebook, executions.c.output), chosen, where, count).subquery()
    found = _read_page(connection, sa.select(newest).where(holds(text, newest.c)), limit, offset)
    if is_short or len(found) == limit:
        return found
    if chosen is not None:
        where.append(executions.c.state.in_(chosen))
    where += [find_by_index(connection, text), holds(text, executions.c)]
    return _read_page(connection, sa.select(*_PLACE).where(*where), limit, offset)


def find_beginning(connection: sa.Connection, beginning: str, limit: int) -> list[str]:
    """Find the ids that begin with a text, the newest first."""
    # An id is hexadecimal, and the index leads to a range, in every database and order of characters.
    first = beginning.lower()
    where = (executions.c.id >= first, executions.c.id < f"{first}g")
    is_it = executions.c.id.startswith(first, autoescape=True)
    statement = sa.select(executions.c.id).where(*where, is_it).order_by(*_ORDER)
    return list(connection.execute(statement.limit(limit)).scalars())


def _comes_after(connection: sa.Connection, execution: str) -> sa.ColumnElement[bool]:
    moment = connection.execute(sa.select(executions.c.created_at).where(executions.c.id == execution)).scalar()
    if moment is None:
        raise UnknownExecution(execution)
    is_same = executions.c.created_at == moment
    return sa.and_(executions.c.created_at <= moment, sa.not_(sa.and_(is_same, executions.c.id <= execution)))


def _select_newest(
    columns: Iterable[sa.Column[Any]], states: list[str] | None, where: list[sa.ColumnElement[bool]], count: int
) -> sa.Select[Any]:
    """Select the newest executions, as many as are asked for."""
    newest = sa.select(*columns).where(*where).order_by(*_ORDER).limit(count)
    if states is None:
        return newest
    # An index holds the executions of one state in order; those of several states would have to be sorted, all of them.
    parts = [sa.select(newest.where(executions.c.state == state).subquery()) for state in states]
    every = sa.union_all(*parts).subquery()
    return sa.select(every).order_by(every.c.created_at.desc(), every.c.id).limit(count)


def _read_page(connection: sa.Connection, selected: sa.Select[Any], limit: int, offset: int) -> list[str]:
    """Read ids in order. What is selected is selected first: otherwise a database may go through all that there are in order."""
    found = selected.cte("found").prefix_with("MATERIALIZED")
    ordered = sa.select(found.c.id).order_by(found.c.created_at.desc(), found.c.id)
    return list(connection.execute(ordered.limit(limit).offset(offset)).scalars())
