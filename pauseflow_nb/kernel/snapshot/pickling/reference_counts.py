"""Find values with references besides their variable, by sampling reference counts."""

import itertools
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.sharing import is_noticed
from pauseflow_nb.kernel.snapshot.pickling.type_names import is_users

#: Fewest items of a container that is pickled in parts.
_LONG = 1_000
#: How many items are searched for such containers.
_LOOKED_AT = 10_000
#: Number of items in a sample.
_SAMPLE = 64
#: Most objects that can be kept in the memo from part to part.
MOST_IN_COMMON = 2_000

_IN_PARTS = frozenset({list, dict, set})
_CONTAINERS = frozenset({*_IN_PARTS, tuple})

#: Long containers, each with the name of its variable.
Containers = Sequence[tuple[str, Any]]


def is_held_elsewhere(namespace: Mapping[str, Any], name: str) -> bool:
    """Whether there seem to be other references to a variable's value, or to the items of a container."""
    if not _counts_references():
        return False
    value = [namespace[name]]
    kind = type(value[0])
    if kind in _CONTAINERS or is_users(kind):
        return _count_held_elsewhere(value) > 0 or (
            kind in _CONTAINERS and _count_held_elsewhere(_sample(value[0])) > 0
        )
    return False


def find_long_containers(namespace: Mapping[str, Any], names: Sequence[str]) -> Containers:
    """Find long lists, dicts and sets that are variables, or that are only inside of other containers.

    Returns none if much of one is referred to from elsewhere, because its parts would share too much.

    Returns:
        Each container, with the name of its variable.
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
    # Other objects that refer to one, for example in `__setstate__`, must find it complete when they are loaded.
    todo, each = [], None
    counted = zip(owners, found, _references(found), strict=True)
    containers = [(name, one) for name, one, count in counted if count == met[id(one)] + _IN_LIST]
    return [] if any(_is_entangled(one) for _, one in containers) else containers


def is_long(value: Any) -> bool:
    """Whether a value has a type and a length for which it is pickled in parts."""
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
    """Count the values with references besides this list and one container."""
    counts = enumerate(_references(values))
    return sum(count > 1 + _IN_LIST and is_noticed(values[place]) for place, count in counts)


def _references(values: list[Any]) -> list[int]:
    return [sys.getrefcount(values[place]) for place in range(len(values))]


#: Number of references to an item that is only in a list.
(_IN_LIST,) = _references([object()])


def _counts_references() -> bool:
    """Whether this Python counts the references to an object."""
    return sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
