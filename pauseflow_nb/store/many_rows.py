"""Read, lock and write the rows of many executions with one statement each, on both databases.

The text of each statement is the same for any number of rows: drivers and databases parse and plan it once.
"""

import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def select_among(*columns: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """Select the rows of some keys, which `name_keys` passes.

    If keys have several parts, other rows are selected, too: those with one part of one key and one of another. The
    caller must ignore them. Indexes lead to these rows; to find only those of the keys takes several times longer.
    """
    # Without the length of the column: PostgreSQL would cut longer texts, and find other rows.
    items = [sa.Integer if isinstance(column.type, sa.Integer) else sa.String for column in columns]
    values = [sa.bindparam(f"part{n}", None, _Values(item)) for n, item in enumerate(items)]
    return sa.and_(*(_IsAmong(column, each) for column, each in zip(columns, values, strict=True)))


def name_keys(keys: Iterable[tuple[Any, ...]]) -> dict[str, Any]:
    """Return the parameters of a statement with `select_among`; without keys it selects nothing."""
    return {f"part{n}": list(dict.fromkeys(part)) for n, part in enumerate(zip(*keys, strict=True))}


def name_ids(ids: Iterable[str]) -> dict[str, Any]:
    """Return the parameters of a statement with `select_among` for one column."""
    return name_keys((each,) for each in ids)


@contextmanager
def pipelined(connection: sa.Connection) -> Iterator[None]:
    """Send the statements of this `with` block without waiting for the database after each; none of them may read.

    The first error is raised at the end of the block at the latest. On SQLite there is nothing to wait for.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    import psycopg  # lazily: an extra that stores on SQLite do not need

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
        keeps_existing: Whether a row with the key of another one is left out; otherwise that is an error.
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
    # All rows in one parameter: with one for each value, psycopg and PostgreSQL take twice as long. JSON becomes text in
    # it, because PostgreSQL cannot read JSON with `\u0000` in JSON.
    documents = [name for name in rows[0] if isinstance(table.c[name].type, sa.JSON)]
    texts = ({name: json.dumps(row[name]) for name in documents if row[name] is not None} for row in rows)
    connection.execute(statement, {"rows": [{**row, **changed} for row, changed in zip(rows, texts, strict=True)]})


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
    kinds = ", ".join(f'"{name}" {_name_kind(table.c[name])}' for name in names)
    return f"json_to_recordset(:rows) AS new({kinds})"


def _name_kind(column: sa.Column[Any]) -> str:
    is_text = isinstance(column.type, sa.String | sa.JSON)
    return "text" if is_text else column.type.compile(postgresql.dialect())  # type: ignore[no-untyped-call]


def _cast(column: sa.Column[Any]) -> str:
    return f'CAST(new."{column.name}" AS json)' if isinstance(column.type, sa.JSON) else f'new."{column.name}"'


def _bind_row(statement: str, table: sa.Table, names: Iterable[str]) -> sa.TextClause:
    return sa.text(statement).bindparams(*(sa.bindparam(name, type_=table.c[name].type) for name in names))


def _bind_rows(statement: str) -> sa.TextClause:
    return sa.text(statement).bindparams(sa.bindparam("rows", type_=sa.JSON))
