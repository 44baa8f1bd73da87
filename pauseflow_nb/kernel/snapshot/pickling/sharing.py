"""Find variables that share objects, and so must be pickled together.

A pickler's memo holds the objects that it has pickled. If two memos hold the same object, two variables share it,
unless code cannot notice the identity of such objects.
"""

import datetime as dt
import decimal
import enum
import fractions
import itertools
import logging
import pathlib
import pickle
import re
import types
import uuid
from collections.abc import Mapping
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.memo_table import MemoTable
from pauseflow_nb.kernel.snapshot.pickling.type_names import is_users, name_of

_UNNOTICED = (
    int, float, complex, type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.CodeType,
    enum.Enum, dt.date, dt.time, dt.timedelta, dt.tzinfo, decimal.Decimal,
    fractions.Fraction, uuid.UUID, pathlib.PurePath, re.Pattern, range, slice, logging.Logger,
)  # fmt: skip
#: Shared texts matter only by the memory that two copies would take.
_LARGE_TEXT = 64 << 10
#: Size from which a memo is read in place, because a copy would take much more memory.
_LARGE_MEMO = 50_000
#: Share of all objects from which a memo is also read in place.
_MOST_OF_ALL = 0.8

Memo = dict[int, tuple[int, Any]]


def group_by_sharing(picklers: Mapping[str, pickle.Pickler]) -> list[list[str]]:
    """Group the names whose picklers have the same objects in their memos.

    Args:
        picklers: One used pickler for each name; they must still be alive, or addresses could repeat.

    Returns:
        Groups of names, most with one name; each name is in exactly one group.
    """
    parents = {name: name for name in picklers}
    tables = {name: MemoTable(pickler) for name, pickler in picklers.items()} if MemoTable.is_usable() else {}
    most = max(_MOST_OF_ALL * sum(table.used for table in tables.values()), 1)
    large = {name: table for name, table in tables.items() if table.used >= min(most, _LARGE_MEMO)}
    first_seen: dict[int, str] = {}
    for name, pickler in picklers.items():
        if name in large:
            continue
        memo: Memo = pickler.memo.copy()
        for identity, (_, value) in memo.items():
            # Called for every object, so it must be fast.
            other = first_seen.setdefault(identity, name)
            if other is not name and is_noticed(value):
                parents[_root(parents, name)] = _root(parents, other)
            for other, table in large.items():
                if table.holds(identity) and is_noticed(value):
                    parents[_root(parents, name)] = _root(parents, other)
    for name, other in itertools.combinations(large, 2):
        if _root(parents, name) != _root(parents, other) and any(map(is_noticed, large[name].common(large[other]))):
            parents[_root(parents, name)] = _root(parents, other)
    groups: dict[str, list[str]] = {}
    for name in picklers:
        groups.setdefault(_root(parents, name), []).append(name)
    return list(groups.values())


def _root(parents: dict[str, str], name: str) -> str:
    while parents[name] != name:
        parents[name] = parents[parents[name]]
        name = parents[name]
    return name


def is_noticed(value: Any) -> bool:
    """Whether code can distinguish two equal objects from one shared object."""
    kind = type(value)
    if kind in {str, bytes}:
        return len(value) >= _LARGE_TEXT
    if issubclass(kind, _UNNOTICED) and not is_users(kind):
        return False
    if name_of(kind).endswith(("DType", "Dtype", "dtype")):
        return False
    return kind not in (tuple, frozenset) or len(value) > 0
