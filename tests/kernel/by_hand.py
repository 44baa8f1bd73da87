"""Click the buttons and fill in the form under a cell that was run by hand, without a browser."""

import re
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

import ipywidgets as widgets
from IPython.core.displaypub import CapturingDisplayPublisher

from pauseflow_nb.kernel.buttons import Buttons, show_buttons
from pauseflow_nb.kernel.form_widgets import Input

_KINDS = {widgets.DatePicker: date, widgets.TimePicker: time, widgets.NaiveDatetimePicker: datetime}


class ByHand:
    """One kernel, and the buttons of what waits in it."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.displays = CapturingDisplayPublisher()  # type: ignore[no-untyped-call]
        kernel.shell.display_pub = self.displays

    def ask(self, call: str, step: str = "a") -> Buttons:
        """Run a step that asks to pause, and show the buttons of it."""
        self.name_of_card = self.show(f"%%step {step}\n{call};")
        assert self.kernel.session.testmode.waiting is not None, self.card
        buttons = show_buttons(self.kernel.shell, self.kernel.session.testmode)
        assert buttons is not None
        return buttons

    def value(self, source: str) -> Any:
        return self.kernel.run(source).value

    def show(self, cell: str) -> str:
        """Run a cell; returns the name of the last output that it shows and that can change, if there is one."""
        before = len(self.displays.outputs)
        self.kernel.shell.run_cell(cell)
        names = [(each.get("transient") or {}).get("display_id") for each in self.displays.outputs[before:]]
        return next((name for name in reversed(names) if name), "")

    def outputs(self, name: str) -> list[dict[str, Any]]:
        return [each for each in self.displays.outputs if (each.get("transient") or {}).get("display_id") == name]

    def text(self, name: str) -> str:
        """What an output shows now."""
        text: str = self.outputs(name)[-1]["data"]["text/plain"]
        return text

    @property
    def card(self) -> str:
        """What the card of the last question shows now."""
        return self.text(self.name_of_card)

    @property
    def markup(self) -> str:
        text: str = self.outputs(self.name_of_card)[-1]["data"]["text/html"]
        return text

    @property
    def last(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.displays.outputs[-1]
        return shown


def below(widget: Any) -> list[Any]:
    return [widget, *(each for child in getattr(widget, "children", ()) for each in below(child))]


def texts(widget: Any) -> str:
    """Everything that is said in HTML."""
    return " ".join(each.value for each in below(widget) if isinstance(each, widgets.HTML))


def inputs(buttons: Buttons) -> dict[str, Any]:
    """Everything that is written into, by its label without the mark of the required ones."""
    assert buttons.form is not None
    labelled = [(getattr(each, "description", ""), each) for each in below(buttons.form.box)]
    return {label.removesuffix(" *"): each for label, each in labelled if label and hasattr(each, "value")}


def input_at(buttons: Buttons, name: str) -> Input:
    """The input of this name; a row that is not there yet is added."""
    assert buttons.form is not None
    for _ in range(20):
        found = {each.control.name: each for each in _all_inputs(buttons.form)}
        if name in found:
            return found[name]
        lists = [each for key, each in found.items() if hasattr(each, "add_row") and name.startswith(f"{key}/")]
        assert lists, f"no input {name}"
        lists[-1].add_row()
    raise AssertionError(name)


def _all_inputs(form: Input) -> Iterator[Input]:
    """List the inputs of branches, too, that are not chosen: somebody may have written there before."""
    yield form
    rows = getattr(form, "_rows", {})
    for each in [*getattr(form, "_inside", []), *getattr(form, "_branches", []), *rows.values()]:
        yield from _all_inputs(each)


def fill(buttons: Buttons, typed: dict[str, list[str]]) -> None:
    """Type texts into the inputs of these names, as a person would.

    Raises:
        ValueError, TraitError: If nobody could do that, because the widget offers no such thing.
    """
    # What is inside a branch is there once the branch is chosen.
    for name in sorted(typed, key=lambda name: (name.count("/"), not name.endswith("~is"))):
        each, sent = input_at(buttons, name), typed[name]
        if hasattr(each, "boxes"):
            for text, box in each.boxes.items():
                box.value = text in sent
            if not set(sent) <= set(each.boxes):
                raise ValueError(sent)
            continue
        widget = each.chooser if hasattr(each, "chooser") else each.body  # type: ignore[attr-defined]
        if isinstance(widget, widgets.Checkbox):
            if sent not in ([], ["on"]):
                raise ValueError(sent)
            widget.value = bool(sent)
        elif type(widget) in _KINDS:
            shape = "T" if type(widget) is widgets.NaiveDatetimePicker else ""
            if sent[-1] and not re.fullmatch(rf"[-:.0-9]{{5,}}{shape}[-:.0-9]*", sent[-1]):
                raise ValueError(sent)
            widget.value = _KINDS[type(widget)].fromisoformat(sent[-1]) if sent[-1] else None  # type: ignore[attr-defined]
        else:
            widget.value = "\n".join(sent)


def problems(buttons: Buttons) -> set[str]:
    """The names of inputs beside which something is wrong."""
    assert buttons.form is not None
    return {each.control.name for each in buttons.form.inputs() if each._problem.children}
