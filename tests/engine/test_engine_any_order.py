"""Whatever people, processes and the clock do in whatever order: store and model agree."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine.any_order import CELLS
from engine.any_order_of_all import MOST
from engine.any_order_of_pauses import AnyOrderOfPauses
from engine.stage import notebook
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from pauseflow_nb.engine.queue import Queue

_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.fixture
def machine(queue: Queue, tmp_path: Path) -> Iterator[type[AnyOrderOfPauses]]:
    limited = Queue.open(queue.settings.model_copy(update={"executions_per_user": MOST}))
    child = tmp_path / "child.ipynb"
    child.write_bytes(notebook(*CELLS))
    yield type("OnThisStore", (AnyOrderOfPauses,), {"queue": queue, "limited": limited, "child": child})
    limited.close()


def test_a_few_orders(machine: type[AnyOrderOfPauses]) -> None:
    few = settings(
        max_examples=3, stateful_step_count=20, deadline=None, derandomize=True, suppress_health_check=_CHECKS
    )
    run_state_machine_as_test(machine, settings=few)


@pytest.mark.slow
def test_many_orders(machine: type[AnyOrderOfPauses]) -> None:
    many = settings(max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=_CHECKS)
    run_state_machine_as_test(machine, settings=many)
