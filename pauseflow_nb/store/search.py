"""Find executions by a part of their notebook, output or id, without reading all executions.

This uses an index of trigrams, all substrings of three characters: FTS5 on SQLite, pg_trgm on PostgreSQL. Without
such an index, every execution is read, with the same result.
"""

import logging

import sqlalchemy as sa

from pauseflow_nb.json_values import is_whole_text
from pauseflow_nb.store.tables import executions

#: Name of the index, which is a table on SQLite.
INDEX = "executions_search"

#: Lengths of texts that are looked up in the index.
SHORTEST, _LONGEST = 3, 40
#: Longest text, in characters; SQLite refuses to search for a text of 50,000 bytes.
_LONGEST_PATH = 5000
_COLUMNS = (executions.c.id, executions.c.notebook, executions.c.output)
_STATEMENTS = {
    "sqlite": (
        "DROP TABLE IF EXISTS executions_search",
        # Without the positions of the trigrams, it takes a third of the space.
        """CREATE VIRTUAL TABLE executions_search
            USING fts5(id, notebook, output, tokenize = 'trigram', detail = none, columnsize = 0)""",
        "INSERT INTO executions_search (id, notebook, output) SELECT id, notebook, output FROM executions",
        """CREATE TRIGGER executions_search_insert AFTER INSERT ON executions BEGIN
            INSERT INTO executions_search (id, notebook, output) VALUES (new.id, new.notebook, new.output);
        END""",
        # The row of an execution is found by the index itself, because VACUUM may change row numbers.
        """CREATE TRIGGER executions_search_update AFTER UPDATE OF notebook, output ON executions BEGIN
            UPDATE executions_search SET notebook = new.notebook, output = new.output
            WHERE executions_search MATCH
                    printf('"%s" AND "%s" AND "%s"', substr(old.id, 1, 3), substr(old.id, 4, 3), substr(old.id, 7, 3))
                AND id = old.id;
        END""",
        """CREATE TRIGGER executions_search_delete AFTER DELETE ON executions BEGIN
            DELETE FROM executions_search
            WHERE executions_search MATCH
                    printf('"%s" AND "%s" AND "%s"', substr(old.id, 1, 3), substr(old.id, 4, 3), substr(old.id, 7, 3))
                AND id = old.id;
        END""",
    ),
    "postgresql": (
        """CREATE INDEX executions_search ON executions USING gin
            (id {schema}.gin_trgm_ops, notebook {schema}.gin_trgm_ops, output {schema}.gin_trgm_ops)""",
    ),
}

log = logging.getLogger(__name__)


def create_index(connection: sa.Connection) -> None:
    """Create the index if the database supports it: SQLite with FTS5, PostgreSQL with pg_trgm."""
    try:
        with connection.begin_nested():
            schema = _prepare_extension(connection) if connection.dialect.name == "postgresql" else ""
            for statement in _STATEMENTS[connection.dialect.name]:
                connection.exec_driver_sql(statement.replace("{schema}", schema))
    except sa.exc.DBAPIError as problem:
        log.info("a search looks at every execution, because this database has no index of trigrams: %s", problem.orig)


def _prepare_extension(connection: sa.Connection) -> str:
    """Create pg_trgm if it is not there; returns the schema in which it is, quoted."""
    find = sa.text(
        "SELECT quote_ident(nspname) FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace "
        "WHERE extname = 'pg_trgm'"
    )
    schema = connection.execute(find).scalar()
    if schema is None:
        schema = "public"
        connection.exec_driver_sql("CREATE EXTENSION pg_trgm SCHEMA public")
    return str(schema)


def can_be_stored(text: str) -> bool:
    """Whether a stored path can contain a text: without NUL and half surrogate pairs, and not longer than paths."""
    return "\0" not in text and len(text) <= _LONGEST_PATH and is_whole_text(text)


def holds(text: str, columns: sa.ColumnCollection[str, sa.ColumnElement[str]]) -> sa.ColumnElement[bool]:
    """Whether id, notebook or output contain a text, ignoring case."""
    return sa.or_(*(columns[each.name].icontains(text, autoescape=True) for each in _COLUMNS))


def find_by_index(connection: sa.Connection, text: str) -> sa.ColumnElement[bool]:
    """Restrict a search to matches of the index; PostgreSQL uses its index without another condition."""
    if connection.dialect.name != "sqlite":
        return sa.true()
    has_index = sa.text("SELECT 1 FROM sqlite_master WHERE name = :name").bindparams(name=INDEX)
    if connection.execute(has_index).first() is None:
        return sa.true()
    index = sa.table(INDEX, sa.column("id"), sa.column(INDEX))
    pieces = {text[at : at + SHORTEST] for at in range(min(len(text), _LONGEST) - SHORTEST + 1)}
    query = " AND ".join('"{}"'.format(piece.replace('"', '""')) for piece in sorted(pieces))
    return executions.c.id.in_(sa.select(index.c.id).where(index.c[INDEX].op("MATCH")(query)))
