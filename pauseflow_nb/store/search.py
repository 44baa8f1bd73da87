"""Find executions by a part of a notebook's or output's path, or of an id, without reading all of them.

An index of trigrams (all pieces of three characters) leads to them: FTS5 on SQLite, pg_trgm on PostgreSQL. Where a database has
no such index, each execution is looked at: what is found is the same.
"""

import logging

import sqlalchemy as sa

from pauseflow_nb.json_values import is_whole_text
from pauseflow_nb.store.tables import executions

#: Of the index; on SQLite also of the table that it is.
INDEX = "executions_search"

#: Characters of a text that an index of trigrams is asked for.
SHORTEST, _LONGEST = 3, 40
#: Characters; SQLite refuses to look for a text of 50,000 bytes.
_LONGEST_PATH = 5000
_COLUMNS = (executions.c.id, executions.c.notebook, executions.c.output)
_STATEMENTS = {
    "sqlite": (
        "DROP TABLE IF EXISTS executions_search",
        # Without the places of the trigrams, it takes a third of the room.
        """CREATE VIRTUAL TABLE executions_search
            USING fts5(id, notebook, output, tokenize = 'trigram', detail = none, columnsize = 0)""",
        "INSERT INTO executions_search (id, notebook, output) SELECT id, notebook, output FROM executions",
        """CREATE TRIGGER executions_search_insert AFTER INSERT ON executions BEGIN
            INSERT INTO executions_search (id, notebook, output) VALUES (new.id, new.notebook, new.output);
        END""",
        # The index itself leads to its row of an execution: with VACUUM the numbers of the rows may change.
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
        "CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public",
        """CREATE INDEX executions_search ON executions USING gin
            (id gin_trgm_ops, notebook gin_trgm_ops, output gin_trgm_ops)""",
    ),
}

log = logging.getLogger(__name__)


def create_index(connection: sa.Connection) -> None:
    """Make the index if the database can: SQLite with FTS5, PostgreSQL with pg_trgm."""
    try:
        with connection.begin_nested():
            for statement in _STATEMENTS[connection.dialect.name]:
                connection.exec_driver_sql(statement)
    except sa.exc.DBAPIError as problem:
        log.info("a search looks at every execution, because this database has no index of trigrams: %s", problem.orig)


def can_be_stored(text: str) -> bool:
    """Whether the path of a notebook can contain a text: no NUL, no half of a surrogate pair, and not longer than any path."""
    return "\0" not in text and len(text) <= _LONGEST_PATH and is_whole_text(text)


def holds(text: str, columns: sa.ColumnCollection[str, sa.ColumnElement[str]]) -> sa.ColumnElement[bool]:
    """Whether id, notebook or output contain a text, whatever the case of its letters."""
    return sa.or_(*(columns[each.name].icontains(text, autoescape=True) for each in _COLUMNS))


def find_by_index(connection: sa.Connection, text: str) -> sa.ColumnElement[bool]:
    """Narrow a search to what the index finds; an index of PostgreSQL needs no condition of its own."""
    if connection.dialect.name != "sqlite":
        return sa.true()
    has_index = sa.text("SELECT 1 FROM sqlite_master WHERE name = :name").bindparams(name=INDEX)
    if connection.execute(has_index).first() is None:
        return sa.true()
    index = sa.table(INDEX, sa.column("id"), sa.column(INDEX))
    pieces = {text[at : at + SHORTEST] for at in range(min(len(text), _LONGEST) - SHORTEST + 1)}
    query = " AND ".join('"{}"'.format(piece.replace('"', '""')) for piece in sorted(pieces))
    return executions.c.id.in_(sa.select(index.c.id).where(index.c[INDEX].op("MATCH")(query)))
