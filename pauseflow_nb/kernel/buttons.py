"""Approve, Cancel and their like under a cell that was run by hand and asked to pause.

The kernel never waits for a button: what a click does happens between two cells, as all of ipywidgets.
Beside the widget stands text for viewers that have none, and once the question is settled, by whatever
way, a sentence takes the place of both. Importing this loads ipywidgets.
"""

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from pauseflow_nb.errors import InvalidAnswer, PauseflowError
from pauseflow_nb.forms.fields import Field, fields_of
from pauseflow_nb.kernel.display import make_markup
from pauseflow_nb.kernel.form_widgets import NOTHING, Input, Place, input_for, note

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from pauseflow_nb.kernel.test_mode import TestMode, Waiting

__all__ = ["Buttons", "show_buttons"]

_VIEW = "application/vnd.jupyter.widget-view+json"
_NO_WIDGETS = "Buttons appear here where widgets run; `%pauseflow approve [JSON]` and `%pauseflow cancel` do the same."
# As ipywidgets shows its other inputs; this one it leaves to the browser, which shows it white on black.
_STYLE = """<style>.pauseflow-buttons input[type="datetime-local"] {
  flex: 1 1 auto; min-width: 0; box-sizing: border-box; height: var(--jp-widgets-inline-height);
  padding: var(--jp-widgets-input-padding) calc(var(--jp-widgets-input-padding) * 2);
  border: var(--jp-widgets-input-border-width) solid var(--jp-widgets-input-border-color);
  background: var(--jp-widgets-input-background-color); color: var(--jp-widgets-input-color);
  font-size: var(--jp-widgets-font-size);
}</style>"""
_ANY_DATA = Field("json", "Data", "What whoever is asked would send along; may be left empty.")


def show_buttons(shell: "InteractiveShell", testmode: "TestMode") -> "Buttons | None":
    """Show the buttons for what waits, in the cell that is running; None if nothing waits."""
    if testmode.waiting is None:
        return None
    buttons = Buttons(shell, testmode, testmode.waiting)
    buttons.show()
    return buttons


class Buttons:
    """The buttons for one suspension, with a form for its answer."""

    def __init__(self, shell: "InteractiveShell", testmode: "TestMode", waiting: "Waiting") -> None:
        """Make the widgets; nothing is shown yet."""
        self._shell, self._testmode, self._waiting = shell, testmode, waiting
        self._display_id = uuid.uuid4().hex
        self._problem = widgets.Box(layout=widgets.Layout(display="none"))
        self.form = self._made_form()
        #: By their words.
        self.buttons = {words: self._button(words, act) for words, act in self._actions().items()}
        next(iter(self.buttons.values())).button_style = "primary"
        row = widgets.HBox(list(self.buttons.values()), layout=widgets.Layout(flex_flow="row wrap"))
        above = (
            [] if self.form is None else [widgets.HTML(_STYLE, layout=widgets.Layout(display="none")), self.form.box]
        )
        self.box = widgets.VBox([*above, row, self._problem], layout=widgets.Layout(margin="0 0 4px 13px"))
        self.box.add_class("pauseflow-buttons")
        waiting.when_settled.append(self._settled)

    def show(self) -> None:
        """Put the widgets into the cell that is running."""
        view = self.box._repr_mimebundle_()[_VIEW]
        text = {"text/plain": _NO_WIDGETS, "text/html": make_markup(hint=_NO_WIDGETS)}
        self._publish({**text, _VIEW: view}, "open", update=False)

    def _made_form(self) -> Input | None:
        request = self._waiting.asked.request
        if request.kind == "delay":
            return None
        if request.schema is None:
            return input_for(_ANY_DATA)
        return input_for(fields_of(request.schema), is_outer=True)

    def _actions(self) -> dict[str, Callable[[], object]]:
        cancel = {"Cancel": self._testmode.cancel}
        kind = self._waiting.asked.request.kind
        if kind == "rerun":
            return {"Run again now": self._testmode.clock, "As if it called back": self._approve, **cancel}
        if kind == "delay":
            return {"Skip": self._testmode.clock, **cancel}
        return {"Approve": self._approve, **cancel}

    def _approve(self) -> None:
        body = None
        if self.form is not None:
            problems: dict[Place, str] = {}
            read = self.form.read((), problems)
            if problems:
                self._refuse(problems)
                return
            body = None if read is NOTHING else read
        try:
            self._testmode.approve(body)
        except InvalidAnswer as refused:
            self._refuse({tuple(error["path"]): str(error["message"]) for error in refused.errors})

    def _refuse(self, problems: dict[Place, str]) -> None:
        if self.form is not None:
            self.form.show((), problems)
        # What belongs to no field that is shown.
        self._say("; ".join(f"{'.'.join(map(str, place))} {text}".strip() for place, text in problems.items()))

    def _button(self, words: str, act: Callable[[], object]) -> widgets.Button:
        button = widgets.Button(description=words, tooltip=f"{words}: step {self._waiting.run.step}")
        button.layout = widgets.Layout(width="auto")
        button.on_click(lambda _: self._click(act))
        return button

    def _click(self, act: Callable[[], object]) -> None:
        if self._testmode.waiting is not self._waiting:
            return
        self._say("")
        try:
            act()
        except PauseflowError as problem:
            self._say(str(problem))

    def _say(self, text: str) -> None:
        self._problem.children = [note(text, is_problem=True)] if text else []
        self._problem.layout.display = None if text else "none"

    def _settled(self, how: str, sentence: str) -> None:
        markup = make_markup(sentence)
        # Both: whoever opens the page anew gets the widget from the kernel, and the file must hold no buttons.
        self.box.children = [widgets.HTML(markup)]
        self._publish({"text/plain": sentence, "text/html": markup}, how, update=True)

    def _publish(self, data: dict[str, Any], how: str, *, update: bool) -> None:
        self._shell.display_pub.publish(
            data=data,
            metadata={"pauseflow": {"by_hand": how, "step": self._waiting.run.step}},
            transient={"display_id": self._display_id},
            update=update,
        )
