"""Say in plain words what does not fit; the words of jsonschema and of pydantic are for their programmers."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from pauseflow_nb.json_values import JSON

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

__all__ = ["in_our_words", "misfit"]

_LONGEST_MESSAGE = 200

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "empty",
}
_FORMATS = {
    "date": "a date such as 2026-11-20",
    "date-time": "a date and a time such as 2026-11-20T14:30:00Z",
    "time": "a time such as 14:30:00",
    "email": "an e-mail address",
    "uuid": "a UUID",
    "uri": "a URL",
    "regex": "a regular expression",
}
#: For what asks for a number of something: singular and plural.
_COUNTED = {
    "minLength": ("at least", "character", "characters"),
    "maxLength": ("at most", "character", "characters"),
    "minItems": ("at least", "entry", "entries"),
    "maxItems": ("at most", "entry", "entries"),
    "minProperties": ("at least", "field", "fields"),
    "maxProperties": ("at most", "field", "fields"),
    "minContains": ("at least", "entry of the kind that is asked for", "entries of the kind that is asked for"),
    "maxContains": ("at most", "entry of the kind that is asked for", "entries of the kind that is asked for"),
}
_LIMITS = {
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "pattern": "must match the pattern {}",
}
_PLAIN = {
    "contains": "must have an entry of the kind that is asked for",
    "uniqueItems": "must not have the same entry twice",
    "unevaluatedItems": "has more entries than are asked for",
    "unevaluatedProperties": "has fields that are not asked for",
}


def misfit(problem: "ValidationError") -> dict[str, JSON]:
    """Describe an error as `{"path": […], "message": …}`; the message continues the name of the place."""
    from jsonschema.exceptions import best_match

    # Of `anyOf`, the error in the branch that comes closest says more than "fits none of them".
    problem = best_match([problem]) or problem
    path, limit = list(problem.absolute_path), _limit(problem)
    if problem.validator == "required" and isinstance(problem.instance, dict):
        # jsonschema makes an error of each missing name, and says which only in its words.
        missing = [name for name in limit if problem.message.startswith(f"{name!r} ")]
        return {"path": [*path, *missing[:1]], "message": "is required"}
    said = _said(problem)
    if _is_on_name(problem):
        said = f"has a field {problem.instance!r}, whose name {said}"
    return {"path": path, "message": said if len(said) <= _LONGEST_MESSAGE else said[:_LONGEST_MESSAGE] + " …"}


def in_our_words(error: Mapping[str, Any]) -> str:
    """Say what pydantic says of a value, so that it continues the name of the field.

    Args:
        error: One of `ValidationError.errors()`.
    """
    message: str = error["msg"]
    if error["type"] in ("value_error", "assertion_error"):
        return message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    plain = {"missing": "is required", "extra_forbidden": "is not asked for"}
    return plain.get(error["type"]) or re.sub(r"^\w+ should ", "must ", message)


def _said(problem: "ValidationError") -> str:  # noqa: PLR0911  (one word each, and nothing between them)
    kind, limit, schema = problem.validator, _limit(problem), _schema(problem)
    if kind is None:
        return "holds something that is not asked for"  # the schema is `false`, and its place is not told
    if kind in _COUNTED:
        how, one, many = _COUNTED[kind]
        return f"must have {how} {limit} {one if limit == 1 else many}"
    if kind in _LIMITS:
        return _LIMITS[kind].format(_number(limit))
    if kind in ("type", "enum", "const", "format"):
        return f"must be {_wanted(schema, str(kind))}"
    if kind in ("anyOf", "oneOf"):
        return _none_or_several(problem)
    if kind == "not":
        excluded = [_wanted(limit, each) for each in ("const", "enum", "type") if each in limit]
        return f"must not be {excluded[0]}" if len(limit) == 1 and excluded else "is of a kind that is not allowed"
    if kind == "items":
        count = len(schema.get("prefixItems", ()))
        return f"must have at most {count} {'entry' if count == 1 else 'entries'}"
    if kind == "dependentRequired":
        needed = [f"{', '.join(others)} with {name}" for name, others in limit.items() if name in _given(problem)]
        return f"needs {'; '.join(needed)}"
    if kind == "additionalProperties":
        return f"has fields that are not asked for: {', '.join(_unknown(problem))}"
    return _PLAIN.get(str(kind), f"does not fit {kind!r} in the schema")


def _wanted(schema: Any, kind: str) -> str:
    limit = schema[kind]
    if kind == "type":
        kinds = [limit] if isinstance(limit, str) else limit
        fields = schema.get("properties") if kinds == ["object"] else None
        return f"an object with {_listed(fields)}" if fields else _either(_TYPES.get(each, each) for each in kinds)
    if kind == "format":
        return _FORMATS.get(limit, f"a valid {limit}")
    if kind == "const" or len(limit) == 1:
        return _value(limit if kind == "const" else limit[0])
    return "one of " + ", ".join(map(_value, limit))


def _none_or_several(problem: "ValidationError") -> str:
    if not problem.context:
        return "fits several of the kinds that are asked for, and must fit one of them only"
    branches: dict[Any, ValidationError] = {}
    for each in problem.context:
        branches.setdefault(each.schema_path[0], each)
    said = list(dict.fromkeys(_said(each) for each in branches.values()))
    if all(each.startswith("must be ") for each in said):
        return "must be " + _either(each.removeprefix("must be ") for each in said)
    return _either(said)


def _unknown(problem: "ValidationError") -> list[str]:
    schema, given = _schema(problem), _given(problem)
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    unknown = set(given) - set(known)
    return sorted(name for name in unknown if not any(re.search(pattern, name) for pattern in patterns))


def _is_on_name(problem: "ValidationError") -> bool:
    """Whether it is about the name of a field, and not about what is in it."""
    path = list(problem.absolute_schema_path)
    return any(
        each == "propertyNames" and (at == 0 or path[at - 1] not in ("properties", "$defs"))
        for at, each in enumerate(path)
    )


def _listed(fields: Iterable[str]) -> str:
    names = list(fields)
    return f"the field {names[0]}" if len(names) == 1 else f"the fields {', '.join(names)}"


def _either(kinds: Iterable[str]) -> str:
    return " or ".join(kinds)


def _value(value: JSON) -> str:
    return "empty" if value is None else json.dumps(value, ensure_ascii=False)


def _number(limit: Any) -> Any:
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _limit(problem: "ValidationError") -> Any:
    """Take what the schema says where the problem is: a number, a list, a type."""
    return problem.validator_value


def _schema(problem: "ValidationError") -> dict[str, JSON]:
    """Take the part of the schema that the problem is with."""
    return problem.schema if isinstance(problem.schema, dict) else {}


def _given(problem: "ValidationError") -> dict[str, JSON]:
    """Take the object that the problem is with."""
    return cast("dict[str, JSON]", problem.instance)
