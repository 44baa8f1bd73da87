"""Save what cells change inside of libraries: contents of their lists and dicts, their objects, deleted attributes.

Attributes that cells set under a name which is no variable now are found by that name, in all modules.
"""

import collections
import functools
import importlib
import re
import sys
import types
from collections.abc import Iterator, MutableMapping
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.type_names import is_users, is_users_module
from pauseflow_nb.kernel.snapshot.process_state import library_calls
from pauseflow_nb.kernel.snapshot.process_state.code_changes import ANY, deletions_in
from pauseflow_nb.kernel.snapshot.process_state.module_state import (
    ELSEWHERE,
    capture_attributes,
    find_home,
    follow,
    is_made_by_cells,
    paths_of_cells,
    read_source,
    restore_attribute,
)
from pauseflow_nb.kernel.snapshot.process_state.state_part import Part, is_same
from pauseflow_nb.kernel.snapshot.recovery import imports
from pauseflow_nb.kernel.snapshot.user_names import find_sources

#: What other parts save, or what belongs to the process.
_ELSEWHERE = re.compile(
    r"(sys|os|logging|gc|signal|copyreg|warnings)\..*|pandas\.(options|set_option)\b.*|plotly\.io\..*"
    r"|matplotlib\.(pyplot\.)?rcParams\b.*|IPython\..*|random\..*|numpy\.random\..*|pauseflow_nb\..*|builtins\..*"
)
#: Function → the container that it changes.
_REGISTRIES = {
    "doctest.register_optionflag": "doctest.OPTIONFLAGS_BY_NAME",
    "email.charset.add_charset": "email.charset.CHARSETS",
    "gettext.bindtextdomain": "gettext._localedirs",
    "IPython.lib.pretty.for_type": "IPython.lib.pretty._type_pprinters",
    "IPython.lib.pretty.for_type_by_name": "IPython.lib.pretty._deferred_type_pprinters",
    "joblib.register_parallel_backend": "joblib.parallel.BACKENDS",
    "matplotlib.animation.writers.register": "matplotlib.animation.writers._registered",
    "matplotlib.colors.get_named_colors_mapping": "matplotlib.colors._colors_full_map",
    "matplotlib.projections.register_projection": "matplotlib.projections.projection_registry._all_projection_types",
    "matplotlib.scale.register_scale": "matplotlib.scale._scale_mapping",
    "shutil.register_archive_format": "shutil._ARCHIVE_FORMATS",
    "shutil.register_unpack_format": "shutil._UNPACK_FORMATS",
    "sqlite3.register_adapter": "sqlite3.dbapi2.adapters",
    "sqlite3.register_converter": "sqlite3.dbapi2.converters",
    "xml.etree.ElementTree.register_namespace": "xml.etree.ElementTree._namespace_map",
}
_CONTAINERS = (list, set, collections.deque, MutableMapping)


def _capture_contents(shell: Any) -> dict[str, Any]:
    changed = {_join(module, names) for module, names in _changed_in_place(shell)}
    changed = {path for path in changed if not _ELSEWHERE.fullmatch(path)}
    registries = {_REGISTRIES[call] for call in library_calls.find_names(shell) & _REGISTRIES.keys()}
    found: dict[str, Any] = {}
    for path in sorted(changed | registries):
        container, is_whole = _get(path), path in changed
        if isinstance(container, MutableMapping):
            entries = {k: v for k, v in container.items() if is_whole or not _is_librarys(k, v, path)}
            found[path] = (entries, [], is_whole)
        elif isinstance(container, _CONTAINERS):
            found[path] = (None, list(container), is_whole)
    return found


def _restore_contents(_shell: Any, name: str, value: tuple[dict[Any, Any] | None, list[Any], bool]) -> None:
    container, (entries, items, is_whole) = _get(name), value
    if entries is not None:
        for key in [key for key in container if is_whole and key not in entries]:
            del container[key]
        for key, each in entries.items():
            if key not in container or not is_same(container[key], each):
                container[key] = each
    elif not is_same(list(container), items):
        container.clear()
        container.update(items) if isinstance(container, set) else container.extend(items)


def _is_librarys(key: Any, value: Any, path: str) -> bool:
    """Whether a library makes an entry itself, with functions that have no name in a module."""
    package = path.partition(".")[0]
    is_local = isinstance(value, types.FunctionType) and "<locals>" in value.__qualname__
    return (
        is_local
        and value.__module__.partition(".")[0] == package
        and not is_users(type(key))
        and not (isinstance(key, tuple) and any(isinstance(each, type) and is_users(each) for each in key))
    )


def _changed_in_place(shell: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    imported = dict(imports.find_imported(shell))
    for path in paths_of_cells(shell, is_bound=False):
        if len(path) == 1 and path[0] in imported:
            module, name = imported[path[0]]
            if module in sys.modules and not is_users_module(module):
                yield module, (name,)
        elif len(path) > 1:
            yield from _inside(shell, path)


def _inside(shell: Any, path: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Follow a path through modules and classes of libraries; return the last of these and the rest of the path."""
    owner, rest = shell.user_ns.get(path[0]), path[1:]
    place = None
    while rest and (here := find_home(owner)) is not None:
        place = (here[0], (*here[1], *rest))
        owner, rest = vars(owner).get(rest[0]), rest[1:]
    if place is not None and find_home(owner) is None and not is_users_module(place[0]):
        yield place


def _capture_objects(shell: Any) -> dict[str, Any]:
    """Find attributes that cells set on objects in modules of libraries: `json._default_encoder.indent = 2`."""
    found, absent = {}, object()
    for path in paths_of_cells(shell, is_bound=True):
        for module, names in _inside(shell, path):
            name = _join(module, names)
            owner = _get(name.rpartition(".")[0])
            is_object = owner is not None and find_home(owner) is None and not is_users(type(owner))
            if is_object and names[-1] != ANY and not _ELSEWHERE.fullmatch(name):
                value = getattr(owner, names[-1], absent)
                if value is not absent:
                    found[name] = value
    return found


def _restore_object(_shell: Any, name: str, value: Any) -> None:
    owner, _, attribute = name.rpartition(".")
    if not is_same(getattr(_get(owner), attribute, None), value):
        setattr(_get(owner), attribute, value)


def _capture_hidden(shell: Any) -> dict[str, Any]:
    """Find attributes of modules and classes that were set under a name which means something else now.

    Such a name is that of an argument, of a local variable, or of a loop.
    """
    nothing = types.ModuleType("")
    names = {
        path[-1]
        for path in paths_of_cells(shell, is_bound=True)
        if path[0] != "self" and path[-1] != ANY
        if issubclass(type(shell.user_ns.get(path[0], nothing)), (types.ModuleType, type))
    }
    known = capture_attributes(shell)
    found: dict[str, Any] = {}
    for owner in _owners(shell) if names else ():
        for last in names & vars(owner).keys():
            place = find_home(owner)
            if place is None or is_users_module(place[0]) or place[0].startswith("pauseflow_nb"):
                continue
            name = _join(place[0], (*place[1], last))
            value = vars(owner)[last]
            if name not in ELSEWHERE | known.keys() and (is_made_by_cells(value) or not is_in_source(place[0], last)):
                found[name] = (value, place[0], (*place[1], last), False)
    return found


def _owners(shell: Any) -> Iterator[Any]:
    modules = [module for module in list(sys.modules.values()) if isinstance(module, types.ModuleType)]
    yield from modules
    variables = list(shell.user_ns.values())
    # By type: `isinstance` of a proxy may raise.
    reachable = [value for value in variables if issubclass(type(value), types.ModuleType)]
    classes = [value for module in reachable for value in list(vars(module).values())]
    yield from {id(each): each for each in (*classes, *variables) if issubclass(type(each), type)}.values()


def is_in_source(module: str, word: str) -> bool:
    """Whether the text of a module has a word, or cannot show all of its names."""
    words = _read_words(module)
    return not words or word in words


def _read_words(module: str) -> frozenset[str]:
    return _find_words(read_source(module))


@functools.lru_cache(maxsize=256)
def _find_words(text: str) -> frozenset[str]:
    # A module with these has names that its own text does not show.
    is_complete = not re.search(r"import \*|globals\(\)|__getattr__|setattr\(", text)
    return frozenset(re.findall(r"\w+", text)) if is_complete else frozenset()


def _capture_deleted(shell: Any) -> dict[str, Any]:
    found = {}
    for path in (path for source in find_sources(shell) for path in deletions_in(source)):
        owner = follow(shell.user_ns.get(path[0]), path[1:-1])
        place = find_home(owner)
        if place is not None and path[-1] != ANY and path[-1] not in vars(owner):
            found[f"del {_join(place[0], (*place[1], path[-1]))}"] = (place[0], (*place[1], path[-1]))
    return found


def _restore_deleted(_shell: Any, _name: str, value: tuple[str, tuple[str, ...]]) -> None:
    module, (*names, last) = value
    owner = follow(importlib.import_module(module), tuple(names))
    if last in vars(owner):
        delattr(owner, last)


def _capture_aliases(shell: Any) -> dict[str, Any]:
    """Find names in `sys.modules` under which cells put other modules, or nothing."""
    if not any("sys.modules" in source for source in find_sources(shell)):
        return {}
    return {
        name: module
        for name, module in list(sys.modules.items())
        if (module is None or getattr(getattr(module, "__spec__", None), "name", None) != name)
        and re.search(rf"['\"]{re.escape(name)}['\"]", "\n".join(find_sources(shell)))
        and name != "__main__"
    }


def _restore_alias(_shell: Any, name: str, module: Any) -> None:
    sys.modules[name] = module


def _join(module: str, names: tuple[str, ...]) -> str:
    return ".".join((module, *names))


def _get(path: str) -> Any:
    """Return what a full name leads to; the longest beginning that is a module is imported."""
    names = path.split(".")
    for count in range(len(names), 0, -1):
        module = ".".join(names[:count])
        if module in sys.modules or count == 1:
            owner: Any = importlib.import_module(module)
            return functools.reduce(lambda each, name: getattr(each, name, None), names[count:], owner)
    return None


PARTS: dict[str, Part] = {
    "module_aliases": Part(_capture_aliases, _restore_alias, "sys.modules[{}]", when="before"),
    "hidden_attributes": Part(_capture_hidden, restore_attribute, "{}", when="after", is_shared=True),
    "library_contents": Part(_capture_contents, _restore_contents, "contents of {}", when="after", is_shared=True),
    "library_objects": Part(_capture_objects, _restore_object, "{}", when="after", is_shared=True),
    "deleted_attributes": Part(_capture_deleted, _restore_deleted, "{}", when="after"),
}
