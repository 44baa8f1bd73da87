"""Distinguish an interrupt by the user from a `KeyboardInterrupt` that code of the notebook raises."""

import contextlib
import signal
import threading
import types
from collections.abc import Iterator

#: Signals that arrived in the current block.
_arrived: list[int] = []


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Record interrupts during a `with` block."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return

    def record(number: int, frame: types.FrameType | None) -> None:
        _arrived.append(number)
        before(number, frame)

    signal.signal(signal.SIGINT, record)
    try:
        yield
    finally:
        _arrived.clear()
        if signal.getsignal(signal.SIGINT) is record:
            signal.signal(signal.SIGINT, before)


def has_arrived() -> bool:
    """Whether the user has interrupted the current block."""
    return bool(_arrived)
