"""Describe the place of an object inside a variable as code: `clients["a"].session.lock`."""

import functools
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

#: Most objects that are searched: the place is only a help, not worth seconds.
_MOST = 50_000
_LEAVES = (str, bytes, int, float, type(None), type, types.ModuleType, types.CodeType)


def find_place(target: Any, root: Any, name: str) -> str:
    """Find the shortest path from a variable to an object inside it.

    Args:
        target: The object looked for, by identity.
        root: The variable's value.
        name: The variable's name, which the place starts with.

    Returns:
        The place; just `name` if the object was not found, for example because it exists only while
        something is being pickled.
    """
    todo = deque([(root, name)])
    seen: set[int] = set()
    while todo and len(seen) < _MOST:
        value, place = todo.popleft()
        if value is target:
            return place
        if id(value) in seen or isinstance(value, _LEAVES):
            continue
        seen.add(id(value))
        todo.extend((part, place + step) for part, step in _parts(value))
    return name


def _parts(value: Any) -> Iterator[tuple[Any, str]]:
    if isinstance(value, dict):
        for key, item in list(value.items()):
            yield item, f"[{_short(key)}]"
    elif isinstance(value, (list, tuple, deque)):
        for index, item in enumerate(list(value)):
            yield item, f"[{index}]"
    elif isinstance(value, (set, frozenset)):
        for item in list(value):
            yield item, f"{{{_short(item)}}}"
    elif isinstance(value, types.MethodType):
        yield value.__self__, ".__self__"
    elif isinstance(value, functools.partial):
        yield value.func, ".func"
        yield value.args, ".args"
        yield value.keywords, ".keywords"
    elif isinstance(value, types.FunctionType):
        yield from _closure(value)
    yield from _attributes(value)


def _closure(function: types.FunctionType) -> Iterator[tuple[Any, str]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            yield cell.cell_contents, f".<closure {name}>"
        except ValueError:
            continue
    for index, default in enumerate(function.__defaults__ or ()):
        yield default, f".__defaults__[{index}]"


def _attributes(value: Any) -> Iterator[tuple[Any, str]]:
    try:
        attributes = vars(value)
    except TypeError:
        attributes = {}
    for name, item in list(attributes.items()):
        yield item, f".{name}"
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else list(slots):
            try:
                yield object.__getattribute__(value, slot), f".{slot}"
            except AttributeError:
                continue


def _short(key: Any) -> str:
    if isinstance(key, str):
        return f'"{key}"' if len(key) <= 40 else f'"{key[:37]}…"'
    return (
        repr(key) if isinstance(key, (int, float, bool, bytes, tuple)) and len(repr(key)) <= 40 else type(key).__name__
    )
