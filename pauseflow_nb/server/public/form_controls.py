"""The form on the approval page, from a JSON Schema and without JavaScript."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pauseflow_nb.forms.codec import (
    ROOT,
    Entries,
    entries_by_row,
    escaped,
    is_flat_list,
    is_rows,
    is_true,
    rows_in,
    text_of,
)
from pauseflow_nb.forms.fields import Field, fields_of, number_in
from pauseflow_nb.json_values import JSON

__all__ = ["Control", "controls_of"]

#: Rows that a list of objects shows beside those that are filled: without JavaScript there is no "Add".
_BLANK_ROWS = 2

#: `type` of an `<input>`; other kinds have elements of their own.
_INPUTS = {"text": "text", "integer": "number", "number": "number", "date": "date", "datetime": "datetime-local"}
_TEXT_INPUTS = {"email": "email", "uri": "url", "time": "time", "password": "password"}
_HINTS = {"list": "One per line.", "json": 'JSON, such as {"a": 1}.'}


@dataclass(frozen=True)
class Control:
    """One field as the template shows it."""

    name: str
    #: `"input"`, `"textarea"`, `"checkbox"`, `"select"`, `"checks"` or `"group"`.
    element: str
    label: str
    description: str
    is_required: bool
    value: str = ""
    #: `type` of an `<input>`.
    type: str = "text"
    #: `min`, `max`, `step`, `minlength`
    attributes: dict[str, str] = field(default_factory=dict)
    #: (value, label, is chosen)
    options: list[tuple[str, str, bool]] = field(default_factory=list)
    controls: "list[Control]" = field(default_factory=list)
    #: What is wrong with what stands in it.
    problem: str | None = None

    @property
    def id(self) -> str:
        """The element's id."""
        return "f-" + "".join(char if char.isalnum() else f"-{ord(char):x}-" for char in self.name)


def controls_of(schema: Mapping[str, JSON], entries: Entries, errors: Iterable[Mapping[str, JSON]]) -> Control:
    """Make the controls; an error stands beside its field, or the one that is nearest to it."""
    asked = fields_of(schema)
    problems: dict[str, str] = {}
    for error in errors:
        name, message = _placed(asked, ROOT, list(error["path"]), str(error["message"]))
        problems[name] = f"{problems[name]}; {message}" if name in problems else message
    return _control(asked, ROOT, entries, problems)


def _placed(asked: Field, name: str, path: list[JSON], message: str) -> tuple[str, str]:
    """Find the control that is nearest to what is wrong, and say there where it is."""
    inner = asked.item if is_rows(asked) else asked.fields.get(str(path[0])) if path else None
    if path and inner is not None:
        return _placed(inner, f"{name}/{escaped(str(path[0]))}", path[1:], message)
    where = ", ".join(f"entry {key + 1}" if isinstance(key, int) else str(key) for key in path)
    return name, f"{where} {message}".strip()


def _control(asked: Field, name: str, entries: Entries, problems: Mapping[str, str]) -> Control:
    about: dict[str, Any] = {
        "name": name,
        "label": asked.label or "Your answer",
        "description": asked.description,
        "is_required": asked.must_be_filled,
        "problem": problems.get(name),
    }
    texts = entries.get(name, [])
    if asked.kind == "object" or is_rows(asked):
        return Control(element="group", controls=_inner(asked, name, entries, problems), **about)
    chosen = asked.item if is_flat_list(asked) else asked
    if chosen is not None and chosen.kind == "choice":
        element = "select" if chosen is asked else "checks"
        return Control(element=element, options=_options(chosen, texts), **about)
    value = texts[-1] if texts else ""
    if asked.kind == "boolean":
        return Control(element="checkbox", value="on" if is_true(value) else "", **about)
    if asked.kind in _INPUTS:
        about["label"] += " (UTC)" if asked.kind == "datetime" else ""
        return Control(element="input", value=value, type=_type(asked, value), attributes=_attributes(asked), **about)
    hint = _HINTS.get(asked.kind if asked.kind != "list" or is_flat_list(asked) else "json", "")
    about["description"] = asked.description or hint
    return Control(element="textarea", value=value, **about)


def _inner(asked: Field, name: str, entries: Entries, problems: Mapping[str, str]) -> list[Control]:
    if asked.kind == "list":
        return _rows(asked, name, entries, problems)
    inner = [_control(each, f"{name}/{escaped(key)}", entries, problems) for key, each in asked.fields.items()]
    # What may be left out is left out by leaving its fields empty.
    return inner if asked.must_be_filled else [_relaxed(each) for each in inner]


def _type(asked: Field, value: str) -> str:
    kind = _INPUTS[asked.kind]
    if kind == "number" and value and isinstance(number_in(value), str):
        # A browser shows nothing of a number that is none, and it should be there to be corrected.
        return "text"
    return _TEXT_INPUTS.get(str(asked.schema.get("format")), kind) if kind == "text" else kind


def _rows(asked: Field, name: str, entries: Entries, problems: Mapping[str, str]) -> list[Control]:
    assert asked.item is not None
    value, by_row = rows_in(asked, name, entries), entries_by_row(name, entries)
    count = len(value) if isinstance(value, list) else 0
    most = asked.schema.get("maxItems")
    shown = min(count + _BLANK_ROWS, max(most, count)) if isinstance(most, int) else count + _BLANK_ROWS
    rows = []
    for number in range(shown):
        row = _control(asked.item, f"{name}/{number}", by_row.get(number, {}), problems)
        label = f"{asked.item.label or asked.label or 'Entry'} {number + 1}"
        # A blank row may stay blank, so nothing in it is asked for by the browser.
        rows.append(_relaxed(row, label) if number >= count else Control(**{**vars(row), "label": label}))
    return rows


def _relaxed(control: Control, label: str | None = None) -> Control:
    inner = [_relaxed(each) for each in control.controls]
    changes = {"is_required": False, "controls": inner, "label": label or control.label}
    return Control(**{**vars(control), **changes})


def _options(asked: Field, texts: list[str]) -> list[tuple[str, str, bool]]:
    return [
        (text := text_of(asked, each), each if isinstance(each, str) else text, text in texts) for each in asked.choices
    ]


def _attributes(asked: Field) -> dict[str, str]:
    schema = asked.schema
    # No `maxlength`: browsers cut off silently what is pasted, and count an emoji twice.
    found = {"minlength": schema.get("minLength")}
    if asked.kind in ("integer", "number"):
        step = schema.get("multipleOf", 1 if asked.kind == "integer" else "any")
        found = {"min": schema.get("minimum"), "max": schema.get("maximum"), "step": step}
    return {key: str(value) for key, value in found.items() if value is not None}
