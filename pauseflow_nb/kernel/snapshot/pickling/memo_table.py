"""Read a pickler's memo in place, because its public copy takes more time and memory than the pickling.

CPython's layout of the memo and of an object's header is compared with the results of public functions before it is
used, and only on tested versions (see `memory_access`). On others, the public functions are used.
"""

import contextlib
import ctypes
import functools
import io
import operator
import pickle
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.memory_access import may_look_into_memory
from pauseflow_nb.kernel.snapshot.storage.mapping import read_own_memory

Memo = dict[int, tuple[int, Any]]

#: Largest memo that is copied for a search.
_MOST_COPIED = 50_000
#: How many entries of a memo are compared one by one.
_MOST_PEEKED = 256
#: Mask of the reference count, beside which newer versions of Python keep flags.
_COUNT = 0xFFFF_FFFF


@dataclass(frozen=True)
class Met:
    """An object that a pickler remembers."""

    number: int
    value: Any
    #: Whether more than one other object refers to it.
    is_shared: bool


def count_memo(pickler: pickle.Pickler) -> int:
    """Return the number of objects in a pickler's memo."""
    return MemoTable(pickler).used if MemoTable.is_usable() else len(pickler.memo.copy())


def has_pickled(pickler: pickle.Pickler, value: Any) -> bool:
    """Whether a pickler has pickled this object."""
    if MemoTable.is_usable():
        return MemoTable(pickler).holds(id(value))
    memo: Memo = pickler.memo.copy()
    return id(value) in memo


def find_remembered(pickler: pickle.Pickler, kinds: Sequence[type]) -> list[Any]:
    """Find objects of some types in a pickler's memo, in order."""
    numpy = _numpy()
    if numpy is not None:
        found = MemoTable(pickler).of_types(kinds, numpy)
    elif count_memo(pickler) <= _MOST_COPIED:
        memo: Memo = pickler.memo.copy()
        found = [(number, value) for number, value in memo.values() if type(value) in kinds]
    else:
        return []
    return [value for _, value in sorted(found, key=operator.itemgetter(0))]


def forget(
    pickler: pickle.Pickler, forgettable: frozenset[type], lets_go: Callable[[Any], bool] | None = None
) -> list[Met]:
    """Clear a pickler's memo; return the objects that may occur again.

    Args:
        pickler: The pickler.
        forgettable: Types whose objects are left out if only one other object refers to them.
        lets_go: Tells which objects refer to others only while they are pickled, and so do not count.

    Returns:
        The remaining objects, in order.
    """
    numpy = _numpy()
    if lets_go is None and numpy is not None:
        found = MemoTable(pickler).find_referenced(forgettable, numpy)
        pickler.clear_memo()
    else:
        found = _find_in_copy(pickler, forgettable, lets_go)
    # A memo is not ordered, but the same objects must give the same bytes.
    return sorted(found, key=operator.attrgetter("number"))


def _find_in_copy(
    pickler: pickle.Pickler, forgettable: frozenset[type], lets_go: Callable[[Any], bool] | None
) -> list[Met]:
    memo: Memo = pickler.memo.copy()
    pickler.clear_memo()
    if lets_go is not None:
        for identity in [identity for identity, (_, value) in memo.items() if lets_go(value)]:
            del memo[identity]
    return [
        Met(number, value, count > _ONE_HOLDER)
        for (number, value), count in zip(memo.values(), _references(memo), strict=True)
        if count > _ONE_HOLDER or type(value) not in forgettable
    ]


def _references(memo: Memo) -> list[int]:
    """Count the references to each object, including those of this loop, which depend on the Python version."""
    return [sys.getrefcount(value) for _, value in memo.values()]


def _count_of_one() -> int:
    holder = [object()]
    (count,) = _references({0: (0, holder[0])})
    return count


_ONE_HOLDER = _count_of_one()


class _Table(ctypes.Structure):
    """CPython's `PyMemoTable`."""

    _fields_ = (
        ("mask", ctypes.c_size_t),
        ("used", ctypes.c_size_t),
        ("allocated", ctypes.c_size_t),
        ("entries", ctypes.POINTER(ctypes.c_size_t)),
    )


class MemoTable:
    """A pickler's memo, which keeps its objects alive until it is cleared."""

    def __init__(self, pickler: pickle.Pickler) -> None:
        # The memo is the first field after the object's header, in every CPython since 3.2.
        field = ctypes.c_void_p.from_address(id(pickler) + object.__basicsize__)
        self._table = _Table.from_address(field.value or 0)
        self.used: int = self._table.used
        self._mask: int = self._table.mask
        self._entries = self._table.entries
        self._pickler = pickler

    def common(self, other: "MemoTable") -> Iterator[Any]:
        """Find the objects that are also in the memo of another pickler."""
        if other.used < self.used:
            yield from other.common(self)
            return
        numbers = (ctypes.c_size_t * (2 * self._table.allocated)).from_address(self._address())
        keys = memoryview(numbers).cast("B").cast("P")[::2]
        for key in keys:
            if key and other.holds(key):
                yield ctypes.cast(key, ctypes.py_object).value

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

    def of_types(self, kinds: Sequence[type], numpy: Any) -> list[tuple[int, Any]]:
        """Find the objects of some types, with their numbers."""
        entries = _words(self._address(), 2 * self._table.allocated, numpy).reshape(-1, 2)
        entries = entries[entries[:, 0] != 0]
        _, types_ = _heads(entries[:, 0], numpy)
        entries = entries[numpy.isin(types_, [id(kind) for kind in kinds])]
        return [(number, ctypes.cast(key, ctypes.py_object).value) for key, number in entries.tolist()]

    def find_referenced(self, forgettable: Iterable[type], numpy: Any) -> list[Met]:
        """Find the objects with more than one other reference, or not of these types."""
        entries = _words(self._address(), 2 * self._table.allocated, numpy).reshape(-1, 2)
        entries = entries[entries[:, 0] != 0]
        counts, kinds = _heads(entries[:, 0], numpy)
        # One of the references is the memo's own.
        is_shared = counts > 1 + 1
        is_wanted = numpy.ones(len(entries), dtype=bool)
        for kind in forgettable:
            is_wanted &= kinds != id(kind)
        entries, is_shared = entries[is_wanted | is_shared], is_shared[is_wanted | is_shared]
        addresses = numpy.ascontiguousarray(entries[:, 0])
        values = (ctypes.py_object * len(addresses)).from_address(addresses.ctypes.data)[:]
        return list(map(Met, entries[:, 1].tolist(), values, is_shared.tolist()))

    def _address(self) -> int:
        return ctypes.addressof(self._entries.contents)

    @staticmethod
    def is_usable() -> bool:
        """Whether this Python's picklers look as expected."""
        return may_look_into_memory() and _is_layout_as_expected()


@functools.cache
def _is_layout_as_expected() -> bool:
    inside: list[list[int]] = [[number] for number in range(40)]
    outside: list[list[int]] = [[number] for number in range(40)]
    pickler = pickle.Pickler(io.BytesIO(), 5)
    pickler.dump(inside)
    if not _has_memo_where_expected(pickler):
        return False
    table = MemoTable(pickler)
    return all(table.holds(id(item)) for item in inside) and not any(table.holds(id(item)) for item in outside)


def _has_memo_where_expected(pickler: pickle.Pickler) -> bool:
    """Compare the memo with its public copy; the operating system checks every pointer before it is followed."""
    memo: Memo = pickler.memo.copy()
    word = ctypes.sizeof(ctypes.c_size_t)
    if type(pickler).__basicsize__ < object.__basicsize__ + word:
        return False
    (place,) = _read_words(id(pickler) + object.__basicsize__, 1) or (0,)
    mask, used, allocated, entries = _read_words(place, 4) or (0, 0, 0, 0)
    if used != len(memo) or allocated != mask + 1 or not used < allocated <= _MOST_PEEKED:
        return False
    words = _read_words(entries, 2 * allocated) or ()
    found = {key: number for key, number in zip(words[::2], words[1::2], strict=True) if key}
    return found == {identity: number for identity, (number, _) in memo.items()}


def _read_words(address: int, count: int) -> tuple[int, ...] | None:
    memory = read_own_memory(address, count * ctypes.sizeof(ctypes.c_size_t))
    return None if memory is None else tuple(memoryview(memory).cast("P"))


class _Words:
    """Memory in numpy's array interface."""

    def __init__(self, address: int, count: int) -> None:
        self.__array_interface__ = {"data": (address, True), "shape": (count,), "typestr": "<i8", "version": 3}


def _words(address: int, count: int, numpy: Any) -> Any:
    return numpy.asarray(_Words(address, count))


def _heads(addresses: Any, numpy: Any) -> tuple[Any, Any]:
    """Read the reference count of each object, and the address of its type."""
    if not len(addresses):
        return addresses, addresses
    first = int(addresses.min())
    # Of the memory between the first and the last object, only the headers of objects are read.
    between = _words(first, (int(addresses.max()) - first) // 8 + 2, numpy)
    places = (addresses - first) >> 3
    return between[places] & _COUNT, between[places + 1]


def _numpy() -> Any:
    """Return numpy if it is loaded and reads memory as expected, because cells may have replaced it."""
    numpy = sys.modules.get("numpy")
    is_usable = type(numpy) is types.ModuleType and MemoTable.is_usable() and _reads_heads(numpy)
    return numpy if is_usable else None


@functools.lru_cache(maxsize=1)
def _reads_heads(numpy: Any) -> bool:
    shared = [2]
    pickler = pickle.Pickler(io.BytesIO(), 5)
    pickler.dump([[1], shared, {3}])
    expected = {(2, True, True), (3, False, False)}
    with contextlib.suppress(Exception):
        found = MemoTable(pickler).find_referenced({list}, numpy)
        return {(met.number, met.value is shared, met.is_shared) for met in found} == expected
    return False
