"""Show the controls of a form as widgets, and return the texts typed into them.

The texts are not interpreted here: `forms.codec` reads them, as it reads those of the approval page. Importing this
loads ipywidgets.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from html import escape
from typing import Any

import ipywidgets as widgets

from pauseflow_nb.forms.controls import Control

_WIDTH = "36em"
#: Shows labels above the inputs, all of one width: ipywidgets shows them beside the inputs, and cuts long ones off.
STYLE = f"""<style>
.pauseflow-form .widget-inline-hbox {{ flex-direction: column; align-items: stretch; height: auto; margin: 2px 0;
  max-width: {_WIDTH}; width: auto; overflow: visible; }}
.pauseflow-form .widget-inline-hbox > .widget-label {{ width: auto; max-width: 100%; text-align: left; margin: 0;
  white-space: normal; height: auto; line-height: 1.4; }}
.pauseflow-form .widget-inline-hbox > input, .pauseflow-form .widget-inline-hbox > select,
.pauseflow-form .widget-inline-hbox > textarea {{ width: 100%; flex: 0 0 auto; box-sizing: border-box; }}
.pauseflow-form .widget-inline-hbox > input[type="datetime-local"] {{ height: var(--jp-widgets-inline-height);
  padding: var(--jp-widgets-input-padding) calc(var(--jp-widgets-input-padding) * 2);
  border: var(--jp-widgets-input-border-width) solid var(--jp-widgets-input-border-color);
  background: var(--jp-widgets-input-background-color); color: var(--jp-widgets-input-color);
  font-size: var(--jp-widgets-font-size); }}
.pauseflow-form .widget-inline-hbox > select {{ height: var(--jp-widgets-inline-height); }}
.pauseflow-form .widget-checkbox {{ width: auto; }}
</style>"""

_FRAME = {"border_left": "2px solid var(--jp-border-color2, #ccc)", "padding": "0 0 0 8px", "margin": "4px 0"}
_JSON_EXAMPLE = 'JSON, such as {"comment": "looks good"}'


def note(text: str = "", *, is_problem: bool = False) -> widgets.HTML:
    """Make a small line of text; screen readers announce it if it is a problem."""
    colour = "var(--jp-error-color1, #b00020)" if is_problem else "var(--jp-ui-font-color2, #666)"
    role = ' role="alert"' if is_problem else ""
    style = f"color: {colour}; display: block; line-height: 1.3; white-space: pre-line"
    line = widgets.HTML(f'<small{role} style="{style}">{escape(text)}</small>' if text else "")
    line.layout = widgets.Layout(display=None if text else "none", margin="0 0 4px 0", max_width=_WIDTH)
    return line


class Input:
    """One control: its inputs, its description and its error message."""

    def __init__(self, control: Control, *inside: widgets.Widget) -> None:
        """Take the widgets that people type into."""
        self.control = control
        self._problem = widgets.Box(layout=widgets.Layout(display="none"))
        notes = [note(control.explanation)] if control.explanation else []
        self.box = widgets.VBox([*inside, *notes, self._problem], layout=widgets.Layout(width="auto"))

    def entries(self) -> dict[str, list[str]]:
        """Return its contents: input name → texts."""
        raise NotImplementedError

    def inputs(self) -> "Iterable[Input]":
        """List it and the inputs inside it, in the order in which they are shown."""
        yield self

    def show(self, text: str = "") -> None:
        """Show an error message; an empty text removes it."""
        self._problem.children = [note(text, is_problem=True)] if text else []
        self._problem.layout.display = None if text else "none"


class _Single(Input):
    """A control with one input."""

    def __init__(self, control: Control, body: widgets.Widget, texts_in: Callable[[Any], list[str]]) -> None:
        super().__init__(control, body)
        self.body, self._texts_in = body, texts_in

    def entries(self) -> dict[str, list[str]]:
        """See `Input`."""
        return {self.control.name: self._texts_in(self.body.value)}


class _Choices(Input):
    """A checkbox for each option, of which any number may be ticked."""

    def __init__(self, control: Control) -> None:
        self.boxes = {
            text: widgets.Checkbox(text in control.texts, description=label, indent=False)
            for text, label in control.options
        }
        super().__init__(control, _title(control), *self.boxes.values())

    def entries(self) -> dict[str, list[str]]:
        """See `Input`."""
        return {self.control.name: [text for text, box in self.boxes.items() if box.value]}


class _Group(Input):
    """A control with controls inside it."""

    def __init__(self, control: Control, *, is_outer: bool) -> None:
        self._inside = [input_for(each) for each in control.fields]
        boxes = [each.box for each in self._inside]
        if is_outer:
            super().__init__(control, widgets.VBox(boxes))
        else:
            super().__init__(control, _title(control), widgets.VBox(boxes, layout=widgets.Layout(**_FRAME)))

    def entries(self) -> dict[str, list[str]]:
        """See `Input`."""
        return {name: texts for each in self._inside for name, texts in each.entries().items()}

    def inputs(self) -> Iterable[Input]:
        """See `Input`."""
        yield self
        for each in self._inside:
            yield from each.inputs()


class _Union(Input):
    """A choice between branches, each with its own controls; also an optional object."""

    def __init__(self, control: Control) -> None:
        self._branches = [input_for(each, is_outer=True) for each in control.fields]
        self.chooser = _dropdown(control)
        frame = widgets.VBox([each.box for each in self._branches], layout=widgets.Layout(**_FRAME))
        super().__init__(control, self.chooser, frame)
        self.chooser.observe(lambda _: self._open_branch(), "value")
        self._open_branch()

    def entries(self) -> dict[str, list[str]]:
        """See `Input`."""
        inside = {name: texts for each in self._branches for name, texts in each.entries().items()}
        return {self.control.name: [self.chooser.value], **inside}

    def inputs(self) -> Iterable[Input]:
        """See `Input`."""
        yield self
        for number, each in enumerate(self._branches):
            if self.chooser.value == str(number):
                yield from each.inputs()

    def _open_branch(self) -> None:
        for number, each in enumerate(self._branches):
            each.box.layout.display = None if self.chooser.value == str(number) else "none"


class _Rows(Input):
    """A list of any number of groups."""

    def __init__(self, control: Control) -> None:
        self._rows: dict[int, Input] = {}
        self._box = widgets.VBox([])
        self.add = widgets.Button(description="Add", icon="plus", tooltip=f"Add an entry to {control.label}")
        self.add.on_click(lambda _: self.add_row())
        super().__init__(control, _title(control), self._box, self.add)
        for each in control.fields:
            self._add_input(int(each.name.rpartition("/")[2]), each)

    def add_row(self) -> None:
        """Add a blank row."""
        blank = self.control.row
        if blank is not None:
            number = max(self._rows, default=-1) + 1
            self._add_input(number, blank.numbered(number, f"{blank.label} {len(self._rows) + 1}"))

    def entries(self) -> dict[str, list[str]]:
        """See `Input`."""
        return {name: texts for each in self._rows.values() for name, texts in each.entries().items()}

    def inputs(self) -> Iterable[Input]:
        """See `Input`."""
        yield self
        for each in self._rows.values():
            yield from each.inputs()

    def _add_input(self, number: int, control: Control) -> None:
        row = input_for(control)
        remove = widgets.Button(icon="times", tooltip=f"Remove {control.label}", layout=widgets.Layout(width="3em"))
        row.box.layout.flex = "1 1 auto"
        line = widgets.HBox([row.box, remove], layout=widgets.Layout(width="auto", max_width=_WIDTH))
        remove.on_click(lambda _: self._remove(number, line))
        self._rows[number] = row
        self._box.children = [*self._box.children, line]

    def _remove(self, number: int, line: widgets.HBox) -> None:
        self._rows.pop(number, None)
        self._box.children = [each for each in self._box.children if each is not line]


def input_for(control: Control, *, is_outer: bool = False) -> Input:
    """Make the input for a control.

    Args:
        control: The control to show.
        is_outer: Whether it is the whole form, which is shown without a frame.
    """
    if control.kind == "object":
        return _Group(control, is_outer=is_outer)
    return _MAKERS.get(control.kind, _text)(control)


def _choice(control: Control) -> Input:
    return _Single(control, _dropdown(control), lambda text: [text])


def _checkbox(control: Control) -> Input:
    body = widgets.Checkbox(control.is_ticked, description=control.label, indent=False)
    return _Single(control, body, lambda is_ticked: ["on"] if is_ticked else [])


def _text(control: Control) -> Input:
    text = "\n".join(control.texts)
    placeholder = str(control.hints.get("placeholder", ""))
    if control.kind == "password":
        body = widgets.Password(text, **_labelled(control))
    elif control.kind in ("long", "lines", "json"):
        placeholder = placeholder or (_JSON_EXAMPLE if control.kind == "json" else "")
        body = widgets.Textarea(text, rows=2, placeholder=placeholder, **_labelled(control))
    else:
        # Not a number input of ipywidgets: it reads an empty input as 0, and drops digits.
        body = widgets.Text(text, placeholder=placeholder, **_labelled(control))
    return _Single(control, body, lambda text: [text])


def _moment(control: Control) -> Input:
    """Make a date or time picker if it can show the value exactly; otherwise a text input."""
    pickers: dict[str, tuple[Any, Any]] = {
        "date": (widgets.DatePicker, date),
        "time": (widgets.TimePicker, time),
        "datetime-local": (widgets.NaiveDatetimePicker, datetime),
    }
    if control.type not in pickers:
        return _text(control)
    picker, kind = pickers[control.type]
    value = kind.fromisoformat(control.text) if control.text else None
    zone = f" ({control.zone})" if control.zone else ""
    body = picker(value=value, **_labelled(control, zone))
    return _Single(control, body, lambda value: ["" if value is None else _as_typed(value)])


def _as_typed(value: date | time | datetime) -> str:
    """Write a time as a browser's input does: without seconds if they are zero."""
    if isinstance(value, (time, datetime)) and not value.second and not value.microsecond:
        return value.isoformat(timespec="minutes")
    return value.isoformat()


def _dropdown(control: Control) -> widgets.Dropdown:
    options = [(label, text) for text, label in control.options]
    is_chosen = control.text in dict(control.options)
    if control.kind == "choice" and (not control.is_required or not is_chosen):
        # An optional choice can be undone.
        options = [("Not chosen", ""), *options]
    value = control.text if is_chosen else options[0][1]
    return widgets.Dropdown(options=options, value=value, **_labelled(control))


def _labelled(control: Control, more: str = "") -> dict[str, Any]:
    mark = " *" if control.label and control.is_required else ""
    label = f"{control.label}{more}{mark}"
    # If our style is not shown, the label is beside the input, as wide as its text.
    return {"description": label, "style": {"description_width": "initial"}, "layout": widgets.Layout(width="auto")}


def _title(control: Control) -> widgets.HTML:
    mark = " *" if control.is_required else ""
    return widgets.HTML(f"<b>{escape(control.label)}{mark}</b>" if control.label else "")


_MAKERS: dict[str, Callable[[Control], Input]] = {
    "boolean": _checkbox,
    "choice": _choice,
    "choices": _Choices,
    "date": _moment,
    "datetime": _moment,
    "rows": _Rows,
    "time": _moment,
    "union": _Union,
}
