"""Read and write the rows of many executions with one statement, whatever their number, on both databases.

The text of the statement is the same for any number: drivers and databases parse and plan it once.
"""

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class _Values(sa.types.TypeDecorator[list[Any]]):
    """Values of a column in one parameter: an array of PostgreSQL, and JSON on SQLite."""

    impl = sa.JSON
    cache_ok = True

    def __init__(self, item: type[sa.types.TypeEngine[Any]]) -> None:
        """Take the type of each value."""
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Choose the type of the database."""
        return dialect.type_descriptor(postgresql.ARRAY(self.item) if dialect.name == "postgresql" else sa.JSON())


class _IsAmong(FunctionElement[Any]):
    """Whether a column has one of some values."""

    # Not Boolean: SQLAlchemy would compare it with 1 on SQLite, which then uses no index.
    type = sa.types.NULLTYPE
    inherit_cache = True


@compiles(_IsAmong)
def _(element: _IsAmong, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608  (both were compiled)


@compiles(_IsAmong, "postgresql")
def _(element: _IsAmong, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY ({values})"


def select_among(*columns: sa.Column[Any], first: int = 0) -> sa.ColumnElement[bool]:
    """Select the rows of some keys, which `name_keys` passes.

    If keys have several parts, rows whose parts come from different keys are selected, too: the caller must ignore them.
    Indexes find all these rows quickly; selecting exactly those of the keys takes several times longer.

    Args:
        columns: The columns that hold the parts of a key, in order.
        first: Number of the part that the first column holds.
    """
    # The length of the column is left out: PostgreSQL would cut longer texts, which then match other rows.
    items = [sa.Integer if isinstance(column.type, sa.Integer) else sa.String for column in columns]
    values = [sa.bindparam(f"part{n}", None, _Values(item)) for n, item in enumerate(items, first)]
    return sa.and_(*(_IsAmong(column, each) for column, each in zip(columns, values, strict=True)))


def name_keys(keys: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
    """Return the parameters of a statement with `select_among`; without keys it selects nothing."""
    return {f"part{n}": list(dict.fromkeys(part)) for n, part in enumerate(zip(*keys, strict=True))}


def name_ids(ids: Iterable[str]) -> dict[str, Any]:
    """Return the parameters of a statement with `select_among` for one column."""
    return name_keys((each,) for each in ids)


@contextmanager
def pipelined(connection: sa.Connection) -> Iterator[None]:
    """Send the statements of this `with` block without waiting for the database after each; they have no results.

    The first error is raised at the end of the block at the latest. On SQLite there is nothing to wait for.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    import psycopg  # lazily: it is an extra, which stores on SQLite do not need

    if not psycopg.Pipeline.is_supported():
        # Its client library is older than 14.
        yield
        return
    driver: Any = connection.connection.driver_connection
    try:
        with driver.pipeline():
            yield
    except psycopg.Error as problem:
        # Raised between statements, where SQLAlchemy does not see it.
        error: Any = problem
        is_lost = connection.dialect.is_disconnect(error, driver, None)
        if is_lost:
            connection.invalidate(problem)
        raise sa.exc.DBAPIError.instance(
            None, None, problem, psycopg.Error, hide_parameters=True, connection_invalidated=is_lost
        ) from problem


def insert_many(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    schema: str | None = None,
    keeps_existing: bool = False,
) -> None:
    """Insert rows that all have the same columns.

    Args:
        connection: The caller's transaction.
        table: Their table.
        rows: The rows; at least one.
        schema: The schema of the table on PostgreSQL; None: ours.
        keeps_existing: Whether a row whose key exists already is left out; otherwise that is an error.
    """
    statement = _build_insert(connection.dialect.name, table, tuple(rows[0]), schema, keeps_existing)
    _execute(connection, statement, table, rows)


def update_many(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Change rows: each mapping has the primary key of its row, and new values of the same columns.

    Args:
        connection: The caller's transaction.
        table: Their table.
        rows: The mappings; at least one.
    """
    _execute(connection, _build_update(connection.dialect.name, table, tuple(rows[0])), table, rows)


def _execute(
    connection: sa.Connection, statement: sa.TextClause, table: sa.Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(statement, rows)
        return
    # All rows in one parameter: with one for each value, psycopg and PostgreSQL take twice as long.
    writers = _find_writers(connection.dialect, table, tuple(rows[0]))
    written = ({name: write(row[name]) for name, write in writers if row[name] is not None} for row in rows)
    connection.execute(statement, {"rows": [{**row, **changed} for row, changed in zip(rows, written, strict=True)]})


@functools.lru_cache
def _find_writers(
    dialect: sa.Dialect, table: sa.Table, names: tuple[str, ...]
) -> list[tuple[str, Callable[[Any], Any]]]:
    """Find the columns whose values are not passed as they are, and the functions that convert these."""
    writers: list[tuple[str, Callable[[Any], Any]]] = []
    for name in names:
        kind = table.c[name].type
        if isinstance(kind, sa.JSON):
            # As text: `json_to_recordset` refuses `\u0000` in JSON that is part of its JSON.
            writers.append((name, json.dumps))
        elif isinstance(kind, sa.types.TypeDecorator) and (write := kind.bind_processor(dialect)) is not None:
            writers.append((name, write))
    return writers


@functools.lru_cache
def _build_insert(
    dialect: str, table: sa.Table, names: tuple[str, ...], schema: str | None, keeps_existing: bool
) -> sa.TextClause:
    columns = ", ".join(f'"{name}"' for name in names)
    end = " ON CONFLICT DO NOTHING" if keeps_existing else ""
    if dialect == "sqlite":
        values = ", ".join(f":{name}" for name in names)
        return _bind_row(f'INSERT INTO "{table.name}" ({columns}) VALUES ({values}){end}', table, names)  # noqa: S608  (names of columns)
    place = table.name if schema is None else f"{schema}.{table.name}"
    values = ", ".join(_cast(table.c[name]) for name in names)
    return _bind_rows(f"INSERT INTO {place} ({columns}) SELECT {values} FROM {_list_source(table, names)}{end}")  # noqa: S608  (see above)


@functools.lru_cache
def _build_update(dialect: str, table: sa.Table, names: tuple[str, ...]) -> sa.TextClause:
    keys = [column.name for column in table.primary_key]
    changed = [name for name in names if name not in keys]
    if dialect == "sqlite":
        values = ", ".join(f'"{name}" = :{name}' for name in changed)
        is_row = " AND ".join(f'"{name}" = :{name}' for name in keys)
        return _bind_row(f'UPDATE "{table.name}" SET {values} WHERE {is_row}', table, names)  # noqa: S608  (see above)
    values = ", ".join(f'"{name}" = {_cast(table.c[name])}' for name in changed)
    is_row = " AND ".join(f'old."{name}" = new."{name}"' for name in keys)
    source = _list_source(table, names)
    return _bind_rows(f"UPDATE {table.name} AS old SET {values} FROM {source} WHERE {is_row}")  # noqa: S608  (see above)


def _list_source(table: sa.Table, names: Iterable[str]) -> str:
    kinds = ", ".join(f'"{name}" {_name_type(table.c[name])}' for name in names)
    return f"json_to_recordset(:rows) AS new({kinds})"


def _name_type(column: sa.Column[Any]) -> str:
    is_text = isinstance(column.type, sa.String | sa.JSON)
    return "text" if is_text else column.type.compile(postgresql.dialect())  # type: ignore[no-untyped-call]


def _cast(column: sa.Column[Any]) -> str:
    return f'CAST(new."{column.name}" AS json)' if isinstance(column.type, sa.JSON) else f'new."{column.name}"'


def _bind_row(statement: str, table: sa.Table, names: Iterable[str]) -> sa.TextClause:
    return sa.text(statement).bindparams(*(sa.bindparam(name, type_=table.c[name].type) for name in names))


def _bind_rows(statement: str) -> sa.TextClause:
    return sa.text(statement).bindparams(sa.bindparam("rows", type_=sa.JSON))
