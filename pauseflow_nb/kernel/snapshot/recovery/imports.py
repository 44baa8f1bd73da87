"""Save names that an import has bound as references: `from random import choice`, `from sys import path`.

Such a name must be restored to the module's own object, not to a copy. The names are found in the import statements
of cells, and checked by identity.
"""

import ast
import collections
import enum
import functools
import importlib
import sys
import types
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pauseflow_nb.kernel.snapshot.pickling.type_names import is_users, is_users_module
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import describe_error
from pauseflow_nb.kernel.snapshot.user_names import find_sources
from pauseflow_nb.kernel.user_code import parse_cell

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_CONTAINERS = (list, dict, set, bytearray, collections.deque, types.SimpleNamespace)
#: Lists and dicts of Python itself, under whatever name a variable has them.
_OF_PYTHON = (
    *(("sys", name) for name in ("argv", "meta_path", "modules", "path", "path_hooks", "path_importer_cache")),
    *(("gc", "callbacks"), ("warnings", "filters")),
)
#: Types that are saved by reference anyway.
_BY_REFERENCE = (types.ModuleType, types.FunctionType, type, str, int, float, bool, type(None))


def find(shell: "InteractiveShell", names: list[str]) -> dict[str, tuple[str, str]]:
    """Find variables that still have the value that an import bound.

    Returns:
        Name → module and attribute.
    """
    live = {id(getattr(sys.modules.get(module), name, None)): (module, name) for module, name in _OF_PYTHON}
    live |= {id(shell.user_ns): ("__main__", "__dict__"), id(None): ("", "")}
    themselves = {name: place for name in names if all(place := live.get(id(shell.user_ns[name]), ("", "")))}
    imports = {**getattr(shell, "_pauseflow_references", {}), **dict(find_imported(shell))}
    # By type, everywhere: `isinstance` of a proxy may answer for another object, or raise.
    candidates = {
        name for name in names if name in imports and not issubclass(type(shell.user_ns[name]), _BY_REFERENCE)
    }
    candidates -= find_shared_with_modules(shell, candidates).keys()
    return themselves | {
        name: (module, attribute)
        for name, (module, attribute) in imports.items()
        if name in candidates and _is_the_same(shell.user_ns[name], module, attribute)
    }


def find_shared_with_modules(shell: "InteractiveShell", names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Find mutable values that are both variables and in modules beside the notebook.

    Such a value is saved with the variables, and set in the module again, because the module's own new value does
    not have the changes.
    """
    possible = [name for name in names if _holds_state(type(shell.user_ns[name]))]
    if not possible:
        # A notebook has many modules, and not all of their memory is in the processor's cache.
        return {}
    places = {
        id(value): (module, name)
        for module in find_users_modules()
        for name, value in list(vars(sys.modules[module]).items())
        if not name.startswith("__") and _holds_state(type(value))
    }
    return {name: places[id(shell.user_ns[name])] for name in possible if id(shell.user_ns[name]) in places}


def find_users_modules() -> list[str]:
    """List the loaded modules beside the notebook."""
    return _find_users_modules(tuple(sys.modules))


@functools.lru_cache(maxsize=1)
def _find_users_modules(loaded: tuple[str, ...]) -> list[str]:
    # The many modules of installed packages need not be checked.
    files = {
        top: getattr(sys.modules.get(top), "__file__", None) for top in {name.partition(".")[0] for name in loaded}
    }
    installed = {top for top, file in files.items() if file is not None and not is_users_module(top)}
    return [name for name in loaded if name.partition(".")[0] not in installed and is_users_module(name)]


def _holds_state(kind: type) -> bool:
    return issubclass(kind, _CONTAINERS) or (is_users(kind) and not issubclass(kind, (*_BY_REFERENCE, enum.Enum)))


def set_in_modules(shell: "InteractiveShell", places: dict[str, tuple[str, str]]) -> list[str]:
    """Set the restored values in modules again; return a sentence for each failure."""
    problems = []
    for name, (module, attribute) in places.items():
        try:
            setattr(importlib.import_module(module), attribute, shell.user_ns[name])
        except Exception as problem:  # noqa: BLE001 - importing runs the user's code
            problems.append(f"{module}.{attribute} is no longer {name}: {describe_error(problem)}")
    return problems


def remember(shell: Any, references: dict[str, tuple[str, str]]) -> None:
    """Record the results of an earlier kernel, whose cells are not in this kernel's history."""
    shell._pauseflow_references = references  # noqa: SLF001


def find_submodules(shell: "InteractiveShell") -> list[str]:
    """List submodules that cells imported as `import a.b`: only `a` is a variable, but `a.b` must exist, too."""
    names = {name for source in _sources(shell) for name in _find_dotted_imports(source) if name in sys.modules}
    return sorted(
        name for name in names if issubclass(type(shell.user_ns.get(name.partition(".")[0])), types.ModuleType)
    )


def import_submodules(names: Iterable[str]) -> None:
    """Import the submodules that `find_submodules` has listed."""
    for name in names:
        importlib.import_module(name)


def _is_the_same(value: Any, module: str, attribute: str) -> bool:
    found = sys.modules.get(module)
    absent = object()
    return found is not None and getattr(found, attribute, absent) is value


def find_imported(shell: "InteractiveShell") -> Iterator[tuple[str, tuple[str, str]]]:
    """Find the names that `from … import` of cells bound, with the module and the name there."""
    for source in _sources(shell):
        yield from _find_imports(source)


def _sources(shell: "InteractiveShell") -> Iterator[str]:
    return (source for source in find_sources(shell) if "import" in source)


@functools.lru_cache(maxsize=4096)
def _parse_nodes(source: str) -> tuple[ast.AST, ...]:
    try:
        return tuple(node for node in ast.walk(parse_cell(source)) if isinstance(node, (ast.Import, ast.ImportFrom)))
    except (SyntaxError, ValueError):
        return ()


def _find_dotted_imports(source: str) -> Iterator[str]:
    for node in _parse_nodes(source):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if "." in alias.name and alias.asname is None)


def _find_imports(source: str) -> tuple[tuple[str, tuple[str, str]], ...]:
    return tuple(
        (alias.asname or alias.name, (node.module, alias.name))
        for node in _parse_nodes(source)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
        if alias.name != "*"
    )
