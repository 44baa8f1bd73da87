"""What a server does for its store while it runs: it is registered with its address, and keeps a worker alive."""

import logging
import threading
import time
from collections.abc import Callable

from pauseflow_nb.engine.presence import Presence
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import PauseflowError
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.worker_process import WorkerProcess

__all__ = ["Keeper"]

#: Seconds between attempts to open the store, and the most that is waited for a worker before the server is ready.
_AGAIN_SECONDS = 5.0
_WORKER_SECONDS = 30.0

log = logging.getLogger(__name__)


class Keeper:
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
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="pauseflow-keeper", daemon=True)

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

    def _keep(self) -> None:
        # Before the store is open here: the worker has its own road to it, and both take a while.
        if self._worker is not None:
            self._worker.start()
        while not self._stopping.is_set():
            try:
                queue = self._queue.get()
                with Presence(queue, "server", url=self._url):
                    self._say_ready(queue)
                    self._stopping.wait()
            except PauseflowError as problem:
                log.warning("%s; tried again in %.0f s", problem, _AGAIN_SECONDS)
                self._stopping.wait(_AGAIN_SECONDS)

    def _say_ready(self, queue: Queue) -> None:
        patience = time.monotonic() + _WORKER_SECONDS
        while self._worker is not None and not queue.has_live_worker():
            if time.monotonic() > patience:
                log.warning("no worker is alive after %.0f s; what is started will wait for one", _WORKER_SECONDS)
                break
            if self._stopping.wait(0.1):
                return
        self._on_ready()
