"""A list shows the newest first, whatever it is asked for, and goes on after any of them."""

from itertools import combinations

import pytest
import sqlalchemy as sa

from pauseflow_nb.errors import UnknownExecution
from pauseflow_nb.store import executions
from pauseflow_nb.store.database import reading, transaction
from pauseflow_nb.store.tables import executions as table
from pauseflow_nb.store.views import find_beginning, find_ids

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
