"""`pauseflow doctor` looks at the processes of a cluster."""

import time

import pytest
from engine.stage import plan

from pauseflow_nb.cli.doctor_checks import Finding, check_cluster
from pauseflow_nb.engine.heartbeat import Presence
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.queues import QueuePlan
from pauseflow_nb.store import workers
from pauseflow_nb.store.database import transaction
from pauseflow_nb.store.tables import workers as table


def found(queue: Queue) -> dict[str, Finding]:
    return {each.name: each for each in check_cluster(queue)}


def change(queue: Queue, **values: object) -> None:
    with transaction(queue.engine) as connection:
        connection.execute(table.update().values(**values))


def test_workers_are_named_with_their_queues(queue: Queue) -> None:
    serves = {"queues": "gpu,night", "concurrency": 3}
    with Presence(queue, "worker", name="vm:1:x:0", serves=serves):
        text = found(queue)["worker"].text

    assert text == "vm:1:x:0 is alive, queue gpu, night, 3 at once"


def test_a_store_where_nothing_waits_needs_no_worker(queue: Queue) -> None:
    assert {each.status for each in found(queue).values()} == {"ok", "note"}


def test_a_queue_without_a_worker_is_wrong_and_says_what_to_start(queue: Queue) -> None:
    for _ in range(2):
        queue.start(plan("%%step a", queues=QueuePlan("gpu")))
    with Presence(queue, "worker"):
        checked = found(queue)["queues"]

    assert checked.status == "wrong"
    assert checked.text == (
        "2 executions wait for a worker of queue gpu (none is running): start `pauseflow worker --queue gpu`"
    )


def test_what_waits_in_a_queue_with_a_worker_is_fine(queue: Queue) -> None:
    queue.start(plan("%%step a", queues=QueuePlan("gpu")))
    with Presence(queue, "worker", serves={"queues": "gpu"}):
        assert found(queue)["queues"].status == "ok"


@pytest.mark.parametrize(("ahead", "words"), [(90.0, "90.0 s ahead of"), (-7.5, "7.5 s behind")])
def test_a_clock_that_is_wrong_is_named(queue: Queue, ahead: float, words: str) -> None:
    queue.change(lambda connection: workers.beat(connection, "vm:1:x:0", "worker"))
    change(queue, clock_ahead=ahead)

    assert found(queue)["clocks"] == Finding(
        "clocks", "wrong", f"vm:1:x:0 is {words} the database: set the clocks with NTP"
    )


def test_the_skew_is_that_between_the_process_and_the_database(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    queue.change(lambda connection: workers.beat(connection, "vm:1:x:0", "worker"))
    (process,) = queue.list_processes()

    assert process.clock_ahead == pytest.approx(3600, abs=60)


def test_versions_that_differ_are_named(queue: Queue) -> None:
    queue.change(lambda connection: workers.beat(connection, "vm:1:x:0", "worker"))
    change(queue, version="0.0.9")
    checked = found(queue)["versions"]

    assert checked.status == "wrong"
    assert "1 process has 0.0.9" in checked.text
