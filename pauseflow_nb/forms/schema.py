"""Check an answer against a JSON Schema, and describe each error in plain words.

Servers use it before a run wakes, in a process of its own (see `checking`), and kernels in test mode.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from pauseflow_nb.forms.dialect import InvalidPattern, compile_schema, no_panics, translate
from pauseflow_nb.forms.lax import normalize
from pauseflow_nb.forms.messages import describe_errors
from pauseflow_nb.json_values import JSON

#: What is said of an answer that does not fit, before its errors are listed.
TOO_MANY: list[dict[str, JSON]] = [{"path": [], "message": "does not fit, in more places than can be listed"}]

_MOST_ERRORS = 50
#: Errors that are put into order; the rest is not looked at.
_MOST_SORTED = 500


def check(schema: Mapping[str, JSON], value: JSON) -> Iterator[list[dict[str, JSON]]]:
    """Check a value, step by step: whether it fits costs little, the list of errors may cost much.

    Yields:
        What does not fit, `{"path": […], "message": …}` each. Each list says more than the one before, and the last
        one has all errors, in the order of the paths. The only one is empty if all fits.

    Raises:
        ValueError: If the schema cannot be used.
    """
    with no_panics():
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
            # One error for each missing field would come several times under one name otherwise.
            if error not in found:
                found.append(error)
    yield sorted(found, key=lambda error: [str(key) for key in error["path"]])[:_MOST_ERRORS]


def find_errors(schema: Mapping[str, JSON], value: JSON) -> list[dict[str, JSON]]:
    """Check a value for as long as it takes: only for what the user of this process has written.

    Returns:
        The last list that `check` yields.
    """
    *_, errors = check(schema, value)
    return errors


def find_problem(schema: Mapping[str, JSON]) -> str | None:
    """Say why this is no JSON Schema that can be used; None if it is one."""
    from jsonschema_rs import ValidationError

    try:
        compile_schema(json.dumps(schema))
    except InvalidPattern as problem:
        return str(problem)
    except ValidationError as problem:
        if problem.kind.name == "$ref":
            return f"refers to something that is not in it: {problem.message.partition(' and retrieving')[0]}"
        return f"is no JSON Schema: {in_words(list(describe_errors(problem, None))[:1])}"
    except ValueError as problem:
        return f"is no JSON Schema: {problem}"
    except RecursionError:
        return "is nested too deeply"
    return None


def in_words(errors: Iterable[Mapping[str, JSON]]) -> str:
    """Write errors as one sentence: `"amount must be at least 3; comment is required"`."""
    return "; ".join(
        f"{'.'.join(map(str, error['path']))} {error['message']}" if error["path"] else str(error["message"])
        for error in errors
    )
