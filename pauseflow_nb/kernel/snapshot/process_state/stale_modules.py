"""Find what modules beside the notebook have and their import in a new kernel does not give them, to report it.

This is what a reload left in a module, code that its file no longer has, and a list that `sys.path` was.
"""

import functools
import sys
import types
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

from pauseflow_nb.kernel.snapshot.process_state import library_calls, process
from pauseflow_nb.kernel.snapshot.process_state.library_state import is_in_source
from pauseflow_nb.kernel.snapshot.process_state.module_state import (
    capture_attributes,
    find_start_time,
    list_imported_by_cells,
    read_source,
)

_RELOADING = frozenset({"importlib.reload", "IPython.lib.deepreload.reload"})


def find(shell: Any) -> Iterator[tuple[Hashable, str]]:
    """Find such modules, as identity and sentence."""
    modules = [sys.modules[name] for name in list_imported_by_cells(shell)]
    former = process.former_path()
    is_reloading = "autoreload" in str(shell.extension_manager.loaded) or not _RELOADING.isdisjoint(
        library_calls.find_names(shell)
    )
    known = capture_attributes(shell) if is_reloading else {}
    for module in modules:
        name = module.__name__
        if is_reloading:
            for left in _find_left(module):
                if f"{name}.{left}" not in known:
                    yield (
                        ("left", name, left),
                        f"{name}.{left}, which the file of its module no longer has; a new kernel imports the module without it",
                    )
        if _was_edited(module, find_start_time(shell)):
            yield (
                ("edited", name),
                f"module {name} as it was imported: its file was changed after that, and a new kernel imports it as it is then",
            )
        for attribute, value in list(vars(module).items()) if former is not None else ():
            if value is former:
                yield (
                    ("path", name, attribute),
                    f"that {name}.{attribute} is the list that `sys.path` was before a cell replaced it; in a new kernel both are one",
                )


def _find_left(module: types.ModuleType) -> Iterator[str]:
    for name, value in list(vars(module).items()):
        is_part = issubclass(type(value), types.ModuleType) and value.__name__ == f"{module.__name__}.{name}"
        if not name.startswith("__") and not is_part and not is_in_source(module.__name__, name):
            yield name


def _was_edited(module: types.ModuleType, start: float) -> bool:
    """Whether the functions of a module are not those that its file has now."""
    path = str(getattr(module, "__file__", ""))
    try:
        if Path(path).stat().st_mtime < start:
            return False
        now = _codes(read_source(module.__name__), path)
    except (OSError, SyntaxError, ValueError):
        return False
    owners = [module, *(each for each in vars(module).values() if issubclass(type(each), type))]
    functions = [
        getattr(value, "__func__", value)
        for owner in owners
        if owner is module or owner.__module__ == module.__name__
        for value in vars(owner).values()
    ]
    codes = [function.__code__ for function in functions if issubclass(type(function), types.FunctionType)]
    return any(
        code.co_filename == path and code not in now and is_in_source(module.__name__, code.co_name) for code in codes
    )


@functools.lru_cache(maxsize=64)
def _codes(text: str, path: str) -> frozenset[types.CodeType]:
    found: set[types.CodeType] = set()
    todo = [compile(text, path, "exec", dont_inherit=True)]
    while todo:
        code = todo.pop()
        found.add(code)
        todo += [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return frozenset(found)
