"""Handle requests that several threads send at the same time together, for example in one transaction."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Generic, TypeAlias, TypeVar

from pauseflow_nb.errors import StoreUnavailable

#: Seconds that a batch waits for further items at most.
_LONGEST_WAIT = 0.05

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _Request(Generic[T, R]):
    what: T
    #: Receives the result. A future of an event loop is changed only in its loop.
    future: "Future[R] | asyncio.Future[R]"

    def begin(self) -> bool:
        """Whether the sender still waits; after this, the item is handled even if the sender is cancelled."""
        if isinstance(self.future, Future):
            return self.future.set_running_or_notify_cancel()
        return not self.future.cancelled()

    def end(self, result: R | Exception) -> None:
        """Give the result to the sender, unless its task has ended."""
        if self.future.done():
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


_Results: TypeAlias = list[tuple[_Request[T, R], R | Exception]]


class Batcher(Generic[T, R]):
    """Collects items, and passes them in batches to a function in its own thread.

    Senders who have their results often send the next item at once. So a batch waits until there are as many items as
    the last time, at most as long as that took: handling two halves takes longer.
    """

    def __init__(self, handle: Callable[[list[T]], list[R | Exception]], *, name: str, most: int) -> None:
        """Take the function that handles the items.

        Args:
            handle: Called with the items, in order; returns a result or an error for each.
            name: Name of the thread.
            most: Most items in one batch.
        """
        self._handle, self._most = handle, most
        self._lock = threading.Lock()
        self._is_full = threading.Condition(self._lock)
        #: Number of items for which a batch waits, and how many seconds at most.
        self._expected, self._patience = 1, 0.0
        self._waiting: list[_Request[T, R]] = []
        self._is_busy = self._is_closed = self._is_planned = False
        self._thread = ThreadPoolExecutor(1, name)

    def submit(self, what: T) -> Future[R]:
        """Add an item; return the future of its result, which is set when the whole batch is done.

        Until the item is taken, the future can be cancelled; then the item is not handled.

        Raises:
            StoreUnavailable: If the batcher is closed.
        """
        future: Future[R] = Future()
        with self._lock:
            self._add(_Request(what, future))
            self._start()
        return future

    async def ask(self, what: T) -> R:
        """Add an item from an event loop, and wait for its result.

        Items that the loop adds in one iteration are handled together, and the loop is woken once for all results:
        waking it for each costs as much as handling the item.

        Raises:
            StoreUnavailable: If the batcher is closed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        with self._lock:
            self._add(_Request(what, future))
            if not self._is_busy and not self._is_planned:
                self._is_planned = True
                loop.call_soon(self._start_planned)
        return await future

    def close(self) -> None:
        """Handle the remaining items, refuse later ones, and end the thread."""
        with self._lock:
            self._is_closed = True
            self._is_full.notify()
            if self._waiting:
                self._start()
        self._thread.shutdown()

    def _add(self, request: _Request[T, R]) -> None:
        if self._is_closed:
            raise StoreUnavailable("the store", "this process is being stopped: try again when it has restarted")
        self._waiting.append(request)
        if len(self._waiting) >= self._expected:
            self._is_full.notify()

    def _start(self) -> None:
        if not self._is_busy:
            self._is_busy = True
            self._thread.submit(self._run)

    def _start_planned(self) -> None:
        with self._lock:
            self._is_planned = False
            # Another thread may have added an item meanwhile, or closed the batcher.
            if self._waiting and not self._is_closed:
                self._start()

    def _run(self) -> None:
        while batch := self._take():
            began = monotonic()
            # Items whose sender no longer waits are skipped.
            running = [request for request in batch if request.begin()]
            try:
                results = self._handle([request.what for request in running]) if running else []
            except Exception as problem:  # noqa: BLE001  (whatever it is, those who wait must not wait for ever)
                results = [problem] * len(running)
            with self._lock:
                # After a burst it falls slowly, because one small batch between large ones says little.
                self._expected = min(max(len(batch) + len(self._waiting), self._expected // 2), self._most)
                self._patience = min(monotonic() - began, _LONGEST_WAIT)
            _deliver(list(zip(running, results, strict=True)))

    def _take(self) -> list[_Request[T, R]]:
        with self._lock:
            if self._waiting:
                self._is_full.wait_for(lambda: len(self._waiting) >= self._expected or self._is_closed, self._patience)
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            self._is_busy = bool(batch)
            return batch


def _deliver(results: Sequence[tuple[_Request[T, R], R | Exception]]) -> None:
    """Give each sender its result, and wake each event loop once."""
    of_loops: dict[asyncio.AbstractEventLoop, _Results[T, R]] = {}
    for request, result in results:
        if isinstance(request.future, Future):
            request.end(result)
        else:
            of_loops.setdefault(request.future.get_loop(), []).append((request, result))
    for loop, found in of_loops.items():
        # In a closed loop nobody waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_end_all, found)


def _end_all(results: _Results[T, R]) -> None:
    for request, result in results:
        request.end(result)
