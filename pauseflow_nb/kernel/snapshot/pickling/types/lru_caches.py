"""Reduce the results in `functools.lru_cache`: read them through references, and restore them by calls.

Python has no public access to the contents. The references of the cache are compared with `cache_info()`; if they
differ, the cache starts empty.
"""

import contextlib
import functools
import gc
from collections.abc import Sequence
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.load_context import Filling, note_filling
from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler

#: Most results that are saved; others are computed again.
_MOST = 100_000

#: Arguments, keyword arguments and result.
Entry = tuple[tuple[Any, ...], dict[str, Any], Any]


def reduce_contents(pickler: Pickler, cached: Any, wrapped: Any, attributes: dict[str, Any]) -> Any:
    """Reduce a cached function with its results; None if there are none that can be saved."""
    entries = pickler.cached_results(cached)
    if not entries:
        return None
    parameters = cached.cache_parameters()
    arguments = wrapped, parameters["maxsize"], parameters["typed"], attributes
    return make_filled_cache, arguments, entries, None, None, set_cache


def make_filled_cache(wrapped: Any, maxsize: int | None, typed: bool, attributes: dict[str, Any]) -> Any:
    """Make a cached function, whose results are set later."""
    # While the cache is filled, the partial returns the saved results; later it calls the function at almost no cost.
    source = functools.partial(wrapped)
    cached: Any = functools.lru_cache(maxsize, typed)(source)
    functools.update_wrapper(cached, wrapped)
    vars(cached).update(attributes)
    note_filling(Filling(cached, source, wrapped))
    return cached


def set_cache(cached: Any, entries: Sequence[Entry]) -> None:
    """Record the results of a cached function, which is filled after all variables, because arguments are hashed."""
    note_filling(Filling(cached, None, None, entries))


def read_contents(cached: Any) -> list[Entry] | None:
    """Read the results of a cached function, oldest first; None if they cannot be read."""
    count = cached.cache_info().currsize
    if not count:
        return []
    if count > _MOST:
        return None
    referents = gc.get_referents(cached)
    place = next((at for at in (1, 0, 3 * count + 1, 3 * count) if _is_cache(referents, at, count)), None)
    if place is None:
        return None
    cache, marks = referents[place], [each for each in referents[place + 1 :] if type(each) is object]
    if cached.cache_parameters()["maxsize"] is None:
        pairs = list(cache.items())
    else:
        # Key, result and type of each link of the list.
        links = referents[place - 3 * count : place]
        pairs = list(zip(links[::3], links[1::3], strict=True))
        is_as_expected = all(kind.__name__ == "_lru_list_elem" for kind in links[2::3])
        if not is_as_expected or {id(key) for key, _ in pairs} != set(map(id, cache)):
            return None
    is_typed = cached.cache_parameters()["typed"]
    with contextlib.suppress(ValueError):
        return [(*_arguments(key, marks, is_typed=is_typed), result) for key, result in pairs]
    return None


def _is_cache(referents: list[Any], place: int, count: int) -> bool:
    return place < len(referents) and type(referents[place]) is dict and len(referents[place]) == count


def _arguments(key: Any, marks: list[Any], *, is_typed: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Split a key as Python makes it: arguments, a mark and keywords if there are any, and types if they count."""
    if type(key) in {int, str}:
        return (key,), {}
    if type(key) is not tuple or len(marks) != 1:
        raise ValueError(key)
    at = next((number for number, part in enumerate(key) if part is marks[0]), None)
    if at is None:
        return (key[: len(key) // 2] if is_typed else key), {}
    rest = key[at + 1 :]
    if is_typed:
        rest = rest[: (len(rest) - at) // 3 * 2]
    return key[:at], dict(zip(rest[::2], rest[1::2], strict=True))
