"""Hide the passwords in an answer: the values that its schema marks as passwords."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pauseflow_nb.forms.dialect import NAMES, matcher
from pauseflow_nb.forms.fields import resolve_branches
from pauseflow_nb.forms.lax import VALUE, wrap_value
from pauseflow_nb.json_values import JSON

_HIDDEN = "***"
_MARKS = ('"writeOnly"', '"password"')
#: Levels of schemas for one and the same value; a schema may contain itself.
_DEEPEST = 8


def hide_secrets(answer: JSON, schema: Mapping[str, JSON] | None) -> JSON:
    """Hide the values of password fields."""
    if schema is None or answer is None or not _may_have_secrets(schema):
        return answer
    wrapped = wrap_value(schema, answer)
    hidden = _hide(wrapped, schema, schema, 0)
    return hidden if wrapped is answer else hidden[VALUE]


def _may_have_secrets(schema: JSON) -> bool:
    text = json.dumps(schema)
    return any(mark in text for mark in _MARKS)


def _hide(value: JSON, written: JSON, root: Mapping[str, JSON], depth: int) -> JSON:
    if not isinstance(written, Mapping) or depth > _DEEPEST:
        return value
    schema, _, _, branches = resolve_branches(written, root)
    if schema.get("format") == "password" or schema.get("writeOnly") or _may_have_secrets(schema.get("contentSchema")):
        return _HIDDEN
    # Whichever branch was meant: a password in one of them counts as one.
    for branch in (*branches, *_list_applied(schema)):
        value = _hide(value, branch, root, depth + 1)
    if isinstance(value, dict):
        return {key: _hide(each, _find_schema(schema, key), root, 0) for key, each in value.items()}
    if isinstance(value, list):
        first, rest = schema.get("prefixItems") or [], schema.get("items")
        return [_hide(each, first[n] if n < len(first) else rest, root, 0) for n, each in enumerate(value)]
    return value


def _list_applied(schema: Mapping[str, Any]) -> Iterator[JSON]:
    for name in ("allOf", "anyOf", "oneOf"):
        yield from schema.get(name) or []
    yield from (schema[name] for name in ("then", "else") if name in schema)


def _find_schema(schema: Mapping[str, Any], key: str) -> JSON:
    """Find the schema of a field by any of its names; a path to a part of a value counts for the whole value."""
    properties = schema.get("properties") or {}
    if key in properties:
        return properties[key]
    for inner in properties.values():
        if isinstance(inner, Mapping) and any(path[0] == key for path in inner.get(NAMES, ())):
            return inner
    patterns = (schema.get("patternProperties") or {}).items()
    matching = [inner for pattern, inner in patterns if matcher(pattern)(key)]
    return {"allOf": matching} if matching else schema.get("additionalProperties")
