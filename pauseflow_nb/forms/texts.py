"""Read the text of one input as pydantic does, and write a value as the text of an input."""

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pauseflow_nb.durations import format_duration, parse_span
from pauseflow_nb.forms.dialect import reader
from pauseflow_nb.forms.fields import Field
from pauseflow_nb.json_values import JSON, read_json

#: Matches numbers with separators: 1,000 or 1.000.000 or 1 000 or 1'000.
_SEPARATED = re.compile(r"[+-]?\d{1,3}([,.'\u2019_\s\u00a0\u202f]\d{3})+([.,]\d+)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_WHOLE = re.compile(r"[+-]?[0-9]+")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
#: Decimals beyond this are written with an exponent.
_MOST_ZEROS = 60
#: Python does not read integers of more digits.
_LONGEST_NUMBER = 4300


class Unreadable(ValueError):
    """A text that is not a value of its field; the message continues the field's name."""


def read_text(field: Field, text: str) -> JSON:
    """Read the text of an input.

    Raises:
        Unreadable: If it cannot be read; says what to write.
    """
    return _READERS.get(field.kind, _read_plain)(field, text)


def write_text(field: Field, value: JSON) -> str:
    """Write a value as the text of its input."""
    if isinstance(value, str) and field.kind == "duration":
        return format_iso_span(value)
    if isinstance(value, str) and field.kind not in ("json", "list", "object"):
        return _explain_zone(field, value) if field.kind == "datetime" else value
    return json.dumps(value, ensure_ascii=False)


def to_iso_span(span: timedelta) -> str:
    """Write a span as ISO 8601 does."""
    from pydantic_core import to_jsonable_python

    return str(to_jsonable_python(span))


def format_iso_span(written: str) -> str:
    """Write a span as people do, if that is exact."""
    from pydantic_core import ValidationError

    try:
        span: timedelta = reader("duration").validate_python(written)
        text = format_duration(span)
        return text if parse_span(text) == span else written
    except (ValidationError, OverflowError):
        return written


def _explain_zone(field: Field, moment: str) -> str:
    """Omit the time zone if the field's zone is UTC, so that a browser's input accepts the value."""
    return moment[:-1] if field.zone == "UTC" and moment.endswith("Z") else moment


def _read_as(kind: str, text: str, otherwise: str) -> Any:
    from pydantic_core import ValidationError

    try:
        return reader(kind).validate_python(text.strip())
    except ValidationError:
        raise Unreadable(otherwise) from None


def _read_plain(field: Field, text: str) -> str:
    text = text.replace("\r\n", "\n")
    return text.strip() if "format" in field.schema and field.kind == "text" else text


def _read_integer(_field: Field, text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise Unreadable(f"must have at most {_LONGEST_NUMBER} digits")
    value: int = _read_as("integer", text, _explain_format(text, "a whole number", "12"))
    return value


def _read_number(field: Field, text: str) -> float:
    if _WHOLE.fullmatch(text.strip()):
        return _read_integer(field, text)
    value: float = _read_as("number", text, _explain_format(text, "a number", "12.5"))
    if value != value or abs(value) == float("inf"):  # noqa: PLR0124  (NaN is equal to nothing)
        is_word = not any(each.isdecimal() for each in text)
        raise Unreadable("must be a finite number" if is_word else "is too large for a number: at most 1.8e308")
    return value


def _read_decimal(_field: Field, text: str) -> str:
    value: Decimal = _read_as("decimal", text, _explain_format(text, "a number", "12.5"))
    exponent = value.as_tuple().exponent
    is_short = isinstance(exponent, int) and abs(exponent) < _MOST_ZEROS
    # As text: a number of JSON would be rounded.
    return f"{value:f}" if is_short else str(value)


def _explain_format(text: str, what: str, example: str) -> str:
    text = text.strip()
    if _SEPARATED.fullmatch(text):
        return f"must be {what} without separators, such as 1000"
    if _DECIMAL_COMMA.fullmatch(text):
        return f"must be {what}" + ("" if what != "a number" else " with a point, such as 12.5")
    return f"must be {what}, such as {example}"


def _read_boolean(_field: Field, text: str) -> bool:
    value: bool = _read_as("boolean", text, "must be yes or no")
    return value


def _read_date(_field: Field, text: str) -> str:
    return _read_moment("date", text, "must be a date such as 2026-11-20")


def _read_time(_field: Field, text: str) -> str:
    _read_as("time", text, "must be a time such as 14:30:00")
    return text.strip()


def _read_datetime(field: Field, text: str) -> str:
    text = _read_moment("datetime", text, "must be a date and a time such as 2026-11-20T14:30")
    moment: datetime = reader("datetime").validate_python(text)
    if moment.tzinfo is not None or field.zone == "naive":
        return text
    # The input of a browser has no time zone; the form says that it is UTC.
    return f"{text}Z" if _DAY.fullmatch(text) is None else f"{text}T00:00:00Z"


def _read_moment(kind: str, text: str, otherwise: str) -> str:
    text = text.strip()
    # For pydantic, a bare number would be a time in seconds since 1970, which nobody means who types a date.
    if _DAY.match(text) is None:
        raise Unreadable(otherwise)
    _read_as(kind, text, otherwise)
    return text


def _read_duration(_field: Field, text: str) -> str:
    try:
        span = parse_span(text.strip())
    except OverflowError:
        raise Unreadable("is too long for a duration") from None
    if span is None:
        span = _read_as("duration", text, 'must be a duration such as "90s", "2 hours" or "1h 30min"')
    return to_iso_span(span)


def _read_json(field: Field, text: str) -> JSON:
    try:
        return read_json(text)
    except ValueError as problem:
        if field.takes_any_text and text.lstrip()[0] not in "{[":
            return text
        is_list = field.schema.get("type") == "array"
        example = "[1, 2]" if is_list else '{"a": 1}'
        raise Unreadable(f"{_explain_json_error(str(problem))}; it must be JSON, such as {example}") from None


def _explain_json_error(problem: str) -> str:
    return problem.replace("is not JSON (", "cannot be read (", 1)


_READERS: dict[str, Callable[[Field, str], JSON]] = {
    "boolean": _read_boolean,
    "date": _read_date,
    "datetime": _read_datetime,
    "decimal": _read_decimal,
    "duration": _read_duration,
    "integer": _read_integer,
    "json": _read_json,
    "list": _read_json,
    "number": _read_number,
    "object": _read_json,
    "time": _read_time,
    "tuple": _read_json,
}
