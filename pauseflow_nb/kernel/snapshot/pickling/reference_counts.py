"""Find values that something besides their variable refers to, by samples of Python's reference counts."""

import itertools
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.sharing import is_noticed
from pauseflow_nb.kernel.snapshot.pickling.type_names import is_users

#: Containers of this many items are pickled in parts.
_LONG = 1_000
#: How many items are looked at to find them.
_LOOKED_AT = 10_000
#: How many items are a sample of the others.
_SAMPLE = 64
#: More objects than this cannot be remembered from part to part.
MOST_IN_COMMON = 2_000

_IN_PARTS = frozenset({list, dict, set})
_CONTAINERS = frozenset({*_IN_PARTS, tuple})

#: Long containers, each with the name of the variable that it is in.
Containers = Sequence[tuple[str, Any]]


def is_held_elsewhere(namespace: Mapping[str, Any], name: str) -> bool:
    """Whether something besides the variable seems to hold its value, or what a list, dict or set contains."""
    if not _counts_references():
        return False
    value = [namespace[name]]
    kind = type(value[0])
    if kind in _CONTAINERS or is_users(kind):
        return _count_held_elsewhere(value) > 0 or (
            kind in _CONTAINERS and _count_held_elsewhere(_sample(value[0])) > 0
        )
    return False


def long_ones(namespace: Mapping[str, Any], names: Sequence[str]) -> Containers:
    """Find long lists, dicts and sets: variables, or inside of other containers and of nothing else.

    There are none if much of one is referred to from elsewhere, because its parts would have too much in common.

    Returns:
        Each with the name of the variable that it is in.
    """
    if not _counts_references():
        return []
    if len(names) == 1 and is_long(namespace[names[0]]):
        return [] if _is_entangled(namespace[names[0]]) else [(names[0], namespace[names[0]])]
    found: list[Any] = []
    owners: list[str] = []
    met: Counter[int] = Counter()
    looked_at = 0
    for name in names:
        todo = [namespace[name]]
        while todo and looked_at < _LOOKED_AT:
            each = todo.pop()
            met[id(each)] += 1
            if met[id(each)] > 1:
                continue
            if is_long(each):
                found.append(each)
                owners.append(name)
            elif type(each) in {list, dict, tuple}:
                looked_at += len(each)
                todo += each.values() if isinstance(each, dict) else each
    # Whatever else holds one, such as an object with a `__setstate__`, must find it complete when it is loaded.
    todo, each = [], None
    counted = zip(owners, found, _references(found), strict=True)
    containers = [(name, one) for name, one, count in counted if count == met[id(one)] + _IN_LIST]
    return [] if any(_is_entangled(one) for _, one in containers) else containers


def is_long(value: Any) -> bool:
    """Whether a value is of a kind and a length that is pickled in parts."""
    return type(value) in _IN_PARTS and len(value) >= _LONG


def _is_entangled(container: Any) -> bool:
    sample = _sample(container)
    return _count_held_elsewhere(sample) * len(container) > MOST_IN_COMMON * len(sample)


def _sample(container: Any) -> list[Any]:
    if isinstance(container, (list, tuple)):
        return list(container[:: max(len(container) // _SAMPLE, 1)])
    values = itertools.chain.from_iterable(container.items()) if isinstance(container, dict) else container
    return list(itertools.islice(values, _SAMPLE))


def _count_held_elsewhere(values: list[Any]) -> int:
    """Count which of the values something holds besides this list and one container."""
    counts = enumerate(_references(values))
    return sum(count > 1 + _IN_LIST and is_noticed(values[place]) for place, count in counts)


def _references(values: list[Any]) -> list[int]:
    return [sys.getrefcount(values[place]) for place in range(len(values))]


#: References to what only a list holds, besides those that are looked for.
(_IN_LIST,) = _references([object()])


def _counts_references() -> bool:
    """Whether this Python counts the references to an object."""
    return sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
