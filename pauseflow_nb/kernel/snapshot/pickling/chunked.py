"""Pickle long lists, dicts and sets some items at a time.

A pickler remembers every object until it is done, which for millions of small objects takes a third of their own
memory. Here, after each part, it forgets the objects that only the container refers to, because they do not occur
again. And because an unchanged part gives the same bytes, saving a list that grew costs only the new items.

A stream in parts is a sequence of pickles: first one for each variable, with its long containers empty; these share
one memo, and the last one holds a list of the containers. Then, for each container, follow its parts, which are
lists of items (keys and values in turn for a dict), and None. A part begins by fetching objects that it shares with
the previous pickle, by their numbers there.
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
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import convert_exits
from pauseflow_nb.kernel.snapshot.storage.chunks import Bytes, Pieces, PiecesReader

if TYPE_CHECKING:
    from pauseflow_nb.kernel.snapshot.pickling.pickler import SnapshotPickler

#: Items of the first part, and of the largest.
_FIRST_ITEMS, _ITEMS = 64, 1_000
#: Most objects of a part after which the next one may have more items.
_FEW = 10_000
#: Bytes and objects of a part from which the next one has fewer items.
_LARGE, _MANY = 1 << 20, 50_000
#: A part with more objects refers to too much.
_TOO_MANY = 500_000
#: Types without weak references, so that their reference counts are complete.
_FORGETTABLE = frozenset({str, list, dict, tuple, bytes, bytearray, int, float, complex})

_EMPTY: dict[type, bytes] = {list: pickle.EMPTY_LIST, dict: pickle.EMPTY_DICT, set: pickle.EMPTY_SET}

#: Variable → bytes and seconds.
Costs = dict[str, tuple[int, float]]


class TooMuchShared(Exception):
    """Too many objects may occur again, so that parts are useless."""


def dump(
    pickler: "SnapshotPickler",
    file: Pieces,
    values: Mapping[str, Any],
    containers: Containers,
    ordered: Sequence[set_order.Ordered] = (),
) -> Costs:
    """Pickle variables one after the other, and long containers in parts.

    Args:
        pickler: A new one.
        file: The file that it writes to.
        values: The variables by name.
        containers: The result of `find_long_containers`; may be empty.
        ordered: Sets in them that pickle alone would restore in another order.

    Returns:
        Bytes and seconds of each variable. Shared objects count for the first one.

    Raises:
        TooMuchShared: If many objects are referred to from elsewhere; the output is then useless.
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
        # Any other reference to an object would make it look shared.
        part.clear()
        numbers = _forget(pickler)
        # When the size has stopped growing, it stays: a change in one part must not move the others.
        may_grow = may_grow and objects < _FEW
        if may_grow:
            count = min(2 * count, most)
        elif file.size - before > _LARGE or objects > _MANY:
            count = max(count // 8 * 2, 2)
    file.write(pickle.dumps(None, 5))
    return numbers


class _Cost:
    """Adds the bytes and seconds of a `with` block to those of a name."""

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
    """Load a pickle, in parts or not, whose bytes must have been checked.

    Returns:
        The pickled dict: `values` by name, and optionally `definitions` by key.
    """
    with convert_exits():
        return _load(pieces, buffers)


def _load(pieces: Sequence[Bytes], buffers: Iterable[Any]) -> dict[str, Any]:
    file: Any = io.BytesIO(pieces[0]) if len(pieces) == 1 else PiecesReader(pieces)
    memory = iter(buffers)
    before: pickle.Unpickler = reconstruct.Unpickler(file, buffers=memory)
    payload: dict[str, Any] = before.load()
    if "ordered" in payload:
        # Sets that later parts refer to.
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
    """Loads a part, which may fetch objects of the previous pickle."""

    def __init__(self, file: Any, buffers: Iterator[Any], before: pickle.Unpickler) -> None:
        super().__init__(file, buffers=buffers)
        self._before = before
        self._memo: dict[int, Any] | None = None

    def persistent_load(self, number: int) -> Any:
        if self._memo is None:
            # Copied only if it is needed, which is rare.
            self._memo = self._before.memo.copy()
        return self._memo[number]


def _framed(opcodes: bytes) -> bytes:
    return pickle.PROTO + b"\x05" + pickle.FRAME + struct.pack("<Q", len(opcodes)) + opcodes


def _fetching(number: int) -> bytes:
    """Write the opcodes that put an object of the previous pickle into the memo."""
    return pickle.BININT + struct.pack("<i", number) + pickle.BINPERSID + pickle.MEMOIZE + pickle.POP


def _forget(pickler: "SnapshotPickler") -> list[int]:
    """Make a pickler forget objects that cannot occur again, because nothing else refers to them.

    Returns:
        The previous memo numbers of the objects that it keeps.
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
    # Each refers to its array only while that is pickled, as does the tuple of arguments that contains it.
    kind = type(value)
    return kind is pickle.PickleBuffer or (kind is tuple and any(type(item) is pickle.PickleBuffer for item in value))


def _is_array(kind: type) -> bool:
    return name_of(kind) == "ndarray" and module_of(kind) == "numpy"
