"""Make a worker look for jobs as soon as one is queued: DBOS itself polls, and the poll is most of an answer's way.

On PostgreSQL the transaction that queues a job notifies the workers. On SQLite a worker looks fifty times a second
whether any process has committed, which needs no query and no lock. Polling continues beside it: a notification may be
lost, and a pooler such as PgBouncer delivers none.
"""

import importlib
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

import sqlalchemy as sa
from dbos import DBOS

from pauseflow_nb.engine.jobs import CHANNEL, has_queued
from pauseflow_nb.engine.outage import Outage
from pauseflow_nb.store.database import is_pooled

log = logging.getLogger(__name__)

#: Seconds between two looks at an SQLite file.
_LOOK_SECONDS = 0.02
#: Seconds after which a thread that waits for notifications looks whether the worker has stopped.
_LISTEN_SECONDS = 0.5
#: Seconds after which a connection to an SQLite file is opened again, in case that the file was replaced.
_REOPEN_SECONDS = 1.0
#: Seconds that a stopping worker waits for the thread, which may be connecting to a host that does not answer.
_JOIN_SECONDS = 2.0
_RETRY_SECONDS = 1.0


class PollEvent:
    """The event that stops DBOS's queue threads, which poll each time that waiting for it ends; `wake` ends it early."""

    def __init__(self, queues: Iterable[str]) -> None:
        """Take DBOS's names of the queues whose threads `wake` concerns."""
        # The threads of DBOS's own queues, and the one that starts them, wait for the same event.
        self._threads = frozenset(f"queue-worker-{queue}" for queue in queues)
        self._condition = threading.Condition()
        self._is_set = False
        self._wakes = 0
        self._seen: dict[str, int] = {}

    def is_set(self) -> bool:
        """Whether the threads must end."""
        return self._is_set

    def set(self) -> None:
        """End the threads."""
        with self._condition:
            self._is_set = True
            self._condition.notify_all()

    def wake(self) -> None:
        """Make the threads of the queues poll now; one that polls at this moment polls again after that."""
        with self._condition:
            self._wakes += 1
            self._condition.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the threads must end, until `wake`, or for some seconds; return whether they must end."""
        name = threading.current_thread().name
        with self._condition:
            self._condition.wait_for(lambda: self._is_set or self._has_news(name), timeout)
            self._seen[name] = self._wakes
            return self._is_set

    def _has_news(self, name: str) -> bool:
        return name in self._threads and self._seen.get(name, 0) != self._wakes


def launch(polls: PollEvent) -> None:
    """Launch the DBOS of this process, with queue threads that `polls` wakes and that end when DBOS stops."""
    # Private names of DBOS, whose version is pinned: a test fails if its threads are no longer woken.
    module: Any = importlib.import_module("dbos._dbos")
    run = module.queue_thread

    def run_woken(stop: threading.Event, dbos: Any) -> None:
        events = dbos.background_thread_stop_events
        events[events.index(stop)] = polls
        # DBOS may have been stopped between the two lines above.
        if stop.is_set():
            polls.set()
        run(polls, dbos)

    module.queue_thread = run_woken
    try:
        DBOS.launch()
    finally:
        module.queue_thread = run


class JobWatch:
    """Calls a function whenever jobs may have been queued, in a thread, as a context manager."""

    def __init__(self, engine: sa.Engine, queues: Iterable[str], wake: Callable[[], None]) -> None:
        """Take the store, DBOS's names of the queues that this worker takes jobs from, and the function."""
        self._engine, self._queues, self._wake = engine, tuple(queues), wake
        self._stop = threading.Event()
        self._outage = Outage(log, "jobs are found by polling only")
        watch = self._watch_file if engine.dialect.name == "sqlite" else self._listen
        self._thread = threading.Thread(target=self._run, args=[watch], name="pauseflow-jobs", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_JOIN_SECONDS)

    def _run(self, watch: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                watch()
            except Exception as problem:  # noqa: BLE001  (whatever the error is, polling continues)
                self._outage.failed(problem)
                self._stop.wait(_RETRY_SECONDS)

    def _watch_file(self) -> None:
        until = time.monotonic() + _REOPEN_SECONDS
        with self._engine.connect() as connection:
            seen = None
            while not self._stop.wait(_LOOK_SECONDS) and time.monotonic() < until:
                version = connection.exec_driver_sql("PRAGMA data_version").scalar_one()
                if version != seen and has_queued(connection, self._queues):
                    self._wake()
                seen = version
                # Otherwise it would go on reading the state of the first look.
                connection.rollback()
                self._outage.ended()

    def _listen(self) -> None:
        with self._engine.connect() as connection:
            if not is_pooled(connection):
                self._wake_when_notified(connection)
                return
        # A pooler passes no notification on, and a session of its that listened would do so for ever.
        self._stop.wait()

    def _wake_when_notified(self, connection: sa.Connection) -> None:
        # It waits for as long as the worker lives: it must not take a place in the pool.
        connection.detach()
        driver: Any = connection.connection.dbapi_connection
        driver.autocommit = True
        driver.execute(f"LISTEN {CHANNEL}")
        self._outage.ended()
        # A job may have been queued while nobody listened.
        self._wake()
        try:
            while not self._stop.is_set():
                for _ in driver.notifies(timeout=_LISTEN_SECONDS, stop_after=1):
                    self._wake()
        except Exception:
            # Otherwise SQLAlchemy logs that it cannot roll a lost connection back.
            connection.invalidate()
            raise
