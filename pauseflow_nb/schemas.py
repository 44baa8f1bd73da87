"""Check an answer against a JSON Schema, and say in plain words what does not fit.

Servers use it before a run wakes, kernels in test mode. No code of the user runs here: a schema is
data, and one that points to another place on the network is refused.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, time
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from pauseflow_nb.json_values import JSON

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import ValidationError

__all__ = ["VALUE", "errors_of", "in_form", "in_words", "problem_of"]

#: The one field of the form that a type without fields becomes.
VALUE = "value"

_LONGEST_MESSAGE = 200
_MOST_ERRORS = 50

_WORDS = {
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minItems": "must have at least {} entries",
    "maxItems": "must have at most {} entries",
    "const": "must be {}",
    "pattern": "must match {}",
}
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
}


def errors_of(schema: Mapping[str, JSON], value: JSON) -> list[dict[str, JSON]]:
    """Check a value.

    Returns:
        What does not fit, `{"path": […], "message": …}` each, in the order of the paths; empty if all fits.
    """
    from jsonschema.exceptions import best_match

    found: list[dict[str, JSON]] = []
    for problem in _validator(json.dumps(schema)).iter_errors(value):
        # Of `anyOf`, the error in the branch that comes closest says more than "fits none of them".
        error = _described(best_match([problem]) or problem)
        # One error for each missing field would come several times under one name otherwise.
        if error not in found:
            found.append(error)
    return sorted(found, key=lambda error: [str(key) for key in error["path"]])[:_MOST_ERRORS]


def in_form(schema: Mapping[str, JSON], value: JSON) -> JSON:
    """Take a bare value for the form with the one field `value` that a type without fields becomes."""
    properties = schema.get("properties")
    is_form = isinstance(properties, Mapping) and set(properties) == {VALUE}
    return {VALUE: value} if is_form and not isinstance(value, dict) else value


def problem_of(schema: Mapping[str, JSON]) -> str | None:
    """Say why this is no JSON Schema that can be used; None if it is one."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    try:
        Draft202012Validator.check_schema(schema)
        resource = DRAFT202012.create_resource(dict(schema))
        resolver = Registry().with_resource("", resource).resolver()
        # Now, because jsonschema would look them up only when an answer brings it there.
        for reference in _references(schema):
            resolver.lookup(reference)
    except SchemaError as problem:
        return f"is no JSON Schema: {problem.message}"
    except Unresolvable as problem:
        return f"refers to something that is not in it: {problem}"
    return None


def in_words(errors: Iterable[Mapping[str, JSON]]) -> str:
    """Write errors as one sentence: `"amount must be at least 3; comment is required"`."""
    return "; ".join(
        f"{'.'.join(map(str, error['path']))} {error['message']}" if error["path"] else str(error["message"])
        for error in errors
    )


def _described(problem: "ValidationError") -> dict[str, JSON]:
    path, limit = list(problem.absolute_path), _limit(problem)
    if problem.validator == "required" and isinstance(problem.instance, dict):
        # jsonschema makes an error of each missing name, and says which only in its words.
        missing = [name for name in limit if problem.message.startswith(f"{name!r} ")]
        return {"path": [*path, *missing[:1]], "message": "is required"}
    return {"path": path, "message": _short(_message(problem))}


def _message(problem: "ValidationError") -> str:
    kind, limit = str(problem.validator), _limit(problem)
    if kind in _WORDS:
        return _WORDS[kind].format(limit)
    if kind == "type":
        kinds = [limit] if isinstance(limit, str) else limit
        return "must be " + " or ".join(_TYPES.get(each, each) for each in kinds)
    if kind == "enum":
        return "must be one of " + ", ".join(map(str, limit))
    if kind == "format":
        return f"must be {_FORMATS.get(limit, limit)}"
    if kind == "additionalProperties" and isinstance(problem.schema, dict) and isinstance(problem.instance, dict):
        unknown = set(problem.instance) - set(problem.schema.get("properties", {}))
        return "has fields that are not asked for: " + ", ".join(sorted(unknown))
    return problem.message


def _limit(problem: "ValidationError") -> Any:
    """Take what the schema says where the problem is: a number, a list, a type."""
    return problem.validator_value


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " …"


def _references(schema: JSON) -> Iterable[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


@lru_cache(maxsize=128)
def _validator(schema: str) -> "Draft202012Validator":
    from jsonschema import Draft202012Validator
    from referencing import Registry

    # An empty registry: nothing is fetched, whatever a schema refers to.
    registry: Registry[Any] = Registry()
    return Draft202012Validator(json.loads(schema), registry=registry, format_checker=_formats())


@cache
def _formats() -> "FormatChecker":
    from jsonschema import FormatChecker

    # Ours: which formats jsonschema itself can check depends on what else is installed.
    checker = FormatChecker(formats=())
    for name, check in _CHECKS.items():
        checker.checks(name, raises=ValueError)(_for_text(check))
    return checker


def _for_text(check: Any) -> Any:
    return lambda value: not isinstance(value, str) or bool(check(value))


_CHECKS = {
    "date": lambda text: re.fullmatch(r"\d{4}-\d\d-\d\d", text) and datetime.fromisoformat(text),
    "date-time": lambda text: re.match(r"\d{4}-\d\d-\d\d[Tt ]\d", text) and datetime.fromisoformat(text),
    "time": lambda text: re.match(r"\d\d:\d\d", text) and time.fromisoformat(text) is not None,
    "email": lambda text: re.fullmatch(r"[^@\s]+@[^@\s]+", text),
    "uuid": lambda text: re.fullmatch(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}", text),
    "uri": lambda text: re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S", text),
}
