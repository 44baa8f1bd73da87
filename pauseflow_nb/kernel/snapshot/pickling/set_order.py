"""Preserve the iteration order of sets: build a set differently where pickle would change its order.

That order follows from the hashes of the items, from the size of the set's table, and from how the items came into it.
Texts have the same hashes only in kernels with the same hash seed, and objects hashed by their identity never do.
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

#: So many items, of all sets in one frame, are put in order: in small sets this many take a third of a second.
_LARGEST = 10_000
#: Hashed without code of the notebook's, and not by their identity.
_PLAIN = frozenset(
    {str, bytes, int, float, complex, bool, decimal.Decimal, fractions.Fraction, uuid.UUID, dt.date, dt.time}
)
_ALSO_PLAIN = frozenset({dt.datetime, dt.timedelta, pathlib.PurePosixPath, pathlib.PosixPath})
#: Of so few items, tables of larger sizes are tried, so many.
_FEW, _LARGER = 64, 5
#: Of the table of a set, in CPython: its first size, how many places behind the first are tried, and then how to continue.
_SMALLEST, _LINEAR, _SHIFT = 8, 9, 5
_WORD, _ENTRY = (1 << 64) - 1, 16
#: How many places are tried for an item, and how many of them where all combinations are.
_MOST_TRIES, _DEPTH = 16, 4
#: An integer whose lowest bits are zero; a set that holds it, or one near it, is very likely not one of the user's.
_BLOCK = 1 << 59
#: A table may be so many times larger than its items need: of a set that was larger once.
_ROOMY = 64
#: Items in the order in which they come, size of the table, places in it that are taken meanwhile.
Way = tuple[list[Any], int, list[int]]

#: Pickle hands items over in so many at a time.
_BATCH = 1_000


class Ordered:
    """Stand for a set that pickle alone would restore in another order."""

    def __init__(self, value: set[Any] | frozenset[Any], way: "Way") -> None:
        self.value, self._way = value, way

    def __reduce__(self) -> Any:
        return make_set, (type(self.value), *self._way)


def make_set(kind: type, items: Sequence[Any], size: int, blocked: Sequence[int] = ()) -> Any:
    """Make a set whose table has a certain size, and into which its items come in a certain order.

    Args:
        kind: `set` or `frozenset`.
        items: What it holds.
        size: Of its table.
        blocked: Places in the table that were taken when the items came, and are not any more.
    """
    if kind is frozenset:
        # Nothing can be taken out of one again, so that its table is as large as either of these makes it.
        return (
            frozenset(dict.fromkeys(items))
            if 2 * len(items) < size <= max(4 * len(items), _SMALLEST)
            else frozenset(items)
        )
    made: set[Any] = set()
    fill(made, items, size, blocked)
    return made


def fill(target: set[Any], items: Sequence[Any], size: int, blocked: Sequence[int] = ()) -> None:
    """Put items into an empty set; see `make_set`."""
    # An integer is tried first in the place that it names.
    blocks = [_BLOCK + place for place in blocked]
    coming = [*blocks, *items]
    if size > _SMALLEST:
        # From a dict, a set takes the items in their order, into a table of twice their number.
        first, coming = coming[: size // 2 - 1], coming[size // 2 - 1 :]
        padding = range(2 * _BLOCK, 2 * _BLOCK + max(size // 4, _SMALLEST * 5 // 8) - len(first))
        target.update(dict.fromkeys([*first, *padding]))
        blocks += padding
    target.update(coming)
    for block in blocks:
        # One by one: a method that removes several would make the table smaller.
        target.discard(block)


def find_long_way(value: Any) -> "Way | None":
    """Find how the items of a long set come, so that they lie as they do; None if it is none, or pickle does as well."""
    if type(value) is not set or len(value) > _LARGEST or not all(map(_is_plain, value)):
        return None
    items = list(value)
    return None if _agrees(_by_pickle(set, items), items) else _find_way(value, items)


def find_out_of_order(pickler: pickle.Pickler) -> list[Ordered]:
    """Find sets that a pickler met, and that pickle alone would restore in another order; if there is a way."""
    found, left = [], _LARGEST
    for value in find_remembered(pickler, (set, frozenset)):
        if 1 < len(value) <= left and all(map(_is_plain, value)):
            items = list(value)
            if not _agrees(_by_pickle(type(value), items), items):
                left -= len(items)
                if (way := _find_way(value, items)) is not None:
                    found.append(Ordered(value, way))
    return found


def table_size(value: set[Any] | frozenset[Any]) -> int:
    """Return for how many items the table of a set has room."""
    return (sys.getsizeof(value) - sys.getsizeof(type(value)())) // _ENTRY or _SMALLEST


def _is_plain(item: Any) -> bool:
    kind = type(item)
    return kind in _PLAIN or kind in _ALSO_PLAIN or (kind in {tuple, frozenset} and all(map(_is_plain, item)))


def _agrees(made: Iterable[Any], items: Sequence[Any]) -> bool:
    return all(map(operator.is_, made, items))


def _by_pickle(kind: type, items: list[Any]) -> Any:
    if kind is frozenset:
        return frozenset(items)
    made: set[Any] = set()
    for start in range(0, len(items), _BATCH):
        made.update(items[start : start + _BATCH])
    return made


def _find_way(value: set[Any] | frozenset[Any], items: list[Any]) -> Way | None:
    """Find how the items come into a table of the same size so that they lie in the same order."""
    own = table_size(value)
    # A small table has few ways to lie in; a larger one will do.
    sizes = [own, *(own << more for more in range(1, _LARGER))] if len(items) <= _FEW else [own]
    for size, guess in itertools.product(sizes, (_likely_places, _cheapest_places)):
        places = guess(items, size) if size <= max(_ROOMY * len(items), _ROOMY) else None
        if places is not None:
            order, blocked = _in_turn(items, places, size)
            is_roomy = (len(order) + len(blocked)) * 5 < (size - 1) * 3
            if is_roomy and _agrees(make_set(type(value), order, size, blocked), items):
                return order, size, blocked
    return None


def _tries(item: Any, size: int) -> Iterator[range]:
    """List the places that an item is tried in, as many in a row as are tried at once."""
    mask, perturb = size - 1, hash(item) & _WORD
    place = perturb & mask
    for _ in range(_MOST_TRIES):
        yield range(place, place + (1 + _LINEAR if place + _LINEAR <= mask else 1))
        perturb >>= _SHIFT
        place = (place * 5 + 1 + perturb) & mask


def _likely_places(items: list[Any], size: int) -> list[int] | None:
    """Guess in which place of a table each item lies, from the order in which they lie.

    Most lie in the first place that is tried, or close behind it; from these follows between which the others are.
    """
    firsts = [hash(item) & (size - 1) for item in items]
    steady = set(_longest_rise(firsts))
    limits, limit = [0] * len(items), size
    for number in range(len(items) - 1, -1, -1):
        limits[number] = limit
        limit = firsts[number] if number in steady else limit
    occupied: set[int] = set()
    places, last = [], -1
    for number, item in enumerate(items):
        most = size if number in steady else limits[number] + _LINEAR
        free = [_next_free(row, last, occupied) for row in _tries(item, size)]
        # Where nothing is in front of it now, something was that was taken out again.
        blocked = (max(row.start, last + 1) for row in _tries(item, size) if last + 1 < row.stop)
        place = next((p for p in (*free, *blocked) if last < p <= most), None)
        if place is None:
            return None
        places.append(place)
        occupied.add(place)
        last = place
    return places


def _next_free(row: range, last: int, occupied: set[int]) -> int:
    """Find the first place of a row behind the last that was taken; -1 if none of the row is, or one before is free."""
    place = max(row.start, last + 1)
    return place if place < row.stop and all(each in occupied for each in range(row.start, place)) else -1


def _cheapest_places(items: list[Any], size: int) -> list[int] | None:
    """Find for a few items the places, each behind the last, that they are in after the fewest tries."""
    if len(items) > _FEW:
        return None
    # The place of the last item -> tries up to there, places of all items.
    ends: dict[int, tuple[int, tuple[int, ...]]] = {-1: (0, ())}
    for item in items:
        tries = list(itertools.chain.from_iterable(itertools.islice(_tries(item, size), _DEPTH)))
        longer: dict[int, tuple[int, tuple[int, ...]]] = {}
        for last, (cost, places) in ends.items():
            for more, place in enumerate(tries):
                if place > last and cost + more < longer.get(place, (sys.maxsize,))[0]:
                    longer[place] = cost + more, (*places, place)
        # Of two ways, one that ends later must be cheaper to be of use.
        ends, cheapest = {}, sys.maxsize
        for place in sorted(longer):
            if longer[place][0] < cheapest:
                cheapest, ends[place] = longer[place][0], longer[place]
        if not ends:
            return None
    return list(min(ends.values())[1])


def _in_turn(items: list[Any], places: list[int], size: int) -> tuple[list[Any], list[int]]:
    """Put the items in an order in which each finds taken what it must, and list what no item takes."""
    at = {place: number for number, place in enumerate(places)}
    order: dict[int, None] = {}
    blocked: dict[int, None] = {}
    begun: set[int] = set()
    for start in range(len(items)):
        todo = [start]
        while todo:
            number = todo[-1]
            tries = list(itertools.chain.from_iterable(_tries(items[number], size)))
            before = tries[: tries.index(places[number])]
            waiting = [at[place] for place in before if place in at and at[place] not in begun]
            if number in begun or not waiting:
                order[todo.pop()] = None
                blocked.update(dict.fromkeys(place for place in before if place not in at))
            begun.add(number)
            todo += waiting
    return [items[number] for number in order], list(blocked)


def _longest_rise(numbers: list[int]) -> list[int]:
    """Find the places of the longest sequence of numbers that never fall."""
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
