"""Rows of many executions are read, locked and written with one statement each, on both databases."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from pauseflow_nb.errors import NotStorable, StoreUnavailable
from pauseflow_nb.links import Claim
from pauseflow_nb.store import audit, decisions, executions, segments, steps, suspensions
from pauseflow_nb.store.database import reading, transaction
from pauseflow_nb.store.many_rows import insert_many, name_ids, name_keys, pipelined, select_among, update_many
from pauseflow_nb.store.tables import audit as audit_table
from pauseflow_nb.store.tables import executions as execution_table
from pauseflow_nb.store.tables import segments as segment_table
from pauseflow_nb.store.tables import steps as step_table

#: Texts that a database, JSON or a statement might change.
TEXTS = ["", "plain", "Grüße ✓ 😀", "a'b\"c\\d\\n%s:rows\n\t", "{} [] null", " \u2028 "]
#: Texts that only a column of JSON can hold.
ESCAPED = ["a\0b", "\ud800", "\udfff\ud83d"]


def add_execution(connection: sa.Connection, name: str, **changed: Any) -> None:
    plain: dict[str, Any] = dict.fromkeys(("notebook", "document", "kernel", "cwd", "created_by"), "x")
    plain |= {"parameters": {}, "steps": [], "options": {}, "state": "queued", "created_at": 1.0}
    plain |= {"segment": 0, "cells_done": 0, "cells_total": 1}
    connection.execute(execution_table.insert().values(id=name, **(plain | changed)))


def make_run(execution: str, step: str, run: int, exports: Any, **more: Any) -> dict[str, Any]:
    blank = {"segment": 0, "cell": 0, "state": "finished", "attempts": 1, "started_at": 1.5, "notes": [], "unsaved": []}
    return {"execution": execution, "step": step, "run": run, "exports": exports, **blank, **more}


@pytest.fixture
def with_runs(store: sa.Engine) -> sa.Engine:
    """A store with two executions, of two steps each."""
    with transaction(store) as connection:
        for name in ("aa", "bb"):
            add_execution(connection, name)
            for step, run in (("one", 1), ("one", 2), ("two", 1)):
                connection.execute(
                    step_table.insert().values(make_run(name, step, run, {"is": f"{name} {step} {run}"}))
                )
    return store


def test_runs_are_found_by_all_parts_of_their_keys(with_runs: sa.Engine) -> None:
    wanted = [("aa", "one", 2), ("bb", "two", 1), ("bb", "three", 1), ("cc", "one", 1)]
    with reading(with_runs) as connection:
        found = steps.find_exports(connection, wanted)
        nothing = steps.find_exports(connection, [])

    assert found == {("aa", "one", 2): {"is": "aa one 2"}, ("bb", "two", 1): {"is": "bb two 1"}}
    assert nothing == {}


def test_without_keys_nothing_is_selected(with_runs: sa.Engine) -> None:
    statement = sa.select(execution_table.c.id).where(select_among(execution_table.c.id))
    with reading(with_runs) as connection:
        assert connection.execute(statement, name_ids([])).all() == []
        assert connection.execute(statement, name_keys([])).all() == []
        assert len(connection.execute(statement, name_ids(["aa", "aa", "bb", "cc"])).all()) == 2


def test_a_longer_text_does_not_find_the_row_of_its_beginning(store: sa.Engine) -> None:
    longest = "a" * 40
    with transaction(store) as connection:
        add_execution(connection, longest)
    statement = sa.select(execution_table.c.id).where(select_among(execution_table.c.id))
    with reading(store) as connection:
        assert connection.execute(statement, name_ids([longest])).scalars().all() == [longest]
        assert connection.execute(statement, name_ids([f"{longest}b"])).scalars().all() == []


@pytest.mark.parametrize("count", [1, 2, 64])
def test_inserted_rows_are_read_as_they_were(store: sa.Engine, count: int) -> None:
    values: list[Any] = [None, {"a": [1, 2.5, None, True]}, {"text": [*TEXTS, *ESCAPED]}, {}, [], "text", 0]
    rows = [
        {
            "execution": "aa",
            "at": 1795973605.123456 + n,
            "what": "settled",
            "by": TEXTS[n % len(TEXTS)],
            "segment": None if n % 2 else n,
            "step": None if n % 3 else "ask",
            "details": {"value": values[n % len(values)]},
        }
        for n in range(count)
    ]
    with transaction(store) as connection:
        add_execution(connection, "aa")
        insert_many(connection, audit_table, rows)
    with reading(store) as connection:
        found = [dict(row._mapping) for row in connection.execute(sa.select(audit_table).order_by(audit_table.c.id))]

    assert [{name: value for name, value in row.items() if name != "id"} for row in found] == rows


def test_a_json_column_without_a_value_is_null(store: sa.Engine) -> None:
    with transaction(store) as connection:
        add_execution(connection, "aa")
        segments.add_all(connection, [segments.NewSegment("aa", 0, 0), segments.NewSegment("aa", 1, 2)])
    with reading(store) as connection:
        without = segment_table.c.wake.is_(None) & segment_table.c.bound.is_(None)
        assert connection.execute(sa.select(segment_table.c.n).where(without)).scalars().all() == [0, 1]


def test_changed_rows_are_those_of_the_keys_alone(with_runs: sa.Engine) -> None:
    with transaction(with_runs) as connection:
        changed: dict[tuple[str, str, int], dict[str, Any]]
        changed = {("aa", "one", 2): {"new": [*TEXTS, *ESCAPED]}, ("bb", "two", 1): {"new": None}}
        steps.set_exports(connection, changed)
        steps.set_exports(connection, {})
        executions.set_queued(connection, {"aa": 7, "cc": 8})
    with reading(with_runs) as connection:
        found = {
            row[:3]: row.exports for row in connection.execute(sa.select(*step_table.primary_key, step_table.c.exports))
        }
        numbers = {row.id: row.segment for row in connection.execute(sa.select(execution_table))}

    assert found[("aa", "one", 2)] == {"new": [*TEXTS, *ESCAPED]}
    assert found[("bb", "two", 1)] == {"new": None}
    assert [found[key]["is"] for key in sorted(found) if "is" in found[key]] == [
        "aa one 1",
        "aa two 1",
        "bb one 1",
        "bb one 2",
    ]
    assert numbers == {"aa": 7, "bb": 0}


def test_several_columns_are_changed_at_once(with_runs: sa.Engine) -> None:
    keys = [{"execution": "aa", "step": "one", "run": 1}, {"execution": "bb", "step": "one", "run": 1}]
    new: list[dict[str, Any]] = [
        {"failure": {"type": "ValueError"}, "ended_at": 2.25},
        {"failure": None, "ended_at": None},
    ]
    with transaction(with_runs) as connection:
        update_many(connection, step_table, [{**key, **values} for key, values in zip(keys, new, strict=True)])
    with reading(with_runs) as connection:
        statement = sa.select(step_table).where(step_table.c.step == "one", step_table.c.run == 1)
        rows = connection.execute(statement.order_by(step_table.c.execution)).all()

    assert [{"failure": row.failure, "ended_at": row.ended_at} for row in rows] == new


def test_a_row_that_exists_is_an_error_or_kept(store: sa.Engine) -> None:
    with transaction(store) as connection:
        add_execution(connection, "aa")
        insert_many(connection, step_table, [make_run("aa", "one", 1, {"n": 1})])
        again = [make_run("aa", "one", 1, {"n": 2}), make_run("aa", "two", 1, {"n": 3})]
        insert_many(connection, step_table, again, keeps_existing=True)
    with pytest.raises(sa.exc.IntegrityError), transaction(store) as connection:
        insert_many(connection, step_table, again)
    with reading(store) as connection:
        assert sorted(row["n"] for row in connection.execute(sa.select(step_table.c.exports)).scalars()) == [1, 3]


@pytest.mark.parametrize("count", [1, 3])
def test_statements_in_a_pipeline_are_one_transaction(store: sa.Engine, count: int) -> None:
    names = [f"e{n}" for n in range(count)]
    with transaction(store) as connection:
        for name in names:
            add_execution(connection, name)
    with transaction(store) as connection, pipelined(connection):
        segments.add_all(connection, [segments.NewSegment(name, 0, 0) for name in names], 1.0)
        executions.set_queued(connection, dict.fromkeys(names, 5))
        lines = [audit.Line(name, "settled", "clock", 0, "ask", {"n": n}) for n, name in enumerate(names)]
        audit.add_lines(connection, lines, 1.0)
    with reading(store) as connection:
        assert connection.execute(sa.select(execution_table.c.segment)).scalars().all() == [5] * count
        assert [line["details"]["n"] for name in names for line in audit.read_trail(connection, name)] == [
            *range(count)
        ]


def test_an_error_in_a_pipeline_undoes_the_transaction_and_leaves_a_usable_connection(store: sa.Engine) -> None:
    with transaction(store) as connection:
        add_execution(connection, "aa")
        segments.add_all(connection, [segments.NewSegment("aa", 0, 0)])

    def add_the_same_segment() -> None:
        with transaction(store) as connection, pipelined(connection):
            executions.set_queued(connection, {"aa": 9})
            segments.add_all(connection, [segments.NewSegment("aa", 0, 0)], 1.0)
            audit.add_lines(connection, [audit.Line("aa", "settled", "clock", 0, None, {})], 1.0)

    for _ in range(3):
        with pytest.raises(sa.exc.IntegrityError):
            add_the_same_segment()

    with transaction(store) as connection:
        assert connection.execute(sa.select(execution_table.c.segment)).scalar_one() == 0
        assert audit.read_trail(connection, "aa") == []


def test_an_exception_in_a_pipeline_undoes_the_transaction(store: sa.Engine) -> None:
    with transaction(store) as connection:
        add_execution(connection, "aa")

    def fail() -> None:
        with transaction(store) as connection, pipelined(connection):
            executions.set_queued(connection, {"aa": 9})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    with reading(store) as connection:
        assert connection.execute(sa.select(execution_table.c.segment)).scalar_one() == 0


def test_words_lose_what_no_database_stores(store: sa.Engine) -> None:
    words = ["user:a\0b", "user:a\ud800b"]
    with transaction(store) as connection:
        add_execution(connection, "aa")
        audit.add_lines(connection, [audit.Line("aa", "settled", by, 0, None, {}) for by in words], 1.0)
    with reading(store) as connection:
        assert [line["by"] for line in audit.read_trail(connection, "aa")] == ["user:ab", "user:a?b"]


def test_a_text_that_postgresql_cannot_store_is_named_so(store: sa.Engine) -> None:
    if store.dialect.name == "sqlite":
        pytest.skip("SQLite stores NUL in a text")
    with transaction(store) as connection:
        add_execution(connection, "aa")
    line = audit.Line("aa", "settled", "clock", 0, "a\0b", {})
    with pytest.raises(NotStorable), transaction(store) as connection, pipelined(connection):
        audit.add_lines(connection, [line], 1.0)


def test_a_connection_that_breaks_in_a_pipeline_is_replaced(store: sa.Engine) -> None:
    if store.dialect.name == "sqlite":
        pytest.skip("SQLite has no connections that break")
    with transaction(store) as connection:
        add_execution(connection, "aa")

    def lose_the_connection() -> None:
        with transaction(store) as connection:
            own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            with transaction(store) as other:
                other.exec_driver_sql(f"SELECT pg_terminate_backend({own})")
            with pipelined(connection):
                executions.set_queued(connection, {"aa": 9})

    with pytest.raises(StoreUnavailable, match="does not answer"):
        lose_the_connection()

    with transaction(store) as connection:
        executions.set_queued(connection, {"aa": 1})


def lock(connection: sa.Connection) -> object:
    return suspensions.lock_where_free(connection, [Claim("x", 0, "ask", 0, "resume")])


@pytest.mark.parametrize(
    "read",
    [
        lock,
        lambda connection: suspensions.find_questions(connection, [Claim("x", 0, "ask", 0, "resume")]),
        lambda connection: steps.find_exports(connection, [("x", "ask", 1)]),
        lambda connection: decisions.find_newest(connection, ["x"]),
        lambda connection: segments.next_numbers(connection, ["x"]),
        lambda connection: executions.find_queues(connection, [("x", 0)]),
    ],
)
def test_an_index_leads_to_the_rows(store: sa.Engine, read: Callable[[sa.Connection], object]) -> None:
    """On SQLite a comparison of another type than the column's would read the whole table."""
    if store.dialect.name != "sqlite":
        pytest.skip("PostgreSQL reads small tables as a whole")
    asked: list[tuple[str, Any]] = []
    with reading(store) as connection:
        sa.event.listen(
            store, "before_cursor_execute", lambda _c, _cursor, text, values, *_: asked.append((text, values))
        )
        read(connection)
        ((text, values),) = [*asked]
        plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]

    scanned = [line for line in plan if line.startswith("SCAN")]
    assert not [line for line in scanned if line.split()[1] not in {"json_each", "keys", "anon_1"}], plan
