"""Check an answer against a JSON Schema, and describe each error in plain English.

Servers use it in a separate process before a run wakes (see `check_process`), and kernels in test mode.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from pauseflow_nb.forms.dialect import InvalidPattern, compile_schema, convert_panics, translate
from pauseflow_nb.forms.lax import normalize
from pauseflow_nb.forms.messages import describe_errors
from pauseflow_nb.json_values import JSON

#: Message for an answer that does not fit, if there is no time to list its errors.
TOO_MANY: list[dict[str, JSON]] = [{"path": [], "message": "does not fit, in more places than can be listed"}]

_MOST_ERRORS = 50
#: Most errors that are sorted; the rest is ignored.
_MOST_SORTED = 500


def check(schema: Mapping[str, JSON], value: JSON) -> Iterator[list[dict[str, JSON]]]:
    """Check a value step by step: finding out whether it fits is cheap, listing the errors may be expensive.

    Yields:
        Lists of errors, `{"path": […], "message": …}` each. Each list is more complete than the previous one, and
        the last one has all errors in the order of the paths. If the value fits, there is one empty list.

    Raises:
        ValueError: If the schema cannot be used.
    """
    with convert_panics():
        yield from _check(schema, normalize(schema, value))


def _check(schema: Mapping[str, JSON], value: JSON) -> Iterator[list[dict[str, JSON]]]:
    from jsonschema_rs import ValidationError

    validator = compile_schema(json.dumps(schema))
    if validator.is_valid(value):
        yield []
        return
    yield TOO_MANY
    whole = translate(schema)
    try:
        validator.validate(value)
    except ValidationError as first:
        yield list(describe_errors(first, whole))
    found: list[dict[str, JSON]] = []
    for problem in islice(validator.iter_errors(value), _MOST_SORTED):
        for error in describe_errors(problem, whole):
            # Otherwise one error for each missing field would appear several times under one name.
            if error not in found:
                found.append(error)
    yield sorted(found, key=lambda error: [str(key) for key in error["path"]])[:_MOST_ERRORS]


def find_errors(schema: Mapping[str, JSON], value: JSON) -> list[dict[str, JSON]]:
    """Check a value without a time limit: only for values written by the user of this process.

    Returns:
        The last list that `check` yields.
    """
    *_, errors = check(schema, value)
    return errors


def find_problem(schema: Mapping[str, JSON]) -> str | None:
    """Return why this is not a usable JSON Schema; None if it is."""
    from jsonschema_rs import ValidationError

    try:
        compile_schema(json.dumps(schema))
    except InvalidPattern as problem:
        return str(problem)
    except ValidationError as problem:
        if problem.kind.name == "$ref":
            return f"refers to something outside of it: {problem.message.partition(' and retrieving')[0]}"
        return f"is not a JSON Schema: {join_errors(list(describe_errors(problem, None))[:1])}"
    except ValueError as problem:
        return f"is not a JSON Schema: {problem}"
    except RecursionError:
        return "is nested too deeply"
    return None


def join_errors(errors: Iterable[Mapping[str, JSON]]) -> str:
    """Write errors as one sentence: `"amount must be at least 3; comment is required"`."""
    return "; ".join(
        f"{'.'.join(map(str, error['path']))} {error['message']}" if error["path"] else str(error["message"])
        for error in errors
    )
