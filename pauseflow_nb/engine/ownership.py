"""Decide which process runs an execution, and interrupt segments that this process has lost."""

import contextlib
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from pauseflow_nb.engine.kernel_bound import lose
from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.errors import PauseflowError
from pauseflow_nb.runner.control import Control
from pauseflow_nb.store import audit, executions, segments, steps, workers
from pauseflow_nb.store.database import reading, transaction
from pauseflow_nb.store.executions import FINAL, Row

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_SEEN_SECONDS = 5.0

#: Kinds of processes that may run a segment. One that starts takes its first jobs just before its kind changes.
_RUNNERS = ("worker", "starting", "attached")


def attach(store: OpenStore, execution: str, process: str) -> bool:
    """Attach an execution to a process, which takes it over from the workers or from a process that has ended.

    Returns:
        False if the execution has ended, or another live process runs it.

    Raises:
        UnknownExecution: If there is none.
    """

    def change(connection: sa.Connection) -> bool:
        segment, row = segments.lock_with_execution(connection, execution)
        alive = {found.id for found in workers.list_alive(connection, *_RUNNERS)}
        runs_elsewhere = segment.state == "running" and segment.worker in alive
        if row.state in FINAL or row.attached_to in alive - {process} or runs_elsewhere:
            return False
        if segment.bound is not None and row.attached_to != process:
            lose(connection, segment, row, process)
            return False
        workers.beat(connection, process, "attached", None)
        executions.attach(connection, execution, process)
        audit.add_line(connection, execution, "attached", process, segment=segment.n)
        if segment.state != "ended":
            # Its job, if there is one, will do nothing.
            segments.release(connection, segment, crashed=segment.state == "running", new_job=True)
            executions.set_state(connection, execution, "queued")
        return True

    return store.change(change)


def detach(store: OpenStore, execution: str, *, process: str | None = None) -> None:
    """Leave an execution to the workers, from its last checkpoint.

    Args:
        store: The store.
        execution: Its id.
        process: Do this only if the execution is still attached to this process.
    """

    def change(connection: sa.Connection) -> None:
        segment = segments.lock_latest(connection, execution)
        row = executions.lock(connection, execution)
        if segment is None or row is None or row.attached_to is None or process not in (None, row.attached_to):
            return
        executions.attach(connection, execution, None)
        if row.state in FINAL:
            return
        audit.add_line(connection, execution, "detached", row.attached_to, segment=segment.n)
        if segment.bound is not None:
            # The kernel that it needs has ended, or ends with the process.
            lose(connection, segment, row, row.attached_to)
            return
        if segment.state == "running":
            # The process that ran it is dead, or gives it up.
            segments.release(connection, segment, crashed=True)
            steps.interrupt(connection, execution, segment.n, segment.first_cell)
            executions.set_state(connection, execution, "queued")
        if segment.state != "ended":
            store.jobs.enqueue(connection, execution, segment.n, segment.job)

    store.change(change)


@dataclasses.dataclass
class _Watched:
    segment: Row
    control: Control
    #: Its kernel has run, or could not start; this process records how that ended.
    has_run: bool = False


class Watch:
    """Watches the running segments of this process from one thread."""

    def __init__(self, store: OpenStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        #: By attempt: a process may get a segment again that it has lost, before its first attempt has noticed.
        self._running: dict[tuple[str, int, int], _Watched] = {}
        self._looker: _Looker | None = None

    @contextlib.contextmanager
    def over(self, segment: Row, control: Control) -> Iterator[None]:
        """Watch one segment; when this process has lost it, interrupt its kernel, and kill it a little later."""
        key = _name_attempt(segment)
        with self._lock:
            self._running[key] = _Watched(segment, control)
            if self._looker is None:
                self._looker = _Looker(self._store, self._list_watched)
                self._looker.start()
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(key, None)
                idle = None
                if not self._running:
                    idle, self._looker = self._looker, None
            if idle is not None:
                idle.end()

    @contextlib.contextmanager
    def in_kernel(self, segment: Row) -> Iterator[None]:
        """Let a watched segment be interrupted only within this; its end is recorded later.

        To record the end, this process may release the segment, which is not a loss.
        """
        try:
            yield
        finally:
            with self._lock:
                self._running[_name_attempt(segment)].has_run = True

    def list_running(self) -> list[tuple[Row, Control]]:
        """List the segments whose end is not recorded yet."""
        return [(each.segment, each.control) for each in self._list_watched()]

    def _list_watched(self) -> list[_Watched]:
        with self._lock:
            return list(self._running.values())


def _name_attempt(segment: Row) -> tuple[str, int, int]:
    return segment.execution, segment.n, segment.attempt


class _Looker(threading.Thread):
    def __init__(self, store: OpenStore, running: Callable[[], list[_Watched]]) -> None:
        super().__init__(name="pauseflow-watch", daemon=True)
        self._store, self._running = store, running
        self._stop_looking = threading.Event()

    def run(self) -> None:
        seen_at = time.monotonic()
        while not self._stop_looking.wait(_LOOK_SECONDS):
            is_time = time.monotonic() - seen_at > _SEEN_SECONDS
            if is_time:
                seen_at = time.monotonic()
            # If the store cannot be reached, the owners are unknown.
            with contextlib.suppress(PauseflowError):
                self._look(self._running(), note=is_time)

    def end(self) -> None:
        self._stop_looking.set()
        self.join(_LOOK_SECONDS)

    def _look(self, running: list[_Watched], *, note: bool) -> None:
        with reading(self._store.engine) as connection:
            lost = [each for each in running if segments.is_lost(connection, each.segment)]
            suspended_by = executions.list_to_suspend(connection, [each.segment.execution for each in running])
        for each in running:
            if each.segment.execution in suspended_by:
                each.control.suspend_at_boundary(suspended_by[each.segment.execution])
        for each in lost:
            # Read after the store: a segment that had not run by now cannot have been released by this process itself.
            if not each.has_run and each.control.request not in {"interrupt", "kill"}:
                execution, n = each.segment.execution, each.segment.n
                where = {"execution": execution, "segment": n}
                log.info("interrupted %s/%s: it is not ours any more", execution, n, extra=where)
                each.control.interrupt()
        if note:
            with transaction(self._store.engine) as connection:
                for each in running:
                    segments.mark_seen(connection, each.segment)
