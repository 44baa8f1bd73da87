"""Which variables share objects, and so must be pickled together to share them again.

Every pickler remembers what it pickled, in its memo. Two memos that hold the same object mean that two
variables share it, unless it is of a kind whose identity nobody can notice.
"""

import ctypes
import datetime as dt
import decimal
import enum
import fractions
import io
import itertools
import logging
import pathlib
import pickle
import re
import types
import uuid
from collections.abc import Mapping
from typing import Any

from pauseflow_nb.kernel.snapshot.naming import is_users

__all__ = ["has_met", "is_noticed", "memo_size", "sharing_groups"]

_UNNOTICED = (
    int, float, complex, type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.CodeType,
    enum.Enum, dt.date, dt.time, dt.timedelta, dt.tzinfo, decimal.Decimal,
    fractions.Fraction, uuid.UUID, pathlib.PurePath, re.Pattern, range, slice, logging.Logger,
)  # fmt: skip
#: Texts are noticed only by the memory that two copies would take.
_LARGE_TEXT = 64 << 10
#: A memo this large is looked up in place: a copy would take much more memory than it does.
_LARGE_MEMO = 50_000
#: One that holds so much of what all hold is looked up in place, too: few look.
_MOST_OF_ALL = 0.8

Memo = dict[int, tuple[int, Any]]


def sharing_groups(picklers: Mapping[str, pickle.Pickler]) -> list[list[str]]:
    """Put the names together whose picklers met the same objects.

    Args:
        picklers: One used pickler for each name; they must still be alive, or addresses could repeat.

    Returns:
        Groups of names, most of them of one; each name is in exactly one.
    """
    parents = {name: name for name in picklers}
    tables = {name: _MemoTable(pickler) for name, pickler in picklers.items()} if _MemoTable.is_usable() else {}
    most = max(_MOST_OF_ALL * sum(table.used for table in tables.values()), 1)
    large = {name: table for name, table in tables.items() if table.used >= min(most, _LARGE_MEMO)}
    first_seen: dict[int, str] = {}
    for name, pickler in picklers.items():
        if name in large:
            continue
        memo: Memo = pickler.memo.copy()
        for identity, (_, value) in memo.items():
            # Called for every object: no detours.
            other = first_seen.setdefault(identity, name)
            if other is not name and is_noticed(value):
                parents[_root(parents, name)] = _root(parents, other)
            for other, table in large.items():
                if table.holds(identity) and is_noticed(value):
                    parents[_root(parents, name)] = _root(parents, other)
    for name, other in itertools.combinations(large, 2):
        if _root(parents, name) != _root(parents, other) and large[name].meets(large[other]):
            parents[_root(parents, name)] = _root(parents, other)
    groups: dict[str, list[str]] = {}
    for name in picklers:
        groups.setdefault(_root(parents, name), []).append(name)
    return list(groups.values())


def memo_size(pickler: pickle.Pickler) -> int:
    """Count what a pickler remembers."""
    return _MemoTable(pickler).used if _MemoTable.is_usable() else len(pickler.memo.copy())


def has_met(pickler: pickle.Pickler, value: Any) -> bool:
    """Whether a pickler pickled this very object."""
    if _MemoTable.is_usable():
        return _MemoTable(pickler).holds(id(value))
    memo: Memo = pickler.memo.copy()
    return id(value) in memo


def _root(parents: dict[str, str], name: str) -> str:
    while parents[name] != name:
        parents[name] = parents[parents[name]]
        name = parents[name]
    return name


def is_noticed(value: Any) -> bool:
    """Whether it can be told if two places hold this very object, or two that are equal."""
    kind = type(value)
    if kind in {str, bytes}:
        return len(value) >= _LARGE_TEXT
    if issubclass(kind, _UNNOTICED) and not is_users(kind):
        return False
    if kind.__name__.endswith(("DType", "Dtype", "dtype")):
        return False
    return kind not in (tuple, frozenset) or len(value) > 0


class _Table(ctypes.Structure):
    """CPython's `PyMemoTable`."""

    _fields_ = (
        ("mask", ctypes.c_size_t),
        ("used", ctypes.c_size_t),
        ("allocated", ctypes.c_size_t),
        ("entries", ctypes.POINTER(ctypes.c_size_t)),
    )


class _MemoTable:
    """Looks into a pickler's memo where it lies. Checked against the public copy before it is relied upon."""

    _usable: bool | None = None

    def __init__(self, pickler: pickle.Pickler) -> None:
        # The memo is the first field behind the object's head, in every CPython since 3.2.
        field = ctypes.c_void_p.from_address(id(pickler) + object.__basicsize__)
        self._table = _Table.from_address(field.value or 0)
        self.used: int = self._table.used
        self._mask: int = self._table.mask
        self._entries = self._table.entries
        self._pickler = pickler

    def meets(self, other: "_MemoTable") -> bool:
        """Whether another pickler met an object of this one's, of which that can be noticed."""
        if other.used < self.used:
            return other.meets(self)
        numbers = (ctypes.c_size_t * (2 * self._table.allocated)).from_address(ctypes.addressof(self._entries.contents))
        keys = memoryview(numbers).cast("B").cast("P")[::2]
        # The memo keeps the objects alive, so each is where its identity says.
        return any(key and other.holds(key) and is_noticed(ctypes.cast(key, ctypes.py_object).value) for key in keys)

    def holds(self, identity: int) -> bool:
        """Whether the object with this identity was pickled."""
        mask, entries = self._mask, self._entries
        slot = (identity >> 3) & mask
        perturb = identity >> 3
        while True:
            key = entries[2 * slot]
            if key in (0, identity):
                return bool(key)
            slot = (slot * 5 + perturb + 1) & mask
            perturb >>= 5

    @classmethod
    def is_usable(cls) -> bool:
        """Whether this Python's picklers look as expected."""
        if cls._usable is None:
            cls._usable = cls._matches_the_copy()
        return cls._usable

    @classmethod
    def _matches_the_copy(cls) -> bool:
        import platform
        import sys

        if platform.python_implementation() != "CPython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
            return False
        inside: list[list[int]] = [[number] for number in range(300)]
        outside: list[list[int]] = [[number] for number in range(300)]
        pickler = pickle.Pickler(io.BytesIO(), 5)
        pickler.dump(inside)
        copy = pickler.memo.copy()
        table = cls(pickler)
        if table.used != len(copy) or table._mask + 1 != table._table.allocated:
            return False
        return all(table.holds(id(item)) for item in inside) and not any(table.holds(id(item)) for item in outside)
