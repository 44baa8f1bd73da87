"""Preserve the iteration order of sets for which pickle would change it.

The order depends on the hashes of the items, the size of the set's table, and the order of insertions.
Hashes of texts are equal only in kernels with the same hash seed, and those of objects hashed by identity never are.
"""

import bisect
import datetime as dt
import decimal
import fractions
import itertools
import operator
import pathlib
import pickle
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.memo_table import find_remembered

#: Most items in all sets of a frame that are put in order: in small sets, so many take a third of a second.
_LARGEST = 10_000
#: Types that are hashed without code of the notebook, and not by identity.
_PLAIN = frozenset(
    {str, bytes, int, float, complex, bool, decimal.Decimal, fractions.Fraction, uuid.UUID, dt.date, dt.time}
)
_ALSO_PLAIN = frozenset({dt.datetime, dt.timedelta, pathlib.PurePosixPath, pathlib.PosixPath})
#: Most items for which larger tables are tried, and how many tables.
_FEW, _LARGER = 64, 5
#: CPython's set tables: the initial size, the number of linear probes, and the shift of the perturbation.
_SMALLEST, _LINEAR, _SHIFT = 8, 9, 5
_WORD, _ENTRY = (1 << 64) - 1, 16
#: How many places are tried for an item, and how many if all combinations are tried.
_MOST_TRIES, _DEPTH = 16, 4
#: An integer with zeros in its lowest bits; a user's set very likely contains neither it nor one near it.
_BLOCK = 1 << 59
#: How many times larger than needed a table may be, after a set has shrunk.
_ROOMY = 64
#: Items in order of insertion, size of the table, and places in it that are occupied meanwhile.
Way = tuple[list[Any], int, list[int]]

#: Number of items that pickle adds at a time.
_BATCH = 1_000


class Ordered:
    """Replace a set that pickle alone would restore in another order."""

    def __init__(self, value: set[Any] | frozenset[Any], way: "Way") -> None:
        self.value, self._way = value, way

    def __reduce__(self) -> Any:
        return make_set, (type(self.value), *self._way)


def make_set(kind: type, items: Sequence[Any], size: int, blocked: Sequence[int] = ()) -> Any:
    """Make a set with a given size of its table and a given order of insertions.

    Args:
        kind: `set` or `frozenset`.
        items: The items, in order.
        size: Size of its table.
        blocked: Places in the table that are occupied during the insertions, and free afterwards.
    """
    if kind is frozenset:
        # Items of a frozenset cannot be removed, so one of these determines the size of its table.
        return (
            frozenset(dict.fromkeys(items))
            if 2 * len(items) < size <= max(4 * len(items), _SMALLEST)
            else frozenset(items)
        )
    made: set[Any] = set()
    fill(made, items, size, blocked)
    return made


def fill(target: set[Any], items: Sequence[Any], size: int, blocked: Sequence[int] = ()) -> None:
    """Add items to an empty set; see `make_set`."""
    # An integer is tried first in the place of its own value.
    blocks = [_BLOCK + place for place in blocked]
    coming = [*blocks, *items]
    if size > _SMALLEST:
        # A set made of a dict inserts the items in order, into a table of twice their number.
        first, coming = coming[: size // 2 - 1], coming[size // 2 - 1 :]
        padding = range(2 * _BLOCK, 2 * _BLOCK + max(size // 4, _SMALLEST * 5 // 8) - len(first))
        target.update(dict.fromkeys([*first, *padding]))
        blocks += padding
    target.update(coming)
    for block in blocks:
        # One by one: a method that removes several items would shrink the table.
        target.discard(block)


def find_long_way(value: Any) -> "Way | None":
    """Find the order of insertions for a long set; None if it is not long, or pickle restores its order."""
    if type(value) is not set or len(value) > _LARGEST or not all(map(_is_plain, value)):
        return None
    items = list(value)
    return None if _has_order(_make_like_pickle(set, items), items) else _find_way(value, items)


def find_out_of_order(pickler: pickle.Pickler) -> list[Ordered]:
    """Find pickled sets that pickle alone would restore in another order, and how to restore theirs."""
    found, left = [], _LARGEST
    for value in find_remembered(pickler, (set, frozenset)):
        if 1 < len(value) <= left and all(map(_is_plain, value)):
            items = list(value)
            if not _has_order(_make_like_pickle(type(value), items), items):
                left -= len(items)
                if (way := _find_way(value, items)) is not None:
                    found.append(Ordered(value, way))
    return found


def table_size(value: set[Any] | frozenset[Any]) -> int:
    """Return the size of a set's table."""
    return (sys.getsizeof(value) - sys.getsizeof(type(value)())) // _ENTRY or _SMALLEST


def _is_plain(item: Any) -> bool:
    kind = type(item)
    return kind in _PLAIN or kind in _ALSO_PLAIN or (kind in {tuple, frozenset} and all(map(_is_plain, item)))


def _has_order(made: Iterable[Any], items: Sequence[Any]) -> bool:
    return all(map(operator.is_, made, items))


def _make_like_pickle(kind: type, items: list[Any]) -> Any:
    if kind is frozenset:
        return frozenset(items)
    made: set[Any] = set()
    for start in range(0, len(items), _BATCH):
        made.update(items[start : start + _BATCH])
    return made


def _find_way(value: set[Any] | frozenset[Any], items: list[Any]) -> Way | None:
    """Find an order of insertions that gives the same iteration order in a table of the same size."""
    own = table_size(value)
    # A small table has few possible orders; a larger one also works.
    sizes = [own, *(own << more for more in range(1, _LARGER))] if len(items) <= _FEW else [own]
    for size, guess in itertools.product(sizes, (_guess_places, _find_cheapest_places)):
        places = guess(items, size) if size <= max(_ROOMY * len(items), _ROOMY) else None
        if places is not None:
            order, blocked = _order_by_place(items, places, size)
            is_roomy = (len(order) + len(blocked)) * 5 < (size - 1) * 3
            if is_roomy and _has_order(make_set(type(value), order, size, blocked), items):
                return order, size, blocked
    return None


def _list_probes(item: Any, size: int) -> Iterator[range]:
    """List the places that are tried for an item, in rows of linear probes."""
    mask, perturb = size - 1, hash(item) & _WORD
    place = perturb & mask
    for _ in range(_MOST_TRIES):
        yield range(place, place + (1 + _LINEAR if place + _LINEAR <= mask else 1))
        perturb >>= _SHIFT
        place = (place * 5 + 1 + perturb) & mask


def _guess_places(items: list[Any], size: int) -> list[int] | None:
    """Guess the place of each item in a table from the iteration order.

    Most items are in the first place that is tried, or close behind it, which limits the places of the others.
    """
    firsts = [hash(item) & (size - 1) for item in items]
    steady = set(_find_longest_rise(firsts))
    limits, limit = [0] * len(items), size
    for number in range(len(items) - 1, -1, -1):
        limits[number] = limit
        limit = firsts[number] if number in steady else limit
    occupied: set[int] = set()
    places, last = [], -1
    for number, item in enumerate(items):
        most = size if number in steady else limits[number] + _LINEAR
        free = [_find_next_free(row, last, occupied) for row in _list_probes(item, size)]
        # If the places before it are free now, they were occupied by items that were removed.
        blocked = (max(row.start, last + 1) for row in _list_probes(item, size) if last + 1 < row.stop)
        place = next((p for p in (*free, *blocked) if last < p <= most), None)
        if place is None:
            return None
        places.append(place)
        occupied.add(place)
        last = place
    return places


def _find_next_free(row: range, last: int, occupied: set[int]) -> int:
    """Find the first place of a row behind the last one; -1 if there is none, or an earlier one is free."""
    place = max(row.start, last + 1)
    return place if place < row.stop and all(each in occupied for each in range(row.start, place)) else -1


def _find_cheapest_places(items: list[Any], size: int) -> list[int] | None:
    """Find ascending places for a few items with the fewest probes."""
    if len(items) > _FEW:
        return None
    # Place of the last item → number of probes, places of all items.
    ends: dict[int, tuple[int, tuple[int, ...]]] = {-1: (0, ())}
    for item in items:
        tries = list(itertools.chain.from_iterable(itertools.islice(_list_probes(item, size), _DEPTH)))
        longer: dict[int, tuple[int, tuple[int, ...]]] = {}
        for last, (cost, places) in ends.items():
            for more, place in enumerate(tries):
                if place > last and cost + more < longer.get(place, (sys.maxsize,))[0]:
                    longer[place] = cost + more, (*places, place)
        # A way that ends later is useful only if it is cheaper.
        ends, cheapest = {}, sys.maxsize
        for place in sorted(longer):
            if longer[place][0] < cheapest:
                cheapest, ends[place] = longer[place][0], longer[place]
        if not ends:
            return None
    return list(min(ends.values())[1])


def _order_by_place(items: list[Any], places: list[int], size: int) -> tuple[list[Any], list[int]]:
    """Order the items so that the places before each are occupied, and list places that no item occupies."""
    at = {place: number for number, place in enumerate(places)}
    order: dict[int, None] = {}
    blocked: dict[int, None] = {}
    begun: set[int] = set()
    for start in range(len(items)):
        todo = [start]
        while todo:
            number = todo[-1]
            tries = list(itertools.chain.from_iterable(_list_probes(items[number], size)))
            before = tries[: tries.index(places[number])]
            waiting = [at[place] for place in before if place in at and at[place] not in begun]
            if number in begun or not waiting:
                order[todo.pop()] = None
                blocked.update(dict.fromkeys(place for place in before if place not in at))
            begun.add(number)
            todo += waiting
    return [items[number] for number in order], list(blocked)


def _find_longest_rise(numbers: list[int]) -> list[int]:
    """Return the indices of the longest non-decreasing subsequence."""
    tails: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for place, number in enumerate(numbers):
        at = bisect.bisect_right(tails, number)
        before.append(ends[at - 1] if at else -1)
        tails[at : at + 1] = [number]
        ends[at : at + 1] = [place]
    found, place = [], ends[-1] if ends else -1
    while place >= 0:
        found.append(place)
        place = before[place]
    return found[::-1]
