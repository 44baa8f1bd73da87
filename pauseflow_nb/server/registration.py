"""Register a server in its store while it runs, and keep its worker alive."""

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

Readiness: TypeAlias = Literal["starting", "ok", "degraded"]

#: Seconds between attempts to open the store.
_RETRY_SECONDS = 5.0
#: Seconds between checks of the worker.
_POLL_SECONDS = 0.1
#: Seconds after which a slow start of the worker is logged.
_WORKER_SECONDS = 30.0

log = logging.getLogger(__name__)


class Registration:
    """A thread, because opening a store and starting a process block."""

    def __init__(
        self,
        queue: LazyQueue,
        url: str | None,
        worker: WorkerProcess | None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        """Set the store, the address and the worker.

        Args:
            queue: The store.
            url: Address of the server; None if no browser can open it, as for a Unix socket.
            worker: The worker to keep alive; None if workers run elsewhere.
            on_ready: Called in the thread once the server is registered and its worker takes jobs.
        """
        self._queue, self._url, self._worker, self._on_ready = queue, url, worker, on_ready
        self._is_registered = self._was_ready = False
        #: Process id of the last worker that was seen to take jobs.
        self._seen_pid: int | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pauseflow-registration", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the worker, which finishes its segments first, and then the thread; blocks."""
        self._stopping.set()
        if self._worker is not None:
            self._worker.stop()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def readiness(self) -> Readiness:
        """Whether new executions are run at once; `"degraded"` means that the worker has ended and is being restarted."""
        if self._worker is None:
            return "ok" if self._is_registered else "starting"
        if self._seen_pid is None:
            return "starting"
        return "ok" if self._worker.pid == self._seen_pid else "degraded"

    def _run(self) -> None:
        # Before the store is opened here, because the worker opens it, too, and both take a while.
        if self._worker is not None:
            self._worker.start()
        while not self._stopping.is_set():
            try:
                queue = self._queue.get()
                with Presence(queue, "server", url=self._url):
                    self._is_registered = True
                    self._look_after(queue)
            except PauseflowError as problem:
                log.warning("%s; trying again in %.0f s", problem, _RETRY_SECONDS)
                self._stopping.wait(_RETRY_SECONDS)

    def _look_after(self, queue: Queue) -> None:
        """Call `on_ready` when the server is ready, and log when a new worker has replaced one that ended."""
        while not self._stopping.is_set():
            if self._worker is not None and self.readiness != "ok":
                self._wait_for(queue, self._worker)
            if not self._was_ready and not self._stopping.is_set():
                self._was_ready = True
                self._on_ready()
            self._stopping.wait(_POLL_SECONDS)

    def _wait_for(self, queue: Queue, worker: WorkerProcess) -> None:
        """Wait until the worker takes jobs; meanwhile a row in the store says that a worker is starting."""
        warn_at = time.monotonic() + _WORKER_SECONDS
        with Presence(queue, "starting"):
            while not self._stopping.wait(_POLL_SECONDS):
                pid = worker.pid
                if pid is not None and queue.has_live_worker(pid):
                    self._seen_pid = pid
                    return
                if time.monotonic() > warn_at:
                    log.warning("the worker takes no jobs after %.0f s; new executions will wait", _WORKER_SECONDS)
                    warn_at = math.inf
