"""Read what `schema=` takes (a pydantic model, a type, or a JSON Schema), and make answers instances of it.

Only the JSON Schema leaves the kernel: servers check answers with it and make forms of it. What it cannot express,
such as a validator written in Python, is checked here, when the answer has arrived.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any, get_origin

from pauseflow_nb.errors import InvalidAnswer, InvalidValue
from pauseflow_nb.json_values import JSON, require_json
from pauseflow_nb.kernel.attribute_dict import as_records

if TYPE_CHECKING:
    from pauseflow_nb.forms.codec import Entries

# `pauseflow_nb.forms` is imported lazily: every new kernel would have to load it, and few notebooks have a form.

#: Of what a validator says, in characters.
_LONGEST_REASON = 200


@dataclass(frozen=True)
class Form:
    """The type of an answer, for the notebook and as JSON Schema."""

    #: The type or schema that the user passed.
    kind: Any
    #: The same as JSON Schema.
    json_schema: dict[str, JSON]
    #: Whether the answer is the one field `value` of a form.
    is_wrapped: bool

    def build(self, body: JSON) -> Any:
        """Convert an answer to the value that the notebook gets.

        Raises:
            InvalidAnswer: With every error, as `{"path", "message"}`.
        """
        if isinstance(self.kind, dict):
            from pauseflow_nb.forms.schema import find_errors

            errors = find_errors(self.json_schema, body)
            if errors:
                raise InvalidAnswer(errors)
            return as_records(body)
        from pydantic import ValidationError

        from pauseflow_nb.forms.lax import VALUE, parse_spans

        try:
            # As JSON text, in which a strict model accepts a date as text.
            made = _adapter(self.kind, self.is_wrapped).validate_json(json.dumps(parse_spans(self.json_schema, body)))
            return getattr(made, VALUE) if self.is_wrapped else made
        except ValidationError as problem:
            raise InvalidAnswer(_errors(problem)) from None
        except Exception as problem:
            # A validator may divide by what was typed: whatever it raises, the next answer may be a better one.
            reason = f"cannot be checked: {type(problem).__name__}: {str(problem)[:_LONGEST_REASON]}"
            raise InvalidAnswer([{"path": [], "message": reason}]) from problem

    def judge(self, body: JSON) -> Any:
        """Check an answer that no server has checked against the schema, then convert it as `build` does.

        Raises:
            InvalidAnswer: With every error, as `{"path", "message"}`.
        """
        from pauseflow_nb.forms.schema import find_errors

        errors = find_errors(self.json_schema, body)
        if errors:
            raise InvalidAnswer(errors)
        return self.build(body)

    def read(self, entries: "Entries") -> JSON:
        """Read the contents of a form into an answer, and check it.

        Returns:
            The answer, as in the body of a request.

        Raises:
            InvalidAnswer: With every error; `input` names the control beside which it is shown.
        """
        from pauseflow_nb.forms.codec import read_form

        reading = read_form(self.json_schema, entries)
        errors: list[dict[str, JSON]] = []
        try:
            self.judge(reading.value)
        except InvalidAnswer as refused:
            errors = refused.errors
        errors = reading.merge(errors)
        if errors:
            raise InvalidAnswer(reading.place(errors))
        return reading.value

    def as_body(self, value: JSON) -> JSON:
        """Convert a bare value to the body of a form with the one field `value`; other values stay as they are."""
        from pauseflow_nb.forms.lax import wrap_value

        return wrap_value(self.json_schema, value)

    def extract_answer(self, envelope: Mapping[str, JSON]) -> JSON:
        """Return the answer in a request's envelope, as the server read it."""
        from pauseflow_nb.forms.lax import extract_answer_for

        return extract_answer_for(self.json_schema, envelope)


def make_form(schema: Any) -> Form:
    """Make a form from the argument `schema=`.

    Raises:
        InvalidValue: If it is not a usable type or schema.
    """
    if isinstance(schema, dict):
        _refuse_types(schema)
        _require_usable(schema, schema)
        return Form(schema, schema, is_wrapped=False)
    if schema is None or isinstance(schema, (str, int, float, list, tuple, set, FunctionType)):
        raise InvalidValue("schema", schema, "must be a pydantic model, a type such as int, or a JSON Schema")
    is_wrapped = not _has_fields(schema)
    try:
        from pauseflow_nb.forms.dialect import PYTHON
        from pauseflow_nb.kernel.python_schema import PythonSchema  # lazily: it loads pydantic

        made = _adapter(schema, is_wrapped).json_schema(schema_generator=PythonSchema)
        made[PYTHON] = {"wrapped": is_wrapped}
    except Exception as problem:
        # Whatever pydantic or the user's own types raise, it means the same.
        reason = str(problem).partition("\n")[0]
        raise InvalidValue("schema", schema, f"cannot be written as JSON Schema: {reason}") from problem
    _require_usable(schema, made)
    return Form(schema, made, is_wrapped)


def _refuse_types(schema: dict[Any, Any]) -> None:
    """Refuse `{"approved": bool}`, which looks like a schema and is none."""
    name = next((name for name, value in schema.items() if isinstance(value, type)), None)
    if name is not None:
        problem = f"is not a JSON Schema: {name!r} is a Python type; write a pydantic model that has this field"
        raise InvalidValue("schema", schema, problem)


def _require_usable(schema: Any, made: dict[str, JSON]) -> None:
    """Refuse a schema that servers cannot check answers with, while its author can still correct it."""
    from pauseflow_nb.forms.schema import find_problem

    require_json("schema", made)
    problem = find_problem(made)
    if problem is not None:
        raise InvalidValue("schema", schema, problem)


def _has_fields(schema: Any) -> bool:
    from pydantic import BaseModel
    from typing_extensions import (
        is_typeddict,
    )  # comes with pydantic; the function of `typing` does not recognise its own `TypedDict`

    if get_origin(schema) is not None or not isinstance(schema, type):
        return False
    return issubclass(schema, BaseModel) or dataclasses.is_dataclass(schema) or is_typeddict(schema)


def _adapter(schema: Any, is_wrapped: bool) -> Any:
    from pydantic import TypeAdapter, create_model

    return TypeAdapter(create_model("Answer", value=(schema, ...)) if is_wrapped else schema)


def _errors(problem: Any) -> list[dict[str, JSON]]:
    from pauseflow_nb.validation_words import reword_error

    found = problem.errors(include_url=False, include_context=False, include_input=False)
    return [
        {"path": [key if isinstance(key, int) else str(key) for key in error["loc"]], "message": reword_error(error)}
        for error in found
    ]
