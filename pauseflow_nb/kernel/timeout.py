"""Interrupt a step that runs longer than its `--timeout`.

After the time, a thread sends the main thread the signal of Ctrl-C: it also ends blocking system calls, which an
exception set from outside does not. Code in C that does not check for signals is interrupted when it returns.
"""

import _thread
import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import FrameType
from typing import Any

from pauseflow_nb.durations import format_duration

#: Seconds after which the signal is sent again to code that swallowed it.
_AGAIN = 5.0
#: Seconds between two checks while time does not count.
_LOOK = 0.1


class StepTimeout(KeyboardInterrupt):
    """The step ran longer than its `--timeout`.

    It is a `KeyboardInterrupt` because a user's `except Exception` around a hanging request must not swallow it, and
    because libraries handle interrupts.
    """

    def __init__(self, step: str, limit: timedelta) -> None:
        super().__init__(step, limit)
        self.step, self.limit = step, limit

    def __str__(self) -> str:
        return f"step {self.step!r} ran longer than its --timeout of {format_duration(self.limit)}"


class TimeLimit:
    """Raises `StepTimeout` in the main thread while it is armed and the limit has passed."""

    def __init__(self, step: str, limit: timedelta, cell: str) -> None:
        """Take the limit, and the file name of the code that may be interrupted."""
        self._error = StepTimeout(step, limit)
        self._limit, self._cell = limit, cell
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._signals_sent = 0
        self._deadline = 0.0
        self._paused_since: float | None = None
        self._previous: Any = None
        self._task: asyncio.Task[Any] | None = None
        #: Whether the limit has passed.
        self.has_passed = False

    def arm(self) -> None:
        """Start counting; in a thread that cannot receive signals, the time is checked only when the step ends."""
        self._task = _current_task()
        self._deadline = time.monotonic() + self._limit.total_seconds()
        self._is_main = threading.current_thread() is threading.main_thread()
        if self._is_main:
            self._previous = signal.signal(signal.SIGINT, self._on_signal) or signal.default_int_handler
        threading.Thread(target=self._watch, name="pauseflow-timeout", daemon=True).start()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop counting during a `with` block."""
        with self._lock:
            began = self._paused_since = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._deadline += time.monotonic() - began
                self._paused_since = None

    def disarm(self) -> None:
        """Stop counting; can be called more than once."""
        with self._lock:
            self._ended.set()
        if self._previous is not None:
            # A signal that is still pending reaches our handler first: `signal.signal` runs the handlers of pending
            # signals.
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def error(self, interrupted: BaseException | None = None) -> StepTimeout:
        """Return the error to raise, with the traceback of the place that was interrupted."""
        return self._error if interrupted is None else self._error.with_traceback(interrupted.__traceback__)

    def _watch(self) -> None:
        wait = self._limit.total_seconds()
        while not self._ended.wait(min(wait, threading.TIMEOUT_MAX)):
            with self._lock:
                if self._ended.is_set():
                    return
                left = self._deadline - time.monotonic()
                if self._paused_since is not None or (left > 0 and not self.has_passed):
                    wait = _LOOK if self._paused_since is not None else left
                    continue
                self.has_passed = True
                if not self._is_main:
                    return
                self._signals_sent += 1
                _interrupt_main_thread()
            wait = _AGAIN

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if not self._signals_sent:
            self._pass_on(number, frame)
            return
        self._signals_sent -= 1
        if self._ended.is_set():
            return
        if self._is_running(frame):
            raise self._error
        if self._task is not None:
            # The step awaits something: not its code is running, but the event loop.
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        handler: Callable[[int, FrameType | None], Any] | int = self._previous
        if callable(handler):
            handler(number, frame)
            if self._task is not None:
                # ipykernel's handler adds its callback to a loop that sleeps, and does not wake the loop.
                self._task.get_loop().call_soon_threadsafe(lambda: None)
        elif handler != signal.SIG_IGN:
            raise KeyboardInterrupt

    def _is_running(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_code.co_filename == self._cell:
                return True
            frame = frame.f_back
        return False


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def _interrupt_main_thread() -> None:
    main = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        _thread.interrupt_main()
