"""A form of widgets for an answer: one input for each field of a JSON Schema.

It only reads what was written. Whether that fits is judged by whoever takes the answer, so that a
form by hand and a request to a link are held to the same rules; `show` then puts what is wrong beside
the fields. Importing this loads ipywidgets.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from html import escape
from typing import Any, TypeAlias

import ipywidgets as widgets

from pauseflow_nb.forms.fields import Field, number_in, says_nothing, with_nulls
from pauseflow_nb.json_values import JSON, read_json

__all__ = ["Input", "input_for", "note"]

#: Where a value stands in the answer: names and numbers.
Place: TypeAlias = tuple[str | int, ...]
#: What is wrong, and where.
Problems: TypeAlias = dict[Place, str]

#: Nothing was written.
NOTHING: Any = object()

# Stretched by the column that it stands in: 100% and a margin would be too wide.
_WIDE = {"width": "auto", "max_width": "36em"}
_LABEL_WIDTH = "9em"
_LABEL = {"description_width": _LABEL_WIDTH}


def note(text: str = "", *, is_problem: bool = False) -> widgets.HTML:
    """A small line of text; a problem is announced to who listens to the page."""
    colour = "var(--jp-error-color1, #b00020)" if is_problem else "var(--jp-ui-font-color2, #666)"
    role = ' role="alert"' if is_problem else ""
    style = f"color: {colour}; display: block; line-height: 1.3"
    line = widgets.HTML(f'<small{role} style="{style}">{escape(text)}</small>' if text else "")
    line.layout = widgets.Layout(display=None if text else "none", margin="0 0 4px 0", **_WIDE)
    return line


class Input:
    """One field: a label, what is written into it, its description, and what is wrong with it."""

    #: Where the notes begin, so that they stand below what is written and not below its label.
    indent = "0"
    #: Whether the description stands below; above it stands where it is about more than one input.
    is_described_below = False

    def __init__(self, field: Field, body: widgets.Widget) -> None:
        """Take the widget that is written into."""
        self.field, self.body = field, body
        self._problem = widgets.Box()
        self._problem.layout.display = "none"
        notes = [note(field.description)] if field.description and self.is_described_below else []
        below = widgets.VBox([*notes, self._problem], layout=widgets.Layout(margin=f"0 0 0 {self.indent}"))
        self.box = widgets.VBox([body, below], layout=widgets.Layout(width="auto"))

    def read(self, place: Place, problems: Problems) -> Any:
        """Give the JSON value that was written, or `NOTHING`; what cannot be read is put among the problems."""
        raise NotImplementedError

    def show(self, place: Place, problems: Problems) -> None:
        """Show what is wrong here, and take it from the problems."""
        text = problems.pop(place, "")
        self._problem.children = [note(text, is_problem=True)] if text else []
        self._problem.layout.display = None if text else "none"


class _Single(Input):
    """A field with one value."""

    indent = f"calc({_LABEL_WIDTH} + 10px)"
    is_described_below = True

    def __init__(self, field: Field, body: widgets.Widget, read: Callable[[Any], Any]) -> None:
        super().__init__(field, body)
        self._read = read

    def read(self, place: Place, problems: Problems) -> Any:
        """See `Input`."""
        try:
            return self._read(self.body.value)
        except ValueError as problem:
            problems[place] = str(problem)
            return NOTHING


class _Object(Input):
    """A field with fields of its own."""

    def __init__(self, field: Field, initial: JSON, *, is_outer: bool) -> None:
        given: Mapping[str, JSON] = initial if isinstance(initial, dict) else {}
        self._inputs = {name: input_for(each, given.get(name, each.initial)) for name, each in field.fields.items()}
        super().__init__(field, _framed(field, [each.box for each in self._inputs.values()], is_outer=is_outer))

    def read(self, place: Place, problems: Problems) -> Any:
        """See `Input`."""
        values = {name: each.read((*place, name), problems) for name, each in self._inputs.items()}
        written = with_nulls(self.field, {name: value for name, value in values.items() if value is not NOTHING})
        return NOTHING if says_nothing(written) and not self.field.is_required else written

    def show(self, place: Place, problems: Problems) -> None:
        """See `Input`."""
        for name, each in self._inputs.items():
            each.show((*place, name), problems)
        super().show(place, problems)


class _List(Input):
    """A field with any number of entries."""

    def __init__(self, field: Field, initial: JSON) -> None:
        assert field.item is not None
        self._item = field.item
        self._entries: list[Input] = []
        self._written: list[Input] = []
        self._rows = widgets.VBox([])
        add = widgets.Button(description="Add", icon="plus", tooltip=f"Add an entry to {field.label}")
        add.on_click(lambda _: self._add(self._item.initial))
        super().__init__(field, _framed(field, [self._rows, add], is_outer=False))
        for value in initial if isinstance(initial, list) else []:
            self._add(value)

    def read(self, place: Place, problems: Problems) -> Any:
        """See `Input`."""
        # Entries that nobody wrote into are left out, and do not count in the place of the others.
        self._written = []
        values: list[JSON] = []
        for each in self._entries:
            value = each.read((*place, len(values)), problems)
            if value is not NOTHING or (*place, len(values)) in problems:
                self._written.append(each)
                values.append(None if value is NOTHING else value)
        return values if values or self.field.is_required else NOTHING

    def show(self, place: Place, problems: Problems) -> None:
        """See `Input`."""
        for each in self._entries:
            each.show((*place, self._written.index(each) if each in self._written else -1), problems)
        super().show(place, problems)

    def _add(self, value: JSON) -> None:
        entry = input_for(self._item, value)
        if isinstance(entry, _Single):
            # Its label for who listens to the page. A box must have none: ipywidgets fails to show it.
            entry.body.tooltip = f"{self.field.label}, entry {len(self._entries) + 1}"
        self._entries.append(entry)
        remove = widgets.Button(icon="times", tooltip="Remove this entry", layout=widgets.Layout(width="3em"))
        entry.box.layout.flex = "1 1 auto"
        row = widgets.HBox([entry.box, remove], layout=widgets.Layout(**_WIDE))
        remove.on_click(lambda _: self._remove(entry, row))
        self._rows.children = [*self._rows.children, row]

    def _remove(self, entry: Input, row: widgets.HBox) -> None:
        self._entries.remove(entry)
        self._rows.children = [each for each in self._rows.children if each is not row]


def input_for(field: Field, initial: JSON = None, *, is_outer: bool = False) -> Input:
    """Make the input for a field.

    Args:
        field: What is asked.
        initial: What stands in it at first; None: nothing.
        is_outer: Whether it is the whole form, which needs no frame.
    """
    if field.kind == "object":
        return _Object(field, initial, is_outer=is_outer)
    if field.kind == "list":
        return _List(field, initial)
    make = {
        "boolean": _checkbox,
        "choice": _choice,
        "date": _date,
        "datetime": _datetime,
        "integer": _number,
        "number": _number,
        "json": _json,
    }
    return make.get(field.kind, _text)(field, initial)


def _checkbox(field: Field, initial: JSON) -> Input:
    body = widgets.Checkbox(initial is True, **_labelled(field))
    return _Single(field, body, lambda is_ticked: is_ticked or (False if field.is_no_unticked else NOTHING))


def _choice(field: Field, initial: JSON) -> Input:
    # By position: `True` and `1` are equal, and a list cannot be looked up.
    same = (n for n, each in enumerate(field.choices) if each == initial and type(each) is type(initial))
    chosen = -1 if initial is None else next(same, -1)
    options = [("—", -1), *((_describe_error(each), n) for n, each in enumerate(field.choices))]
    # What may be left out can be unchosen again.
    is_fixed = chosen >= 0 and field.is_required
    body = widgets.Dropdown(options=options[1:] if is_fixed else options, value=chosen, **_labelled(field))
    return _Single(field, body, lambda n: NOTHING if n < 0 else field.choices[n])


def _date(field: Field, initial: JSON) -> Input:
    moment = _moment(initial)
    value = None if moment is None else moment.date()
    body = widgets.DatePicker(value=value, **_labelled(field))
    return _Single(field, body, lambda value: NOTHING if value is None else value.isoformat())


def _datetime(field: Field, initial: JSON) -> Input:
    moment = _moment(initial)
    value = None if moment is None else moment.astimezone()
    body = widgets.DatetimePicker(value=value, **_labelled(field))
    return _Single(field, body, lambda value: NOTHING if value is None else value.isoformat())


def _moment(initial: JSON) -> datetime | None:
    try:
        return datetime.fromisoformat(initial) if isinstance(initial, str) else None
    except ValueError:
        return None  # a default may be anything: nothing checks it


def _number(field: Field, initial: JSON) -> Input:
    # Not a number box of ipywidgets: in that one, nothing is 0.
    asked = "a whole number" if field.kind == "integer" else "a number"
    body = widgets.Text("" if initial is None else str(initial), placeholder=asked, **_labelled(field))
    return _Single(field, body, lambda text: number_in(text) if text.strip() else NOTHING)


def _text(field: Field, initial: JSON) -> Input:
    kind = widgets.Textarea if field.kind == "long" else widgets.Text
    if field.schema.get("format") == "password":
        kind = widgets.Password
    body = kind("" if initial is None else str(initial), **_labelled(field))
    return _Single(field, body, lambda text: text if text.strip() else "" if field.is_emptied_text else NOTHING)


def _json(field: Field, initial: JSON) -> Input:
    text = "" if initial is None else json.dumps(initial, ensure_ascii=False, indent=2)
    example = 'JSON, such as {"comment": "looks good"}'
    return _Single(field, widgets.Textarea(text, placeholder=example, rows=2, **_labelled(field)), _parsed)


def _parsed(text: str) -> Any:
    if not text.strip():
        return NOTHING
    try:
        return read_json(text)
    except ValueError:
        raise ValueError('must be JSON, such as {"comment": "looks good"} or "text"') from None


def _labelled(field: Field) -> dict[str, Any]:
    is_marked = field.label and field.must_be_filled and field.kind != "boolean"
    label = f"{field.label} *" if is_marked else field.label
    return {"description": label, "style": _LABEL, "layout": widgets.Layout(**_WIDE)}


def _framed(field: Field, inside: Iterable[widgets.Widget], *, is_outer: bool) -> widgets.VBox:
    about = [note(field.description)] if field.description else []
    if is_outer:
        return widgets.VBox([*about, *inside], layout=widgets.Layout(width="auto"))
    title = widgets.HTML(f"<b>{escape(field.label)}{' *' if field.must_be_filled else ''}</b>")
    frame = widgets.Layout(
        border_left="2px solid var(--jp-border-color2, #ccc)", padding="0 0 0 8px", margin="4px 0", width="auto"
    )
    return widgets.VBox([title, *about, *inside], layout=frame)


def _describe_error(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
