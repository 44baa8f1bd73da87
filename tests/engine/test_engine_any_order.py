"""Whatever people, processes and the clock do in whatever order: store and model agree."""

import pytest
from engine.any_order import AnyOrder
from engine.any_order_of_all import MOST, AnyOrderOfAll
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from pauseflow_nb.engine.queue import Queue

_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


@pytest.fixture
def machine(queue: Queue) -> type[AnyOrder]:
    return type("OnThisStore", (AnyOrder,), {"queue": queue})


def test_a_few_orders(machine: type[AnyOrder]) -> None:
    few = settings(
        max_examples=3, stateful_step_count=20, deadline=None, derandomize=True, suppress_health_check=_CHECKS
    )
    run_state_machine_as_test(machine, settings=few)


@pytest.mark.slow
def test_many_orders(machine: type[AnyOrder]) -> None:
    many = settings(max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=_CHECKS)
    run_state_machine_as_test(machine, settings=many)


@pytest.mark.slow
def test_many_orders_of_what_is_rarer(queue: Queue) -> None:
    limited = Queue.open(queue.settings.model_copy(update={"executions_per_user": MOST}))
    machine = type("OnThisStore", (AnyOrderOfAll,), {"queue": queue, "limited": limited})
    many = settings(max_examples=25, stateful_step_count=50, deadline=None, suppress_health_check=_CHECKS)
    run_state_machine_as_test(machine, settings=many)
    limited.close()
