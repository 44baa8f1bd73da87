"""Read spans of time as people write them: `"90s"`, `"1h30m"`, `timedelta`, and Pipedream's milliseconds.

Three readers, because three conventions meet: what Pipedream's users know takes plain numbers as
milliseconds, what Prefect's know as seconds, and everything of our own refuses a bare number, whose
unit nobody can see.
"""

import re
from datetime import timedelta
from numbers import Real
from typing import Any, TypeGuard

from pauseflow_nb.errors import InvalidDuration

SHORTEST = timedelta(milliseconds=1)
LONGEST = timedelta(days=366)

_BOUNDS = "must be between 1 ms and 1 year"
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
#: The same units as whole words and common abbreviations.
_WORDS = {
    "millisecond": "ms",
    "sec": "s",
    "second": "s",
    "minute": "min",
    "hr": "h",
    "hour": "h",
    "day": "d",
    "week": "w",
}
_NAMES = {
    **{unit: unit for unit in _UNITS},
    **_WORDS,
    **{f"{word}s": unit for word, unit in _WORDS.items()},
    "mins": "min",
}
_PART = re.compile(
    rf"\s*(?:(?:and|,)\s*)?([0-9]+(?:\.[0-9]+)?)\s*({'|'.join(sorted(_NAMES, key=len, reverse=True))})(?![a-z])\s*",
    re.IGNORECASE,
)


def parse_milliseconds(value: object, *, what: str = "timeout") -> timedelta:
    """Read a duration whose plain numbers are milliseconds, as Pipedream's are.

    Args:
        value: A number of milliseconds, a `timedelta`, or text such as `"7d"`.
        what: Name of the argument, for the error.

    Raises:
        InvalidDuration: If it is none of these, or not between 1 ms and a year.
    """
    return _scale(value, "ms", what)


def parse_seconds(value: object) -> timedelta:
    """Read a duration whose plain numbers are seconds, as Prefect's are; otherwise as `milliseconds`."""
    return _scale(value, "s", "timeout")


def parse_duration(value: object, *, what: str = "timeout") -> timedelta:
    """Read a duration that says its unit: a `timedelta` or text such as `"90s"`.

    Raises:
        InvalidDuration: If it is a bare number (the error says what to write), cannot be read,
            or is not between 1 ms and a year.
    """
    if is_number(value):
        raise InvalidDuration(what, value, f'has no unit: write "{value}s" or "{value}ms", or a timedelta')
    return _read(value, what)


def format_duration(span: timedelta) -> str:
    """Write a duration for people, in at most two units: `"2 d 3 h"`, `"45 s"`."""
    count_ms = max(round(span / timedelta(milliseconds=1)), 0)
    if 0 < count_ms < 1000:
        return f"{count_ms} ms"
    rest, parts = round(count_ms / 1000), []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def is_number(value: object) -> TypeGuard[Real]:
    """Whether a value is a number without a unit."""
    # Real, because numpy's integers are not `int`. True is an `int`, but not a duration. `numpy.timedelta64` is an
    # integer to numpy, and has a unit.
    return isinstance(value, Real) and not isinstance(value, bool) and not _is_numpy_span(value)


def _is_numpy_span(value: object) -> bool:
    kind = type(value)
    return kind.__name__ == "timedelta64" and kind.__module__.partition(".")[0] == "numpy"


def _convert_numpy_span(value: Any, what: str) -> timedelta:
    """Convert a `numpy.timedelta64` to a `timedelta`, to the microsecond."""
    try:
        converted = value.astype("timedelta64[us]").item()
    except (TypeError, ValueError):
        converted = None
    # Years and months have no fixed number of days, and a span without a unit has no length.
    if not isinstance(converted, timedelta) or str(value.dtype) in ("timedelta64", "timedelta64[M]", "timedelta64[Y]"):
        raise InvalidDuration(what, value, 'must be a span with a unit, such as np.timedelta64(90, "s")')
    return converted


def _scale(value: object, unit: str, what: str) -> timedelta:
    if not is_number(value):
        return _read(value, what)
    try:
        span = float(value) * _UNITS[unit]
    except (OverflowError, ValueError):  # infinity, NaN, and numbers beyond a float
        raise InvalidDuration(what, value, _BOUNDS) from None
    return _check_bounds(span, value, what)


def _read(value: object, what: str) -> timedelta:
    if _is_numpy_span(value):
        value = _convert_numpy_span(value, what)
    return _check_bounds(value if isinstance(value, timedelta) else _parse_text(value, what), value, what)


def _check_bounds(span: timedelta, value: object, what: str) -> timedelta:
    if not SHORTEST <= span <= LONGEST:
        raise InvalidDuration(what, value, _BOUNDS)
    return span


def parse_span(text: str) -> timedelta | None:
    """Read a span as people write it: `"90s"`, `"2 hours"`, `"1h 30min"`; None if the text is not a span.

    Raises:
        OverflowError: If it is longer than a `timedelta` can be.
    """
    at, total = 0, timedelta()
    while match := _PART.match(text, at):
        total += float(match[1]) * _UNITS[_NAMES[match[2].lower()]]
        at = match.end()
    return total if at and at == len(text) else None


def _parse_text(value: object, what: str) -> timedelta:
    if not isinstance(value, str):
        raise InvalidDuration(what, value, 'must be text such as "90s", "10m" or "7d", or a timedelta')
    try:
        span = parse_span(value)
    except OverflowError:
        raise InvalidDuration(what, value, _BOUNDS) from None
    if span is None:
        raise InvalidDuration(what, value, 'must look like "500ms", "90s", "1h30m" or "7d"')
    return span
