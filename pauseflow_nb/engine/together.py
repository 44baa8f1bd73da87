"""Handle what several threads ask for at the same time in one go, such as one transaction for all."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

__all__ = ["Together"]

T = TypeVar("T")
R = TypeVar("R")


class Together(Generic[T, R]):
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
        self._is_busy = False
        self._thread = ThreadPoolExecutor(1, name)

    def submit(self, one: T) -> Future[R]:
        """Hand one over; the result is there when all that are handled with it are done."""
        future: Future[R] = Future()
        with self._lock:
            self._waiting.append((one, future))
            if not self._is_busy:
                self._is_busy = True
                self._thread.submit(self._run)
        return future

    def close(self) -> None:
        """Handle what is there, and end the thread."""
        self._thread.shutdown()

    def _run(self) -> None:
        while taken := self._take():
            try:
                results = self._handle([one for one, _ in taken])
            except Exception as problem:  # noqa: BLE001  (whatever it is, those who wait must not wait for ever)
                results = [problem] * len(taken)
            for (_, future), result in zip(taken, results, strict=True):
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

    def _take(self) -> list[tuple[T, Future[R]]]:
        with self._lock:
            taken, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            self._is_busy = bool(taken)
            return taken
