"""A list shows the newest first, whatever it is asked for, and goes on after any of them."""

from itertools import combinations
from typing import Any

import pytest
import sqlalchemy as sa

from pauseflow_nb.errors import UnknownExecution
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import executions, listing, search
from pauseflow_nb.store.database import open_engine, reading, transaction
from pauseflow_nb.store.listing import find_beginning, find_ids
from pauseflow_nb.store.migrate import migrate
from pauseflow_nb.store.tables import executions as table

STATES = ("suspended", "queued", "failed")


@pytest.fixture
def filled(store: sa.Engine) -> list[tuple[str, str]]:
    """Ids and states, the newest first; some were made at the same moment."""
    made = [(f"{n * 7 % 30:012x}", STATES[n * n % 3], float(n // 3)) for n in range(30)]
    with transaction(store) as connection:
        for id_, state, moment in made:
            plain = {"notebook": f"{state}.ipynb", "document": "", "kernel": "", "cwd": "", "cells_total": 1}
            executions.add(connection, id_, by="user:ann", parameters={}, steps=[], options={}, **plain)
            connection.execute(table.update().where(table.c.id == id_).values(state=state, created_at=moment))
    return [(id_, state) for id_, state, _ in sorted(made, key=lambda each: (-each[2], each[0]))]


def test_each_choice_of_states_is_listed_in_order(store: sa.Engine, filled: list[tuple[str, str]]) -> None:
    with reading(store) as connection:
        for count in range(len(STATES) + 1):
            for states in combinations(STATES, count):
                expected = [id_ for id_, state in filled if state in states]
                assert find_ids(connection, states=states) == expected
                assert find_ids(connection, states=[*states, *states], limit=4, offset=3) == expected[3:7]
        assert find_ids(connection) == [id_ for id_, _ in filled]


def test_pages_that_go_on_after_the_last_one_are_the_whole_list(
    store: sa.Engine, filled: list[tuple[str, str]]
) -> None:
    ids = [id_ for id_, _ in filled]
    with reading(store) as connection:
        for number, id_ in enumerate(ids):
            rest = filled[number + 1 :]
            assert find_ids(connection, after=id_) == ids[number + 1 :]
            # The one before may have left the list since.
            assert find_ids(connection, after=id_, states=["failed"]) == [each for each, s in rest if s == "failed"]
            assert find_ids(connection, after=id_, text="QUEUED") == [each for each, s in rest if s == "queued"]


def test_nothing_comes_after_one_that_is_not_there(store: sa.Engine) -> None:
    with reading(store) as connection, pytest.raises(UnknownExecution):
        find_ids(connection, after="0" * 12)


@pytest.mark.parametrize("beginning", ["", "0", "00000000001", "00000000001A", "%", "_", "z", "000000000010"])
def test_a_beginning_finds_the_ids_that_begin_so(
    store: sa.Engine, filled: list[tuple[str, str]], beginning: str
) -> None:
    with reading(store) as connection:
        found = find_beginning(connection, beginning, 100)

    assert found == [id_ for id_, _ in filled if id_.startswith(beginning.lower())]


#: Notebook and output of executions, whose ids are their places in hexadecimal.
PATHS = [
    ("/work/Report 1.ipynb", None),
    ("/work/report%1.ipynb", "/out/r_port.ipynb"),
    ('s3://b/"quoted" AND NOT x.ipynb', "/out/ÄRGER.ipynb"),
    ("/work/other.ipynb", "/OUT/report-1.ipynb"),
    ("/work/ärger.ipynb", "/out/a\\b.ipynb"),
]
TEXTS = [
    *(
        "rep",
        "REPORT",
        "report 1",
        "report%1",
        "r_p",
        "%",
        "_1",
        "ab",
        "e",
        '"quoted"',
        "AND NOT",
        '"',
        "* OR",
        "id : ",
    ),
    *("ärger", "ÄRGER", "a\\b", "00000000000", "0000000000", "nothing of this name", "notebook", "x" * 500, "ipynb"),
]


@pytest.fixture
def named(store: sa.Engine) -> dict[str, tuple[str, str | None]]:
    """Paths by id, the newest first."""
    made = {f"{n:012x}": paths for n, paths in enumerate(PATHS)}
    with transaction(store) as connection:
        for n, (id_, (notebook, output)) in enumerate(made.items()):
            add(connection, id_, notebook, output)
            connection.execute(table.update().where(table.c.id == id_).values(created_at=float(-n)))
    return made


def add(connection: sa.Connection, id_: str, notebook: str, output: str | None) -> None:
    plain = {"notebook": notebook, "output": output, "document": "", "kernel": "", "cwd": "", "cells_total": 1}
    executions.add(connection, id_, by="user:ann", parameters={}, steps=[], options={}, **plain)


@pytest.mark.parametrize("looked_at", [0, 2, 500])
def test_a_text_finds_the_same_with_the_index_and_without(
    store: sa.Engine,
    named: dict[str, tuple[str, str | None]],
    monkeypatch: pytest.MonkeyPatch,
    looked_at: int,
) -> None:
    monkeypatch.setattr(listing, "_NEWEST", looked_at)
    with reading(store) as connection:
        by_index = {text: find_ids(connection, text=text) for text in TEXTS}
        of_a_state = {text: find_ids(connection, text=text, states=["queued"], limit=1, offset=1) for text in TEXTS}
        monkeypatch.setattr(listing, "find_by_index", lambda _connection, _text: sa.true())
        without = {text: find_ids(connection, text=text) for text in TEXTS}

    assert by_index == without
    assert of_a_state == {text: found[1:2] for text, found in without.items()}
    assert by_index["REPORT"] == [f"{n:012x}" for n in (0, 1, 3)]
    assert by_index["report%1"] == by_index["r_p"] == ["000000000001"]
    assert by_index['"quoted"'] == by_index["AND NOT"] == ["000000000002"]
    assert by_index["id : "] == by_index["* OR"] == by_index["nothing of this name"] == []


@pytest.mark.parametrize("text", ["\0", "rep\0ort", "\ud83d", "x" * 100_000], ids=["NUL", "part", "surrogate", "long"])
def test_a_text_that_no_path_can_contain_finds_nothing(
    store: sa.Engine, named: dict[str, tuple[str, str | None]], text: str
) -> None:
    with reading(store) as connection:
        assert find_ids(connection, text=text) == []


def test_a_text_of_two_characters_is_looked_for_in_the_newest_only(
    store: sa.Engine, named: dict[str, tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_NEWEST", 1)
    monkeypatch.setattr(listing, "_NEWEST_FOR_SHORT", 2)
    with reading(store) as connection:
        found = {text: find_ids(connection, text=text) for text in ("re", "e", "rep")}

    newest = [f"{n:012x}" for n in (0, 1)]
    assert found == {"re": newest, "e": newest, "rep": [*newest, "000000000003"]}


def test_a_search_follows_what_changes_and_what_is_removed(
    store: sa.Engine, named: dict[str, tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_NEWEST", 0)
    first, second = list(named)[:2]
    with transaction(store) as connection:
        executions.set_recorded(connection, first, output="/elsewhere/moved.ipynb")
        executions.remove(connection, second)

    with reading(store) as connection:
        found = {text: find_ids(connection, text=text) for text in ("moved.ipynb", "r_port", "report%1", "Report 1")}
    assert found == {"moved.ipynb": [first], "r_port": [], "report%1": [], "Report 1": [first]}


def test_an_older_store_gets_the_index_with_what_is_in_it(
    store: sa.Engine, named: dict[str, tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_NEWEST", 0)
    kind = "TABLE" if store.dialect.name == "sqlite" else "INDEX"
    with transaction(store) as connection:
        if kind == "TABLE":
            for trigger in ("insert", "update", "delete"):
                connection.exec_driver_sql(f"DROP TRIGGER executions_search_{trigger}")
        connection.exec_driver_sql(f"DROP {kind} executions_search")
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0010'")
        add(connection, "f" * 12, "/work/older.ipynb", None)

    with reading(store) as connection:
        before = find_ids(connection, text="older")
    migrate(store)
    with transaction(store) as connection:
        add(connection, "e" * 12, "/work/older.ipynb", None)
    with reading(store) as connection:
        after = find_ids(connection, text="older")
    assert (before, sorted(after)) == (["f" * 12], ["e" * 12, "f" * 12])


def test_a_search_that_finds_little_is_answered_by_the_index(sqlite_settings: Settings) -> None:
    engine = open_engine(sqlite_settings.db)
    migrate(engine)
    plan: list[str] = []
    with reading(engine) as connection:

        @sa.event.listens_for(engine, "before_cursor_execute")
        def _(_c: object, _cursor: object, text: str, parameters: Any, _context: object, _many: bool) -> None:
            if "MATCH" in text and not text.startswith("EXPLAIN"):
                found = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {text}", parameters)
                plan.extend(str(row[-1]) for row in found)

        assert find_ids(connection, text="little", states=["queued", "failed"]) == []
    engine.dispose()

    assert any(line.startswith("SCAN executions_search VIRTUAL TABLE INDEX") for line in plan)
    assert not any(line.startswith("SCAN executions") and "VIRTUAL" not in line for line in plan)


def test_without_an_index_a_search_finds_the_same(
    store: sa.Engine, named: dict[str, tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "_NEWEST", 0)
    monkeypatch.setitem(search._STATEMENTS, store.dialect.name, ["SELECT * FROM a_table_that_is_not_there"])
    with transaction(store) as connection:
        search.create_index(connection)
        add(connection, "f" * 12, "/work/another.ipynb", None)

    with reading(store) as connection:
        assert find_ids(connection, text="another") == ["f" * 12]
