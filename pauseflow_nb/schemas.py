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
from pauseflow_nb.misfits import misfit

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, FormatChecker

__all__ = ["VALUE", "errors_of", "in_form", "in_words", "problem_of"]

#: The one field of the form that a type without fields becomes.
VALUE = "value"

_MOST_ERRORS = 50


def errors_of(schema: Mapping[str, JSON], value: JSON) -> list[dict[str, JSON]]:
    """Check a value.

    Returns:
        What does not fit, `{"path": […], "message": …}` each, in the order of the paths; empty if all fits.
    """
    found: list[dict[str, JSON]] = []
    for problem in _validator(json.dumps(schema)).iter_errors(value):
        error = misfit(problem)
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
    from referencing import Registry
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT202012

    from pauseflow_nb.light_jsonschema import Draft202012Validator, best_match

    meta = Draft202012Validator(Draft202012Validator.META_SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)
    wrong = best_match(meta.iter_errors(schema))
    if wrong is not None:
        return f"is no JSON Schema: {in_words([misfit(wrong)])}"
    try:
        resource = DRAFT202012.create_resource(dict(schema))
        resolver = Registry().with_resource("", resource).resolver()
        # Now, because jsonschema would look them up only when an answer brings it there.
        for reference in _references(schema):
            resolver.lookup(reference)
    except Unresolvable as problem:
        return f"refers to {problem.ref!r}, which is not in it"
    return None


def in_words(errors: Iterable[Mapping[str, JSON]]) -> str:
    """Write errors as one sentence: `"amount must be at least 3; comment is required"`."""
    return "; ".join(
        f"{'.'.join(map(str, error['path']))} {error['message']}" if error["path"] else str(error["message"])
        for error in errors
    )


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
    from referencing import Registry

    from pauseflow_nb.light_jsonschema import Draft202012Validator

    # An empty registry: nothing is fetched, whatever a schema refers to.
    registry: Registry[Any] = Registry()
    return Draft202012Validator(json.loads(schema), registry=registry, format_checker=_formats())


@cache
def _formats() -> "FormatChecker":
    from pauseflow_nb.light_jsonschema import FormatChecker

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
