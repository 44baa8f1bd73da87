"""Say which value of a notebook has the wrong type, in words that need no knowledge of Python.

For most of them, nbformat raises an AttributeError or a TypeError of its own code.
"""

from collections.abc import Iterator, Sequence
from typing import Any

_Part = tuple[str, Any, tuple[type, ...]]

_MISSING = object()
_CELL_TYPES = ("code", "markdown", "raw")
#: Of what nbformat says, in characters.
_LONGEST_MESSAGE = 200
_WORDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}
_SCHEMA_WORDS = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "null": "null",
}


def find_damage(notebook: dict[str, Any]) -> str | None:
    """Find the first value of the wrong type in a notebook of version 4, whose `cells` are a list; None if all fit."""
    for place, value, kinds in _parts(notebook):
        if value is _MISSING:
            return f"{place} is missing"
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            return f"{place} must be {' or '.join(_WORDS[kind] for kind in kinds)}, and is {_word(value)}"
    return None


def describe_invalid(problem: Any) -> str:
    """Describe a ValidationError of nbformat: the place of the value, and what it must be."""
    place = _find_place(list(problem.absolute_path))
    if place is None:
        return str(problem).splitlines()[0]
    if problem.validator == "type":
        types = problem.validator_value
        names = [types] if isinstance(types, str) else types
        words = " or ".join(_SCHEMA_WORDS.get(name, name) for name in names)
        return f"{place} must be {words}, and is {_word(problem.instance)}"
    if isinstance(problem.instance, dict) and problem.instance.get("cell_type", "raw") not in _CELL_TYPES:
        return f"`cell_type` of {place} must be {' or '.join(_CELL_TYPES)}, and is {problem.instance['cell_type']!r}"
    if problem.validator in ("oneOf", "anyOf"):
        return f"{place} is not valid: it is {_word(problem.instance)}"
    return f"{place} is not valid: {problem.message[:_LONGEST_MESSAGE]}"


def _parts(notebook: dict[str, Any]) -> Iterator[_Part]:
    """List what must have a type, each value after the one that holds it."""
    yield "`nbformat_minor`", notebook.get("nbformat_minor", 0), (int,)
    metadata = notebook.get("metadata", _MISSING)
    yield "`metadata`", metadata, (dict,)
    yield "`metadata.kernelspec`", metadata.get("kernelspec", {}), (dict,)
    for number, cell in enumerate(notebook["cells"], 1):
        yield from _parts_of_cell(cell, f"cell {number}")


def _parts_of_cell(cell: Any, place: str) -> Iterator[_Part]:
    yield place, cell, (dict,)
    yield f"`cell_type` of {place}", cell.get("cell_type", _MISSING), (str,)
    source, outputs = cell.get("source", _MISSING), cell.get("outputs", [])
    yield f"`source` of {place}", source, (str, list)
    for number, line in enumerate(source if isinstance(source, list) else (), 1):
        yield f"line {number} of {place}", line, (str,)
    yield f"`outputs` of {place}", outputs, (list,)
    for number, output in enumerate(outputs, 1):
        yield f"output {number} of {place}", output, (dict,)
    yield f"`metadata` of {place}", cell.get("metadata", _MISSING), (dict,)


def _find_place(path: Sequence[str | int]) -> str | None:
    if not path:
        return None
    if path[0] != "cells" or len(path) == 1:
        return f"`{_path_text(path)}`"
    place, path = f"cell {int(path[1]) + 1}", path[2:]
    if len(path) > 1 and path[0] == "outputs":
        place, path = f"output {int(path[1]) + 1} of {place}", path[2:]
    return f"`{_path_text(path)}` of {place}" if path else place


def _path_text(path: Sequence[str | int]) -> str:
    return ".".join(map(str, path))


def _word(value: Any) -> str:
    return _WORDS.get(
        bool if isinstance(value, bool) else next((kind for kind in _WORDS if isinstance(value, kind)), object),
        "a value",
    )
