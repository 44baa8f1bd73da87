"""Executions go on in the queue of their next cell, and say when no worker serves it."""

from typing import Any

import pytest
import sqlalchemy as sa
from engine.stage import ME, Stage, plan, suspend

from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.heartbeat import Presence
from pauseflow_nb.engine.jobs import JOB, VERSION, NewJob
from pauseflow_nb.engine.ownership import detach
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.retry_fork import fork, retry
from pauseflow_nb.engine.run_segment import Segments
from pauseflow_nb.queues import QueuePlan
from pauseflow_nb.runner.control import Control
from pauseflow_nb.store.database import reading

GPU = QueuePlan("default", ((1, "gpu"), (2, "default")))
CELLS = ("%%step first", "%%step train --queue gpu", "%%step last")
DEFAULT, ON_GPU = "segments", "segments:gpu"


def jobs(queue: Queue) -> dict[str, str]:
    """The jobs that wait, and the queue of each, as DBOS knows them."""
    schema = "" if queue.engine.dialect.name == "sqlite" else "pauseflow_dbos."
    with reading(queue.engine) as connection:
        found = connection.exec_driver_sql(
            f"SELECT workflow_uuid, queue_name FROM {schema}workflow_status WHERE status = 'ENQUEUED'"
        )
        return {row[0]: row[1] for row in found}


def read_job(queue: Queue, name: str) -> dict[str, Any]:
    """All that DBOS's tables hold of a job, but its name, its arguments and when and by whom it was inserted."""
    schema = "" if queue.engine.dialect.name == "sqlite" else "pauseflow_dbos."
    own = {"workflow_uuid", "inputs", "created_at", "updated_at", "retention_timestamp", "creator_xid"}
    found: dict[str, Any] = {}
    with reading(queue.engine) as connection:
        for table in ("workflow_status", "workflow_input"):
            where = sa.text(f"SELECT * FROM {schema}{table} WHERE workflow_uuid = :name")
            row = connection.execute(where, {"name": name}).mappings().one()
            found |= {f"{table}.{column}": value for column, value in row.items() if column not in own}
    return found


def test_a_job_is_inserted_as_dbos_itself_inserts_it(stage: Stage) -> None:
    execution = stage.queue.start(plan(*CELLS))
    options: Any = {"workflow_name": JOB, "queue_name": DEFAULT, "workflow_id": "theirs", "app_version": VERSION}
    client = stage.queue.jobs._client
    assert client is not None
    stage.queue.change(lambda connection: client.enqueue_in_transaction(connection, options, execution, 0, 0))

    assert read_job(stage.queue, f"{execution}/0") == read_job(stage.queue, "theirs")


def test_a_job_that_is_queued_twice_stays_as_it_is(stage: Stage) -> None:
    execution = stage.queue.start(plan(*CELLS))
    other = stage.queue.start(plan(*CELLS))
    before = jobs(stage.queue)
    new = [NewJob(execution, 0), NewJob(other, 0), NewJob(other, 0, job=1)]
    stage.queue.change(lambda connection: stage.queue.jobs.enqueue_all(connection, new))

    assert jobs(stage.queue) == before | {f"{other}/0.1": DEFAULT}


def take(stage: Stage, execution: str, *serves: str, job: int = 0) -> str:
    """Run a segment as a worker of some queues would that got its job."""
    n = stage.queue.view(execution)["segment"]
    segments = Segments(stage.queue, "worker:1:x:0", run=stage.script, serves=frozenset(serves))
    return segments.run(execution, n, Control(), job=job)


def test_a_segment_is_queued_for_the_workers_of_its_first_cell(stage: Stage) -> None:
    first = stage.queue.start(plan(*CELLS, queues=GPU))
    second = stage.queue.start(plan("%%step train --queue gpu", queues=QueuePlan("default", ((0, "gpu"),))))

    assert jobs(stage.queue) == {f"{first}/0": DEFAULT, f"{second}/0": ON_GPU}


def test_what_is_answered_goes_on_in_the_queue_of_its_next_cell(stage: Stage) -> None:
    stage.script.steps["first"] = suspend()
    execution = stage.start(*CELLS, queues=GPU)
    stage.play(execution)
    detach(stage.queue, execution)
    assert stage.send(execution, step="first")[0] == 200

    assert jobs(stage.queue) == {f"{execution}/1": ON_GPU}
    assert stage.queue.view(execution)["queue"] == "gpu"


def test_a_step_that_runs_again_runs_again_in_its_queue(stage: Stage) -> None:
    stage.script.steps["train"] = suspend(kind="rerun", on_timeout="resume", then="rerun", seconds=3600.0)
    execution = stage.start(*CELLS, queues=GPU)
    stage.play(execution)
    detach(stage.queue, execution)
    stage.send(execution, step="train")

    assert jobs(stage.queue) == {f"{execution}/1": ON_GPU}


def test_a_deadline_that_passes_wakes_it_in_the_queue_of_its_next_cell(stage: Stage) -> None:
    stage.script.steps["first"] = suspend(on_timeout="resume", seconds=3600.0)
    execution = stage.start(*CELLS, queues=GPU)
    stage.play(execution)
    detach(stage.queue, execution)
    stage.make_overdue(execution)
    Clock(stage.queue).sweep()

    assert jobs(stage.queue) == {f"{execution}/1": ON_GPU}


def test_a_fork_goes_on_in_the_queue_of_its_step(stage: Stage) -> None:
    execution = stage.start(*CELLS, queues=QueuePlan("default", ((0, "gpu"),)))
    stage.play(execution)
    sibling = fork(stage.queue, execution, by="user:ann", from_step="first")

    assert jobs(stage.queue) == {f"{sibling}/0": ON_GPU}


def test_a_retry_goes_on_in_the_queue_of_its_step(stage: Stage) -> None:
    execution = stage.start(*CELLS, queues=GPU)
    stage.play(execution)
    retry(stage.queue, execution, by="user:ann", from_step="train")

    assert jobs(stage.queue) == {f"{execution}/1": ON_GPU}


def test_a_step_of_another_queue_is_handed_over_before_it_begins(stage: Stage) -> None:
    execution = stage.queue.start(plan(*CELLS, queues=GPU))

    assert take(stage, execution, "default") == "released"
    view = stage.queue.view(execution)
    assert (view["state"], view["segment"], view["cells"]["done"], view["queue"]) == ("queued", 0, 1, "gpu")
    assert "handed over" in stage.whats(execution)
    assert jobs(stage.queue)[f"{execution}/0.1"] == ON_GPU
    assert take(stage, execution, "gpu", job=1) == "released"
    assert take(stage, execution, "default", job=2) == "ended"
    assert stage.queue.view(execution)["state"] == "completed"
    assert stage.script.ran == [("first", 1, 1), ("train", 1, 1), ("last", 1, 1)]


def test_a_worker_of_several_queues_hands_nothing_over(stage: Stage) -> None:
    execution = stage.queue.start(plan(*CELLS, queues=GPU))

    assert take(stage, execution, "default", "gpu") == "ended"


def test_a_job_that_came_to_the_wrong_queue_is_passed_on_and_is_no_attempt(stage: Stage) -> None:
    execution = stage.queue.start(plan(*CELLS, queues=GPU))

    assert take(stage, execution, "gpu") == "nothing"
    assert jobs(stage.queue)[f"{execution}/0.1"] == DEFAULT
    assert stage.queue.view(execution)["usage"]["segments"][0]["attempts"] == 0


def test_a_cancelled_execution_is_not_taken_by_its_next_queue(stage: Stage) -> None:
    execution = stage.queue.start(plan(*CELLS, queues=GPU))
    take(stage, execution, "default")
    stage.queue.cancel(execution, by="user:ann")

    assert take(stage, execution, "gpu", job=1) == "nothing"
    assert stage.queue.view(execution)["state"] == "cancelled"


@pytest.mark.parametrize("queues", [None, "cpu"])
def test_an_execution_says_that_no_worker_serves_its_queue(stage: Stage, queues: str | None) -> None:
    execution = stage.queue.start(plan(*CELLS, queues=QueuePlan("default", ((0, "gpu"),))))
    serves = {} if queues is None else {"queues": queues}

    with Presence(stage.queue, "worker", serves=serves):
        assert stage.queue.view(execution)["no_worker"] == "waits for a worker of queue gpu (none is running)"
        assert not stage.queue.has_runner(execution)
    with Presence(stage.queue, "worker", serves={"queues": "cpu,gpu"}):
        assert stage.queue.view(execution)["no_worker"] is None
        assert stage.queue.has_runner(execution)


def test_an_execution_of_the_default_queue_says_that_no_worker_runs(stage: Stage) -> None:
    execution = stage.queue.start(plan(*CELLS))

    assert stage.queue.view(execution)["no_worker"] == "waits for a worker (none is running)"
    with Presence(stage.queue, "worker"):
        assert stage.queue.view(execution)["no_worker"] is None


def test_what_a_process_runs_itself_waits_for_no_worker(stage: Stage) -> None:
    execution = stage.queue.start(plan(*CELLS, queues=GPU), attached_to=ME)

    assert stage.queue.view(execution)["no_worker"] is None
