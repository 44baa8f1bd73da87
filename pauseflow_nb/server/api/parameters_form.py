"""Draw a form of a notebook's parameters, and read the texts that were typed into it."""

from collections.abc import Mapping
from typing import Any

from nbformat import NotebookNode

from pauseflow_nb.errors import InvalidParameters
from pauseflow_nb.forms.codec import ROOT, Entries, escaped, initial_entries, read_form
from pauseflow_nb.forms.controls import draw
from pauseflow_nb.json_values import JSON
from pauseflow_nb.runner.notebook_file import find_language
from pauseflow_nb.runner.parameters import Parameter, find_parameters

_TYPES = {"bool": "boolean", "int": "integer", "float": "number", "str": "string"}


def draw_parameters(notebook: NotebookNode) -> dict[str, Any] | None:
    """Draw the form; None if the notebook has no parameters."""
    schema = _schema(notebook)
    return draw(schema).to_dict() if schema["properties"] else None


def read_parameters(notebook: NotebookNode, entries: Entries) -> dict[str, JSON]:
    """Read the form; a parameter that stands as it is in the notebook is left out.

    Raises:
        InvalidParameters: If a text cannot be read.
    """
    schema = _schema(notebook)
    reading = read_form(schema, entries)
    if reading.problems:
        raise InvalidParameters(reading.place(reading.problems))
    first = initial_entries(schema)
    names = {name: f"{ROOT}/{escaped(name)}" for name in schema["properties"]}
    changed = {name for name, its in names.items() if _filled(entries, its, first) != _filled(first, its, {})}
    return {name: value for name, value in reading.value.items() if name in changed}


def _filled(entries: Entries, name: str, otherwise: Entries) -> list[str]:
    return [text for text in entries.get(name, otherwise.get(name, [])) if text]


def _schema(notebook: NotebookNode) -> dict[str, Any]:
    found = find_parameters(notebook, language=find_language(notebook))
    return {"type": "object", "properties": {each.name: _property(each) for each in found}}


def _property(parameter: Parameter) -> dict[str, Any]:
    hints = [parameter.comment]
    if not parameter.is_literal:
        hints.append(f"JSON; if left empty: {parameter.expression}")
    described = {"title": parameter.name, "description": ". ".join(filter(None, hints))}
    default = {} if parameter.value is None else {"default": parameter.value}
    return {**described, **_typed(parameter), **default}


def _typed(parameter: Parameter) -> Mapping[str, Any]:
    value, annotation = parameter.value, parameter.annotation
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int | float):
        # `ratio = 1` may well be meant as 1.5 next time; only an annotation says that it is whole.
        return {"type": "integer" if annotation == "int" else "number"}
    if isinstance(value, str):
        return {"type": "string", **({"format": "textarea"} if "\n" in value else {})}
    known = _TYPES.get(annotation.removeprefix("Optional[").removesuffix("]").removesuffix(" | None"))
    return {"anyOf": [{"type": known}, {"type": "null"}]} if known and parameter.is_literal and value is None else {}
