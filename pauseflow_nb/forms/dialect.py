"""Compile JSON Schemas for jsonschema-rs, which checks in linear time, with what pydantic means by patterns and multiples.

Nothing is fetched, whatever a schema refers to, and no code of the user runs.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pauseflow_nb.json_values import JSON

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

__all__ = ["MULTIPLE", "NAMED", "PATTERN", "InvalidPattern", "compile_schema", "no_panics", "translate"]

#: What `pattern` becomes: jsonschema-rs reads patterns as JavaScript does, where `\\w` has no letters beyond ASCII.
PATTERN = "pauseflow:pattern"
MULTIPLE = "multipleOf"

#: Below these stand names of the schema's author, not keywords.
NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
#: Below these stand values, not schemas.
_VALUES = frozenset({"const", "enum", "default", "examples"})
#: Formats that jsonschema-rs would check. We check those that people type, and no others.
_UNCHECKED = (
    *("duration", "hostname", "idn-email", "idn-hostname", "ipv4", "ipv6", "iri", "iri-reference", "json-pointer"),
    *("regex", "relative-json-pointer", "unknown", "uri-reference", "uri-template", "uuid"),
)
_WORD = r"\p{Alphabetic}\p{M}\p{Nd}\p{Pc}"
_ESCAPES = {r"\d": r"\p{Nd}", r"\D": r"\P{Nd}", r"\Z": r"\z", r"\w": f"[{_WORD}]", r"\W": f"[^{_WORD}]"}


class InvalidPattern(ValueError):
    """A regular expression that neither pydantic nor Python can run."""

    def __init__(self, pattern: str) -> None:
        super().__init__(f"has a pattern that is no regular expression: {pattern}")


@lru_cache(maxsize=128)
def compile_schema(text: str) -> "Draft202012Validator":
    """Compile a schema, written as JSON.

    Raises:
        InvalidPattern: If it has a pattern that cannot be run.
        jsonschema_rs.ValidationError: If it is no JSON Schema, or refers to what is not in it.
        ValueError: If jsonschema-rs fails at it.
    """
    from jsonschema_rs import Draft202012Validator

    with no_panics():
        return Draft202012Validator(
            translate(json.loads(text)),
            formats=_FORMATS,
            validate_formats=True,
            offline=True,
            keywords={PATTERN: _Pattern, MULTIPLE: _MultipleOf},
        )


@contextmanager
def no_panics() -> Iterator[None]:
    """Make a ValueError of a panic in jsonschema-rs, which is no Exception and would end the process."""
    try:
        yield
    except BaseException as problem:
        # Its class cannot be imported.
        if type(problem).__name__ != "PanicException":
            raise
        raise ValueError("it cannot be compiled, most likely because of its $id, $anchor or $ref") from None


def translate(schema: JSON) -> JSON:
    """Write a schema as `compile_schema` compiles it, with patterns in our own keyword.

    Raises:
        InvalidPattern: If it has a pattern that cannot be run.
    """
    if not isinstance(schema, dict):
        return schema
    translated: dict[str, JSON] = {}
    for key, value in schema.items():
        if key == "pattern" and isinstance(value, str):
            _matcher(value)
            translated[PATTERN] = value
        elif key == "patternProperties" and isinstance(value, dict):
            translated[key] = {_in_javascript(name): translate(each) for name, each in value.items()}
        elif key in NAMED and isinstance(value, dict):
            translated[key] = {name: translate(each) for name, each in value.items()}
        elif key in _VALUES:
            translated[key] = value
        else:
            translated[key] = [translate(each) for each in value] if isinstance(value, list) else translate(value)
    return translated


class _Pattern:
    """`pattern`, run by the engine that pydantic uses."""

    def __init__(self, _schema: object, pattern: str, _path: object) -> None:
        self._matches = _matcher(pattern)

    def validate(self, value: JSON) -> None:
        if isinstance(value, str) and not self._matches(value):
            raise ValueError("does not match")


class _MultipleOf:
    """`multipleOf`, with pydantic's tolerance: 0.1 + 0.2 is a multiple of 0.1."""

    def __init__(self, _schema: object, factor: float, _path: object) -> None:
        self._factor = factor

    def validate(self, value: JSON) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or self._factor <= 0:
            return
        if not _is_multiple(value, self._factor):
            raise ValueError("is no multiple")


def _is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and float(factor).is_integer():
        return value % int(factor) == 0
    try:
        rest, tolerance = math.fmod(value, factor), abs(value) / 1e9
    except OverflowError:  # an integer beyond a float's range
        return True
    return abs(rest) <= tolerance or abs(abs(rest) - factor) <= tolerance


@lru_cache(maxsize=512)
def _matcher(pattern: str) -> Callable[[str], Any]:
    from pydantic_core import SchemaError, SchemaValidator, core_schema

    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern)).isinstance_python
    except SchemaError:
        pass
    try:
        # Look-around and references back: models may ask for Python's engine, and JSON Schemas have them too.
        return re.compile(pattern).search
    except (re.error, OverflowError, RecursionError):
        raise InvalidPattern(pattern) from None


def _in_javascript(pattern: str) -> str:
    """Write a pattern for field names so that it means in JavaScript's dialect what it means in pydantic's."""
    _matcher(pattern)
    parts, in_class = [], False
    for part in re.findall(r"\\.|.", pattern, re.DOTALL):
        in_class = part == "[" or (in_class and part != "]")
        parts.append(
            _WORD if in_class and part == r"\w" else part if in_class and part == r"\W" else _ESCAPES.get(part, part)
        )
    return "".join(parts)


def _checked(check: Callable[[str], Any]) -> Callable[[str], bool]:
    def is_one(text: str) -> bool:
        try:
            return bool(check(text))
        except ValueError:
            return False

    return is_one


_CHECKS: dict[str, Callable[[str], Any]] = {
    "date": lambda text: re.fullmatch(r"\d{4}-\d\d-\d\d", text) and datetime.fromisoformat(text),
    "date-time": lambda text: re.match(r"\d{4}-\d\d-\d\d[Tt ]\d", text) and datetime.fromisoformat(text),
    "time": lambda text: re.match(r"\d\d:\d\d", text) and time.fromisoformat(text) is not None,
    "email": lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+", text),
    "uuid": lambda text: re.fullmatch(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}", text),
    "uri": lambda text: re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S", text),
}
_FORMATS: dict[str, Callable[[str], bool]] = {
    **dict.fromkeys(_UNCHECKED, lambda _text: True),
    **{name: _checked(check) for name, check in _CHECKS.items()},
}
