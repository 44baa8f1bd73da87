"""Switch off the garbage collector and tracing functions of cells while a snapshot is saved or restored.

A function that traces would be called for each line of ours, and might change the very variables that are being saved.
"""

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.type_names import is_of_cells

#: How each is read, how it is set, and its value while it is switched off.
_STATES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Any]] = {
    # Pickling makes many objects that live until the end: looking in between finds nothing, and costs half the time.
    "gc": (gc.isenabled, lambda is_enabled: gc.enable() if is_enabled else gc.disable(), False),
    "sys.settrace()": (sys.gettrace, sys.settrace, None),
    "sys.setprofile()": (sys.getprofile, sys.setprofile, None),
}
#: The values from before, which are set again afterwards; empty while nothing is switched off.
_before: dict[str, Any] = {}


@contextlib.contextmanager
def switched_off() -> Iterator[None]:
    """Switch all of them off for the time of a block; one inside another changes nothing."""
    if _before:
        yield
        return
    _before.update({name: get() for name, (get, _, _) in _STATES.items()})
    for name, value in _before.items():
        _, put, meanwhile = _STATES[name]
        # A debugger's or a profiler's own must not be set from outside.
        if name == "gc" or is_of_cells(value):
            put(meanwhile)
    try:
        yield
    finally:
        afterwards = dict(_before)
        _before.clear()
        for name, value in afterwards.items():
            get, put, _ = _STATES[name]
            if get() is not value:
                put(value)


def read(name: str) -> Any:
    """Read what is set, or was set before it was switched off."""
    return _before[name] if _before else _STATES[name][0]()


def set_state(name: str, value: Any) -> None:
    """Set it, or let it be set when the block ends."""
    if _before:
        _before[name] = value
    else:
        _STATES[name][1](value)
