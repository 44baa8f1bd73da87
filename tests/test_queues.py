"""Which queue each cell runs in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.queues import QueuePlan, check_queue, parse_queues

NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")


def test_cells_below_a_step_run_where_it_runs() -> None:
    plan = QueuePlan.make("default", [(0, False, None), (2, True, "gpu"), (3, False, None), (5, True, None)])

    assert [plan.find(cell) for cell in range(7)] == ["default", "gpu", "gpu", "gpu", "default", "default", "default"]
    assert plan.list_others() == ["gpu"]


def test_a_notebook_that_begins_with_a_step_of_a_queue_begins_there() -> None:
    assert QueuePlan.make("default", [(1, True, "gpu")]).find(0) == "gpu"


def test_a_step_that_names_none_runs_in_the_queue_of_the_notebook() -> None:
    plan = QueuePlan.make("night", [(0, True, None), (1, True, "gpu"), (2, True, None)])

    assert [plan.find(cell) for cell in range(3)] == ["night", "gpu", "night"]


def test_only_what_differs_from_the_default_queue_is_stored() -> None:
    assert QueuePlan.make("default", [(0, True, "default"), (1, True, None)]).stored is None


@given(NAMES, st.lists(st.tuples(st.booleans(), st.none() | NAMES), max_size=12))
def test_a_stored_plan_is_read_back(home: str, cells: list[tuple[bool, str | None]]) -> None:
    plan = QueuePlan.make(home, [(at, *cell) for at, cell in enumerate(cells)])

    assert QueuePlan.parse(plan.stored) == plan


@given(st.text())
def test_a_damaged_plan_still_names_a_queue_for_each_cell(text: str) -> None:
    assert isinstance(QueuePlan.parse(text).find(3), str)


@pytest.mark.parametrize("name", ["", "a b", "-gpu", "gpu,cpu", "x" * 64, "größe", "a\n", 7, None, "segments:gpu"])
def test_a_name_that_cannot_be_a_queue_is_refused(name: object) -> None:
    with pytest.raises(InvalidValue, match="must be a name of 1 to 63 letters, digits"):
        check_queue(name)


def test_names_are_read_from_a_list_with_commas() -> None:
    assert parse_queues("gpu, default,gpu") == ("gpu", "default")
