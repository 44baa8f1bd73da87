"""The queue as the event loop sees it: opened at the first need, called in threads, never blocking."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from pauseflow_nb.engine.queue import Queue

__all__ = ["LazyQueue"]

P = ParamSpec("P")
T = TypeVar("T")

#: Calls at once. SQLite lets one write at a time anyhow; PostgreSQL is quick.
_THREADS = 8


class LazyQueue:
    """Opens a queue at the first call, and again at the next one if that failed."""

    def __init__(self, opener: Callable[[], Queue]) -> None:
        """Take what opens the queue; it may take long, and raise StoreUnavailable."""
        self._opener = opener
        self._queue: Queue | None = None
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="pauseflow-queue")

    @classmethod
    def of(cls, queue: Queue) -> "LazyQueue":
        """Wrap a queue that is open already."""
        return cls(lambda: queue)

    def get(self) -> Queue:
        """Return the open queue; blocks while it opens, so not for the event loop.

        Raises:
            StoreUnavailable: If it cannot be opened now.
        """
        with self._lock:
            if self._queue is None:
                self._queue = self._opener()
            return self._queue

    async def call(self, function: Callable[Concatenate[Queue, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function with the queue in a thread: `await lazy.call(Queue.view, id)`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(self.get(), *args, **kwargs))

    def close(self) -> None:
        """Let the threads end; calls under way finish."""
        self._threads.shutdown(wait=False, cancel_futures=True)
