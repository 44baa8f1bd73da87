"""Jobs whose end could not be recorded, because the disk of the database was full, and jobs that no worker received."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from engine.stage import ME, Stage, plan

from pauseflow_nb.engine.jobs import DBOS_SCHEMA
from pauseflow_nb.engine.run_segment import Segments
from pauseflow_nb.runner.control import Control
from pauseflow_nb.store import executions, segments
from pauseflow_nb.store.database import reading, transaction

#: Runs a worker until the execution has completed and all jobs have ended. It refuses statements that contain
#: all of some texts, so many times, as if the disk was full; if asked to, it ends after the first of them.
WORKS = """
import sqlite3, sys, threading, time
import sqlalchemy as sa
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.worker import run_worker
from pauseflow_nb.settings import Settings
from pauseflow_nb.store.database import reading
from pauseflow_nb.engine import worker

worker._LOST_JOBS_SECONDS = 0.5
execution, left, how, ended, *texts = sys.argv[1:]
refusals = [None] * int(left)
settings, stop = Settings.load(), threading.Event()
queue = Queue.open(settings)

@sa.event.listens_for(sa.Engine, "before_cursor_execute")
def refuse(_connection, _cursor, statement, parameters, *_more):
    if refusals and all(text in f"{statement} {parameters}" for text in texts):
        refusals.pop()
        if how == "ends":
            stop.set()
        raise sa.exc.OperationalError(statement, parameters, sqlite3.OperationalError("database or disk is full"))

schema = "pauseflow_dbos." if queue.engine.dialect.name == "postgresql" else ""

def has_unended_jobs():
    with reading(queue.engine) as connection:
        statuses = connection.execute(sa.text(f"SELECT status FROM {schema}workflow_status")).scalars()
        return not set(statuses) <= {"SUCCESS", ended}

def end():
    while queue.state(execution) != "completed" or refusals or has_unended_jobs():
        time.sleep(0.1)
    stop.set()

threading.Thread(target=end, daemon=True).start()
run_worker(settings, stop=stop, drain_seconds=5)
"""


def work(environment: dict[str, str], execution: str, left: str, how: str, *texts: str, ended: str = "SUCCESS") -> str:
    """Run a worker to its end, and return what it logs."""
    command = [sys.executable, "-c", WORKS, execution, left, how, ended, *texts]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def list_jobs(stage: Stage) -> set[str]:
    """List how the jobs of the store have ended."""
    schema = f"{DBOS_SCHEMA}." if stage.queue.engine.dialect.name == "postgresql" else ""
    with reading(stage.queue.engine) as connection:
        return set(connection.execute(sa.text(f"SELECT status FROM {schema}workflow_status")).scalars())


def claim_as_dead(stage: Stage, execution: str) -> None:
    """Begin the first segment of an execution as a worker that is dead."""
    with transaction(stage.queue.engine) as connection:
        segment = segments.lock(connection, execution, 0)
        assert segment is not None
        segments.claim(connection, segment, "host:1:dead")
        executions.set_state(connection, execution, "running")


def set_jobs(stage: Stage, status: str) -> None:
    schema = f"{DBOS_SCHEMA}." if stage.queue.engine.dialect.name == "postgresql" else ""
    with transaction(stage.queue.engine) as connection:
        connection.execute(sa.text(f"UPDATE {schema}workflow_status SET status = :status"), {"status": status})


@pytest.mark.parametrize("leave", [Segments.pass_on, Segments.queue_again])
def test_a_job_taken_over_from_a_dead_process_is_queued_again_if_it_cannot_run_now(
    stage: Stage, leave: Callable[[Segments, str, int, int], None]
) -> None:
    """For example because the worker that received it is full, or is about to end."""
    execution = stage.queue.start(plan("1"))
    claim_as_dead(stage, execution)

    worker = Segments(stage.queue, ME, run=stage.script)
    leave(worker, execution, 0, 0)

    assert stage.queue.state(execution) == "queued"
    assert worker.run(execution, 0, Control(), job=0) == "nothing"
    assert worker.run(execution, 0, Control(), job=1) == "ended"
    assert stage.queue.state(execution) == "completed"
    leave(worker, execution, 0, 1)
    assert stage.queue.state(execution) == "completed"


@pytest.mark.slow
def test_the_end_of_a_job_is_recorded_when_the_disk_of_the_database_has_room_again(
    stage: Stage, environment_of_store: dict[str, str]
) -> None:
    execution = stage.queue.start(plan("1"))
    work(environment_of_store, execution, "1", "goes on", "UPDATE", "workflow_status", "SUCCESS")

    assert list_jobs(stage) == {"SUCCESS"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(["UPDATE segments"], id="begin"),
        pytest.param(["UPDATE segments", "'ended'"], id="end"),
        pytest.param(["workflow_status", "SUCCESS"], id="job"),
    ],
)
def test_a_worker_that_ends_while_it_waits_for_the_store_leaves_its_segment_to_another(
    stage: Stage, environment_of_store: dict[str, str], texts: list[str]
) -> None:
    execution = stage.queue.start(plan("1"))
    logged = work(environment_of_store, execution, "1000", "ends", *texts)
    work(environment_of_store, execution, "0", "goes on")

    assert "Traceback" not in logged
    assert list_jobs(stage) == {"SUCCESS"}


@pytest.mark.slow
def test_a_job_that_its_worker_never_received_is_queued_again(
    stage: Stage, environment_of_store: dict[str, str]
) -> None:
    """The database gave it to the worker, then two statements failed that read what it is."""
    execution = stage.queue.start(plan("1"))
    logged = work(
        environment_of_store, execution, "2", "goes on", "SELECT", "workflow_status.workflow_uuid IN", execution
    )

    assert f"{execution}/0 was given to this worker and never began" in logged
    assert list_jobs(stage) == {"SUCCESS"}


@pytest.mark.every(4)
@pytest.mark.parametrize("status", ["SUCCESS", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"])
def test_a_segment_whose_job_has_ended_without_it_is_queued_again(
    stage: Stage, environment_of_store: dict[str, str], status: str
) -> None:
    """Its worker died, and DBOS has given the job up, or an earlier version has lost it."""
    execution = stage.queue.start(plan("1"))
    claim_as_dead(stage, execution)
    set_jobs(stage, status)
    logged = work(environment_of_store, execution, "0", "goes on", ended=status)

    assert f"the job of {execution}/0 ended before its segment did" in logged
    assert stage.queue.state(execution) == "completed"
