"""What may leave the notebook as data: JSON, checked where the user hands it over."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

from pauseflow_nb.errors import NotJSON

__all__ = ["JSON", "compact", "json_text", "require_json"]

#: A JSON value. `require_json` is the check; a recursive type would cost every reader a cast.
JSON: TypeAlias = Any

#: In bits. Python itself writes and reads no number of more than 4300 digits.
_LONGEST_INT = 14_283
#: In levels. Far below where reading, writing or copying would end in a RecursionError.
_DEEPEST = 100
_HALF_CHARACTER = re.compile("[\ud800-\udfff]")


def require_json(what: str, value: object) -> None:
    """Check that a value is JSON as it stands: no key becomes text, no NaN slips through.

    Args:
        what: What the value is, for the error: `"context"`, `"export 'rows'"`.
        value: The value.

    Raises:
        NotJSON: Naming the place inside the value and the type found there.
    """
    _check(what, value, "", ())


def compact(value: object) -> str:
    """Write JSON text without spaces; NaN is refused, because other languages cannot read it."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def json_text(value: object, *, indent: int | None = None) -> str:
    """Write JSON text of whatever is there: what no JSON can hold becomes null, half a character becomes U+FFFD.

    Args:
        value: What came out of a store, which may hold what an older version has let in.
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
    # Twice as deep as what `require_json` lets in: a view holds a value some levels down.
    if depth > 2 * _DEEPEST:
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


def _check(what: str, value: object, at: str, above: tuple[int, ...]) -> None:
    if isinstance(value, (dict, list, tuple)):
        if id(value) in above:
            raise NotJSON(what, at, f"{type(value).__name__} inside itself")
        if len(above) == _DEEPEST:
            raise NotJSON(what, at[:40] + "…", f"{type(value).__name__} nested too deeply")
        for place, item in _items(what, value, at):
            _check(what, item, place, (*above, id(value)))
    elif isinstance(value, str):
        _check_text(what, value, at)
    elif isinstance(value, (int, float)):
        _check_number(what, value, at)
    elif value is not None:
        raise NotJSON(what, at, type(value).__qualname__)


def _items(what: str, value: dict[Any, object] | Sequence[object], at: str) -> Iterator[tuple[str, object]]:
    if not isinstance(value, dict):
        yield from ((f"{at}[{index}]", item) for index, item in enumerate(value))
        return
    for key, item in value.items():
        place = f"{at}[{key!r}]"
        if not isinstance(key, str):
            raise NotJSON(what, place, f"{type(key).__name__} as a key")
        _check_text(what, key, place)
        yield place, item


def _check_number(what: str, value: float, at: str) -> None:
    if isinstance(value, int):
        if value.bit_length() > _LONGEST_INT:
            raise NotJSON(what, at, f"{type(value).__name__} of more than 4300 digits")
    elif not math.isfinite(value):
        raise NotJSON(what, at, str(value))


def _check_text(what: str, value: str, at: str) -> None:
    # Half of a surrogate pair, as `os.fsdecode` makes them: JSON text has an escape for it, UTF-8 has none.
    if not value.isascii() and _HALF_CHARACTER.search(value):
        raise NotJSON(what, at, f"{type(value).__name__} with half a character")
