"""Save what a notebook changes in modules: attributes set by cells, and data of modules beside the notebook.

They are found in the source of the cells and of the modules' functions: data that a module makes when it is imported
is made again in every kernel, and may depend on the machine.
"""

import abc
import ast
import collections
import functools
import hashlib
import importlib
import re
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.type_names import full_name, is_users_module, module_of, qualified_name
from pauseflow_nb.kernel.snapshot.process_state.state_part import NotRestored, Part, is_same
from pauseflow_nb.kernel.snapshot.recovery import imports
from pauseflow_nb.kernel.user_code import parse_cell

#: Attribute of a shell with the names of modules that were loaded before its first cell.
_LOADED_BEFORE = "_pauseflow_loaded_before"

#: Modules that other parts save, or that belong to the process.
_ELSEWHERE = frozenset(
    {"os.environ", "sys.argv", "sys.breakpointhook", "sys.displayhook", "sys.dont_write_bytecode", "sys.excepthook"}
    | {"sys.meta_path", "sys.modules", "sys.path", "sys.path_hooks", "sys.ps1", "sys.ps2", "sys.stderr", "sys.stdin"}
    | {"sys.stdout", "sys.unraisablehook", "tempfile.tempdir", "threading.excepthook", "warnings.filters"}
    | {"warnings.formatwarning", "warnings.showwarning", "matplotlib.rcParams"}
)
_ATOMS = (str, bytes, int, float, complex, bool, type(None))
_CODE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type, property, classmethod, staticmethod)
_MUTATING = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop", "popitem", "popleft"}
    | {"remove", "reverse", "setdefault", "sort", "subtract", "update"}
)
#: Stands for names that the text does not show: `setattr(config, name, value)`, `vars(config).update(changes)`.
_ANY = "*"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def note_start(shell: Any) -> None:
    """Record the modules that are loaded before the first cell of a shell."""
    setattr(shell, _LOADED_BEFORE, frozenset(sys.modules))


def _capture_attributes(shell: Any) -> dict[str, Any]:
    found = {}
    for path in _paths_of_cells(shell, is_bound=True):
        owner = _walk(shell.user_ns.get(path[0]), path[1:-1])
        place = _place(owner)
        if place is None:
            continue
        module, names = place
        for last in _set_by_cells(owner, module) if path[-1] == _ANY else [path[-1]]:
            name = ".".join((module, *names, last))
            if last in vars(owner) and name not in _ELSEWHERE:
                is_sure = path[-1] != _ANY or is_users_module(module)
                found[name] = (vars(owner)[last], module, (*names, last), is_sure)
    return found


def _set_by_cells(owner: Any, module: str) -> list[str]:
    """List attributes of a module or a class that cells may have set by names that their text does not show."""
    may_be = _ATOMS if not is_users_module(module) else (*_ATOMS, list, dict, set, tuple)
    words = frozenset(re.findall(r"\w+", _source(module)))
    return [
        name
        for name, value in vars(owner).items()
        if not name.startswith("__")
        and (isinstance(value, may_be) or _is_made_by_cells(value) or (words and name not in words))
    ]


def _is_made_by_cells(value: Any) -> bool:
    return isinstance(value, _CODE) and getattr(value, "__module__", "") == "__main__"


def _restore_attribute(_shell: Any, _name: str, value: tuple[Any, ...]) -> None:
    attribute, module, (*names, last), *rest = value
    owner = _walk(importlib.import_module(module), tuple(names))
    # What no cell is known to have set may be the machine's own. An earlier version knew of each.
    if all(rest) or last not in vars(owner) or _is_made_by_cells(attribute):
        setattr(owner, last, attribute)


def _capture_values(shell: Any) -> dict[str, Any]:
    # See `imports.find_shared_with_modules`: a value that is also a variable is restored with it.
    own_ids = {id(value) for value in shell.user_ns.values()}
    found = {}
    for module, path in dict.fromkeys((*_paths_of_modules(shell), *_paths_in_modules(shell))):
        owner = _walk(sys.modules[module], path[:-1])
        value = vars(owner).get(path[-1], _CODE) if owner is not None else _CODE
        if isinstance(value, _ATOMS) or not (
            value is _CODE or isinstance(value, _CODE) or (len(path) == 1 and id(value) in own_ids)
        ):
            found[".".join((module, *path))] = (value, module, path, _digest(module))
    return found


def _restore_value(shell: Any, _name: str, value: tuple[Any, str, tuple[str, ...], str]) -> None:
    saved, module, (*names, last), digest = value
    owner = _walk(importlib.import_module(module), tuple(names))
    current = vars(owner).get(last) if owner is not None else None
    if is_same(current, saved):
        return
    if _digest(module) != digest:
        raise NotRestored("the file of its module has changed, and now sets it")
    is_variable = any(value is saved for value in shell.user_ns.values())
    if is_variable or not _fill(current, saved):
        setattr(owner, last, saved)


def _capture_files(shell: Any) -> dict[str, Any]:
    before: frozenset[str] = getattr(shell, _LOADED_BEFORE, frozenset())
    modules = [module for module in imports.find_users_modules() if module not in before]
    return {module: (str(sys.modules[module].__file__), _digest(module)) for module in modules if _source(module)}


def _restore_file(_shell: Any, _module: str, value: tuple[str, str]) -> None:
    path, digest = value
    if Path(path).is_file() and _digest_text(_read(path)) != digest:
        raise NotRestored(
            "its file was changed during the pause, so the notebook continues with the module as it is now"
        )


def _capture_registered(shell: Any) -> dict[str, Any]:
    classes = [value for value in shell.user_ns.values() if isinstance(value, type) and module_of(value) == "__main__"]
    paths = {path for source in shell.user_ns.get("In", ()) if isinstance(source, str) for path in registers_in(source)}
    return {
        f"{full_name(owner)}.register({qualified_name(kind)})": (owner, kind)
        for path in paths
        if isinstance(owner := _walk(shell.user_ns.get(path[0]), path[1:-1]), abc.ABCMeta) and _place(owner) is not None
        for kind in classes
        if owner not in kind.__mro__ and issubclass(kind, owner)
    }


def _restore_registered(_shell: Any, _name: str, value: tuple[abc.ABCMeta, type]) -> None:
    owner, kind = value
    owner.register(kind)


def _fill(container: Any, saved: Any) -> bool:
    """Fill a container with the saved contents in place, so that all references see them."""
    kind = type(saved)
    if type(container) is not kind or kind not in {list, dict, set, collections.deque, collections.Counter}:
        return False
    container.clear()
    container.extend(saved) if kind in {list, collections.deque} else container.update(saved)
    return True


def _paths_of_cells(shell: Any, *, is_bound: bool) -> Iterator[tuple[str, ...]]:
    for source in shell.user_ns.get("In", ()):
        if isinstance(source, str):
            yield from (each.path for each in changes_in(source) if each.is_bound == is_bound)


def _paths_of_modules(shell: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Find attributes that functions of modules beside the notebook change, as module and path."""
    before: frozenset[str] = getattr(shell, _LOADED_BEFORE, frozenset())
    for module in imports.find_users_modules():
        if module in before:
            continue
        for change in changes_by_functions(_source(module)):
            yield from _cut(sys.modules[module], change.path)


def _paths_in_modules(shell: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Find objects in modules beside the notebook that cells change in place."""
    for path in _paths_of_cells(shell, is_bound=False):
        yield from _cut(shell.user_ns.get(path[0]), path[1:])
    for path in _paths_of_cells(shell, is_bound=True):
        if _place(_walk(shell.user_ns.get(path[0]), path[1:-1])) is None:
            yield from _cut(shell.user_ns.get(path[0]), path[1:])


def _cut(owner: Any, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Follow a path through modules and classes up to the first object that is neither."""
    for at, name in enumerate(path):
        place = _place(owner)
        if place is None or not is_users_module(place[0]) or name == _ANY:
            return
        inside = vars(owner).get(name)
        if not isinstance(inside, (types.ModuleType, type)):
            yield place[0], (*place[1], *path[at : at + 1])
            return
        owner = inside


def _walk(owner: Any, path: tuple[str, ...]) -> Any:
    """Follow attributes through modules and classes only, so that no user code runs; None if there is no such path."""
    for name in path:
        if not isinstance(owner, (types.ModuleType, type)):
            return None
        owner = vars(owner).get(name)
    return owner


def _place(owner: Any) -> tuple[str, tuple[str, ...]] | None:
    """Return module and path of a module or class; classes of the notebook are saved with their attributes anyway."""
    if isinstance(owner, types.ModuleType):
        name = getattr(owner, "__name__", "")
        is_found = sys.modules.get(name) is owner and name != "__main__" and owner.__spec__ is not None
        return (name, ()) if is_found else None
    if isinstance(owner, type):
        module, names = module_of(owner), tuple(qualified_name(owner).split("."))
        is_found = module != "__main__" and _walk(sys.modules.get(module), names) is owner
        return (module, names) if is_found else None
    return None


def _source(module: str) -> str:
    return _read(str(getattr(sys.modules.get(module), "__file__", "")))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _digest(module: str) -> str:
    return _digest_text(_source(module))


def _digest_text(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


PARTS: dict[str, Part] = {
    "attributes": Part(_capture_attributes, _restore_attribute, "{}", when="after", is_shared=True),
    "registered": Part(_capture_registered, _restore_registered, "{}", when="after"),
    "module_files": Part(_capture_files, _restore_file, "module {}", when="after"),
    "module_state": Part(_capture_values, _restore_value, "{}", when="after", is_shared=True),
}


@dataclass(frozen=True)
class Change:
    """A name and the attributes after it, such as `helper.COUNTS`."""

    path: tuple[str, ...]
    #: Whether the attribute was set; otherwise the object was changed in place.
    is_bound: bool


@functools.lru_cache(maxsize=4096)
def changes_in(source: str) -> tuple[Change, ...]:
    """Find changes of attributes in code: `a.b = 1`, `a.b[0] = 1`, `a.b.append(1)`, ….

    Source that is not Python changes nothing.
    """
    try:
        tree = parse_cell(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    return tuple(dict.fromkeys(change for change in _changes(ast.walk(tree)) if len(change.path) > 1))


@functools.lru_cache(maxsize=4096)
def registers_in(source: str) -> tuple[tuple[str, ...], ...]:
    """Find paths to `register` that code calls: `Sequence.register(Mine)`, `@Sequence.register`."""
    if ".register" not in source:
        return ()
    try:
        tree = parse_cell(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "register")
    return tuple(change.path for node in nodes for change in _change(node, is_bound=False))


@functools.lru_cache(maxsize=512)
def changes_by_functions(source: str) -> tuple[Change, ...]:
    """Find changes by the functions of a module to data of the module or of its classes."""
    try:
        tree = parse_cell(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    found: dict[Change, None] = {}
    for function, owner in _functions(tree, ()):
        shared = {name for node in ast.walk(function) if isinstance(node, ast.Global) for name in node.names}
        local = _local_names(function) - shared
        for change in _changes(ast.walk(function)):
            first, *rest = change.path
            if first == "cls" and owner and rest:  # also `type(self)` and `self.__class__`
                found[Change((*owner, *rest), change.is_bound)] = None
            elif first not in local and (rest or first in shared or not change.is_bound):
                found[change] = None
    return tuple(found)


def _functions(tree: ast.AST, owner: tuple[str, ...]) -> Iterator[tuple[ast.AST, tuple[str, ...]]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _FUNCTIONS):
            yield node, owner
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, (*owner, node.name))
        else:
            yield from _functions(node, owner)


def _local_names(function: ast.AST) -> set[str]:
    arguments = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    return arguments | {
        node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _changes(nodes: Iterable[ast.AST]) -> Iterator[Change]:
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                yield Change((name,), is_bound=True)
            case ast.Attribute(ctx=ast.Store()):
                yield from _change(node, is_bound=True)
            case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()):
                yield from _change(value, is_bound=False)
            case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in _MUTATING:
                yield from _change(value, is_bound=False)
            case ast.Call(func=ast.Name(id="setattr"), args=[value, ast.Constant(value=str(name)), _]):
                yield from _change(ast.Attribute(value, name), is_bound=True)
            case ast.Call(func=ast.Name(id="setattr"), args=[value, _, _]):
                yield from _change(ast.Attribute(value, _ANY), is_bound=True)


def _change(node: ast.expr, *, is_bound: bool) -> Iterator[Change]:
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        if node.attr == "__class__":
            yield Change(("cls", *reversed(path)), is_bound)
            return
        if node.attr == "__dict__":
            path, is_bound = [_ANY], True
        else:
            path.append(node.attr)
        node = node.value
    match node:
        case ast.Name(id=name):
            yield Change((name, *reversed(path)), is_bound)
        case ast.Call(func=ast.Name(id="vars"), args=[owner]):
            yield from _change(ast.Attribute(owner, _ANY), is_bound=True)
        case ast.Call(func=ast.Name(id="type"), args=[_]):
            yield Change(("cls", *reversed(path)), is_bound)
