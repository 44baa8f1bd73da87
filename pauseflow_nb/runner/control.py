"""How others stop a segment that runs in some thread: at the next boundary, by interrupting, by killing."""

import threading
from typing import Literal

from pauseflow_nb.runner.kernels.kernel import Kernel

__all__ = ["Control", "Request"]

Request = Literal["", "stop", "interrupt", "kill"]

_ORDER: tuple[Request, ...] = ("", "stop", "interrupt", "kill")


class Control:
    """Thread-safe. What was asked stays asked: a `Control` serves one segment.

    Args:
        grace_seconds: How long an interrupted cell may go on before its kernel is killed.
    """

    def __init__(self, grace_seconds: float = 10.0) -> None:
        self._grace_seconds = grace_seconds
        self._lock = threading.Lock()
        self._kernel: Kernel | None = None
        self._timers: list[threading.Timer] = []
        self._has_work_to_lose = False
        self._request: Request = ""
        self._suspend_by: str | None = None

    @property
    def request(self) -> Request:
        """The strongest thing asked so far; empty if none was."""
        return self._request

    def stop_at_boundary(self) -> None:
        """End the segment before the next cell."""
        self._ask("stop")

    def suspend_at_boundary(self, by: str) -> None:
        """End the segment before the next cell, with the variables saved, until somebody resumes.

        Unlike the others this is asked once: a later segment of the same control knows nothing of it.

        Args:
            by: Who asks.
        """
        self._suspend_by = by

    def take_suspend(self) -> str | None:
        """Called by the segment between two cells: who asked that it be suspended; None if nobody did."""
        by, self._suspend_by = self._suspend_by, None
        return by

    def interrupt(self) -> None:
        """Interrupt the running cell, which sees a KeyboardInterrupt; its kernel is killed if it goes on."""
        kernel = self._ask("interrupt")
        if kernel is None:
            return
        if self._has_work_to_lose:
            self._interrupt(kernel)
        else:
            kernel.kill()

    def kill(self) -> None:
        """Kill the kernel at once."""
        kernel = self._ask("kill")
        if kernel is not None:
            kernel.kill()

    def attach(self, kernel: Kernel) -> None:
        """Called by the segment when its kernel was started; until `cells_run` an interrupt kills it."""
        with self._lock:
            self._kernel = kernel
            request = self._request
        if request in {"interrupt", "kill"}:
            kernel.kill()

    def cells_run(self) -> None:
        """Called by the segment before its first cell."""
        self._has_work_to_lose = True

    def detach(self) -> None:
        """Called by the segment when its kernel has gone."""
        with self._lock:
            self._kernel = None
            for timer in self._timers:
                timer.cancel()

    def _ask(self, request: Request) -> Kernel | None:
        with self._lock:
            self._request = max(self._request, request, key=_ORDER.index)
            return self._kernel

    def _interrupt(self, kernel: Kernel) -> None:
        kernel.interrupt()
        with self._lock:
            if self._timers or self._kernel is None:
                return
            # Interrupted again half-way: a signal that came between two cells was lost on an idle kernel.
            self._timers = [
                threading.Timer(self._grace_seconds / 2, kernel.interrupt),
                threading.Timer(self._grace_seconds, kernel.kill),
            ]
            for timer in self._timers:
                timer.daemon = True
                timer.start()
