"""Whoever dies, at whatever moment: the execution goes on, and no finished step runs twice."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from acceptance.processes import Lab, lab

from pauseflow_nb.engine.ownership import attach
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import workers
from pauseflow_nb.store.database import transaction
from pauseflow_nb.store.tables import suspensions

pytestmark = pytest.mark.acceptance

STEPS = (
    "%%step first\nlog('first')\nkept = {'a': [1, 2, 3]}",
    "%%step slow\nlog('slow')\nwait_for('go')\nkept['b'] = len(kept['a'])",
    "%%step last\nlog('last')\nlog(str(kept['b']))",
)


#: The engine's own tests run on both; with processes and kernels the other is left to `make test-slow`.
BOTH = pytest.mark.parametrize(
    "settings",
    ["sqlite", pytest.param("postgresql", marks=[pytest.mark.postgresql, pytest.mark.slow])],
    indirect=True,
)


@pytest.fixture
def on_both(settings: Settings, tmp_path: Path) -> Iterator[Lab]:
    with lab(settings, tmp_path) as made:
        yield made


@pytest.fixture
def on_sqlite(sqlite_settings: Settings, tmp_path: Path) -> Iterator[Lab]:
    with lab(sqlite_settings, tmp_path) as made:
        yield made


@BOTH
def test_a_worker_that_is_killed_in_a_step(on_both: Lab, wait_until: Any) -> None:
    lab = on_both
    doomed = lab.worker()
    execution = lab.queue.start(lab.plan(*STEPS))
    wait_until(lambda: lab.log() == ["first", "slow"], description="the slow step runs")
    lab.worker()
    doomed.kill()
    wait_until(lambda: lab.log() == ["first", "slow", "slow"], description="another worker takes over")
    lab.let("go")
    wait_until(lambda: lab.queue.state(execution) == "completed", description="it is completed")

    assert lab.log() == ["first", "slow", "slow", "last", "3"]
    runs = lab.queue.view(execution, history=True)["history"]["runs"]
    assert [(run["step"], run["run"], run["attempts"]) for run in runs] == [
        ("first", 1, 1),
        ("slow", 1, 2),
        ("last", 1, 1),
    ]
    assert [cell.execution_count for cell in lab.output().cells] == [1, 2, 3, 4]


@pytest.mark.slow
def test_the_only_worker_is_killed_and_another_starts_later(on_sqlite: Lab, wait_until: Any) -> None:
    lab = on_sqlite
    doomed = lab.worker()
    execution = lab.queue.start(lab.plan(*STEPS))
    wait_until(lambda: lab.log() == ["first", "slow"], description="the slow step runs")
    doomed.kill()
    lab.let("go")
    lab.worker()
    wait_until(lambda: lab.queue.state(execution) == "completed", description="it is completed")

    assert lab.log() == ["first", "slow", "slow", "last", "3"]


def test_a_kernel_that_is_killed_in_a_step(on_sqlite: Lab, wait_until: Any) -> None:
    lab = on_sqlite
    lab.worker()
    execution = lab.queue.start(lab.plan(*STEPS))
    wait_until(lambda: lab.log() == ["first", "slow"], description="the slow step runs")
    os.kill(lab.pid(), signal.SIGKILL)
    wait_until(lambda: lab.log() == ["first", "slow", "slow"], description="a new kernel runs it again")
    lab.let("go")
    wait_until(lambda: lab.queue.state(execution) == "completed", description="it is completed")

    assert lab.log() == ["first", "slow", "slow", "last", "3"]


@pytest.mark.slow
def test_an_attached_run_that_died_before_it_began(on_sqlite: Lab, wait_until: Any) -> None:
    lab = on_sqlite
    execution = lab.queue.start(lab.plan(*STEPS), attached_to="somebody:0:gone")
    lab.worker()
    wait_until(lambda: lab.log() == ["first", "slow"], description="a worker took over", seconds=60)
    lab.let("go")
    wait_until(lambda: lab.queue.state(execution) == "completed", description="it is completed", seconds=60)

    assert lab.log() == ["first", "slow", "last", "3"]


@pytest.mark.thorough
def test_an_attached_run_killed_in_a_step(on_sqlite: Lab, wait_until: Any) -> None:
    lab = on_sqlite
    execution = lab.queue.start(lab.plan(*STEPS))
    run = lab.attached(execution)
    wait_until(lambda: lab.log() == ["first", "slow"], description="the slow step runs")
    run.kill()
    lab.let("go")
    lab.worker()
    wait_until(lambda: lab.queue.state(execution) == "completed", description="it is completed", seconds=30)

    assert lab.log() == ["first", "slow", "slow", "last", "3"]


@pytest.mark.thorough
def test_a_worker_that_is_told_to_end_finishes_its_step_first(on_sqlite: Lab, wait_until: Any) -> None:
    lab = on_sqlite
    leaving = lab.worker()
    execution = lab.queue.start(lab.plan(*STEPS))
    wait_until(lambda: lab.log() == ["first", "slow"], description="the slow step runs")
    leaving.ask_to_end()
    lab.worker()
    lab.let("go")
    assert leaving.rest() == ""
    wait_until(lambda: lab.queue.state(execution) == "completed", description="it is completed")

    assert lab.log() == ["first", "slow", "last", "3"]


@pytest.mark.slow
def test_a_step_too_long_for_the_end_of_its_worker_is_given_back(on_sqlite: Lab, wait_until: Any) -> None:
    lab = on_sqlite
    leaving = lab.worker(drain_seconds=6)
    execution = lab.queue.start(lab.plan(*STEPS))
    wait_until(lambda: lab.log() == ["first", "slow"], description="the slow step runs")
    lab.worker()
    leaving.ask_to_end()
    wait_until(lambda: lab.log() == ["first", "slow", "slow"], description="the other worker has it", seconds=30)
    lab.let("go")
    wait_until(lambda: lab.queue.state(execution) == "completed", description="it is completed")

    assert leaving.rest() == ""
    assert lab.log() == ["first", "slow", "slow", "last", "3"]
    assert "crashed" not in [line["what"] for line in lab.queue.audit(execution)]


@pytest.mark.thorough
def test_a_cancelled_step_is_interrupted(on_sqlite: Lab, wait_until: Any) -> None:
    lab = on_sqlite
    lab.worker()
    execution = lab.queue.start(lab.plan(*STEPS))
    wait_until(lambda: lab.log() == ["first", "slow"], description="the slow step runs")
    kernel = lab.pid()
    lab.queue.cancel(execution, by="user:test")

    assert lab.queue.state(execution) == "cancelled"
    wait_until(lambda: not Path(f"/proc/{kernel}").exists(), description="the kernel is gone", seconds=5)
    statuses = ["completed", "completed", "interrupted", "not run"]
    wait_until(
        lambda: [cell.metadata.papermill.status for cell in lab.output().cells] == statuses,
        description="the output shows it",
    )
    assert lab.log() == ["first", "slow"]


@pytest.mark.thorough
@BOTH
def test_a_timer_overdue_when_the_worker_starts_acts_once(on_both: Lab, wait_until: Any) -> None:
    lab = on_both
    first = lab.worker()
    execution = lab.queue.start(lab.plan("%%step again\nfrom pauseflow_nb import flow\nflow.sleep('1h')", STEPS[0]))
    wait_until(lambda: lab.queue.state(execution) == "waiting", description="it waits for the clock")
    first.kill()
    with transaction(lab.queue.engine) as connection:
        connection.execute(suspensions.update().values(deadline=suspensions.c.deadline - sa.literal(7200.0)))
    assert lab.queue.state(execution) == "waiting"

    lab.worker()
    lab.worker()
    wait_until(lambda: lab.queue.state(execution) == "completed", description="it is completed")

    assert lab.log() == ["first"]
    assert [line["what"] for line in lab.queue.audit(execution)].count("settled") == 1


def test_an_attached_run_to_the_end_never_loads_dbos(on_sqlite: Lab) -> None:
    lab = on_sqlite
    lab.let("go")
    execution = lab.queue.start(lab.plan(*STEPS), attached_to="x")
    attach(lab.queue, execution, "x")
    lab.queue.change(lambda connection: workers.remove(connection, "x"))

    assert lab.attached(execution).rest() == "completed False"
    assert lab.log() == ["first", "slow", "last", "3"]


@pytest.mark.thorough
def test_an_attached_run_that_is_stopped_leaves_the_rest(on_sqlite: Lab, wait_until: Any) -> None:
    lab = on_sqlite
    execution = lab.queue.start(lab.plan(*STEPS))
    run = lab.attached(execution)
    wait_until(lambda: lab.log() == ["first", "slow"], description="the slow step runs")
    run.ask_to_end()
    lab.let("go")
    assert run.rest() == "queued True"
    lab.worker()
    wait_until(lambda: lab.queue.state(execution) == "completed", description="it is completed")

    assert lab.log() == ["first", "slow", "last", "3"]
