"""Read, check and write JSON: the only kind of data that enters and leaves a notebook."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, TypeAlias

from pauseflow_nb.errors import NotJSON, NotStorable

#: A JSON value. `require_json` is the check; a recursive type would cost every reader a cast.
JSON: TypeAlias = Any


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


#: Means that there is no value; None would be a value, `null`.
NOTHING: Any = _Nothing()

#: Deepest nesting, in levels: far below what ends in a RecursionError.
DEEPEST = 100
#: Most values in a JSON text. A table of 10,000 rows and 20 columns has fewer.
_MOST_VALUES = 250_000
#: Most values in a notebook's JSON value, counted as it would be written.
_MOST_WRITTEN = 10_000_000
#: Python itself neither reads nor writes integers of more digits.
_MOST_DIGITS = 4300
#: The same in bits.
_LONGEST_INT = 14_283
_LONG_NUMBER = re.compile(rf"(?<![0-9])[0-9]{{{_MOST_DIGITS + 1}}}")
_QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")

#: The keys and indices that lead to a value, outermost first.
_Place: TypeAlias = tuple[Any, ...]


def read_json(text: str) -> JSON:
    """Read JSON text from an untrusted source; return None if it is blank.

    It accepts what other languages understand and what can be written again: no NaN, no number beyond a float's
    range (`1e999`), no half of a surrogate pair. The time that it takes is in proportion to the text.

    Raises:
        ValueError: With the rest of a sentence that begins with what the text is: "is not JSON (…)".
    """
    text = text.removeprefix("\ufeff")
    if not text.strip():
        return None
    if _count_values(text) > _MOST_VALUES:
        raise ValueError(f"has more than {_MOST_VALUES} values")
    # Only if there may be such a number: calling a Python function for each integer would cost more than all the rest.
    readers: dict[str, Any] = {"parse_int": _parse_whole_number} if _LONG_NUMBER.search(text) else {}
    try:
        value = json.loads(text, parse_constant=_refuse_constant, **readers)
        require_json("", value)
    except RecursionError:
        raise ValueError(f"is nested too deeply: at most {DEEPEST} levels") from None
    except json.JSONDecodeError as problem:
        raise ValueError(
            f"is not JSON ({problem.msg.lower()}, at line {problem.lineno}, column {problem.colno})"
        ) from None
    except NotJSON as problem:
        raise ValueError(_explain_unfit(problem)) from None
    except ValueError as problem:
        raise ValueError(f"is not JSON ({problem})") from None
    return value


def require_json(what: str, value: object) -> None:
    """Check that a value is JSON without conversion: all keys are text, and no number is NaN.

    Args:
        what: Name of the value, for the error: `"context"`, `"export 'rows'"`.
        value: The value.

    Raises:
        NotJSON: If it is not JSON; names the place inside the value and the type found there.
        NotStorable: If its JSON text would be too long.
    """
    if not _is_surely_json(what, value):
        _check(what, value, (), ())


def is_deeper(value: JSON, levels: int) -> bool:
    """Whether lists and dicts are nested more than `levels` deep."""
    level = [value]
    for _ in range(levels):
        inner = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, (dict, list))]
        if not inner:
            return False
        level = [item for items in inner for item in items]
    return any(isinstance(each, (dict, list)) for each in level)


def dump_compact(value: object) -> str:
    """Write JSON text without spaces; NaN is refused, because other languages cannot read it."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def dump_json(value: object, *, indent: int | None = None) -> str:
    """Write any value as JSON text: what JSON cannot hold becomes null, half a character becomes U+FFFD.

    Args:
        value: A value from a store, which may hold what an older version has accepted.
        indent: Spaces for each level; None: compact.
    """
    separators = (",", ":") if indent is None else None
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, indent=indent, separators=separators)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        return json.dumps(_as_json(value), allow_nan=False, ensure_ascii=False, indent=indent, separators=separators)
    return text


def _as_json(value: object, depth: int = 0) -> JSON:
    # Twice as deep as `require_json` allows: a view holds a value some levels down.
    if depth > 2 * DEEPEST:
        return None
    if isinstance(value, dict):
        return {_as_json(str(key)): _as_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item, depth + 1) for item in value]
    if isinstance(value, str):
        return _HALF_CHARACTER.sub("\ufffd", value)
    try:
        require_json("value", value)
    except NotJSON:
        return None
    return value


def _count_values(text: str) -> int:
    """Count the characters outside of quotes that open or separate values: slightly more than the values."""
    if len(text) <= _MOST_VALUES:
        return 0
    count = sum(map(text.count, ",[{"))
    return count if count <= _MOST_VALUES else sum(map(_QUOTED.sub("", text).count, ",[{"))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _parse_whole_number(text: str) -> int:
    if len(text.removeprefix("-")) > _MOST_DIGITS:
        raise ValueError(f"a number has more than {_MOST_DIGITS} digits")
    return int(text)


def _explain_unfit(problem: NotJSON) -> str:
    at = f" at {problem.key[:60]}" if problem.key else ""
    if problem.type_name in ("inf", "-inf"):
        return f"holds a number that is too large{at}: at most 1.8e308"
    if problem.type_name.endswith("nested too deeply"):
        return f"is nested too deeply: at most {DEEPEST} levels"
    if problem.type_name.endswith("digits"):
        return f"holds a number of more than {_MOST_DIGITS} digits{at}"
    return f"holds text with half of a surrogate pair{at}"


def _is_surely_json(what: str, value: object) -> bool:
    """Check a value level by level, several times as fast as `_check`, which also names the place of an error."""
    level: list[Any] = [value]
    count = 0
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is list:
                inner += item
            elif kind is dict:
                if not all(type(key) is str and is_whole_text(key) for key in item):
                    return False
                inner += item.values()
            elif not _is_surely_plain(item, kind):
                return False
            if len(inner) > _MOST_WRITTEN - count:
                # A few lists that contain each other many times over would become endless text.
                raise NotStorable(f"{what} has more than {_MOST_WRITTEN} values when it is written as JSON")
        if not inner:
            return True
        count += len(inner)
        level = inner
    return all(_is_surely_plain(item, type(item)) for item in level)


def _is_surely_plain(item: Any, kind: type) -> bool:
    if kind is str:
        return is_whole_text(item)
    if kind is int:
        return bool(item.bit_length() <= _LONGEST_INT)
    return math.isfinite(item) if kind is float else item is None or kind is bool


def is_whole_text(text: str) -> bool:
    """Whether a text has no lone surrogate, which a file in UTF-8 cannot hold."""
    return text.isascii() or _HALF_CHARACTER.search(text) is None


def _check(what: str, value: object, at: _Place, above: tuple[int, ...]) -> None:
    if isinstance(value, (dict, list, tuple)):
        if id(value) in above:
            raise NotJSON(what, _format_place(at), f"{type(value).__name__} inside itself")
        if len(above) == DEEPEST:
            raise NotJSON(what, _format_place(at)[:40] + "…", f"{type(value).__name__} nested too deeply")
        for place, item in _list_items(what, value, at):
            _check(what, item, place, (*above, id(value)))
    elif isinstance(value, str):
        _check_text(what, value, at)
    elif isinstance(value, (int, float)):
        _check_number(what, value, at)
    elif value is not None:
        raise NotJSON(what, _format_place(at), type(value).__qualname__)


def _list_items(what: str, value: dict[Any, object] | Sequence[object], at: _Place) -> Iterator[tuple[_Place, object]]:
    if not isinstance(value, dict):
        yield from (((*at, index), item) for index, item in enumerate(value))
        return
    for key, item in value.items():
        place = (*at, key)
        if not isinstance(key, str):
            raise NotJSON(what, _format_place(place), f"{type(key).__name__} as a key")
        _check_text(what, key, place)
        yield place, item


def _check_number(what: str, value: float, at: _Place) -> None:
    if isinstance(value, int):
        if value.bit_length() > _LONGEST_INT:
            raise NotJSON(what, _format_place(at), f"{type(value).__name__} of more than {_MOST_DIGITS} digits")
    elif not math.isfinite(value):
        raise NotJSON(what, _format_place(at), str(value))


def _check_text(what: str, value: str, at: _Place) -> None:
    # Half of a surrogate pair, as `os.fsdecode` makes them: JSON text has an escape for it, UTF-8 has none.
    if not is_whole_text(value):
        raise NotJSON(what, _format_place(at), f"{type(value).__name__} with half a character")


def _format_place(at: _Place) -> str:
    return "".join(f"[{each!r}]" for each in at)
