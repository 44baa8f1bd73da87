"""Long lists, dicts and sets, pickled some items at a time.

A pickler remembers every object until it is done, and for millions of small ones that takes a third of what they
take themselves. Here it forgets after each part what nothing but the container leads to, for that is not met
again. And as a part that did not change gives the same bytes, a list that grew costs what was added.

A stream in parts is several pickles, one behind the other. The first holds the variables, their long containers
empty, and a list of these. For each of them there follow parts, which are lists of items (of a dict, its keys and
values in turn), and None. A part begins by fetching what it has in common with the pickle before it, by the
number that this had there.
"""

import io
import itertools
import operator
import pickle
import struct
import sys
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pauseflow_nb.kernel.snapshot.groups import is_noticed
from pauseflow_nb.kernel.snapshot.pieces import Bytes, Pieces, PiecesReader

if TYPE_CHECKING:
    from pauseflow_nb.kernel.snapshot.pickler import SnapshotPickler

__all__ = ["TooMuchShared", "dump", "load", "long_ones"]

#: Containers of this many items are pickled in parts.
_LONG = 10_000
#: How many items are looked at to find them.
_LOOKED_AT = 10_000
#: Items of a part.
_ITEMS = 1_000
#: Bytes of a part, from which on the next has fewer items.
_LARGE = 1 << 20
#: More objects than this are not fetched again for every part.
_MOST_IN_COMMON = 2_000
#: Nothing can refer weakly to these.
_STRONG = frozenset({list, dict, tuple, bytes, bytearray, int, float, complex})

_EMPTY: dict[type, bytes] = {list: pickle.EMPTY_LIST, dict: pickle.EMPTY_DICT, set: pickle.EMPTY_SET}

#: A pickler's memo: the number and the object, by the object's identity.
Memo = Mapping[int, tuple[int, Any]]


class TooMuchShared(Exception):
    """So many objects may be met again that parts are of no use."""


def long_ones(value: Any) -> list[Any]:
    """Find the long lists, dicts and sets in a value: itself, or inside of other containers and of nothing else."""
    if not _counts_references():
        return []
    if _is_long(value):
        return [value]
    found: list[Any] = []
    met: Counter[int] = Counter()
    todo, looked_at = [value], 0
    while todo and looked_at < _LOOKED_AT:
        each = todo.pop()
        met[id(each)] += 1
        if met[id(each)] > 1:
            continue
        if _is_long(each):
            found.append(each)
        elif type(each) in {list, dict, tuple}:
            looked_at += len(each)
            todo += each.values() if isinstance(each, dict) else each
    # Whatever else holds one, such as an object with a `__setstate__`, must find it complete when it is loaded.
    todo, each = [], None
    return [one for one, count in zip(found, _references(found), strict=True) if count == met[id(one)] + _IN_LIST]


def _references(values: list[Any]) -> list[int]:
    return [sys.getrefcount(values[place]) for place in range(len(values))]


def _is_long(value: Any) -> bool:
    return type(value) in _EMPTY and len(value) >= _LONG


def dump(pickler: "SnapshotPickler", file: Pieces, values: dict[str, Any], containers: list[Any]) -> None:
    """Pickle variables in parts.

    Args:
        pickler: A new one.
        file: What it writes to.
        values: The variables by name.
        containers: The long containers in them.

    Raises:
        TooMuchShared: If many objects are referred to from elsewhere; what was written is of no use then.
    """
    file.write(_framed(b"".join(_EMPTY[type(each)] + pickle.MEMOIZE + pickle.POP for each in containers)))
    pickler.memo = {id(each): (number, each) for number, each in enumerate(containers)}
    pickler.dump({"unfinished": values, "parts": containers})
    numbers = _forget(pickler, pickler.memo.copy())
    for container in containers:
        is_dict = isinstance(container, dict)
        items = itertools.chain.from_iterable(container.items()) if is_dict else iter(container)
        count = 2 * _ITEMS if is_dict else _ITEMS
        while part := list(itertools.islice(items, count)):
            before = file.size
            file.write(_framed(b"".join(map(_fetching, numbers))))
            pickler.dump(part)
            file.end_part()
            memo = pickler.memo.copy()
            # Whatever holds an object besides its container would make it look shared.
            del memo[id(part)], part
            numbers = _forget(pickler, memo)
            if file.size - before > _LARGE:
                count = max(count // 8 * 2, 2)
        file.write(pickle.dumps(None, 5))


def load(pieces: Sequence[Bytes], buffers: Iterable[Any]) -> dict[str, Any]:
    """Load a pickle, be it in parts or not. Its bytes must have been checked.

    Returns:
        What was pickled: `values` by name, and perhaps `definitions` by key.
    """
    file: Any = io.BytesIO(pieces[0]) if len(pieces) == 1 else PiecesReader(pieces)
    memory = iter(buffers)
    before = pickle.Unpickler(file, buffers=memory)  # noqa: S301
    payload: dict[str, Any] = before.load()
    for container in payload.get("parts", ()):
        while (items := (part := _PartUnpickler(file, memory, before)).load()) is not None:
            if isinstance(container, dict):
                keys_and_values = iter(items)
                container.update(zip(keys_and_values, keys_and_values, strict=True))
            else:
                (container.extend if isinstance(container, list) else container.update)(items)
            before = part
    return payload if "values" in payload else {"values": payload["unfinished"]}


class _PartUnpickler(pickle.Unpickler):
    """Loads a part, which may fetch objects of the pickle before it."""

    def __init__(self, file: Any, buffers: Iterator[Any], before: pickle.Unpickler) -> None:
        super().__init__(file, buffers=buffers)
        self._before = before
        self._memo: dict[int, Any] | None = None

    def persistent_load(self, number: int) -> Any:
        if self._memo is None:
            # Copied only if it is wanted, which is rare.
            self._memo = self._before.memo.copy()
        return self._memo[number]


def _framed(opcodes: bytes) -> bytes:
    return pickle.PROTO + b"\x05" + pickle.FRAME + struct.pack("<Q", len(opcodes)) + opcodes


def _fetching(number: int) -> bytes:
    """Write what puts an object of the pickle before into the memo."""
    return pickle.BININT + struct.pack("<i", number) + pickle.BINPERSID + pickle.MEMOIZE + pickle.POP


def _forget(pickler: "SnapshotPickler", memo: Memo) -> list[int]:
    """Let a pickler remember only what it may meet again: what something else refers to, or we cannot know.

    Returns:
        The numbers, up to now, of what it remembers.
    """
    pickler.clear_memo()
    again = []
    for (number, value), count in zip(memo.values(), _holders(memo), strict=True):
        kind = type(value)
        if count > _ONE_HOLDER:
            if is_noticed(value):
                again.append((number, value))
        elif kind is not str and kind not in _STRONG:
            is_known = kind in {set, frozenset} or pickler.is_plain(kind)
            if not is_known or weakref.getweakrefcount(value):
                again.append((number, value))
    if len(again) > _MOST_IN_COMMON:
        raise TooMuchShared
    # A memo has no order, and the same objects must give the same bytes.
    again.sort(key=operator.itemgetter(0))
    pickler.memo = {id(value): (place, value) for place, (_, value) in enumerate(again)}
    return [number for number, _ in again]


def _holders(memo: Memo) -> list[int]:
    """Count what refers to each object, this loop included, which differs from Python to Python."""
    return [sys.getrefcount(value) for _, value in memo.values()]


def _count_of_one() -> int:
    holder = [object()]
    (count,) = _holders({0: (0, holder[0])})
    return count


_ONE_HOLDER = _count_of_one()
#: References to what only a list holds, besides those that are looked for.
(_IN_LIST,) = _references([object()])


def _counts_references() -> bool:
    """Whether this Python tells how many references there are to an object."""
    return sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
