"""Save the process's state that cells change with Python itself: environment, directory, signals, limits.

Only environment variables that cells changed are saved; the others belong to the machine that runs the kernel, and
many are secrets.
"""

import copyreg
import csv
import faulthandler
import gc
import importlib
import itertools
import locale
import os
import re
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

from pauseflow_nb.kernel.secret import as_secret
from pauseflow_nb.kernel.snapshot.pickling import gc_and_tracing
from pauseflow_nb.kernel.snapshot.pickling.external_objects import is_stream_of_cells
from pauseflow_nb.kernel.snapshot.pickling.type_names import full_name, full_name_of_function, is_of_cells, is_users
from pauseflow_nb.kernel.snapshot.process_state.state_part import NotRestored, Part
from pauseflow_nb.kernel.snapshot.user_names import find_sources

#: Variables that Jupyter sets for each kernel, or that libraries set.
_PER_KERNEL = re.compile(r"JPY_.*|PYDEVD_.*|_|PWD|OLDPWD|SHLVL|KERNEL_.*|COLUMNS|LINES|PAUSEFLOW_.*")
#: Signals whose handlers ipykernel sets for each cell.
_PER_CELL = frozenset({"SIGINT"})
#: Module → functions that a cell may replace.
_HOOKS = (
    # IPython has its own `excepthook` and `displayhook`, which it restores after each cell.
    *(("sys", name) for name in ("unraisablehook", "breakpointhook")),
    ("threading", "excepthook"),
    *(("warnings", name) for name in ("showwarning", "formatwarning", "_showwarnmsg_impl")),
)
#: Tracing functions of the thread that runs cells.
_TRACES = ("sys.settrace()", "sys.setprofile()")

_environment_at_start: dict[str, str] = {}
_arguments_at_start: list[str] = []
_locale_at_start = ""
_path_at_start: list[str] = []
#: The list itself, which modules may hold.
_path_object: list[str] = sys.path
_hash_seed = ""
_frozen_at_start = 0
#: Environment variables that cells changed in an earlier kernel, even if this kernel started with the same value.
_changed_before: set[str] = set()


def note_start() -> None:
    """Record the state at the start of the process; only the first call counts."""
    global _locale_at_start, _hash_seed, _frozen_at_start, _path_object  # noqa: PLW0603
    if not _path_at_start:
        _hash_seed = os.environ.get("PYTHONHASHSEED", "")
        if os.environ.pop("PAUSEFLOW_HASH_SEED", None) == _hash_seed:
            # Set by the runner: Python has read it, and programs that cells start must not get it.
            os.environ.pop("PYTHONHASHSEED", None)
        _environment_at_start.update(os.environ)
        _arguments_at_start.extend(sys.argv)
        _frozen_at_start = gc.get_freeze_count()
        _locale_at_start = locale.setlocale(locale.LC_ALL)
        _path_at_start.extend(sys.path)
        _path_object = sys.path


def former_path() -> list[str] | None:
    """Return the list that `sys.path` was at the start of the kernel, if a cell has replaced it."""
    return None if sys.path is _path_object else _path_object


def added_path() -> list[str]:
    """List what cells added to `sys.path`."""
    note_start()
    return [entry for entry in sys.path if entry not in _path_at_start]


def appended_path() -> list[str]:
    """List what cells added to the end of `sys.path`, where Python looks last."""
    note_start()
    added = itertools.takewhile(lambda entry: entry not in _path_at_start, reversed(sys.path))
    return list(added)[::-1]


def restore_path(added: list[str], appended: list[str]) -> None:
    """Add the entries that cells have added to `sys.path`: those that were appended at its end, others at its front."""
    # An entry that this kernel already has must still be moved.
    _path_at_start[:] = [entry for entry in _path_at_start if entry not in added]
    first = [entry for entry in added if entry not in appended]
    sys.path[:] = [*first, *(entry for entry in sys.path if entry not in added), *appended]


def _restore_missing_path(added: list[str]) -> None:
    # The manifest, which is read before, names them in their places.
    restore_path([entry for entry in added if entry not in sys.path], [])


def _capture_removed_path(_shell: Any) -> dict[str, Any]:
    note_start()
    removed = [entry for entry in _path_at_start if entry not in sys.path]
    return {"": removed} if removed else {}


def _restore_removed_path(_shell: Any, _name: str, removed: list[str]) -> None:
    sys.path[:] = [entry for entry in sys.path if entry not in removed]


def _capture_environment(shell: Any) -> dict[str, str | None]:
    named = {word for source in find_sources(shell) for word in re.findall(r"[A-Z_]{2,}", source)}
    names = set(os.environ) | set(_environment_at_start) | _changed_before
    return {
        name: None if (value := os.environ.get(name)) is None else as_secret(value)
        for name in sorted(names)
        if (name in _changed_before or os.environ.get(name) != _environment_at_start.get(name))
        and (name in named or not _PER_KERNEL.fullmatch(name))
    }


def _restore_environment(_shell: Any, name: str, value: str | None) -> None:
    note_start()
    _changed_before.add(name)
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = str(value)
    if name == "TZ" and hasattr(time, "tzset"):
        time.tzset()


def _capture_arguments(_shell: Any) -> dict[str, Any]:
    # The arguments that a kernel starts with name its own connection.
    return {} if sys.argv == _arguments_at_start else {"": list(sys.argv)}


def _restore_arguments(_shell: Any, _name: str, arguments: list[str] | None) -> None:
    if arguments is not None:
        sys.argv[:] = arguments


def _capture_locale(_shell: Any) -> dict[str, Any]:
    current = locale.setlocale(locale.LC_ALL)
    return {} if current == _locale_at_start else {"": current}


def _restore_locale(_shell: Any, _name: str, value: str | None) -> None:
    if value is not None:
        locale.setlocale(locale.LC_ALL, value)


def _capture_filters(_shell: Any) -> dict[str, Any]:
    return {"": list(warnings.filters)}


def _restore_filters(shell: Any, _name: str, filters: list[Any]) -> None:
    found = [_with_category(shell, entry) for entry in filters]
    warnings.resetwarnings()
    warnings.filters.extend(entry for entry in found if entry is not None)  # type: ignore[attr-defined]
    if not all(found):
        raise NotRestored("a filter's category no longer exists")


def _with_category(shell: Any, entry: tuple[Any, ...]) -> tuple[Any, ...] | None:
    # Older snapshots contain the name of a class of the notebook.
    action, message, category, *rest = entry
    found = shell.user_ns.get(category) if isinstance(category, str) else category
    return (action, message, found, *rest) if isinstance(found, type) else None


def _capture_signals(_shell: Any) -> dict[str, Any]:
    numbers = [number for number in signal.Signals if number.name not in _PER_CELL]
    return {number.name: handler for number in numbers if (handler := signal.getsignal(number)) is not None}


def _restore_signal(_shell: Any, name: str, handler: Any) -> None:
    signal.signal(signal.Signals[name], handler)


def _capture_hooks(_shell: Any) -> dict[str, Any]:
    return {f"{module}.{name}": getattr(sys.modules[module], name) for module, name in _HOOKS if module in sys.modules}


def _restore_hook(_shell: Any, name: str, hook: Any) -> None:
    module, _, attribute = name.partition(".")
    setattr(importlib.import_module(module), attribute, hook)


def _capture_limits(_shell: Any) -> dict[str, Any]:
    if sys.platform == "win32":
        return {}
    import resource

    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return {name: resource.getrlimit(getattr(resource, name)) for name in names}


def _restore_limit(_shell: Any, name: str, limits: tuple[int, int] | int) -> None:
    import resource

    number = getattr(resource, name)
    _, hard_here = resource.getrlimit(number)
    # Earlier versions saved the soft limit only.
    soft, hard = limits if isinstance(limits, tuple) else (limits, hard_here)
    unlimited = resource.RLIM_INFINITY
    is_lower = hard_here == unlimited or (hard != unlimited and hard < hard_here)
    resource.setrlimit(number, (soft, hard if is_lower else hard_here))


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _capture_socket_timeout(_shell: Any) -> dict[str, Any]:
    return {"": sys.modules["socket"].getdefaulttimeout()}


def _restore_socket_timeout(_shell: Any, _name: str, timeout: float | None) -> None:
    import socket

    socket.setdefaulttimeout(timeout)


def _capture_start_method(_shell: Any) -> dict[str, Any]:
    return {"": sys.modules["multiprocessing"].get_start_method(allow_none=True)}


def _restore_start_method(_shell: Any, _name: str, method: str | None) -> None:
    import multiprocessing

    multiprocessing.set_start_method(method, force=True)


def _restore_tempdir(_shell: Any, _name: str, folder: str | None) -> None:
    tempfile.tempdir = folder


def _restore_bytecode(_shell: Any, _name: str, writes_none: bool) -> None:
    sys.dont_write_bytecode = writes_none


def _capture_hash_seed(_shell: Any) -> dict[str, Any]:
    return {"": _hash_seed} if _hash_seed.isdigit() else {}


def _restore_hash_seed(_shell: Any, _name: str, seed: str) -> None:
    if seed != _hash_seed:
        here = f"is {_hash_seed}" if _hash_seed else "is not set"
        raise NotRestored(f"it was {seed} and {here} here, so sets may have another order")


def _restore_gc_callback(_shell: Any, name: str, function: Any) -> None:
    if name not in _capture_gc_callbacks(_shell):
        gc.callbacks.append(function)


def _capture_gc_callbacks(_shell: Any) -> dict[str, Any]:
    # Those of libraries are registered again.
    return {full_name_of_function(each): each for each in gc.callbacks if is_of_cells(each)}


def _capture_frozen(_shell: Any) -> dict[str, Any]:
    # A forked kernel has frozen objects of its parent process.
    return {"": True} if gc.get_freeze_count() > _frozen_at_start else {}


def _restore_frozen(_shell: Any, _name: str, _is_frozen: bool) -> None:
    gc.freeze()


def _capture_streams(_shell: Any) -> dict[str, Any]:
    streams = {f"sys.{name}": getattr(sys, name, None) for name in ("stdin", "stdout", "stderr")}
    return {name: stream for name, stream in streams.items() if is_stream_of_cells(stream)}


def _capture_schedule(_shell: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if hasattr(os, "nice"):
        found["os.nice()"] = os.nice(0)
    if hasattr(os, "sched_getaffinity"):
        found["os.sched_setaffinity()"] = os.sched_getaffinity(0)
    if hasattr(signal, "pthread_sigmask"):
        found["signal.pthread_sigmask()"] = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    return found


def _restore_schedule(_shell: Any, name: str, value: Any) -> None:
    if name == "os.nice()":
        os.nice(value - os.nice(0))
    elif name == "os.sched_setaffinity()":
        os.sched_setaffinity(0, value)
    else:
        signal.pthread_sigmask(signal.SIG_SETMASK, value)


def _capture_pickled(_shell: Any) -> dict[str, Any]:
    return {
        full_name(kind): (kind, function)
        for kind, function in copyreg.dispatch_table.items()
        if is_users(kind) or is_of_cells(function)
    }


def _restore_pickled(_shell: Any, _name: str, value: tuple[type, Callable[[Any], Any]]) -> None:
    copyreg.pickle(*value)


def _capture_finders(_shell: Any) -> dict[str, Any]:
    lists: dict[str, list[Any]] = {"meta_path": sys.meta_path, "path_hooks": sys.path_hooks}
    return {
        f"sys.{name} with {full_name_of_function(finder)}": (name, number, finder)
        for name, finders in lists.items()
        for number, finder in enumerate(finders)
        if is_of_cells(finder)
    }


def _restore_finder(_shell: Any, _name: str, value: tuple[str, int, Any]) -> None:
    name, number, finder = value
    finders = getattr(sys, name)
    if all(full_name_of_function(each) != full_name_of_function(finder) for each in finders):
        finders.insert(number, finder)


def _capture_traces(_shell: Any) -> dict[str, Any]:
    threads = {
        f"threading.{name}()": function
        for name, function in (("settrace", threading.gettrace()), ("setprofile", threading.getprofile()))
    }
    return {name: gc_and_tracing.read(name) for name in _TRACES} | threads


def _restore_trace(_shell: Any, name: str, function: Any) -> None:
    if name in _TRACES:
        gc_and_tracing.set_state(name, function)
    else:
        getattr(threading, name.removeprefix("threading.").removesuffix("()"))(function)


def _restore_faulthandler(is_enabled: bool) -> None:
    if is_enabled:
        faulthandler.enable(file=sys.__stderr__ or 2)
    else:
        faulthandler.disable()


def _capture_tracemalloc(_shell: Any) -> dict[str, Any]:
    tracemalloc = sys.modules["tracemalloc"]
    return {"": tracemalloc.get_traceback_limit()} if tracemalloc.is_tracing() else {}


def _restore_tracemalloc(_shell: Any, _name: str, limit: int) -> None:
    import tracemalloc

    if not tracemalloc.is_tracing():
        tracemalloc.start(limit)


def _capture_flags(shell: Any) -> dict[str, Any]:
    return {"": int(shell.compile.flags)}


def _restore_flags(shell: Any, _name: str, flags: int) -> None:
    shell.compile.flags |= flags


def _make_single_part(
    label: str,
    get: Callable[[], Any],
    restore: Callable[[Any], Any],
    *,
    is_compared: bool = True,
    is_repeated: bool = True,
) -> Part:
    return Part(
        lambda _: {"": get()},
        lambda _shell, _name, value: restore(value),
        label,
        is_compared=is_compared,
        is_repeated=is_repeated,
    )


PARTS: dict[str, Part] = {
    "environment": Part(_capture_environment, _restore_environment, "environment variable {}"),
    "hash_seed": Part(_capture_hash_seed, _restore_hash_seed, "PYTHONHASHSEED", is_repeated=False),
    "arguments": Part(_capture_arguments, _restore_arguments, "sys.argv"),
    "locale": Part(_capture_locale, _restore_locale, "locale"),
    "path": _make_single_part("sys.path", added_path, _restore_missing_path, is_compared=False, is_repeated=False),
    # Modules that were imported from there are imported again before.
    "path_removed": Part(_capture_removed_path, _restore_removed_path, "sys.path", when="last"),
    "directory": _make_single_part("working directory", os.getcwd, os.chdir, is_compared=False),
    # If it were earlier, a filter that turns warnings into errors could make the loading fail.
    "warning_filters": Part(_capture_filters, _restore_filters, "warnings filters", when="after"),
    "flags": Part(_capture_flags, _restore_flags, "`from __future__`", is_repeated=False),
    "recursion_limit": _make_single_part(
        "recursion limit", sys.getrecursionlimit, sys.setrecursionlimit, is_compared=False
    ),
    "streams": Part(
        _capture_streams, lambda _shell, name, value: setattr(sys, name[len("sys.") :], value), "{}", when="last"
    ),
    "pickled": Part(_capture_pickled, _restore_pickled, "copyreg.pickle() for {}", when="after"),
    "finders": Part(_capture_finders, _restore_finder, "{}", when="after"),
    "switch_interval": _make_single_part("switch interval", sys.getswitchinterval, sys.setswitchinterval),
    "gc_threshold": _make_single_part("gc.get_threshold()", gc.get_threshold, lambda value: gc.set_threshold(*value)),
    "gc_enabled": _make_single_part(
        "gc.disable()", lambda: gc_and_tracing.read("gc"), lambda value: gc_and_tracing.set_state("gc", value)
    ),
    "gc_debug": _make_single_part("gc.set_debug()", gc.get_debug, gc.set_debug),
    "gc_callbacks": Part(_capture_gc_callbacks, _restore_gc_callback, "gc callback {}", True, when="after"),
    "gc_frozen": Part(_capture_frozen, _restore_frozen, "gc.freeze()", when="last"),
    "faulthandler": _make_single_part("faulthandler.enable()", faulthandler.is_enabled, _restore_faulthandler),
    "tracemalloc": Part(_capture_tracemalloc, _restore_tracemalloc, "tracemalloc.start()", library="tracemalloc"),
    "int_digits": _make_single_part(
        "sys.set_int_max_str_digits()", sys.get_int_max_str_digits, sys.set_int_max_str_digits
    ),
    "bytecode": Part(lambda _: {"": sys.dont_write_bytecode}, _restore_bytecode, "sys.dont_write_bytecode", True),
    "csv_field_size": _make_single_part("csv.field_size_limit()", csv.field_size_limit, csv.field_size_limit),
    "tempdir": Part(lambda _: {"": tempfile.tempdir}, _restore_tempdir, "tempfile.tempdir", True),
    "schedule": Part(_capture_schedule, _restore_schedule, "{}", True),
    "stack_size": _make_single_part("threading.stack_size()", threading.stack_size, threading.stack_size),
    "coroutine_origins": _make_single_part(
        "sys.set_coroutine_origin_tracking_depth()",
        sys.get_coroutine_origin_tracking_depth,
        sys.set_coroutine_origin_tracking_depth,
    ),
    "umask": _make_single_part("umask", _umask, os.umask),
    "limits": Part(_capture_limits, _restore_limit, "limit {}", True),
    "signals": Part(_capture_signals, _restore_signal, "handler of {}", True),
    "hooks": Part(_capture_hooks, _restore_hook, "{}", True, is_shared=True),
    "traces": Part(_capture_traces, _restore_trace, "{}", True, when="last"),
    "socket_timeout": Part(
        _capture_socket_timeout, _restore_socket_timeout, "socket.setdefaulttimeout()", True, library="socket"
    ),
    "start_method": Part(
        _capture_start_method,
        _restore_start_method,
        "multiprocessing.set_start_method()",
        True,
        library="multiprocessing",
    ),
}
