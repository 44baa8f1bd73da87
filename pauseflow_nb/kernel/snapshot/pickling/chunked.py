"""Pickle long lists, dicts and sets some items at a time.

A pickler remembers every object until it is done, and for millions of small ones that takes a third of what they
take themselves. Here it forgets after each part what nothing but the container leads to, for that is not met
again. And as a part that did not change gives the same bytes, a list that grew costs what was added.

A stream in parts is several pickles, one behind the other. There is one for each variable, its long containers
empty; all of these remember the same objects, and the last holds a list of the containers. For each of them there
follow parts, which are lists of items (of a dict, its keys and values in turn), and None. A part begins by fetching
what it has in common with the pickle before it, by the number that this had there.
"""

import io
import itertools
import pickle
import struct
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pauseflow_nb.kernel.snapshot import reconstruct
from pauseflow_nb.kernel.snapshot.pickling import set_order
from pauseflow_nb.kernel.snapshot.pickling.memo_table import Met, count_memo, forget
from pauseflow_nb.kernel.snapshot.pickling.reference_counts import MOST_IN_COMMON, Containers
from pauseflow_nb.kernel.snapshot.pickling.sharing import is_noticed
from pauseflow_nb.kernel.snapshot.pickling.type_names import module_of, name_of
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import no_exit
from pauseflow_nb.kernel.snapshot.storage.chunks import Bytes, Pieces, PiecesReader

if TYPE_CHECKING:
    from pauseflow_nb.kernel.snapshot.pickling.pickler import SnapshotPickler

#: Items of a part, at first and at most.
_FIRST_ITEMS, _ITEMS = 64, 1_000
#: Objects of a part, up to which the next may have more items.
_FEW = 10_000
#: Bytes and objects of a part, from which on the next has fewer items.
_LARGE, _MANY = 1 << 20, 50_000
#: A part of more objects than this leads everywhere.
_TOO_MANY = 500_000
#: Nothing can refer weakly to these, so what refers to one is all that leads to it.
_FORGETTABLE = frozenset({str, list, dict, tuple, bytes, bytearray, int, float, complex})

_EMPTY: dict[type, bytes] = {list: pickle.EMPTY_LIST, dict: pickle.EMPTY_DICT, set: pickle.EMPTY_SET}

#: Bytes and seconds by variable.
Costs = dict[str, tuple[int, float]]


class TooMuchShared(Exception):
    """So many objects may be met again that parts are of no use."""


def dump(
    pickler: "SnapshotPickler",
    file: Pieces,
    values: Mapping[str, Any],
    containers: Containers,
    ordered: Sequence[set_order.Ordered] = (),
) -> Costs:
    """Pickle variables, one behind the other, and long containers in parts.

    Args:
        pickler: A new one.
        file: What it writes to.
        values: The variables by name.
        containers: What `long_ones` found in them; perhaps nothing.
        ordered: Sets in them that pickle alone would restore in another order.

    Returns:
        What each variable took. What several share is counted for the first of them.

    Raises:
        TooMuchShared: If many objects are referred to from elsewhere; what was written is of no use then.
    """
    costs: Costs = {}
    if ordered:
        pickler.dump_in_order(ordered)
    ways = {
        number: way for number, (_, each) in enumerate(containers) if (way := set_order.find_long_way(each)) is not None
    }
    long = [container for _, container in containers]
    if long:
        file.write(_framed(b"".join(_EMPTY[type(each)] + pickle.MEMOIZE + pickle.POP for each in long)))
        memo = pickler.memo.copy()
        pickler.memo = memo | {id(each): (number, each) for number, each in enumerate(long, len(memo))}
    for name, value in values.items():
        with _Cost(costs, name, pickler, file):
            is_last = len(costs) == len(values) - 1
            pickler.dump(
                {
                    "begun": {name: value},
                    **({"parts": long, "ways": {n: way[1:] for n, way in ways.items()}} if is_last else {"more": True}),
                }
            )
            file.end_part()
    if not ordered:
        pickler.out_of_order = set_order.find_out_of_order(pickler)
    numbers = _forget(pickler) if long else []
    for number, (name, container) in enumerate(containers):
        with _Cost(costs, name, pickler, file):
            items = ways[number][0] if number in ways else container
            numbers = _dump_parts(pickler, file, items, numbers)
    return costs


def _dump_parts(pickler: "SnapshotPickler", file: Pieces, container: Any, numbers: list[int]) -> list[int]:
    is_dict = isinstance(container, dict)
    items = itertools.chain.from_iterable(container.items()) if is_dict else iter(container)
    count, most = _FIRST_ITEMS, 2 * _ITEMS if is_dict else _ITEMS
    may_grow = True
    while part := list(itertools.islice(items, count)):
        before = file.size
        file.write(_framed(b"".join(map(_fetching, numbers))))
        pickler.dump(part)
        file.end_part()
        objects = count_memo(pickler) - len(numbers)
        if objects > _TOO_MANY:
            raise TooMuchShared
        # Whatever holds an object besides its container would make it look shared.
        part.clear()
        numbers = _forget(pickler)
        # Once it has stopped to grow it does not begin again: what changes in one part must not move the others.
        may_grow = may_grow and objects < _FEW
        if may_grow:
            count = min(2 * count, most)
        elif file.size - before > _LARGE or objects > _MANY:
            count = max(count // 8 * 2, 2)
    file.write(pickle.dumps(None, 5))
    return numbers


class _Cost:
    """Counts what a block takes: bytes and seconds, added to those of a name."""

    def __init__(self, costs: Costs, name: str, pickler: "SnapshotPickler", file: Pieces) -> None:
        self._costs, self._name, self._pickler, self._file = costs, name, pickler, file

    def __enter__(self) -> None:
        self._began = time.perf_counter(), self._file.size, len(self._pickler.buffers)

    def __exit__(self, *_error: object) -> None:
        began, size, count = self._began
        before = self._costs.get(self._name, (0, 0.0))
        added = self._file.size - size + sum(buffer.nbytes for buffer in self._pickler.buffers[count:])
        self._costs[self._name] = before[0] + added, before[1] + time.perf_counter() - began


def load(pieces: Sequence[Bytes], buffers: Iterable[Any]) -> dict[str, Any]:
    """Load a pickle, be it in parts or not. Its bytes must have been checked.

    Returns:
        What was pickled: `values` by name, and perhaps `definitions` by key.
    """
    with no_exit():
        return _load(pieces, buffers)


def _load(pieces: Sequence[Bytes], buffers: Iterable[Any]) -> dict[str, Any]:
    file: Any = io.BytesIO(pieces[0]) if len(pieces) == 1 else PiecesReader(pieces)
    memory = iter(buffers)
    before: pickle.Unpickler = reconstruct.Unpickler(file, buffers=memory)
    payload: dict[str, Any] = before.load()
    if "ordered" in payload:
        # Sets that what follows refers to.
        payload = before.load()
    if "begun" not in payload:
        return payload
    values = payload["begun"]
    while "more" in payload:
        payload = before.load()
        values |= payload["begun"]
    for number, container in enumerate(payload["parts"]):
        way, waiting = payload.get("ways", {}).get(number), []
        while (items := (part := _PartUnpickler(file, memory, before)).load()) is not None:
            if isinstance(container, dict):
                keys_and_values = iter(items)
                container.update(zip(keys_and_values, keys_and_values, strict=True))
            elif way is not None:
                waiting += items
            else:
                (container.extend if isinstance(container, list) else container.update)(items)
            before = part
        if way is not None:
            set_order.fill(container, waiting, *way)
    return {"values": values}


class _PartUnpickler(reconstruct.Unpickler):
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


def _forget(pickler: "SnapshotPickler") -> list[int]:
    """Let a pickler remember only what it may meet again: what something else refers to, or we cannot know.

    Returns:
        The numbers, up to now, of what it remembers.
    """
    has_arrays = any(map(_is_array, pickler.kinds))
    again = [
        met for met in forget(pickler, _FORGETTABLE, _is_buffer if has_arrays else None) if _may_be_met(pickler, met)
    ]
    if len(again) > MOST_IN_COMMON:
        raise TooMuchShared
    pickler.memo = {id(met.value): (place, met.value) for place, met in enumerate(again)}
    return [met.number for met in again]


def _may_be_met(pickler: "SnapshotPickler", met: Met) -> bool:
    if met.is_shared:
        return is_noticed(met.value)
    kind = type(met.value)
    is_known = kind in {set, frozenset} or pickler.is_plain(kind) or _is_array(kind)
    return not is_known or weakref.getweakrefcount(met.value) > 0


def _is_buffer(value: Any) -> bool:
    # Each holds its array, but only while that is pickled; so does the tuple of arguments that it is in.
    kind = type(value)
    return kind is pickle.PickleBuffer or (kind is tuple and any(type(item) is pickle.PickleBuffer for item in value))


def _is_array(kind: type) -> bool:
    return name_of(kind) == "ndarray" and module_of(kind) == "numpy"
