"""What is asked four times a second must cost nothing, however many executions wait."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from pauseflow_nb.settings import Settings
from pauseflow_nb.store import changes, executions, listing, suspensions
from pauseflow_nb.store.database import open_engine, reading, transaction
from pauseflow_nb.store.migrate import migrate


def plans(engine: sa.Engine, call: Callable[[sa.Connection], Any]) -> list[str]:
    """The plans of all that a function asks."""
    asked: list[tuple[str, Any]] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def _(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        asked.append((statement, parameters))

    with reading(engine) as connection:
        call(connection)
    seen = list(asked)
    with reading(engine) as connection:
        return [
            " ".join(str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters))
            for text, parameters in seen
            if "FROM" in text
        ]


@pytest.mark.parametrize(
    ("call", "index"),
    [
        (suspensions.list_due, "suspensions_due"),
        (executions.list_to_record, "executions_to_record"),
        (executions.list_abandoned, "executions_attached"),
        (lambda connection: executions.find_owner(connection, "x"), "one_owner_of_an_output"),
        (listing.find_ids, "executions_by_creation"),
        (lambda connection: listing.find_ids(connection, states=["suspended", "failed"]), "executions_by_state"),
        (lambda connection: listing.find_beginning(connection, "ab", 20), "autoindex_executions"),
        (lambda connection: executions.list_attached(connection, "x"), "executions_attached"),
        (lambda connection: executions.list_unended(connection, "x"), "executions_attached"),
    ],
)
def test_an_index_answers(sqlite_settings: Settings, call: Callable[[sa.Connection], Any], index: str) -> None:
    engine = open_engine(sqlite_settings.db)
    migrate(engine)

    assert index in " ".join(plans(engine, call))
    engine.dispose()


def test_an_index_finds_what_runs_where_statistics_say_that_all_are_alike(sqlite_settings: Settings) -> None:
    engine = open_engine(sqlite_settings.db)
    migrate(engine)
    plain = dict.fromkeys(("notebook", "document", "kernel", "cwd"), "") | {"cells_total": 1}
    with transaction(engine) as connection:
        for n in range(200):
            executions.add(connection, f"{n:012x}", by="user:ann", parameters={}, steps=[], options={}, **plain)
        connection.exec_driver_sql("ANALYZE")

    assert "executions_by_state" in " ".join(plans(engine, changes.list_running))
    engine.dispose()
