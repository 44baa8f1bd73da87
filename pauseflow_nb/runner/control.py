"""Stop or suspend a segment from another thread: before its next cell, or by interrupting or killing its kernel."""

import threading
from typing import Literal

from pauseflow_nb.runner.kernels.kernel import Kernel

StopRequest = Literal["", "stop", "interrupt", "kill"]

_ORDER: tuple[StopRequest, ...] = ("", "stop", "interrupt", "kill")


class Control:
    """Takes requests to stop one segment; safe from any thread. A request cannot be taken back.

    Args:
        grace_seconds: Seconds that an interrupted cell may continue before its kernel is killed.
    """

    def __init__(self, grace_seconds: float = 10.0) -> None:
        self._grace_seconds = grace_seconds
        self._lock = threading.Lock()
        self._kernel: Kernel | None = None
        self._timers: list[threading.Timer] = []
        self._may_interrupt = False
        self._request: StopRequest = ""
        self._suspend_by: str | None = None

    @property
    def request(self) -> StopRequest:
        """Return the strongest request so far; empty if there was none."""
        return self._request

    def stop_at_boundary(self) -> None:
        """End the segment before the next cell."""
        self._raise_request("stop")

    def suspend_at_boundary(self, by: str) -> None:
        """End the segment before the next cell, with the variables saved, until the execution is resumed.

        Unlike the others, this request holds once: it does not suspend a later segment with the same control.
        """
        self._suspend_by = by

    def take_suspend(self) -> str | None:
        """Return who requested that the segment be suspended, once; None if there is no request. Called between two cells."""
        by, self._suspend_by = self._suspend_by, None
        return by

    def interrupt(self) -> None:
        """Interrupt the running cell, which sees a KeyboardInterrupt; its kernel is killed if it continues."""
        kernel = self._raise_request("interrupt")
        if kernel is None:
            return
        if self._may_interrupt:
            self._interrupt(kernel)
        else:
            kernel.kill()

    def kill(self) -> None:
        """Kill the kernel at once."""
        kernel = self._raise_request("kill")
        if kernel is not None:
            kernel.kill()

    def attach(self, kernel: Kernel) -> None:
        """Take the kernel of the segment; until `note_cells_run`, an interrupt kills it."""
        with self._lock:
            self._kernel = kernel
            request = self._request
        if request in {"interrupt", "kill"}:
            kernel.kill()

    def note_cells_run(self) -> None:
        """Note that the first cell is about to run: from now on an interrupt gives the cell time to end."""
        self._may_interrupt = True

    def detach(self) -> None:
        """Forget the kernel of the segment, which has ended."""
        with self._lock:
            self._kernel = None
            for timer in self._timers:
                timer.cancel()

    def _raise_request(self, request: StopRequest) -> Kernel | None:
        with self._lock:
            self._request = max(self._request, request, key=_ORDER.index)
            return self._kernel

    def _interrupt(self, kernel: Kernel) -> None:
        kernel.interrupt()
        with self._lock:
            if self._timers or self._kernel is None:
                return
            # A second interrupt after half the time: an idle kernel ignores a signal that comes between two cells.
            self._timers = [
                threading.Timer(self._grace_seconds / 2, kernel.interrupt),
                threading.Timer(self._grace_seconds, kernel.kill),
            ]
            for timer in self._timers:
                timer.daemon = True
                timer.start()
