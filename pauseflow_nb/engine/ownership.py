"""Notice that a segment which this process runs is no longer its own: cancelled, or taken over by another."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import PauseflowError
from pauseflow_nb.runner.control import Control
from pauseflow_nb.store import executions, segments
from pauseflow_nb.store.database import reading, transaction
from pauseflow_nb.store.executions import Row

__all__ = ["Watch"]

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_SEEN_SECONDS = 5.0


class Watch:
    """One thread that looks after all segments of this process, while there are any."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], tuple[Row, Control]] = {}
        self._looker: _Looker | None = None

    @contextlib.contextmanager
    def over(self, segment: Row, control: Control) -> Iterator[None]:
        """Watch one segment: its kernel is interrupted, and killed a little later, once it is not ours any more."""
        key = (segment.execution, segment.n)
        with self._lock:
            self._running[key] = (segment, control)
            if self._looker is None:
                self._looker = _Looker(self._queue, self.running)
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

    def running(self) -> list[tuple[Row, Control]]:
        """List what runs now."""
        with self._lock:
            return list(self._running.values())


class _Looker(threading.Thread):
    def __init__(self, queue: Queue, running: Callable[[], list[tuple[Row, Control]]]) -> None:
        super().__init__(name="pauseflow-watch", daemon=True)
        self._queue, self._running = queue, running
        self._stop_looking = threading.Event()

    def run(self) -> None:
        seen_at = time.monotonic()
        while not self._stop_looking.wait(_LOOK_SECONDS):
            is_time = time.monotonic() - seen_at > _SEEN_SECONDS
            if is_time:
                seen_at = time.monotonic()
            # A store that cannot be reached says nothing about who owns what.
            with contextlib.suppress(PauseflowError):
                self._look(self._running(), note=is_time)

    def end(self) -> None:
        self._stop_looking.set()
        self.join(_LOOK_SECONDS)

    def _look(self, running: list[tuple[Row, Control]], *, note: bool) -> None:
        with reading(self._queue.engine) as connection:
            lost = [pair for pair in running if segments.is_lost(connection, pair[0])]
            wanted = executions.to_suspend(connection, [segment.execution for segment, _ in running])
        for segment, control in running:
            if segment.execution in wanted:
                control.suspend_at_boundary(wanted[segment.execution])
        for segment, control in lost:
            if control.request not in {"interrupt", "kill"}:
                where = {"execution": segment.execution, "segment": segment.n}
                log.info("interrupted %s/%s: it is not ours any more", segment.execution, segment.n, extra=where)
                control.interrupt()
        if note:
            with transaction(self._queue.engine) as connection:
                for segment, _ in running:
                    segments.seen(connection, segment)
