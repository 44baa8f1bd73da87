"""A worker takes a job as soon as it is queued, and finds it by polling where nothing wakes it."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from engine.stage import Stage, plan

from pauseflow_nb.engine import jobs
from pauseflow_nb.engine.job_watch import JobWatch, PollEvent
from pauseflow_nb.engine.jobs import CHANNEL, name_queue
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.worker import run_worker
from pauseflow_nb.settings import Settings

QUEUE = name_queue("default")


class Waiter:
    """Waits for an event as the thread of a queue does, and counts how often it may poll."""

    def __init__(self, event: PollEvent, name: str = f"queue-worker-{QUEUE}") -> None:
        self.polls = 0
        self._event = event
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self._event.wait(timeout=600):
            self.polls += 1


@pytest.fixture
def event() -> Any:
    event = PollEvent([QUEUE])
    yield event
    event.set()


def test_the_threads_of_its_queues_poll_when_they_are_woken(event: PollEvent, wait_until: Any) -> None:
    one, other = Waiter(event), Waiter(event, "queue-worker-_dbos_internal_queue")

    for n in range(3):
        event.wake()
        wait_until(lambda n=n: one.polls == n + 1, description="the queue is polled")

    assert other.polls == 0


def test_a_thread_that_polls_while_it_is_woken_polls_again(event: PollEvent) -> None:
    woken: list[bool] = []

    def poll() -> None:
        event.wake()
        woken.append(event.wait(timeout=600))

    thread = threading.Thread(target=poll, name=f"queue-worker-{QUEUE}")
    thread.start()
    thread.join(timeout=60)

    assert woken == [False]


def test_a_stopped_event_ends_every_wait(event: PollEvent) -> None:
    waiters = [Waiter(event), Waiter(event, "another thread")]

    event.set()

    for waiter in waiters:
        waiter.thread.join(timeout=60)
        assert not waiter.thread.is_alive()
    assert event.is_set()


class Wakes:
    """A watch of a store, and how often it has called."""

    def __init__(self, queue: Queue, of: str = "default") -> None:
        self.count = 0
        self.watch = JobWatch(queue.engine, [name_queue(of)], self._wake)

    def _wake(self) -> None:
        self.count += 1


@pytest.fixture
def listens(stage: Stage, wait_until: Any) -> Callable[[Wakes], None]:
    """Wait until a watch notices new jobs."""

    def wait(wakes: Wakes) -> None:
        def is_woken() -> bool:
            before = wakes.count
            stage.queue.start(plan("%%step only"))
            time.sleep(0.1)
            return wakes.count > before

        wait_until(is_woken, description="a new job is noticed")

    return wait


def test_a_queued_job_is_noticed(stage: Stage, listens: Callable[[Wakes], None], wait_until: Any) -> None:
    with (wakes := Wakes(stage.queue)).watch:
        listens(wakes)
        before = wakes.count
        stage.queue.start(plan("%%step only"))

        wait_until(lambda: wakes.count > before, description="one job alone is noticed")


def test_a_file_is_not_polled_for_the_jobs_of_other_queues(sqlite_settings: Settings, wait_until: Any) -> None:
    queue = Queue.open(sqlite_settings)
    with (own := Wakes(queue)).watch, (other := Wakes(queue, "gpu")).watch:
        for n in range(3):
            queue.start(plan("x = 1"))
            wait_until(lambda n=n: own.count > n, description="its own job is noticed")
    queue.close()

    assert other.count == 0


def test_a_look_for_jobs_reads_no_finished_ones(sqlite_settings: Settings) -> None:
    queue = Queue.open(sqlite_settings)
    queue.start(plan("x = 1"))
    seen: list[str] = []
    with queue.engine.connect() as connection:
        compiled = jobs._HAS_QUEUED.bindparams(queues=[QUEUE]).compile(
            connection, compile_kwargs={"render_postcompile": True, "literal_binds": True}
        )
        seen = [str(row[-1]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]
        assert jobs.has_queued(connection, [QUEUE])
    queue.close()

    assert "idx_workflow_status_in_flight" in " ".join(seen)


def test_a_file_that_was_replaced_is_watched(sqlite_settings: Settings, wait_until: Any) -> None:
    queue = Queue.open(sqlite_settings)
    queue.start(plan("x = 1"))
    path = Path(str(queue.engine.url.database))
    with (wakes := Wakes(queue)).watch:
        wait_until(lambda: wakes.count > 0, description="the job is noticed")
        queue.engine.dispose()
        copy = shutil.copy(path, path.with_suffix(".copy"))
        for name in (f"{path}-wal", f"{path}-shm"):
            Path(name).unlink(missing_ok=True)
        Path(copy).replace(path)
        before = wakes.count

        def is_noticed() -> bool:
            queue.start(plan("x = 1"))
            time.sleep(0.1)
            return wakes.count > before + 1

        wait_until(is_noticed, description="jobs in the new file are noticed")
    queue.close()


def test_a_connection_that_breaks_is_opened_again(stage: Stage, listens: Callable[[Wakes], None]) -> None:
    engine = stage.queue.engine
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no connections that break")
    with (wakes := Wakes(stage.queue)).watch:
        listens(wakes)
        with engine.begin() as connection:
            end = sa.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE query = :query AND datname = current_database()"
            )
            assert connection.execute(end, {"query": f"LISTEN {CHANNEL}"}).all() == [(True,)]

        listens(wakes)


def test_a_worker_takes_a_job_at_once(
    stage: Stage, settings: Settings, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With polls so rare that the test would fail without the watch."""
    monkeypatch.setattr(jobs, "_POLL_SECONDS", 600.0)
    stop = threading.Event()
    ready = threading.Event()
    options = {"stop": stop, "on_ready": lambda _name: ready.set(), "drain_seconds": 5}
    worker = threading.Thread(target=run_worker, args=[settings], kwargs=options)
    worker.start()
    try:
        assert ready.wait(60)
        execution = stage.queue.start(plan("x = 1"))
        wait_until(lambda: stage.queue.state(execution) == "completed", description="the worker runs it")
    finally:
        stop.set()
        worker.join()
