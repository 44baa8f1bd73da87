"""Schemas of every sort as the form on the approval page, and what is read from it."""

from typing import Any

import pytest

from pauseflow_nb.forms.codec import initial_entries, read_form
from pauseflow_nb.forms.controls import Control, draw
from pauseflow_nb.forms.schema import find_errors

ODD_NAMES = ["a.b", "a/b", "a~b", "__proto__", "constructor", "two words", "größe", "items[0]", "", '"><script>', "~b0"]


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def shown(schema: dict[str, Any], **entries: list[str]) -> dict[str, Control]:
    """The controls for what was written, with all that is wrong beside them."""
    written = {f"answer/{name}": texts for name, texts in entries.items()} or initial_entries(schema)
    reading = read_form(schema, written)
    outer = draw(schema, written, reading.merge(find_errors(schema, reading.value)))
    return {control.name.removeprefix("answer/"): control for control in outer.fields}


def test_names_of_any_sort_are_fields_of_their_own() -> None:
    schema = of(**{name: {"type": "string", "minLength": 1} for name in ODD_NAMES})
    controls = draw(schema, {}, find_errors(schema, {})).fields

    assert [control.problem for control in controls] == ["is required"] * len(ODD_NAMES)
    assert len({control.id for control in controls}) == len(ODD_NAMES)
    assert read_form(schema, {control.name: [str(n)] for n, control in enumerate(controls)}).value == {
        name: str(n) for n, name in enumerate(ODD_NAMES)
    }


def test_a_schema_that_contains_itself_many_times_over_ends_in_fields_for_json() -> None:
    node = {"$ref": "#/$defs/Node"}
    children = {f"child {n}": {"anyOf": [node, {"type": "null"}]} for n in range(9)}
    properties = {"name": {"type": "string"}, **children, "all": {"type": "array", "items": node}}
    schema = {**node, "$defs": {"Node": {"type": "object", "properties": properties}}}

    assert [control.kind for control in shown(schema).values()] == ["text", *["json"] * 10]


@pytest.mark.parametrize("kind", [{"type": ["integer", "null"]}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}])
def test_what_is_required_and_may_be_null_is_null_when_it_is_left_empty(kind: dict[str, Any]) -> None:
    schema = of(x=kind)

    assert not shown(schema)["x"].is_required
    assert read_form(schema, {"answer/x": [""]}).value == {"x": None}
    assert read_form(schema, {"answer/x": ["3"]}).value == {"x": 3}


def test_what_is_wrong_inside_a_field_stands_beside_it_and_says_where() -> None:
    schema = of(
        tags={"type": "array", "items": {"type": "integer"}},
        grid={"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
        limits={"type": "object", "additionalProperties": {"type": "number"}},
    )

    controls = shown(schema, tags=["1\nb\nc"], grid=['[[1], [2, "x"]]'], limits=['{"high": "very"}'])

    whole = "must be a whole number, such as 12"
    assert controls["tags"].problem == f"entry 2 {whole}; entry 3 {whole}"
    assert controls["grid"].problem == "entry 2, entry 2 must be a whole number"
    assert controls["limits"].problem == "high must be a number"


@pytest.mark.parametrize(
    ("default", "text", "type_"),
    [
        ("2026-11-20T10:00:00+02:00", "2026-11-20T10:00:00+02:00", "text"),
        ("2026-11-20T10:00:05Z", "2026-11-20T10:00:05", "datetime-local"),
        ("2026-11-20T10:00:05.678", "2026-11-20T10:00:05.678", "datetime-local"),
        ("2026-11-20T10:00:05.6789", "2026-11-20T10:00:05.6789", "text"),
        ("soon", "soon", "text"),
    ],
)
def test_a_moment_is_shown_as_it_is_and_sent_as_it_was(default: str, text: str, type_: str) -> None:
    schema = of(at={"type": "string", "format": "date-time", "default": default})
    control = shown(schema)["at"]

    assert (control.text, control.type) == (text, type_)
    assert read_form(schema, initial_entries(schema)).value == {"at": default}


def test_a_text_is_not_cut_off_before_it_can_be_refused() -> None:
    control = shown(of(x={"type": "string", "maxLength": 2}), x=["👍👍👍"])["x"]

    assert control.attributes == {}
    assert (control.text, control.problem) == ("👍👍👍", "must have at most 2 characters")


def test_fields_are_named_by_where_they_stand() -> None:
    person = of(name={"type": "string"}, age={"anyOf": [{"type": "integer"}, {"type": "string"}], "title": "Age"})
    entries = {"answer/people/0/name": ["x"], "answer/people/0/age~is": ["0"], "answer/people/0/age~b0": ["y"]}
    people = {"type": "array", "title": "People", "items": {**person, "title": "Person"}}

    names = draw(of(boss=person, people=people, places={"type": "array", "items": of(n={})}), entries).full_names()

    assert names["answer/boss/name"] == "boss: name"
    assert names["answer/boss/age~b0"] == "boss: Age"
    assert names["answer/people/0/age~b0"] == "People: Person 1: Age"


def test_entries_without_a_name_are_numbered() -> None:
    schema = {"type": "array", "items": of(x={"type": "integer"})}

    assert [row.label for row in draw(schema).blank_rows()] == ["Entry 1", "Entry 2"]


def test_the_errors_of_a_row_stand_in_it_though_a_row_before_it_was_left_empty() -> None:
    schema = of(rows={"type": "array", "items": of(n={"type": "integer", "minimum": 3})})
    written = {"answer/rows/0/n": [""], "answer/rows/1/n": ["2"], "answer/rows/4/n": ["x"]}
    reading = read_form(schema, written)
    errors = reading.merge(find_errors(schema, reading.value))

    assert reading.value == {"rows": [{"n": 2}, {"n": "x"}]}
    assert reading.beside(errors) == {
        "answer/rows/1/n": "must be at least 3",
        "answer/rows/4/n": "must be a whole number, such as 12",
    }
