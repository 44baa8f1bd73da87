"""What a notebook changes besides its variables: random generators, working directory, import path, options.

Each part is captured on its own and put back on its own: one that fails leaves the others alone. Of the
environment variables only those are kept that cells changed since the kernel started; the rest belong to
the machine that runs the kernel, and many are secrets.
"""

import decimal
import importlib
import linecache
import locale
import logging
import os
import random
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pauseflow_nb.kernel.snapshot import references
from pauseflow_nb.kernel.snapshot.namespace import user_names
from pauseflow_nb.kernel.snapshot.naming import module_of

__all__ = [
    "added_path",
    "capture",
    "note_start",
    "put_back",
    "put_back_figure",
    "put_back_filters",
    "put_back_module_values",
    "put_back_path",
    "put_back_random",
    "put_back_sources",
    "sources_of",
]

_log = logging.getLogger(__name__)

#: Set by Jupyter for each kernel anew, or by libraries for themselves.
_PER_KERNEL = re.compile(r"JPY_.*|PYDEVD_.*|_|PWD|OLDPWD|SHLVL|KERNEL_.*|COLUMNS|LINES|PAUSEFLOW_.*")

_environment_at_start: dict[str, str] = {}
_arguments_at_start: list[str] = []
_locale_at_start = ""
_path_at_start: list[str] = []
#: Environment variables that cells changed in an earlier kernel, even if this one started with the same value.
_changed_before: set[str] = set()


def note_start() -> None:
    """Remember what the kernel started with; only the first call counts.

    To be called before the user's first cell, or changes that it makes will look like the machine's.
    """
    global _locale_at_start  # noqa: PLW0603
    if not _path_at_start:
        _environment_at_start.update(os.environ)
        _arguments_at_start.extend(sys.argv)
        _locale_at_start = locale.setlocale(locale.LC_ALL)
        _path_at_start.extend(sys.path)


def capture(shell: Any) -> dict[str, Any]:
    """Collect everything that surrounds the variables."""
    taken = {}
    for name, (take, _) in _available():
        try:
            taken[name] = take(shell)
        except Exception:  # noqa: BLE001 - a working directory that was deleted, a library half torn down
            _log.warning("could not note %s", name, exc_info=True)
    return taken


def put_back(shell: Any, surroundings: Mapping[str, Any]) -> list[str]:
    """Make everything as it was.

    Returns:
        A sentence for each part that could not be put back.
    """
    problems = []
    for name, (_, put) in _PARTS.items():
        if name not in surroundings:
            continue
        try:
            put(shell, surroundings[name])
        except Exception as problem:  # noqa: BLE001 - a library may refuse an option it had; the rest goes on
            problems.append(f"{name.replace('_', ' ')}: {problem}")
    return problems


def put_back_random(shell: Any, surroundings: Mapping[str, Any]) -> None:
    """Make the random generators as they were, and nothing else."""
    put_back(
        shell, {name: surroundings[name] for name in ("random", "numpy_random", "torch_random") if name in surroundings}
    )


def sources_of(definitions: Mapping[str, Any]) -> dict[str, str]:
    """Find the text of the cells that functions and classes come from."""
    sources = {}
    for defined in definitions.values():
        for code in _codes(defined):
            cached = linecache.cache.get(code.co_filename)
            if cached is not None and len(cached) == 4 and cached[1] is None:
                sources[code.co_filename] = "".join(cached[2])
    return sources


def put_back_filters(shell: Any, surroundings: Mapping[str, Any]) -> list[str]:
    """Make the warnings filters as they were, when the variables are back: they may name classes among these.

    Earlier, a filter that makes errors of warnings could fail what is being loaded.
    """
    filters = surroundings.get("warning_filters")
    if filters is None:
        return []
    found = [_with_category(shell, entry) for entry in filters]
    warnings.resetwarnings()
    warnings.filters.extend(entry for entry in found if entry is not None)  # type: ignore[attr-defined]
    return [] if all(found) else ["warnings: a filter's category is not there any more"]


def _with_category(shell: Any, entry: tuple[Any, ...]) -> tuple[Any, ...] | None:
    action, message, category, *rest = entry
    found = shell.user_ns.get(category) if isinstance(category, str) else category
    return (action, message, found, *rest) if isinstance(found, type) else None


def put_back_sources(sources: Mapping[str, str]) -> None:
    """Let tracebacks and `inspect.getsource` find the text of cells again."""
    for filename, text in sources.items():
        linecache.cache.setdefault(filename, (len(text), None, text.splitlines(keepends=True), filename))


def _codes(defined: Any) -> Iterator[Any]:
    members = list(vars(defined).values()) if isinstance(defined, type) else [defined]
    for member in members:
        code = getattr(getattr(member, "__func__", member), "__code__", None)
        if code is not None:
            yield code


def _take_environment(_shell: Any) -> dict[str, str | None]:
    note_start()
    names = set(os.environ) | set(_environment_at_start) | _changed_before
    return {
        name: os.environ.get(name)
        for name in sorted(names)
        if (name in _changed_before or os.environ.get(name) != _environment_at_start.get(name))
        and not _PER_KERNEL.fullmatch(name)
    }


def _put_environment(_shell: Any, changes: dict[str, str | None]) -> None:
    note_start()
    _changed_before.update(changes)
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if "TZ" in changes and hasattr(time, "tzset"):
        time.tzset()


def _take_arguments(_shell: Any) -> list[str] | None:
    # Those that a kernel starts with name its own connection.
    return None if sys.argv == _arguments_at_start else list(sys.argv)


def _put_arguments(_shell: Any, arguments: list[str] | None) -> None:
    if arguments is not None:
        sys.argv[:] = arguments


def _take_locale(_shell: Any) -> str | None:
    current = locale.setlocale(locale.LC_ALL)
    return None if current == _locale_at_start else current


def _put_locale(_shell: Any, name: str | None) -> None:
    if name is not None:
        locale.setlocale(locale.LC_ALL, name)


def _take_log_levels(_shell: Any) -> dict[str, tuple[int, bool, bool]]:
    """Collect how loud each logger is; which handlers it has belongs to the process."""
    loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    told = {each.name: (each.level, each.propagate, each.disabled) for each in (logging.root, *loggers)}
    return {name: how for name, how in told.items() if how != (logging.NOTSET, True, False)}


def _put_log_levels(_shell: Any, levels: dict[str, tuple[int, bool, bool]]) -> None:
    for name, (level, propagates, is_disabled) in levels.items():
        logger = logging.root if name == logging.root.name else logging.getLogger(name)
        logger.setLevel(level)
        logger.propagate, logger.disabled = propagates, is_disabled


def _take_figure(_shell: Any) -> int | None:
    helpers: Any = sys.modules.get("matplotlib._pylab_helpers")
    manager = helpers and helpers.Gcf.get_active()
    return manager and int(manager.num)


def put_back_figure(surroundings: Mapping[str, Any]) -> None:
    """Make pyplot's current figure current again, when the figures are back: each of them was, when it came."""
    number = surroundings.get("matplotlib_figure")
    helpers: Any = sys.modules.get("matplotlib._pylab_helpers")
    manager = number and helpers and helpers.Gcf.figs.get(number)
    if manager:
        helpers.Gcf.set_active(manager)


def added_path() -> list[str]:
    """List what cells added to `sys.path`."""
    note_start()
    return [entry for entry in sys.path if entry not in _path_at_start]


def put_back_path(added: list[str]) -> None:
    """Let Python look for modules where cells let it."""
    # An entry that this kernel started with too is to be found first all the same.
    _path_at_start[:] = [entry for entry in _path_at_start if entry not in added]
    sys.path[:] = [*added, *(entry for entry in sys.path if entry not in added)]


def _put_submodules(_shell: Any, names: list[str]) -> None:
    for name in names:
        importlib.import_module(name)


def _take_module_values(shell: Any) -> dict[str, tuple[str, str]]:
    return references.shared_with_modules(shell, user_names(shell))


def put_back_module_values(shell: Any, surroundings: Mapping[str, Any]) -> list[str]:
    """Let modules beside the notebook share values with variables again, when these are back."""
    places = surroundings.get("module_values", {})
    return references.give_to_modules(shell, {name: at for name, at in places.items() if name in shell.user_ns})


def _put_directory(_shell: Any, directory: str) -> None:
    os.chdir(directory)


def _take_filters(shell: Any) -> list[Any]:
    # A class of the notebook goes by its name: what surrounds the variables is pickled without them.
    taken: list[Any] = []
    for action, message, category, module, line in warnings.filters:
        kind: Any = category
        if module_of(kind) != "__main__":
            taken.append((action, message, kind, module, line))
        elif shell.user_ns.get(kind.__name__) is kind:
            taken.append((action, message, kind.__name__, module, line))
    return taken


def _put_filters(_shell: Any, _filters: list[Any]) -> None:
    """See `put_back_filters`."""


def _take_flags(shell: Any) -> int:
    return int(shell.compile.flags)


def _put_flags(shell: Any, flags: int) -> None:
    shell.compile.flags |= flags


def _take_inputs(shell: Any) -> list[str]:
    return list(shell.user_ns.get("In", ()))


def _put_inputs(shell: Any, inputs: list[str]) -> None:
    history = shell.history_manager
    if history is not None and len(history.input_hist_parsed) < len(inputs):
        history.input_hist_parsed[:] = inputs
        history.input_hist_raw[:] = inputs


def _put_decimal(_shell: Any, context: decimal.Context) -> None:
    decimal.setcontext(context)


def _numpy() -> Any:
    return sys.modules["numpy"]


def _take_pandas_options(_shell: Any) -> dict[str, Any]:
    config: Any = importlib.import_module("pandas._config.config")
    registered = config._registered_options  # noqa: SLF001 - there is no public list of options
    changed = {}
    # Merely reading an option that is on its way out warns, and nobody here asked for it.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key, option in registered.items():
            value = config.get_option(key)
            if value != option.defval and isinstance(value, (str, int, float, bool, type(None))):
                changed[key] = value
    return changed


def _put_pandas_options(_shell: Any, options: dict[str, Any]) -> None:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for key, value in options.items():
            pd.set_option(key, value)


def _take_rc(_shell: Any) -> dict[str, Any]:
    matplotlib = sys.modules["matplotlib"]
    default = matplotlib.rcParamsDefault
    return {k: v for k, v in matplotlib.rcParams.copy().items() if k != "backend" and default.get(k) != v}


def _put_rc(_shell: Any, parameters: dict[str, Any]) -> None:
    import matplotlib as mpl

    current: Any = mpl.rcParams
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        current.update(parameters)


def _take_torch(_shell: Any) -> bytes:
    return bytes(sys.modules["torch"].get_rng_state().numpy().tobytes())


def _put_torch(_shell: Any, state: bytes) -> None:
    import torch

    torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))


def _put_numpy_random(_shell: Any, state: Any) -> None:
    import numpy as np

    np.random.set_state(state)  # noqa: NPY002 - this one is shared by all code that names no generator


def _put_numpy_errors(_shell: Any, errors: Any) -> None:
    import numpy as np

    np.seterr(**errors)


def _put_numpy_print(_shell: Any, options: Any) -> None:
    import numpy as np

    np.set_printoptions(**{key: value for key, value in options.items() if key != "override_repr"})


_Part = tuple[Callable[[Any], Any], Callable[[Any, Any], None]]
#: Name → how to take it and how to put it back. A prefix that is a library's name: only where it is loaded.
_PARTS: dict[str, _Part] = {
    "environment": (_take_environment, _put_environment),
    "arguments": (_take_arguments, _put_arguments),
    "locale": (_take_locale, _put_locale),
    "log_levels": (_take_log_levels, _put_log_levels),
    "path": (lambda _: added_path(), lambda _, added: put_back_path(added)),
    "submodules": (references.submodules, _put_submodules),
    # Put back by `put_back_module_values`.
    "module_values": (_take_module_values, lambda _, __: None),
    "directory": (lambda _: os.getcwd(), _put_directory),  # noqa: PTH109 - text, as it is stored
    "warning_filters": (_take_filters, _put_filters),
    "flags": (_take_flags, _put_flags),
    "inputs": (_take_inputs, _put_inputs),
    "recursion_limit": (lambda _: sys.getrecursionlimit(), lambda _, limit: sys.setrecursionlimit(limit)),
    "decimal": (lambda _: decimal.getcontext().copy(), _put_decimal),
    "numpy_errors": (lambda _: _numpy().geterr(), _put_numpy_errors),
    "numpy_print": (lambda _: _numpy().get_printoptions(), _put_numpy_print),
    "pandas_options": (_take_pandas_options, _put_pandas_options),
    "matplotlib_rc": (_take_rc, _put_rc),
    # Put back by `put_back_figure`.
    "matplotlib_figure": (_take_figure, lambda _, __: None),
    "numpy_random": (lambda _: _numpy().random.get_state(), _put_numpy_random),
    "torch_random": (_take_torch, _put_torch),
    "random": (lambda _: random.getstate(), lambda _, state: random.setstate(state)),
}
_LIBRARIES = ("numpy", "pandas", "matplotlib", "torch")


def _available() -> Iterator[tuple[str, _Part]]:
    for name, part in _PARTS.items():
        library = name.partition("_")[0]
        if library not in _LIBRARIES or _is_imported(library):
            yield name, part


def _is_imported(library: str) -> bool:
    # A module in the middle of its own import is there, but has nothing yet.
    module = sys.modules.get(library)
    return module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False)
