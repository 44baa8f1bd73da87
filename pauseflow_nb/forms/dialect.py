"""Compile JSON Schemas for jsonschema-rs, with pydantic's meaning of patterns and multiples.

References are never fetched, and no code of the user runs.
"""

import base64
import ipaddress
import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, cast

from pauseflow_nb.json_values import JSON

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator
    from pydantic_core import SchemaValidator

#: Replaces `pattern`: jsonschema-rs reads patterns as JavaScript does, where `\\w` matches only ASCII letters.
PATTERN = "pauseflow:pattern"
MULTIPLE = "multipleOf"

# Properties of Python types that JSON Schema cannot express; the kernel adds these keywords to its schemas.

#: At the root: the schema was made from a type. `{"wrapped": true}`: a type without fields, as the field `value`.
PYTHON = "pauseflow:python"
#: At a property: other names and paths under which the model accepts it.
NAMES = "pauseflow:names"
#: At a value: it is strict, so a number written as text is not accepted.
STRICT = "pauseflow:strict"
#: At a number or a text: it is a Decimal with these limits.
DECIMAL = "pauseflow:decimal"
#: At a time: `"aware"` or `"naive"`, if the model accepts only one of them.
ZONE = "pauseflow:zone"
#: At a text: what pydantic does with it first, `"strip_whitespace"` or `"coerce_numbers_to_str"`.
TEXT = "pauseflow:text"
#: At a text: the kind of value that it must be for pydantic, with limits: `{"type": "date", "gt": "2026-01-01"}`.
LIMITS = "pauseflow:limits"

#: Keywords whose members have names of the author.
NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
#: Keywords with values instead of schemas.
_VALUES = frozenset({"const", "enum", "default", "examples", PYTHON, NAMES, DECIMAL, LIMITS, TEXT})
#: Formats that jsonschema-rs would check, of which we check only those that people type.
_UNCHECKED = (
    *("hostname", "idn-email", "idn-hostname", "iri", "iri-reference", "json-pointer"),
    *("regex", "relative-json-pointer", "unknown", "uri-reference", "uri-template"),
)
_WORD = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}"
#: Limits that are values themselves.
_BOUNDS = frozenset({"gt", "ge", "lt", "le", "multiple_of"})
_ESCAPES = {r"\d": r"\p{Nd}", r"\D": r"\P{Nd}", r"\Z": r"\z", r"\w": f"[{_WORD}]", r"\W": f"[^{_WORD}]"}


class InvalidPattern(ValueError):
    """A regular expression that neither pydantic nor Python can run."""

    def __init__(self, pattern: str) -> None:
        super().__init__(f"has a pattern that is not a regular expression: {pattern}")


@lru_cache(maxsize=128)
def compile_schema(text: str) -> "Draft202012Validator":
    """Compile a schema from its JSON text.

    Raises:
        InvalidPattern: If it has a pattern that cannot be run.
        jsonschema_rs.ValidationError: If it is not a JSON Schema, or refers to something outside of it.
        ValueError: If jsonschema-rs fails.
    """
    from jsonschema_rs import Draft202012Validator

    with convert_panics():
        return Draft202012Validator(
            translate(json.loads(text)),
            formats=_FORMATS,
            validate_formats=True,
            offline=True,
            keywords={PATTERN: _Pattern, MULTIPLE: _MultipleOf, DECIMAL: _Decimal, STRICT: _Strict, LIMITS: _Limits},
        )


@contextmanager
def convert_panics() -> Iterator[None]:
    """Convert a panic in jsonschema-rs, which is not an `Exception` and would end the process, to a ValueError."""
    try:
        yield
    except BaseException as problem:
        # Its class cannot be imported.
        if type(problem).__name__ != "PanicException":
            raise
        raise ValueError("it cannot be compiled, most likely because of its $id, $anchor or $ref") from None


def translate(schema: JSON) -> JSON:
    """Translate a schema for `compile_schema`, with patterns in our own keyword.

    Raises:
        InvalidPattern: If it has a pattern that cannot be run.
    """
    if not isinstance(schema, dict):
        return schema
    translated: dict[str, JSON] = {}
    for key, value in schema.items():
        if key == "pattern" and isinstance(value, str):
            matcher(value)
            translated[PATTERN] = value
        elif key == "patternProperties" and isinstance(value, dict):
            translated[key] = {_translate_to_javascript(name): translate(each) for name, each in value.items()}
        elif key in NAMED and isinstance(value, dict):
            translated[key] = {name: translate(each) for name, each in value.items()}
        elif key in _VALUES:
            translated[key] = value
        else:
            translated[key] = [translate(each) for each in value] if isinstance(value, list) else translate(value)
    return translated


class _Pattern:
    """Checks `pattern` with the regular expressions of pydantic."""

    def __init__(self, _schema: object, pattern: str, _path: object) -> None:
        self._matches = matcher(pattern)

    def validate(self, value: JSON) -> None:
        if isinstance(value, str) and not self._matches(value):
            raise ValueError("does not match")


class _MultipleOf:
    """Checks `multipleOf` with pydantic's tolerance: 0.1 + 0.2 is a multiple of 0.1."""

    def __init__(self, _schema: object, factor: float, _path: object) -> None:
        self._factor = factor

    def validate(self, value: JSON) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or self._factor <= 0:
            return
        if not _is_multiple(value, self._factor):
            raise ValueError("is no multiple")


class _Strict:
    """Checks `STRICT`: an integer must not be written as 2.0, which JSON Schema accepts."""

    def __init__(self, schema: dict[str, JSON], _is_strict: bool, _path: object) -> None:
        self._is_integer = schema.get("type") == "integer"

    def validate(self, value: JSON) -> None:
        if self._is_integer and isinstance(value, float):
            raise ValueError("is no whole number")


class _Limits:
    """`LIMITS`: what pydantic asks of a text; one that is not of the format is checked elsewhere."""

    def __init__(self, schema: dict[str, JSON], limits: dict[str, JSON], _path: object) -> None:
        self._limits = limits
        self._format = str(schema.get("format"))

    def validate(self, value: JSON) -> None:
        if isinstance(value, str) and is_of_format(self._format, value) and find_limit(self._limits, value) is not None:
            raise ValueError("is beyond a limit")


class _Decimal:
    """Checks `DECIMAL`: the limits of a Decimal, also of one written as text."""

    def __init__(self, _schema: object, limits: dict[str, JSON], _path: object) -> None:
        self._limits = {"type": "decimal", **limits}

    def validate(self, value: JSON) -> None:
        if find_limit(self._limits, value) is not None:
            raise ValueError("is no such Decimal")


def is_of_format(name: str, text: str) -> bool:
    """Return whether a text is of a `format`; it is of every format that is not known here."""
    return name not in _FORMATS or _FORMATS[name](text)


def find_limit(limits: dict[str, JSON], value: JSON) -> dict[str, Any] | None:
    """Check a value as pydantic does; values that are neither numbers nor texts are checked elsewhere.

    Args:
        limits: The `type` of one of pydantic's core schemas, and its limits as text.
        value: The value.

    Returns:
        An error of pydantic, one of `ValidationError.errors()`; None if it fits.
    """
    from pydantic_core import SchemaError, ValidationError

    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    # The kernel's pydantic may know limits that this one does not, and it checks them itself.
    with suppress(SchemaError):
        try:
            _make_limited_reader(json.dumps(limits)).validate_json(json.dumps(value))
        except ValidationError as problem:
            return cast("dict[str, Any]", problem.errors(include_url=False)[0])
    return None


@lru_cache(maxsize=256)
def _make_limited_reader(text: str) -> "SchemaValidator":
    from pydantic_core import SchemaValidator

    limits: dict[str, Any] = json.loads(text)
    plain = SchemaValidator({"type": limits["type"]})
    for name in _BOUNDS & limits.keys():
        limits[name] = plain.validate_python(limits[name])
    return SchemaValidator(cast("Any", limits))


@cache
def reader(kind: str) -> "SchemaValidator":
    """Return a function that reads a value as pydantic does when it is not strict.

    Args:
        kind: `"integer"`, `"number"`, `"decimal"`, `"boolean"`, `"date"`, `"time"`, `"datetime"`, `"duration"` or `"uuid"`.
    """
    from pydantic_core import SchemaValidator, core_schema

    schemas: dict[str, Any] = {
        "integer": core_schema.int_schema,
        "number": core_schema.float_schema,
        "decimal": core_schema.decimal_schema,
        "boolean": core_schema.bool_schema,
        "date": core_schema.date_schema,
        "time": core_schema.time_schema,
        "datetime": core_schema.datetime_schema,
        "duration": core_schema.timedelta_schema,
        "uuid": core_schema.uuid_schema,
    }
    return SchemaValidator(schemas[kind]())


def _is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and float(factor).is_integer():
        return value % int(factor) == 0
    try:
        rest, tolerance = math.fmod(value, factor), abs(value) / 1e9
    except OverflowError:  # an integer beyond a float's range
        return True
    return abs(rest) <= tolerance or abs(abs(rest) - factor) <= tolerance


@lru_cache(maxsize=512)
def matcher(pattern: str) -> Callable[[str], Any]:
    """Compile a regular expression, if it can be for the engine that pydantic uses.

    Raises:
        InvalidPattern: If Python cannot run it either.
    """
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern)).isinstance_python
    except SchemaError:
        pass
    try:
        # Look-around and back-references: models may choose Python's engine, and JSON Schemas allow them.
        return re.compile(pattern).search
    except (re.error, OverflowError, RecursionError):
        raise InvalidPattern(pattern) from None


def _translate_to_javascript(pattern: str) -> str:
    """Translate a pattern for field names from pydantic's dialect to JavaScript's."""
    matcher(pattern)
    parts, in_class = [], False
    for part in re.findall(r"\\.|.", pattern, re.DOTALL):
        in_class = part == "[" or (in_class and part != "]")
        parts.append(
            _WORD if in_class and part == r"\w" else part if in_class and part == r"\W" else _ESCAPES.get(part, part)
        )
    return "".join(parts)


def _make_check(check: Callable[[str], Any]) -> Callable[[str], bool]:
    def is_one(text: str) -> bool:
        try:
            return check(text) not in (False, None)
        except ValueError:
            return False

    return is_one


_DAY = re.compile(r"\d{4}-\d\d-\d\d")
#: What is false, or raises a ValueError, for a text that is not of the format.
_CHECKS: dict[str, Callable[[str], Any]] = {
    # For pydantic, a bare number is a time in seconds since 1970, which nobody means in a date.
    "date": lambda text: _DAY.match(text) and reader("date").validate_python(text),
    "date-time": lambda text: re.match(r"\d{4}-\d\d-\d\d[Tt ]\d", text) and reader("datetime").validate_python(text),
    "time": lambda text: re.match(r"\d\d:\d\d", text) and reader("time").validate_python(text),
    "duration": lambda text: reader("duration").validate_python(text),
    "email": lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+", text),
    "ipv4": ipaddress.IPv4Address,
    "ipv6": ipaddress.IPv6Address,
    # These are pydantic's names.
    "ipv4network": ipaddress.IPv4Network,
    "ipv6network": ipaddress.IPv6Network,
    "ipv4interface": ipaddress.IPv4Interface,
    "ipv6interface": ipaddress.IPv6Interface,
    "ipvanyaddress": ipaddress.ip_address,
    "ipvanynetwork": ipaddress.ip_network,
    "ipvanyinterface": ipaddress.ip_interface,
    "base64": lambda text: base64.b64decode(text.encode()),
    "base64url": lambda text: base64.urlsafe_b64decode(text.encode()),
    "uuid": lambda text: reader("uuid").validate_python(text),
    "uri": lambda text: re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S", text),
}
_FORMATS: dict[str, Callable[[str], bool]] = {
    **dict.fromkeys(_UNCHECKED, lambda _text: True),
    **{name: _make_check(check) for name, check in _CHECKS.items()},
}
