"""Hide the passwords in an answer: the fields that its form marks as passwords."""

from collections.abc import Mapping

from pauseflow_nb.forms.fields import Field, fields_of
from pauseflow_nb.json_values import JSON

_HIDDEN = "***"


def hide_secrets(answer: JSON, schema: Mapping[str, JSON] | None) -> JSON:
    """Hide the values of password fields."""
    return answer if schema is None or answer is None else _hidden(answer, fields_of(schema))


def _hidden(value: JSON, field: Field) -> JSON:
    if field.schema.get("format") == "password" or field.schema.get("writeOnly"):
        return _HIDDEN
    if field.branches:
        # Whichever branch was meant: a password in one of them counts as one.
        for branch in field.branches:
            value = _hidden(value, branch)
        return value
    if isinstance(value, dict):
        return {key: _hidden(each, field.fields[key]) if key in field.fields else each for key, each in value.items()}
    if isinstance(value, list) and field.item is not None:
        return [_hidden(each, field.item) for each in value]
    return value
