"""Make the controls of a form for the approval page, the panel and the widgets, from the same fields."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pauseflow_nb.forms.choices import find_option, text_of_choice
from pauseflow_nb.forms.codec import (
    ROOT,
    Entries,
    branch_name,
    chooser_name,
    entries_by_row,
    escaped,
    initial_entries,
    read_form,
    write_entries,
    written_rows,
)
from pauseflow_nb.forms.fields import Field, fields_of
from pauseflow_nb.json_values import JSON

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIME = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,3})?)?")
_HINTS: dict[str, dict[str, str]] = {
    "integer": {"inputmode": "numeric"},
    "number": {"inputmode": "decimal"},
    "decimal": {"inputmode": "decimal"},
    "duration": {"placeholder": "2 hours"},
}
#: Kind of a field → kind of its control.
_KINDS = {"decimal": "number", "tuple": "object"}
#: Format of a text → `type` of its input.
_TYPES = {"email": "email", "uri": "url"}
_ABSENT = "Not given"
_TICKED = frozenset({"on", "true", "1", "yes"})
_EXPLANATIONS = {
    "lines": "One per line.",
    "json": "As JSON.",
    "duration": 'Such as "90s", "2 hours" or "1h 30min".',
}
#: Number of blank rows on a page without JavaScript.
_BLANK_ROWS = 2


@dataclass(frozen=True)
class Control:
    """One control, or a group of them."""

    name: str
    #: `"text"`, `"long"`, `"password"`, `"integer"`, `"number"`, `"date"`, `"time"`, `"datetime"`, `"duration"`, `"boolean"`,
    #: `"choice"`, `"choices"`, `"lines"`, `"json"`, `"object"`, `"union"` or `"rows"`.
    kind: str
    label: str
    description: str = ""
    #: Whether it must be filled in.
    is_required: bool = False
    #: Its contents.
    texts: list[str] = dataclasses.field(default_factory=list)
    #: (text, label) of each option.
    options: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    #: The controls of a group, of each branch of a union, or of the existing rows.
    fields: "list[Control]" = dataclasses.field(default_factory=list)
    #: A blank row, with `~n` for its number.
    row: "Control | None" = None
    #: Attributes for display only: placeholder, inputmode, limits.
    hints: Mapping[str, JSON] = dataclasses.field(default_factory=dict)
    #: The error in its contents.
    problem: str | None = None

    @property
    def text(self) -> str:
        """Return the text of a control with one text."""
        return self.texts[-1] if self.texts else ""

    @property
    def is_ticked(self) -> bool:
        """Whether the text of a checkbox means that it is ticked."""
        return self.text.strip().lower() in _TICKED

    @property
    def type(self) -> str:
        """Return the `type` of an `<input>`."""
        return "password" if self.kind == "password" else str(self.hints.get("type", "text"))

    @property
    def attributes(self) -> dict[str, str]:
        """Return more attributes of an `<input>`, but none that would cut off or refuse typed text."""
        names = ("inputmode", "placeholder", *(("step",) if self.type in ("time", "datetime-local") else ()))
        return {name: str(self.hints[name]) for name in names if name in self.hints}

    @property
    def zone(self) -> str:
        """Return the time zone of the input, which browsers do not show."""
        return str(self.hints.get("zone", "")) if self.type == "datetime-local" else ""

    @property
    def explanation(self) -> str:
        """Return the text below it: the author's description, or the format."""
        return self.description or _EXPLANATIONS.get(self.kind, "")

    @property
    def id(self) -> str:
        """Return the id of its element on a page."""
        return "f-" + "".join(char if char.isalnum() else f"-{ord(char):x}-" for char in self.name)

    def blank_rows(self) -> "list[Control]":
        """Return some numbered blank rows, for a page that cannot add rows."""
        if self.row is None:
            return []
        used = [int(each.name.rpartition("/")[2]) for each in self.fields]
        most = self.hints.get("most")
        count = _BLANK_ROWS if not isinstance(most, int) else max(min(_BLANK_ROWS, most - len(used)), 0)
        first = max(used, default=-1) + 1
        return [self.row.numbered(first + n, f"{self.row.label} {len(used) + n + 1}") for n in range(count)]

    def numbered(self, number: int, label: str | None = None) -> "Control":
        """Return a blank row with a number, in which nothing is required."""
        return replace(
            self,
            name=self.name.replace("~n", str(number), 1),
            label=label or self.label,
            is_required=False,
            fields=[each.numbered(number) for each in self.fields],
            row=None if self.row is None else self.row.numbered(number),
        )

    def walk(self) -> "Iterator[Control]":
        """Iterate over it and the controls inside it, in the order in which they are shown."""
        yield self
        for each in self.fields:
            yield from each.walk()

    def full_names(self, above: tuple[str, ...] = ()) -> dict[str, str]:
        """Name the inputs within it by where they stand: `"Address: Street"`. A form may have several called `Street`."""
        here = above if self.name == ROOT or not self.label else (*above, self.label)
        names = {self.name: ": ".join(here)}
        # Rows without a name of their own are called after the list, such as `Items 2`.
        is_repeated = self.row is not None and self.row.label == self.label
        for each in self.fields:
            # A branch of a union is called by its kind, such as `Text`.
            inner = replace(each, label="") if self.kind == "union" else each
            names |= inner.full_names(above if is_repeated else here)
        return names

    def to_dict(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "kind": self.kind,
            "label": self.label,
            "description": self.explanation,
            "is_required": self.is_required,
            "texts": self.texts,
            "options": [list(option) for option in self.options],
            "fields": [each.to_dict() for each in self.fields],
            "row": None if self.row is None else self.row.to_dict(),
            "hints": dict(self.hints),
        }


def draw(
    schema: Mapping[str, JSON], entries: Entries | None = None, errors: Iterable[Mapping[str, JSON]] = ()
) -> Control:
    """Make the form of a schema.

    Args:
        schema: The schema of the answer.
        entries: The contents of the form; None: the default values.
        errors: The errors in them, `{"path", "message"}` each.
    """
    entries = initial_entries(schema) if entries is None else entries
    problems = read_form(schema, entries).beside(errors)
    return _Drawing(entries, problems).control(fields_of(schema), ROOT)


def draw_json(schema: Mapping[str, JSON] | None) -> dict[str, JSON] | None:
    """Make the form of a schema as JSON; None if any answer is accepted."""
    return None if schema is None else draw(schema).to_dict()


@dataclass(frozen=True)
class _Drawing:
    entries: Entries
    problems: Mapping[str, str]

    def control(self, field: Field, name: str) -> Control:
        """Make the control of one field."""
        about: dict[str, Any] = {
            "label": field.label or ("Your answer" if name == ROOT or field.kind != "object" else ""),
            "description": field.description,
            "is_required": field.must_be_filled and field.kind != "boolean",
            "problem": self.problems.get(name),
        }
        if field.kind == "union":
            return self._union(field, name, about)
        if field.kind in ("object", "tuple"):
            shown = {key: each for key, each in field.fields.items() if not each.is_fixed}
            inner = [self.control(each, f"{name}/{escaped(key)}") for key, each in shown.items()]
            return Control(name, "object", fields=inner, **about)
        if field.is_rows:
            return self._rows(field, name, about)
        return self._single(field, name, about)

    def _single(self, field: Field, name: str, about: dict[str, Any]) -> Control:
        texts = self.entries.get(name, [])
        if field.is_flat_list and field.item is not None:
            if field.item.kind == "choice":
                return Control(
                    name, "choices", texts=_find_chosen(field.item, texts), options=_list_options(field.item), **about
                )
            return Control(name, "lines", texts=texts, hints=_list_limits(field), **about)
        if field.kind == "choice":
            return Control(name, "choice", texts=_find_chosen(field, texts), options=_list_options(field), **about)
        kind = "json" if field.kind == "list" else _KINDS.get(field.kind, field.kind)
        return Control(name, kind, texts=texts, hints=_make_hints(field, texts), **about)

    def _union(self, field: Field, name: str, about: dict[str, Any]) -> Control:
        chooser = chooser_name(name)
        about["problem"] = self.problems.get(chooser)
        options = [(str(number), branch.label) for number, branch in enumerate(field.branches)]
        chosen = self.entries.get(chooser, [])
        if len(field.branches) == 1:
            options = [("0", f"Give {field.label}" if field.label else "Given")]
        if not about["is_required"] or not chosen[-1:] or not chosen[-1]:
            options.insert(0, ("", _ABSENT))
        branches = [self.control(each, branch_name(field, name, n)) for n, each in enumerate(field.branches)]
        return Control(chooser, "union", texts=chosen or [""], options=options, fields=branches, **about)

    def _rows(self, field: Field, name: str, about: dict[str, Any]) -> Control:
        assert field.item is not None
        label = field.item.label or field.label or "Entry"
        # A form that is shown again does not keep its blank rows.
        numbers = [number for number, _ in written_rows(field, name, entries_by_row(name, self.entries))]
        rows = [
            replace(self.control(field.item, f"{name}/{number}"), label=f"{label} {at}")
            for at, number in enumerate(numbers, 1)
        ]
        blank_entries = write_entries(field.item, field.item.initial, f"{name}/~n")
        blank = _Drawing(blank_entries, {}).control(field.item, f"{name}/~n")
        return Control(name, "rows", fields=rows, row=replace(blank, label=label), hints=_list_limits(field), **about)


def _find_chosen(field: Field, texts: list[str]) -> list[str]:
    """Return the options that texts mean; texts of no option are dropped."""
    found = [find_option(field, text) for text in texts]
    return [text for text in found if text is not None]


def _list_options(field: Field) -> list[tuple[str, str]]:
    labels = field.choice_labels or [""] * len(field.choices)
    return [
        (text := text_of_choice(each), label or (each if isinstance(each, str) else text))
        for each, label in zip(field.choices, labels, strict=True)
    ]


def _make_hints(field: Field, texts: list[str]) -> dict[str, JSON]:
    hints: dict[str, JSON] = {**_HINTS.get(field.kind, {}), **_list_limits(field)}
    text = texts[-1] if texts else ""
    if field.kind == "text":
        hints["type"] = _TYPES.get(str(field.schema.get("format")), "text")
    elif field.kind in ("date", "time", "datetime"):
        hints.update(_make_moment_hints(field, text))
    elif field.kind == "json":
        hints["placeholder"] = "[1, 2]" if field.schema.get("type") == "array" else '{"a": 1}'
    return hints


def _make_moment_hints(field: Field, text: str) -> dict[str, JSON]:
    """Choose the input that can show the value exactly: those of browsers have no time zone and no microseconds."""
    day, _, time = text.partition("T") if field.kind == "datetime" else ("", "", text)
    fits = {
        "date": not text or _DATE.fullmatch(text),
        "time": not text or _TIME.fullmatch(text),
        "datetime": not text or (_DATE.fullmatch(day) and _TIME.fullmatch(time)),
    }[field.kind]
    zone: dict[str, JSON] = {"zone": "UTC"} if field.kind == "datetime" and field.zone == "UTC" else {}
    if not fits:
        return {**zone, "type": "text"}
    step = {"step": "0.001" if "." in time else "1"} if field.kind != "date" else {}
    return {**zone, **step, "type": {"datetime": "datetime-local"}.get(field.kind, field.kind)}


def _list_limits(field: Field) -> dict[str, JSON]:
    names = {
        "minimum": "min",
        "maximum": "max",
        "minLength": "minlength",
        "maxLength": "maxlength",
        "pattern": "pattern",
        "multipleOf": "step",
        "maxItems": "most",
    }
    return {names[key]: field.schema[key] for key in names if key in field.schema}


def count_problems(count: int) -> str:
    """Write how many entries of a form were refused, without a full stop."""
    return "One entry needs a change" if count == 1 else f"{count} entries need a change"
