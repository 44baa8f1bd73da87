"""Resolve references in a pickle while it is loaded: to the live namespace, the notebook's definitions, the shell.

Pickles name these functions by `reconstruct`, so their names may never change: a snapshot can be months old.
"""

import array
import collections
import getpass
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

#: Type without a name in any module → an object of it.
NAMELESS: dict[str, Callable[[], object]] = {
    "arrayiterator": lambda: iter(array.array("b")),
    "callable_iterator": lambda: iter(int, 1),
    "dict_reverseitemiterator": lambda: reversed({}.items()),
    "dict_reversekeyiterator": lambda: reversed({}),
    "dict_reversevalueiterator": lambda: reversed({}.values()),
    "memory_iterator": lambda: iter(memoryview(b"")),
    "odict_items": lambda: collections.OrderedDict().items(),
    "odict_keys": lambda: collections.OrderedDict().keys(),
    "odict_iterator": lambda: iter(collections.OrderedDict()),
    "odict_values": lambda: collections.OrderedDict().values(),
    "sre_scanner": lambda: vars(re.Pattern)["scanner"](re.compile(""), ""),
    "str_ascii_iterator": lambda: iter(""),
    "str_iterator": lambda: iter("ä"),
}


@dataclass
class Filling:
    """Results for a cached function, or the `source` of its results."""

    cached: Any
    source: Any
    wrapped: Any
    entries: Sequence[tuple[tuple[Any, ...], dict[str, Any], Any]] = ()


@dataclass
class Loading:
    """The kernel that a snapshot is loaded into; a context manager for one load at a time."""

    namespace: dict[str, Any]
    shell: Any
    #: Key → function or class of the notebook that has been loaded.
    definitions: dict[str, Any] = field(default_factory=dict)
    #: Whether the result is dropped, so that live objects must not be changed.
    is_trial: bool = False
    #: Cached functions to fill when everything is loaded.
    fillings: list[Filling] = field(default_factory=list)
    outer: "Loading | None" = None

    def fill_caches(self) -> list[str]:
        """Fill the caches of cached functions.

        Returns:
            A sentence for each cache that is not complete.
        """
        ways = {id(each.cached): each for each in self.fillings if each.source is not None}
        problems = []
        for filling in self.fillings:
            way = ways[id(filling.cached)]
            try:
                for arguments, keywords, result in filling.entries:
                    way.source.__setstate__((_Return(result), (), {}, None))
                    filling.cached(*arguments, **keywords)
            except Exception as problem:  # noqa: BLE001 - arguments are hashed by code of the notebook's
                problems.append(f"the cache of {way.wrapped} starts with a part of its results: {problem}")
            finally:
                way.source.__setstate__((way.wrapped, (), {}, None))
        return problems

    def __enter__(self) -> Self:
        global _current
        self.outer, _current = _current, self
        return self

    def __exit__(self, *_error: object) -> None:
        global _current  # noqa: PLW0603
        _current = self.outer


class _Return:
    """Returns one object for any arguments."""

    def __init__(self, result: Any) -> None:
        self._result = result

    def __call__(self, *_arguments: Any, **_keywords: Any) -> Any:
        return self._result


_current: Loading | None = None


def _loading() -> Loading:
    if _current is None:
        raise RuntimeError("a part of a snapshot can only be loaded by restore()")
    return _current


def note_filling(filling: Filling) -> None:
    """Record the results for a cached function, or their source."""
    _loading().fillings.append(filling)


def is_trial() -> bool:
    """Whether the current load is a trial, whose result is dropped."""
    return _current is not None and _current.is_trial


def live_namespace() -> dict[str, Any]:
    """Return the namespace that variables are restored into."""
    return _loading().namespace


def live_shell() -> Any:
    """Return the shell that variables are restored into."""
    return _loading().shell


def live_session() -> Any:
    """Return pauseflow_nb's own session of the shell."""
    return _loading().shell.pauseflow


def live_part(*path: str) -> Any:
    """Return a part of the shell that variables are restored into, or of its kernel."""
    found = _loading().shell
    for name in path:
        found = getattr(found, name, None)
        if found is None:
            raise LookupError(f"this kernel's shell has no {'.'.join(path)}")
    return found


def kernel_method(name: str) -> Any:
    """Return a method of the kernel, such as what cells get for `input`."""
    kernel = getattr(_loading().shell, "kernel", None)
    if kernel is not None:
        return getattr(kernel, name)
    return {"raw_input": input, "getpass": getpass.getpass}[name]


def type_of(module: str, path: str) -> type:
    """Return the type of an object that is imported."""
    return type(live_attribute(module, path))


def nameless_type(name: str) -> type:
    """Return a type that has no name in any module."""
    return type(NAMELESS[name]())


def definition(key: str) -> Any:
    """Return one of the notebook's own functions and classes."""
    found = _loading().definitions
    if key not in found:
        raise LookupError(f"it needs {key.rpartition('#')[0]}, which could not be restored")
    return found[key]


def live_attribute(module: str, path: str) -> Any:
    """Import an object: `path` in `module`; the object itself, never a copy."""
    __import__(module)
    found: Any = sys.modules[module]
    for name in path.split("."):
        found = getattr(found, name)
    return found


def live_module_namespace(module: str) -> dict[str, Any]:
    """Return the globals of an imported module."""
    __import__(module)
    return vars(sys.modules[module])
