"""Find threads, timers, tasks, exit functions and calls of cells whose effect ends with the kernel.

They cannot be saved, and need not be in any variable, so all of them are reported.
"""

import atexit
import contextlib
import signal
import sys
import threading
import types
from collections.abc import Hashable, Iterator
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.type_names import (
    full_name_of_function,
    is_of_cells,
    is_users,
    is_users_module,
    module_of_function,
)
from pauseflow_nb.kernel.snapshot.process_state import library_calls, stale_modules
from pauseflow_nb.kernel.snapshot.user_names import find_sources

#: What identifies it, and the sentence about it.
_Found = tuple[Hashable, str]

_AGAIN = "in a `%%setup` cell, which runs again in every new kernel"
#: Words of calls in cells that start such things.
_WORDS = ("thread", "Process(", "asyncio", "atexit")
_TIMERS = ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")
#: Modules whose tasks and threads every kernel has.
_KERNELS = ("ipykernel", "tornado", "zmq", "anyio", "IPython", "jupyter_client", "pauseflow_nb")


def find(shell: Any, *, is_start: bool = False) -> dict[Hashable, str]:
    """Find what ends with this kernel and is not a variable.

    Args:
        shell: The notebook's shell.
        is_start: No cell has run yet: find everything that later calls must leave out.

    Returns:
        Identity → a sentence for the user. The caller leaves out what existed at the start.
    """
    variable_ids = {id(value) for value in shell.user_ns.values()}
    cells = "\n".join(_WORDS if is_start else find_sources(shell))
    found: dict[Hashable, str] = {}
    for key, sentence in (
        *_threads(variable_ids, cells),
        *_processes(variable_ids, cells),
        *_tasks(variable_ids, cells),
        *_calls_of_the_loop(),
        *_functions_for_the_end(cells),
        *_finalizers(variable_ids),
        *_timers(),
        *_patches(),
        *_monitors(),
        *_log(shell),
        *library_calls.find(shell),
        *library_calls.find_descriptors(shell),
        *stale_modules.find(shell),
    ):
        found[key] = f"not saved: {sentence}"
    return found


def _threads(variable_ids: set[int], cells: str) -> Iterator[_Found]:
    frames = sys._current_frames()  # noqa: SLF001 - the documented way to see what a thread does
    for thread in threading.enumerate():
        if thread in (threading.main_thread(), threading.current_thread()) or id(thread) in variable_ids:
            continue
        started: Any = getattr(thread, "function", None) or getattr(thread, "_target", None)
        # Threads of a library call private functions of the library.
        is_theirs = type(thread).__module__ == "threading" and "thread" in cells.lower() and _is_public(started)
        if is_theirs or is_users(type(thread)) or is_of_cells(started) or _runs_cells(frames.get(thread.ident or 0)):
            kind = "timer" if isinstance(thread, threading.Timer) else "thread"
            calls = f", which calls {full_name_of_function(started)}" if started is not None else ""
            end = "cancel it" if kind == "timer" else "join it"
            yield (
                ("thread", id(thread)),
                f"{kind} {thread.name!r}{calls} and ends with this kernel; {end} before the pause, or start it {_AGAIN}",
            )


def _is_public(function: Any) -> bool:
    module = module_of_function(function).partition(".")[0]
    return function is not None and module not in _KERNELS and not getattr(function, "__name__", "").startswith("_")


def _runs_cells(frame: types.FrameType | None) -> bool:
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if name == "__main__" or (isinstance(name, str) and is_users_module(name)):
            return True
        frame = frame.f_back
    return False


def _processes(variable_ids: set[int], cells: str) -> Iterator[_Found]:
    if "multiprocessing.process" not in sys.modules:
        return
    import multiprocessing

    for process in multiprocessing.active_children():
        # Its function is not stored.
        if id(process) not in variable_ids and (is_users(type(process)) or "Process(" in cells):
            yield (
                ("process", process.pid),
                f"process {process.name!r}, which ends with this kernel or is out of reach for the next one; join it before the pause",
            )


def _tasks(variable_ids: set[int], cells: str) -> Iterator[_Found]:
    loop = find_running_loop()
    if loop is None:
        return
    import asyncio

    current = asyncio.current_task(loop)
    for task in asyncio.all_tasks(loop):
        if task is current or id(task) in variable_ids:
            continue
        frame = getattr(task.get_coro(), "cr_frame", None)
        module = frame.f_globals.get("__name__", "") if frame is not None else ""
        is_theirs = "asyncio" in cells and module.startswith("asyncio.")
        if is_theirs or _runs_cells(frame):
            yield (
                ("task", id(task)),
                f"task {task.get_name()!r} of asyncio, which is not done and ends with this kernel; await it before the pause",
            )


def _calls_of_the_loop() -> Iterator[_Found]:
    # There is no public list; loops other than asyncio's do not have this attribute.
    for handle in list(getattr(find_running_loop(), "_scheduled", ())):
        function = getattr(handle, "_callback", None)
        if not handle.cancelled() and is_of_cells(function):
            yield (
                ("call", id(handle)),
                f"the call of {full_name_of_function(function)} that the event loop is to make later; it ends with this kernel",
            )


def find_running_loop() -> Any:
    """Return the event loop that is running in this thread, or None."""
    asyncio: Any = sys.modules.get("asyncio")
    return asyncio.events._get_running_loop() if asyncio is not None else None  # noqa: SLF001 - does not raise


def _functions_for_the_end(cells: str) -> Iterator[_Found]:
    listed = _Listed()
    with contextlib.suppress(Exception):  # a function of the user's that cannot be compared
        atexit.unregister(listed)  # type: ignore[arg-type]  # it is compared with each that is registered
    for function in listed.functions:
        is_theirs = "atexit" in cells and _is_public(function) and _is_of_python(function)
        if is_theirs or is_of_cells(function):
            yield (
                ("atexit", id(function)),
                f"{full_name_of_function(function)}, which `atexit` calls when this kernel ends, and no later one; register it {_AGAIN}",
            )


class _Listed:
    """Equals nothing, and records what it is compared with."""

    def __init__(self) -> None:
        self.functions: list[Any] = []

    def __eq__(self, other: object) -> bool:
        self.functions.append(other)
        return False

    __hash__ = None  # type: ignore[assignment]


def _is_of_python(function: Any) -> bool:
    return module_of_function(function).partition(".")[0] in sys.stdlib_module_names


def _finalizers(variable_ids: set[int]) -> Iterator[_Found]:
    weakref: Any = sys.modules["weakref"]
    for each in list(weakref.finalize._registry):  # noqa: SLF001 - there is no public list
        called = each.peek()
        if called is not None and id(each) not in variable_ids and is_of_cells(called[1]):
            yield (
                ("finalizer", id(each)),
                f"weakref.finalize() with {full_name_of_function(called[1])}, which is called when its object or this kernel ends; call it {_AGAIN}",
            )


def _patches() -> Iterator[_Found]:
    mock: Any = sys.modules.get("unittest.mock")
    for patch in () if mock is None else list(mock._patch._active_patches):  # noqa: SLF001 - there is no public list
        if isinstance(patch, mock._patch):  # noqa: SLF001 - there is no public name
            yield (
                ("patch", id(patch)),
                f"unittest.mock.patch of {patch.attribute!r}, which ends with this kernel; start it {_AGAIN}",
            )


def _timers() -> Iterator[_Found]:
    for name in _TIMERS:
        if hasattr(signal, name) and signal.getitimer(getattr(signal, name))[0]:
            yield (
                ("timer", name),
                f"the timer of signal.setitimer(signal.{name}) or signal.alarm(); it ends with this kernel; start it {_AGAIN}",
            )


def _log(shell: Any) -> Iterator[_Found]:
    logger = shell.logger
    if logger is not None and logger.log_active:
        yield ("log", logger.logfname), f"%logstart, whose log ends with this kernel; start it {_AGAIN}"


def _monitors() -> Iterator[_Found]:
    monitoring = getattr(sys, "monitoring", None)
    for number in range(6) if monitoring is not None else ():
        tool = monitoring.get_tool(number)  # type: ignore[union-attr]
        if tool is not None:
            yield (
                ("monitor", number, tool),
                f"tool {tool!r} of sys.monitoring, which ends with this kernel; set it {_AGAIN}",
            )
