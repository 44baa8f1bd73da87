"""Ctrl-C and SIGTERM while this process runs an execution."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pauseflow_nb.runner.control import Control

__all__ = ["interrupts"]


@contextmanager
def interrupts(control: "Control", say: Callable[[str], None]) -> Iterator[None]:
    """Ctrl-C once: stop at the next cell. Twice, or SIGTERM: interrupt the cell; its step will run again."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT and not control.request:
            control.stop_at_boundary()
            say("stopping at the next cell, at once if it waits; Ctrl-C again interrupts a cell that runs")
        else:
            control.interrupt()

    if threading.current_thread() is not threading.main_thread():
        # Python gives signals to the main thread alone.
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
