"""Convert an answer in JSON as pydantic would: aliases of fields, bare values, and numbers written as text.

A JSON Schema that was made from a Python type says less than the type takes. Our own keywords hold the rest, and an
answer is converted to the form of the schema here before it is checked. The notebook's model gets the answer as it
was sent, except for spans such as `"2 hours"` and whole numbers such as 1e20, which pydantic cannot read.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pauseflow_nb.durations import parse_span
from pauseflow_nb.forms.dialect import DECIMAL, NAMES, PYTHON, STRICT, TEXT, is_of_format, reader
from pauseflow_nb.forms.fields import resolve_branches
from pauseflow_nb.forms.texts import format_iso_span, to_iso_span
from pauseflow_nb.json_values import JSON, dump_compact
from pauseflow_nb.protocol import extract_answer

#: The only field of a form for a type without fields.
VALUE = "value"

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_FORMATS = {"date": "date", "date-time": "datetime", "time": "time", "duration": "duration"}


def extract_answer_for(schema: Mapping[str, JSON], envelope: Mapping[str, JSON]) -> JSON:
    """Return the answer in a request's envelope, for a question with a schema."""
    if envelope.get("by") != "clock" and not (envelope.get("body_raw") or envelope.get("query")):
        body = envelope.get("body")
        if body is None:
            return _interpret_missing(schema)
    return wrap_value(schema, extract_answer(envelope))


def _interpret_missing(schema: Mapping[str, JSON]) -> JSON:
    """Return the meaning of a missing answer: for `Optional[int]`, null, as in an empty form."""
    inner = (schema.get("properties") or {}).get(VALUE)
    is_null = _is_wrapped(schema) and isinstance(inner, Mapping) and resolve_branches(inner, schema).is_nullable
    return {VALUE: None} if is_null else {}


def _is_wrapped(schema: Mapping[str, JSON]) -> bool:
    return isinstance(schema.get(PYTHON), Mapping) and bool(schema[PYTHON].get("wrapped"))


def wrap_value(schema: Mapping[str, JSON], value: JSON) -> JSON:
    """Convert a bare value to the form with the one field `value`, for a type without fields."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or set(properties) != {VALUE}:
        return value
    if not isinstance(value, dict):
        return {VALUE: value}
    inner, _, _, branches = resolve_branches(properties[VALUE], schema)
    takes_dicts = any(each.get("type") == "object" for each in (inner, *branches))
    if not _is_wrapped(schema) or not takes_dicts:
        return value
    takes_more = any(each.get("type") != "object" for each in branches)
    is_form = set(value) == {VALUE} and (takes_more or isinstance(value[VALUE], dict))
    return value if is_form else {VALUE: value}


def normalize(schema: Mapping[str, JSON], value: JSON) -> JSON:
    """Convert an answer to the form of the schema; values that do not fit stay unchanged for the check."""
    return _Converter(schema, only_spans=False).convert(schema, value) if PYTHON in schema else value


def parse_spans(schema: Mapping[str, JSON], value: JSON) -> JSON:
    """Convert spans such as `"2 hours"` to ISO 8601, and whole numbers such as 1e20; other values stay unchanged."""
    return _Converter(schema, only_spans=True).convert(schema, value) if PYTHON in schema else value


def format_spans(schema: Mapping[str, JSON], value: JSON) -> JSON:
    """Write spans as people do: `"2 h"`."""
    return _SpanFormatter(schema, only_spans=True).convert(schema, value)


@dataclass(frozen=True)
class _Converter:
    root: Mapping[str, JSON]
    only_spans: bool

    def convert(self, written: JSON, value: JSON) -> JSON:
        """Convert a value for one part of the schema."""
        if not isinstance(written, Mapping):
            return value
        schema, _, _, branches = resolve_branches(written, self.root)
        if branches:
            return self._convert_branch([resolve_branches(each, self.root).schema for each in branches], value)
        if isinstance(value, dict):
            return self._convert_object(schema, value)
        if isinstance(value, list):
            return self._convert_list(schema, value)
        return self._convert_single(schema, value)

    def _convert_branch(self, branches: list[Mapping[str, JSON]], value: JSON) -> JSON:
        fitting = [each for each in branches if _is_of_type(each, value) and self._has_format(each, value)]
        if isinstance(value, dict):
            fitting = [each for each in fitting if _has_tags(each, value, self.root)]
        if len(fitting) == 1 or (fitting and isinstance(value, (dict, list))):
            return self.convert(fitting[0], value)
        if any(each.get("type") == "string" and "format" not in each for each in fitting):
            return value
        for each in fitting or branches:
            converted = self._convert_single(each, value)
            if converted is not value:
                return converted
        return value

    def _has_format(self, schema: Mapping[str, JSON], value: JSON) -> bool:
        """Whether a text is of the format of its branch: in `timedelta | int`, "5" is the number."""
        text = self._convert_single(schema, value) if "format" in schema else value
        return not isinstance(text, str) or is_of_format(str(schema.get("format")), text)

    def _convert_object(self, schema: Mapping[str, JSON], value: dict[str, JSON]) -> dict[str, JSON]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        more = schema.get("additionalProperties")
        converted = {key: self.convert(properties.get(key, more), each) for key, each in value.items()}
        for key, inner in properties.items():
            for path in inner.get(NAMES, ()) if isinstance(inner, Mapping) and key not in value else ():
                found = _find(value, path)
                if found:
                    member = self.convert(inner, found[0])
                    if self.only_spans:
                        # The model knows the other name.
                        converted |= {path[0]: member} if len(path) == 1 else {}
                        break
                    converted[key] = member
                    # If the schema forbids unknown names, the alias must be removed.
                    converted.pop(path[0], None) if path[0] not in properties else None
                    break
        return converted

    def _convert_list(self, schema: Mapping[str, JSON], value: list[JSON]) -> list[JSON]:
        first = schema.get("prefixItems")
        first = first if isinstance(first, list) else []
        rest = schema.get("items")
        converted = [self.convert(first[n] if n < len(first) else rest, each) for n, each in enumerate(value)]
        if schema.get("uniqueItems") and not self.only_spans:
            # A set contains an entry only once.
            return list({dump_compact(each): each for each in converted}.values())
        return converted

    def _convert_single(self, schema: Mapping[str, JSON], value: JSON) -> JSON:
        if TEXT in schema and not self.only_spans:
            value = _prepare_text(schema[TEXT], value)
        kind = schema.get("type")
        kind = _FORMATS.get(str(schema.get("format")), "") if kind == "string" else str(kind)
        if kind == "duration" and isinstance(value, str):
            return _convert_to_iso(value)
        is_moment = kind in ("date", "datetime") and isinstance(value, str)
        # For pydantic, a date means its midnight, and a number written as text is a time.
        is_fitting = not _is_odd_moment(kind, value) if is_moment else _is_of_type(schema, value)
        if self.only_spans and kind == "integer" and isinstance(value, float) and value.is_integer():
            return value if schema.get(STRICT) else int(value)
        if self.only_spans or is_fitting or value is None or schema.get(STRICT) or DECIMAL in schema:
            return value
        return _read(kind, value)


class _SpanFormatter(_Converter):
    def _convert_single(self, schema: Mapping[str, JSON], value: JSON) -> JSON:
        is_span = schema.get("format") == "duration" and isinstance(value, str)
        return format_iso_span(value) if is_span else value


def _prepare_text(steps: list[str], value: JSON) -> JSON:
    if "coerce_numbers_to_str" in steps and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    return value.strip() if "strip_whitespace" in steps and isinstance(value, str) else value


def _is_odd_moment(kind: str, text: str) -> bool:
    return _DAY.match(text) is None or (kind == "datetime" and len(text) == len("2026-11-20"))


def _is_of_type(schema: Mapping[str, JSON], value: JSON) -> bool:
    kind = schema.get("type")
    if kind not in _TYPES:
        return "const" not in schema and "enum" not in schema
    if isinstance(value, bool):
        return bool(kind == "boolean")
    return isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, float) and value.is_integer())


def _has_tags(schema: Mapping[str, JSON], value: Mapping[str, JSON], root: Mapping[str, JSON]) -> bool:
    """Whether an object has the fixed values of a branch of a union."""
    properties = schema.get("properties")
    for key, inner in properties.items() if isinstance(properties, Mapping) else ():
        tag = resolve_branches(inner, root).schema if isinstance(inner, Mapping) else {}
        choices = tag.get("enum", [tag["const"]] if "const" in tag else None)
        if key in value and choices is not None and value[key] not in choices:
            return False
    return True


def _find(value: Any, path: list[str | int]) -> list[JSON]:
    """Follow a path of names and numbers; return a list with the value, or an empty list."""
    for key in path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return []
    return [value]


def _convert_to_iso(text: str) -> str:
    from pydantic_core import ValidationError

    try:
        reader("duration").validate_python(text)
    except ValidationError:
        with suppress(OverflowError):
            span = parse_span(text.strip())
            return text if span is None else to_iso_span(span)
    return text


def _read(kind: str, value: JSON) -> JSON:
    """Read a value as pydantic does; a value that it cannot read stays unchanged."""
    from pydantic_core import ValidationError, to_jsonable_python

    if kind not in ("integer", "number", "boolean", "date", "time", "datetime", "duration"):
        return value
    try:
        read = to_jsonable_python(reader(kind).validate_json(dump_compact(value)))
    except (ValidationError, ValueError):
        return value
    is_finite = not isinstance(read, float) or abs(read) < float("inf")
    return read if is_finite else value
