"""List the ids of executions, newest first: of all, by state, or by a search."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.errors import UnknownExecution
from pauseflow_nb.store.search import SHORTEST, can_be_stored, find_by_index, holds
from pauseflow_nb.store.tables import executions

#: How many executions a search reads before it uses the index: frequent matches are found here, without sorting.
_NEWEST = 1500
#: Executions that are searched for a text that is too short for the index.
_NEWEST_FOR_SHORT = 10_000
#: The columns and the order of lists.
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
    """Find executions, newest first.

    Args:
        connection: The database.
        states: Find only executions in these states.
        text: Find only executions whose notebook, output or id contains this text. A text of one or two characters is
            searched for in the newest 10,000 executions only.
        after: Find only executions after this one, which takes the same time for every page.
        limit: Most executions to return.
        offset: Number of executions to skip; the database reads each of them.

    Raises:
        UnknownExecution: If `after` does not exist.
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
    """Find the ids that begin with a text, newest first."""
    # Ids are hexadecimal, so a range of the index holds them, in every database and collation.
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
    """Select the newest executions."""
    newest = sa.select(*columns).where(*where).order_by(*_ORDER).limit(count)
    if states is None:
        return newest
    # An index has the executions of one state in order; those of several states would all have to be sorted.
    parts = [sa.select(newest.where(executions.c.state == state).subquery()) for state in states]
    every = sa.union_all(*parts).subquery()
    return sa.select(every).order_by(every.c.created_at.desc(), every.c.id).limit(count)


def _read_page(connection: sa.Connection, selected: sa.Select[Any], limit: int, offset: int) -> list[str]:
    """Read ids in order; the selection is a subquery, because a database might otherwise read all rows in order."""
    found = selected.cte("found").prefix_with("MATERIALIZED")
    ordered = sa.select(found.c.id).order_by(found.c.created_at.desc(), found.c.id)
    return list(connection.execute(ordered.limit(limit).offset(offset)).scalars())
