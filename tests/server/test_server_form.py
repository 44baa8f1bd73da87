"""Schemas of every sort as the form on the approval page, and what is read from it."""

from typing import Any

import pytest

from pauseflow_nb.forms.codec import initial_entries, read_form
from pauseflow_nb.forms.schema import errors_of
from pauseflow_nb.server.public.form_controls import Control, controls_of

ODD_NAMES = ["a.b", "a/b", "a~b", "__proto__", "constructor", "two words", "größe", "items[0]", "", '"><script>']


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def shown(schema: dict[str, Any], **entries: list[str]) -> dict[str, Control]:
    """The controls for what was written, with all that is wrong beside them."""
    written = {f"answer/{name}": texts for name, texts in entries.items()} or initial_entries(schema)
    outer = controls_of(schema, written, errors_of(schema, read_form(schema, written)))
    return {control.name.removeprefix("answer/"): control for control in outer.controls}


def test_names_of_any_sort_are_fields_of_their_own() -> None:
    schema = of(**{name: {"type": "string", "minLength": 1} for name in ODD_NAMES})
    controls = controls_of(schema, {}, errors_of(schema, {})).controls

    assert [control.problem for control in controls] == ["is required"] * len(ODD_NAMES)
    assert len({control.id for control in controls}) == len(ODD_NAMES)
    assert read_form(schema, {control.name: [str(n)] for n, control in enumerate(controls)}) == {
        name: str(n) for n, name in enumerate(ODD_NAMES)
    }


def test_a_schema_that_contains_itself_many_times_over_ends_in_fields_for_json() -> None:
    node = {"$ref": "#/$defs/Node"}
    children = {f"child {n}": {"anyOf": [node, {"type": "null"}]} for n in range(9)}
    properties = {"name": {"type": "string"}, **children, "all": {"type": "array", "items": node}}
    schema = {**node, "$defs": {"Node": {"type": "object", "properties": properties}}}

    assert [control.element for control in shown(schema).values()] == ["input", *["textarea"] * 10]


@pytest.mark.parametrize("kind", [{"type": ["integer", "null"]}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}])
def test_what_is_required_and_may_be_null_is_null_when_it_is_left_empty(kind: dict[str, Any]) -> None:
    schema = of(x=kind)

    assert not shown(schema)["x"].is_required
    assert read_form(schema, {"answer/x": [""]}) == {"x": None}
    assert read_form(schema, {"answer/x": ["3"]}) == {"x": 3}


def test_what_is_wrong_inside_a_field_stands_beside_it_and_says_where() -> None:
    schema = of(
        tags={"type": "array", "items": {"type": "integer"}},
        grid={"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
        limits={"type": "object", "additionalProperties": {"type": "number"}},
    )

    controls = shown(schema, tags=["1\nb\nc"], grid=['[[1], [2, "x"]]'], limits=['{"high": "very"}'])

    assert controls["tags"].problem == "entry 2 must be a whole number; entry 3 must be a whole number"
    assert controls["grid"].problem == "entry 2, entry 2 must be a whole number"
    assert controls["limits"].problem == "high must be a number"


@pytest.mark.parametrize(
    ("default", "value"),
    [
        ("2026-11-20T10:00:00+02:00", "2026-11-20T08:00"),
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00"),
        ("2026-11-20T10:00", "2026-11-20T10:00"),
        ("soon", "soon"),
    ],
)
def test_a_moment_is_shown_in_the_zone_that_the_page_names(default: str, value: str) -> None:
    control = shown(of(at={"type": "string", "format": "date-time", "default": default}))["at"]

    assert (control.label, control.value) == ("at (UTC)", value)


def test_a_text_is_not_cut_off_before_it_can_be_refused() -> None:
    control = shown(of(x={"type": "string", "maxLength": 2}), x=["👍👍👍"])["x"]

    assert control.attributes == {}
    assert (control.value, control.problem) == ("👍👍👍", "must have at most 2 characters")


def test_entries_without_a_name_are_numbered() -> None:
    schema = {"type": "array", "items": of(x={"type": "integer"})}

    assert [row.label for row in shown(schema).values()] == ["Entry 1", "Entry 2"]
