"""Disable the garbage collector and tracing functions, and record interrupts, while a snapshot is saved or restored.

A tracing function would be called for each line of our code, and might change variables that are being saved.
"""

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling import interrupts
from pauseflow_nb.kernel.snapshot.pickling.type_names import is_of_cells

#: Name → functions that read and set it, and its value while it is disabled.
_STATES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Any]] = {
    # Pickling makes many objects that live until the end: collecting in between finds nothing and takes half the time.
    "gc": (gc.isenabled, lambda is_enabled: gc.enable() if is_enabled else gc.disable(), False),
    "sys.settrace()": (sys.gettrace, sys.settrace, None),
    "sys.setprofile()": (sys.getprofile, sys.setprofile, None),
}
#: The previous values, which are restored afterwards; empty while nothing is disabled.
_before: dict[str, Any] = {}


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    """Disable all of them during a `with` block; nested blocks change nothing."""
    if _before:
        yield
        return
    _before.update({name: get() for name, (get, _, _) in _STATES.items()})
    for name, value in _before.items():
        _, put, meanwhile = _STATES[name]
        # Those of a debugger or a profiler must not be set from outside.
        if name == "gc" or is_of_cells(value):
            put(meanwhile)
    try:
        with interrupts.watched():
            yield
    finally:
        afterwards = dict(_before)
        _before.clear()
        for name, value in afterwards.items():
            get, put, _ = _STATES[name]
            if get() is not value:
                put(value)


def read(name: str) -> Any:
    """Return the current values, or those before they were disabled."""
    return _before[name] if _before else _STATES[name][0]()


def set_state(name: str, value: Any) -> None:
    """Set a value, or set it when the block ends."""
    if _before:
        _before[name] = value
    else:
        _STATES[name][1](value)
