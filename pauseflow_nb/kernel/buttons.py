"""Show buttons and a form below a step that was run by hand and pauses.

The kernel never waits for a button: a click takes effect between two cells, as always in ipywidgets.
The output also has text for viewers without widgets; when the question is settled, a sentence replaces both.
Importing this loads ipywidgets.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from pauseflow_nb.actions import button_labels
from pauseflow_nb.errors import InvalidAnswer, PauseflowError
from pauseflow_nb.forms.codec import COMMENT, DATA, comment_in
from pauseflow_nb.forms.controls import Control, count_problems, draw
from pauseflow_nb.kernel.display import Card, render_card
from pauseflow_nb.kernel.form_widgets import STYLE, Input, input_for, note

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from pauseflow_nb.kernel.question_card import Ending
    from pauseflow_nb.kernel.test_mode import TestMode, Waiting

_VIEW = "application/vnd.jupyter.widget-view+json"
_NO_WIDGETS = "Buttons appear here where widgets run; `%pauseflow approve [JSON]` and `%pauseflow cancel` do the same."
_COMMENT = Control(COMMENT, "long", "Comment", 'The notebook gets it as {"comment": …}.')
_DATA = Control(DATA, "json", "Data", "What a program would send; may be left empty.")
_NOTED = Control(COMMENT, "long", "Comment", "It is noted with your decision.")
_CHANGE = Control(
    COMMENT, "long", "Comment", "It is noted with your decision; if you send it back, it says what is to change."
)
_BACK = "{} lets this step run again, with your comment."
_CONSEQUENCE = "{} ends the flow here: no later step runs until `%pauseflow reset`."


def show_buttons(shell: "InteractiveShell", testmode: "TestMode") -> "Buttons | None":
    """Show the buttons for the step that waits, in the cell that is running; return None if no step waits."""
    if testmode.waiting is None:
        return None
    buttons = Buttons(shell, testmode, testmode.waiting)
    buttons.show()
    return buttons


class Buttons:
    """The buttons for one suspension, with a form for its answer."""

    def __init__(self, shell: "InteractiveShell", testmode: "TestMode", waiting: "Waiting") -> None:
        """Make the widgets; nothing is shown yet."""
        self._testmode, self._waiting = testmode, waiting
        self._card = Card(shell, self._metadata("open"))
        self._summary = widgets.Box(layout=widgets.Layout(display="none"))
        self.form = self._made_form()
        #: The comment with the decision, if the form has no field for it.
        self.comment = self._made_comment()
        self._cancel_label = self._labels()["cancel"]
        #: Label → button.
        self.buttons = {words: self._button(words, act) for words, act in self._actions().items()}
        next(iter(self.buttons.values())).button_style = "primary"
        row = widgets.HBox(list(self.buttons.values()), layout=widgets.Layout(flex_flow="row wrap"))
        style = widgets.HTML(STYLE, layout=widgets.Layout(display="none"))
        above = [each.box for each in (self.form, self.comment) if each is not None]
        if self.form is not None and any(map(_is_starred, self.form.inputs())):
            above.append(note("* required"))
        below = note(self._consequences().replace("`", ""))
        layout = widgets.Layout(margin="0 0 4px 13px")
        self.box = widgets.VBox([style, self._summary, *above, row, below], layout=layout)
        for name in ("pauseflow-buttons", "pauseflow-form"):
            self.box.add_class(name)
        waiting.when_settled.append(self._settled)

    def show(self) -> None:
        """Show the widgets in the output of the cell that is running."""
        view = self.box._repr_mimebundle_()[_VIEW]
        self._card.show(_NO_WIDGETS, render_card(_NO_WIDGETS), **{_VIEW.replace("/", "_", 1): view})

    def _made_form(self) -> Input | None:
        request = self._waiting.plan.request
        if request.kind == "delay":
            return None
        if request.schema is not None:
            return input_for(draw(request.schema), is_outer=True)
        # A program that calls the link sends no comment.
        fields = [_DATA] if request.kind == "rerun" else [_COMMENT, _DATA]
        return input_for(Control("", "object", "", fields=fields), is_outer=True)

    def _made_comment(self) -> Input | None:
        request = self._waiting.plan.request
        if request.schema is None:
            return None
        return input_for(_CHANGE if "send_back" in request.allow else _NOTED)

    def _consequences(self) -> str:
        request, labels = self._waiting.plan.request, self._labels()
        sentences = [_CONSEQUENCE.format(self._cancel_label)] if "cancel" in request.allow else []
        return " ".join([*sentences, *([_BACK.format(labels["send_back"])] if "send_back" in labels else [])])

    def _labels(self) -> dict[str, str]:
        request = self._waiting.plan.request
        has_schema = request.schema is not None
        return button_labels(request.kind, has_schema=has_schema, own=request.labels, allow=request.allow)

    def _actions(self) -> dict[str, Callable[[], object]]:
        labels, testmode = self._labels(), self._testmode
        cancel = {self._cancel_label: self._cancel}
        match self._waiting.plan.request.kind:
            case "rerun":
                return {labels["resume"]: testmode.clock, "As if it called back": self._answer, **cancel}
            case "delay":
                return {"Skip": testmode.clock, **cancel}
        back = {labels["send_back"]: self._send_back} if "send_back" in labels else {}
        allowed = cancel if "cancel" in self._waiting.plan.request.allow else {}
        return {labels["resume"]: self._answer, **back, **allowed}

    def _send_back(self) -> None:
        self._testmode.send_back(comment_in(self._entries()))

    def _entries(self) -> dict[str, list[str]]:
        inputs = [each for each in (self.form, self.comment) if each is not None]
        return {name: texts for each in inputs for name, texts in each.entries().items()}

    def _cancel(self) -> None:
        self._testmode.cancel(comment_in(self._entries()))

    def _answer(self) -> None:
        try:
            self._testmode.approve_form(self._entries())
        except InvalidAnswer as refused:
            self._refuse(refused.errors)

    def _refuse(self, errors: list[dict[str, Any]]) -> None:
        """Show all errors: in a summary above the form, and beside each control."""
        beside: dict[str, list[str]] = {}
        for error in errors:
            where = error.get("input") or {"name": "", "message": error["message"]}
            beside.setdefault(where["name"], []).append(str(where["message"]))
        lines = []
        names = {} if self.form is None else self.form.control.full_names()
        for each in () if self.form is None else self.form.inputs():
            messages = beside.pop(each.control.name, [])
            each.show("; ".join(messages))
            lines += [f"{names.get(each.control.name, each.control.label)} {message}".strip() for message in messages]
        lines += [message for messages in beside.values() for message in messages]
        heading = f"{count_problems(len(lines))}, and nothing was answered:"
        self._show_text("\n".join([heading, *(f"• {line}" for line in lines)]))

    def _button(self, words: str, act: Callable[[], object]) -> widgets.Button:
        button = widgets.Button(description=words, tooltip=f"{words}: step {self._waiting.run.step}")
        button.layout = widgets.Layout(width="auto")
        button.on_click(lambda _: self._click(act))
        return button

    def _click(self, act: Callable[[], object]) -> None:
        if self._testmode.waiting is not self._waiting:
            return
        self._show_text("")
        for each in () if self.form is None else self.form.inputs():
            each.show()
        try:
            act()
        except PauseflowError as problem:
            self._show_text(str(problem))

    def _show_text(self, text: str) -> None:
        self._summary.children = [note(text, is_problem=True)] if text else []
        self._summary.layout.display = None if text else "none"

    def _settled(self, ending: "Ending") -> None:
        markup = render_card(ending.sentence)
        # Both: a reloaded page gets the widget from the kernel, and the file must contain no buttons.
        self.box.children = [widgets.HTML(markup)]
        self._card.show(ending.sentence, markup, metadata=self._metadata(ending.how))

    def _metadata(self, how: str) -> dict[str, Any]:
        return {"pauseflow": {"by_hand": how, "step": self._waiting.run.step}}


def _is_starred(each: Input) -> bool:
    return each.control.is_required and each.control.kind not in ("boolean", "object") and bool(each.control.label)
