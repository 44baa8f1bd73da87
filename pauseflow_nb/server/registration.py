"""What a server does for its store while it runs: it is registered with its address, and keeps a worker alive."""

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from pauseflow_nb.engine.heartbeat import Presence
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import PauseflowError
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.worker_process import WorkerProcess

__all__ = ["Readiness", "Registration"]

Readiness: TypeAlias = Literal["starting", "ok", "degraded"]

#: Seconds between attempts to open the store, between looks at the worker, and until a slow start is logged.
_AGAIN_SECONDS = 5.0
_LOOK_SECONDS = 0.1
_WORKER_SECONDS = 30.0

log = logging.getLogger(__name__)


class Registration:
    """A thread beside the event loop: opening a store and starting a process block."""

    def __init__(
        self,
        queue: LazyQueue,
        url: str | None,
        worker: WorkerProcess | None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Take what to keep.

        Args:
            queue: The store.
            url: Where the server answers; None if nobody could open it, as with a Unix socket.
            worker: The worker to keep alive; None if others do.
            on_ready: Called in the thread, once the server is registered and its worker is alive.
        """
        self._queue, self._url, self._worker, self._on_ready = queue, url, worker, on_ready
        self._is_registered = self._has_said_ready = False
        #: The worker that was seen to take jobs.
        self._seen_pid: int | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="pauseflow-registration", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and the worker before: what it runs gets its time. Blocks."""
        self._stopping.set()
        if self._worker is not None:
            self._worker.stop()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def readiness(self) -> Readiness:
        """Whether what is started here is run: `"degraded"` says that the worker has ended and is started again."""
        if self._worker is None:
            return "ok" if self._is_registered else "starting"
        if self._seen_pid is None:
            return "starting"
        return "ok" if self._worker.pid == self._seen_pid else "degraded"

    def _keep(self) -> None:
        # Before the store is open here: the worker has its own road to it, and both take a while.
        if self._worker is not None:
            self._worker.start()
        while not self._stopping.is_set():
            try:
                queue = self._queue.get()
                with Presence(queue, "server", url=self._url):
                    self._is_registered = True
                    self._look_after(queue)
            except PauseflowError as problem:
                log.warning("%s; tried again in %.0f s", problem, _AGAIN_SECONDS)
                self._stopping.wait(_AGAIN_SECONDS)

    def _look_after(self, queue: Queue) -> None:
        """Say that the server is ready once it is, and notice a worker that took the place of one that ended."""
        while not self._stopping.is_set():
            if self._worker is not None and self.readiness != "ok":
                self._wait_for(queue, self._worker)
            if not self._has_said_ready and not self._stopping.is_set():
                self._has_said_ready = True
                self._on_ready()
            self._stopping.wait(_LOOK_SECONDS)

    def _wait_for(self, queue: Queue, worker: WorkerProcess) -> None:
        """Wait until the worker takes jobs; until then the store has a row that says that one is starting."""
        patience = time.monotonic() + _WORKER_SECONDS
        with Presence(queue, "starting"):
            while not self._stopping.wait(_LOOK_SECONDS):
                pid = worker.pid
                if pid is not None and queue.has_live_worker(pid):
                    self._seen_pid = pid
                    return
                if time.monotonic() > patience:
                    log.warning("the worker takes no jobs after %.0f s; what is started will wait", _WORKER_SECONDS)
                    patience = math.inf
