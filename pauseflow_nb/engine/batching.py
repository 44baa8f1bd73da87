"""Collect what several threads ask for at the same time, and handle it in one go, such as in one transaction."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from pauseflow_nb.errors import StoreUnavailable

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Hands what has come since the last time to a function, in a thread of its own."""

    def __init__(self, handle: Callable[[list[T]], list[R | Exception]], *, name: str, most: int) -> None:
        """Take the function.

        Args:
            handle: Called with what has come, in order; returns a result for each, or the error for its sender.
            name: Of the thread.
            most: How many are handled at once.
        """
        self._handle, self._most = handle, most
        self._lock = threading.Lock()
        self._waiting: list[tuple[T, Future[R]]] = []
        self._is_busy = self._is_closed = False
        self._thread = ThreadPoolExecutor(1, name)

    def submit(self, one: T) -> Future[R]:
        """Hand one over; the result is there when all that are handled with it are done.

        Until it is taken, its future can be cancelled, and then it is never handled.

        Raises:
            StoreUnavailable: If it is closed.
        """
        future: Future[R] = Future()
        with self._lock:
            if self._is_closed:
                raise StoreUnavailable("the store", "this process is being stopped: try again when it has restarted")
            if not self._is_busy:
                self._thread.submit(self._run)
                self._is_busy = True
            self._waiting.append((one, future))
        return future

    def close(self) -> None:
        """Handle what is there, refuse what comes later, and end the thread."""
        with self._lock:
            self._is_closed = True
        self._thread.shutdown()

    def _run(self) -> None:
        while batch := self._take():
            # One whose sender does not wait any more is left untouched; from here on nobody can cancel.
            running = [(one, future) for one, future in batch if future.set_running_or_notify_cancel()]
            try:
                results = self._handle([one for one, _ in running]) if running else []
            except Exception as problem:  # noqa: BLE001  (whatever it is, those who wait must not wait for ever)
                results = [problem] * len(running)
            for (_, future), result in zip(running, results, strict=True):
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _take(self) -> list[tuple[T, Future[R]]]:
        with self._lock:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            self._is_busy = bool(batch)
            return batch
