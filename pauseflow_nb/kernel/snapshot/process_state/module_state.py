"""Save what a notebook changes in modules: attributes set by cells, and data of modules beside the notebook.

They are found in the source of the cells and of the modules' functions: data that a module makes when it is imported
is made again in every kernel, and may depend on the machine.
"""

import abc
import collections
import hashlib
import importlib
import re
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.type_names import (
    full_name,
    is_of_cells,
    is_users_module,
    module_of,
    qualified_name,
)
from pauseflow_nb.kernel.snapshot.process_state.code_changes import ANY, changes_by_functions, changes_in, registers_in
from pauseflow_nb.kernel.snapshot.process_state.state_part import NotRestored, Part, is_same
from pauseflow_nb.kernel.snapshot.recovery import imports
from pauseflow_nb.kernel.snapshot.user_names import find_sources

#: Attribute of a shell with the names of modules that were loaded before its first cell.
_LOADED_BEFORE = "_pauseflow_loaded_before"
#: Attribute of a shell with the time before its first cell.
_STARTED = "_pauseflow_started"

#: Modules that other parts save, or that belong to the process.
ELSEWHERE = frozenset(
    {"os.environ", "sys.argv", "sys.breakpointhook", "sys.displayhook", "sys.dont_write_bytecode", "sys.excepthook"}
    | {"sys.meta_path", "sys.modules", "sys.path", "sys.path_hooks", "sys.stderr", "sys.stdin"}
    | {"sys.stdout", "sys.unraisablehook", "tempfile.tempdir", "threading.excepthook", "warnings.filters"}
    | {"warnings.formatwarning", "warnings.showwarning", "matplotlib.rcParams"}
)
ATOMS = (str, bytes, int, float, complex, bool, type(None))
_CODE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type, property, classmethod, staticmethod)


def note_start(shell: Any) -> None:
    """Record the modules that are loaded before the first cell of a shell."""
    setattr(shell, _LOADED_BEFORE, frozenset(sys.modules))
    setattr(shell, _STARTED, time.time())


def find_start_time(shell: Any) -> float:
    """Return the time before the first cell of a shell, in seconds since 1970."""
    return float(getattr(shell, _STARTED, 0))


def list_imported_by_cells(shell: Any) -> list[str]:
    """List the modules beside the notebook that were loaded after the start of the kernel."""
    before: frozenset[str] = getattr(shell, _LOADED_BEFORE, frozenset())
    return [module for module in imports.find_users_modules() if module not in before]


def capture_attributes(shell: Any) -> dict[str, Any]:
    """Find attributes of modules and classes that cells set: full name → value, and where it stands."""
    found = {}
    for path in paths_of_cells(shell, is_bound=True):
        owner = follow(shell.user_ns.get(path[0]), path[1:-1])
        place = find_home(owner)
        if place is None:
            continue
        module, names = place
        for last in _set_by_cells(owner, module) if path[-1] == ANY else [path[-1]]:
            name = ".".join((module, *names, last))
            if name in ELSEWHERE:
                continue
            is_sure = path[-1] != ANY or is_users_module(module)
            if last in vars(owner):
                found[name] = (vars(owner)[last], module, (*names, last), is_sure)
            elif hasattr(vars(type(owner)).get(last), "__set__"):
                found[name] = (getattr(owner, last), module, (*names, last), is_sure)
    return found


def _set_by_cells(owner: Any, module: str) -> list[str]:
    """List attributes of a module or a class that cells may have set by names that their text does not show."""
    may_be = ATOMS if not is_users_module(module) else (*ATOMS, list, dict, set, tuple)
    words = frozenset(re.findall(r"\w+", read_source(module)))
    return [
        name
        for name, value in vars(owner).items()
        if not name.startswith("__")
        and (isinstance(value, may_be) or is_made_by_cells(value) or (words and name not in words))
    ]


def is_made_by_cells(value: Any) -> bool:
    """Whether cells defined a function or a class."""
    return isinstance(value, _CODE) and getattr(value, "__module__", "") == "__main__"


def restore_attribute(_shell: Any, _name: str, value: tuple[Any, ...]) -> None:
    """Set an attribute of a module or a class again."""
    attribute, module, (*names, last), *rest = value
    owner = follow(importlib.import_module(module), tuple(names))
    # What no cell is known to have set may be the machine's own. An earlier version knew of each.
    if all(rest) or last not in vars(owner) or is_made_by_cells(attribute):
        setattr(owner, last, attribute)


def _capture_values(shell: Any) -> dict[str, Any]:
    # See `imports.find_shared_with_modules`: a value that is also a variable is restored with it.
    own_ids = {id(value) for value in shell.user_ns.values()}
    found = {}
    for module, path in dict.fromkeys((*_paths_of_modules(shell), *_paths_in_modules(shell))):
        owner = follow(sys.modules[module], path[:-1])
        value = vars(owner).get(path[-1], _CODE) if owner is not None else _CODE
        if isinstance(value, ATOMS) or not (
            value is _CODE or isinstance(value, _CODE) or (len(path) == 1 and id(value) in own_ids)
        ):
            found[".".join((module, *path))] = (value, module, path, _digest(module))
    return found


def _restore_value(shell: Any, _name: str, value: tuple[Any, str, tuple[str, ...], str]) -> None:
    saved, module, (*names, last), digest = value
    owner = follow(importlib.import_module(module), tuple(names))
    current = vars(owner).get(last) if owner is not None else None
    if is_same(current, saved):
        return
    if _digest(module) != digest:
        raise NotRestored("the file of its module has changed, and now sets it")
    is_variable = any(value is saved for value in shell.user_ns.values())
    if is_variable or not fill(current, saved):
        setattr(owner, last, saved)


def _capture_of_functions(shell: Any) -> dict[str, Any]:
    """Find attributes that code sets at the functions of modules beside the notebook: `count.calls += 1`."""
    found: dict[str, Any] = {}
    for function, attribute in _paths_at_functions(shell):
        place = (function.__module__, tuple(function.__qualname__.split(".")))
        is_there = is_users_module(place[0]) and follow(sys.modules.get(place[0]), place[1]) is function
        for name in vars(function) if attribute == ANY else [attribute]:
            if is_there and name != "__wrapped__" and hasattr(function, name):
                found[".".join((place[0], *place[1], name))] = (*place, name, getattr(function, name))
    return found


def _paths_at_functions(shell: Any) -> Iterator[tuple[types.FunctionType, str]]:
    paths = [
        (vars(sys.modules[module]), change.path)
        for module in list_imported_by_cells(shell)
        for change in changes_by_functions(read_source(module))
    ]
    paths += [(shell.user_ns, path) for is_bound in (True, False) for path in paths_of_cells(shell, is_bound=is_bound)]
    for namespace, path in paths:
        owner = namespace.get(path[0])
        for at, name in enumerate(path[1:], 1):
            if type(owner) is types.FunctionType:
                yield owner, name
                break
            owner = follow(owner, path[at : at + 1])


def _restore_of_function(_shell: Any, _name: str, value: tuple[str, tuple[str, ...], str, Any]) -> None:
    module, names, attribute, content = value
    function = follow(importlib.import_module(module), names)
    if not isinstance(function, types.FunctionType):
        raise NotRestored("its module no longer has this function")
    if not is_same(getattr(function, attribute, None), content):
        setattr(function, attribute, content)


def _capture_files(shell: Any) -> dict[str, Any]:
    modules = list_imported_by_cells(shell)
    return {module: (str(sys.modules[module].__file__), _digest(module)) for module in modules if read_source(module)}


def _restore_file(_shell: Any, _module: str, value: tuple[str, str]) -> None:
    path, digest = value
    if Path(path).is_file() and _digest_text(_read(path)) != digest:
        raise NotRestored(
            "its file was changed during the pause, so the notebook continues with the module as it is now"
        )


def _capture_registered(shell: Any) -> dict[str, Any]:
    variables = shell.user_ns.values()
    classes = [value for value in variables if issubclass(type(value), type) and module_of(value) == "__main__"]
    found: dict[str, Any] = {}
    for path, argument in {registered for source in find_sources(shell) for registered in registers_in(source)}:
        owner = follow(shell.user_ns.get(path[0]), path[1:-1])
        if not isinstance(owner, abc.ABCMeta) or find_home(owner) is None:
            continue
        named = follow(shell.user_ns.get(argument[0]), argument[1:]) if argument else None
        for kind in (*classes, *([named] if isinstance(named, type) else [])):
            if owner not in kind.__mro__ and issubclass(kind, owner):
                found[f"{full_name(owner)}.register({qualified_name(kind)})"] = (owner, kind)
    return found


def _capture_dispatched(shell: Any) -> dict[str, Any]:
    """Find implementations that cells registered at a `functools.singledispatch` function of a module."""
    found = {}
    for path, _ in {registered for source in find_sources(shell) for registered in registers_in(source)}:
        function = follow(shell.user_ns.get(path[0]), path[1:-1])
        registry = getattr(function, "registry", None) if isinstance(function, types.FunctionType) else None
        if isinstance(registry, types.MappingProxyType) and function.__module__ != "__main__":
            for kind, implementation in registry.items():
                if is_of_cells(implementation) and implementation.__module__ != function.__module__:
                    name = f"{function.__module__}.{function.__qualname__}.register({qualified_name(kind)})"
                    found[name] = (function, kind, implementation)
    return found


def _restore_dispatched(_shell: Any, _name: str, value: tuple[Any, type, Any]) -> None:
    function, kind, implementation = value
    function.register(kind, implementation)


def _restore_registered(_shell: Any, _name: str, value: tuple[abc.ABCMeta, type]) -> None:
    owner, kind = value
    owner.register(kind)


def fill(container: Any, saved: Any) -> bool:
    """Fill a container with the saved contents in place, so that all references see them."""
    kind = type(saved)
    if type(container) is not kind or kind not in {list, dict, set, collections.deque, collections.Counter}:
        return False
    container.clear()
    container.extend(saved) if kind in {list, collections.deque} else container.update(saved)
    return True


def paths_of_cells(shell: Any, *, is_bound: bool) -> Iterator[tuple[str, ...]]:
    """Find the paths that cells set, or whose objects they change in place."""
    for source in find_sources(shell):
        yield from (each.path for each in changes_in(source) if each.is_bound == is_bound)


def _paths_of_modules(shell: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Find attributes that functions of modules beside the notebook change, as module and path."""
    for module in list_imported_by_cells(shell):
        for change in changes_by_functions(read_source(module)):
            yield from _cut(sys.modules[module], change.path)


def _paths_in_modules(shell: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Find objects in modules beside the notebook that cells change in place."""
    for path in paths_of_cells(shell, is_bound=False):
        yield from _cut(shell.user_ns.get(path[0]), path[1:])
    for path in paths_of_cells(shell, is_bound=True):
        if find_home(follow(shell.user_ns.get(path[0]), path[1:-1])) is None:
            yield from _cut(shell.user_ns.get(path[0]), path[1:])


def _cut(owner: Any, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Follow a path through modules and classes up to the first object that is neither."""
    for at, name in enumerate(path):
        place = find_home(owner)
        if place is None or not is_users_module(place[0]) or name == ANY:
            return
        inside = vars(owner).get(name)
        if not isinstance(inside, (types.ModuleType, type)):
            yield place[0], (*place[1], *path[at : at + 1])
            return
        owner = inside


def follow(owner: Any, path: tuple[str, ...]) -> Any:
    """Follow attributes through modules and classes only, so that no user code runs; None if there is no such path."""
    for name in path:
        if not issubclass(type(owner), (types.ModuleType, type)):
            return None
        owner = vars(owner).get(name)
    return owner


def find_home(owner: Any) -> tuple[str, tuple[str, ...]] | None:
    """Return module and path of a module or class; classes of the notebook are saved with their attributes anyway."""
    # By type: `isinstance` of a proxy may raise.
    if issubclass(type(owner), types.ModuleType):
        name = getattr(owner, "__name__", "")
        is_found = (
            sys.modules.get(name) is owner and name != "__main__" and getattr(owner, "__spec__", None) is not None
        )
        return (name, ()) if is_found else None
    if issubclass(type(owner), type):
        module, names = module_of(owner), tuple(qualified_name(owner).split("."))
        is_found = module != "__main__" and follow(sys.modules.get(module), names) is owner
        return (module, names) if is_found else None
    return None


def read_source(module: str) -> str:
    """Return the text of a loaded module; empty if it has none."""
    return _read(str(getattr(sys.modules.get(module), "__file__", "")))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _digest(module: str) -> str:
    return _digest_text(read_source(module))


def _digest_text(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


PARTS: dict[str, Part] = {
    "attributes": Part(capture_attributes, restore_attribute, "{}", when="after", is_shared=True),
    "registered": Part(_capture_registered, _restore_registered, "{}", when="after"),
    "dispatched": Part(_capture_dispatched, _restore_dispatched, "{}", when="after"),
    "module_files": Part(_capture_files, _restore_file, "module {}", when="after"),
    "function_attributes": Part(_capture_of_functions, _restore_of_function, "{}", when="after", is_shared=True),
    "module_state": Part(_capture_values, _restore_value, "{}", when="after", is_shared=True),
}
