"""The buttons and the form under a cell that was run by hand, clicked without a browser."""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import nbconvert
import nbformat
import pytest
from IPython.core.displaypub import CapturingDisplayPublisher

from pauseflow_nb.forms.codec import initial_entries, read_form
from pauseflow_nb.forms.fields import fields_of
from pauseflow_nb.kernel.buttons import Buttons, show_buttons
from pauseflow_nb.kernel.form_widgets import NOTHING, input_for

VIEW = "application/vnd.jupyter.widget-view+json"
MODEL = """
from datetime import date
from enum import Enum
from typing import Optional
from pydantic import BaseModel, Field, field_validator

class Size(str, Enum):
    small = "small"
    large = "large"

class Address(BaseModel):
    street: str
    number: int = 1

class Order(BaseModel):
    amount: int = Field(ge=3, description="How many bottles")
    price: Optional[float] = None
    who: str = "ann"
    size: Size
    urgent: bool = False
    due: Optional[date] = None
    address: Address
    tags: list[str] = []

    @field_validator("who")
    @classmethod
    def not_bob(cls, value):
        if value == "bob":
            raise ValueError("must not be bob")
        return value
"""


class ByHand:
    """One kernel, and the buttons of what waits in it."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.displays = CapturingDisplayPublisher()  # type: ignore[no-untyped-call]
        kernel.shell.display_pub = self.displays

    def ask(self, call: str, step: str = "a") -> Buttons:
        assert type(self.kernel.run(f"%%step {step}\n{call};").error).__name__ == "Paused"
        buttons = show_buttons(self.kernel.shell, self.kernel.session.test_mode)
        assert buttons is not None
        return buttons

    def value(self, source: str) -> Any:
        return self.kernel.run(source).value

    @property
    def last(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.displays.outputs[-1]
        return shown


@pytest.fixture
def by_hand(kernel: Any) -> ByHand:
    return ByHand(kernel)


def inputs(buttons: Buttons) -> dict[str, Any]:
    """Everything that is written into, by its label without the mark of the required ones."""
    assert buttons.form is not None
    labelled = [(getattr(each, "description", ""), each) for each in _below(buttons.form.box)]
    return {label.removesuffix(" *"): each for label, each in labelled if label and hasattr(each, "value")}


def texts(widget: Any) -> str:
    """Everything that is said in HTML."""
    return " ".join(each.value for each in _below(widget) if isinstance(each, widgets.HTML))


def _below(widget: Any) -> list[Any]:
    return [widget, *(each for child in getattr(widget, "children", ()) for each in _below(child))]


def test_the_widget_stands_beside_text_for_who_has_no_widgets(by_hand: ByHand) -> None:
    by_hand.ask("flow.suspend()")

    assert set(by_hand.last["data"]) == {VIEW, "text/html", "text/plain"}
    assert "%pauseflow approve" in by_hand.last["data"]["text/plain"]
    assert by_hand.last["metadata"]["pauseflow"] == {"by_hand": "open", "step": "a"}


@pytest.mark.parametrize("exporter", ["HTMLExporter", "MarkdownExporter"])
def test_a_saved_notebook_says_what_happened_and_what_to_do(by_hand: ByHand, exporter: str) -> None:
    by_hand.kernel.shell.run_cell("%%step a\nflow.suspend(title='Publish?');")
    show_buttons(by_hand.kernel.shell, by_hand.kernel.session.test_mode)
    outputs = [nbformat.v4.new_output("display_data", data=each["data"]) for each in by_hand.displays.outputs]
    saved = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%step a", outputs=outputs)])
    text, _ = getattr(nbconvert, exporter)().from_notebook_node(saved)

    assert "this may be due to" in text
    assert "Publish?" in text
    assert "%pauseflow approve" in text
    assert "test-link.invalid" not in text


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("flow.suspend()", ["Approve", "Cancel"]),
        ("flow.rerun(1000)", ["Run again now", "As if it called back", "Cancel"]),
        ("flow.pause('1h')", ["Approve", "Cancel"]),
        ("flow.delay(1000)", ["Skip", "Cancel"]),
        ("flow.sleep('1s')", ["Skip", "Cancel"]),
    ],
)
def test_each_kind_of_pause_has_its_buttons(by_hand: ByHand, call: str, words: list[str]) -> None:
    assert list(by_hand.ask(call).buttons) == words


def test_approve_sends_what_stands_in_the_field_and_a_sentence_takes_its_place(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.suspend()")
    inputs(buttons)["Data"].value = '{"ok": true}'
    buttons.buttons["Approve"].click()

    assert by_hand.last["data"]["text/plain"] == "Step 'a' is approved: go on with the next cell."
    assert VIEW not in by_hand.last["data"]
    assert by_hand.last["metadata"]["pauseflow"] == {"by_hand": "approved", "step": "a"}
    assert by_hand.displays.outputs[-1]["update"] is True
    assert "is approved" in texts(buttons.box)
    assert by_hand.value("%%step b\nsteps.a.data.ok") is True


def test_approve_without_data_is_a_resume_without_a_body(by_hand: ByHand) -> None:
    by_hand.ask("flow.suspend()").buttons["Approve"].click()

    assert by_hand.value("steps.a['$resume_data']['body'] is None and steps.a.data == {}") is True


def test_what_is_not_json_is_said_beside_the_field_and_it_still_waits(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.suspend()")
    inputs(buttons)["Data"].value = "{ok}"
    buttons.buttons["Approve"].click()

    assert "must be JSON" in texts(buttons.box)
    assert by_hand.kernel.session.test_mode.waiting is not None


def test_cancel_marks_the_flow_cancelled(by_hand: ByHand) -> None:
    by_hand.ask("flow.suspend()").buttons["Cancel"].click()

    assert "The flow is cancelled in step 'a'." in by_hand.last["data"]["text/plain"]
    assert "did not run" in by_hand.kernel.run("%%step b\n1").shown


def test_run_again_now_is_the_clock_and_keeps_the_count_and_the_context(by_hand: ByHand) -> None:
    by_hand.ask("flow.rerun(1000, {'job': 7}, 3)").buttons["Run again now"].click()

    source = "%%step a\nrun = flow.context.run\n(run.runs, run.context.job, 'callback_request' in run, flow.data)"
    assert by_hand.value(source) == (2, 7, False, None)


def test_as_if_it_called_back_brings_a_body(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.rerun(1000, {'job': 7}, 3)")
    inputs(buttons)["Data"].value = '{"done": 1}'
    buttons.buttons["As if it called back"].click()

    source = "%%step a\nrun = flow.context.run\n(run.runs, run.callback_request.body.done, flow.data.done)"
    assert by_hand.value(source) == (2, 1, 1)


def test_the_budget_of_reruns_ends(by_hand: ByHand) -> None:
    for _ in range(2):
        by_hand.ask("flow.rerun(1000, None, 2)").buttons["Run again now"].click()

    assert by_hand.kernel.run("%%step a\nflow.rerun(1000, None, 2);").ok


def test_a_pause_within_a_step_returns_when_the_cell_is_run_again(by_hand: ByHand) -> None:
    buttons = by_hand.ask("answer = flow.pause('1h', schema=int)")
    inputs(buttons)["Value"].value = "7"
    buttons.buttons["Approve"].click()

    assert by_hand.last["metadata"]["pauseflow"]["by_hand"] == "again"
    assert by_hand.value("%%step a\nflow.pause('1h', schema=int)") == 7
    assert by_hand.kernel.run("%%step b\n1").ok


def test_skip_goes_on(by_hand: ByHand) -> None:
    by_hand.ask("flow.delay(1000)").buttons["Skip"].click()

    assert by_hand.value("%%step b\n'$resume_data' in steps.a") is False


def test_a_click_after_it_was_settled_otherwise_does_nothing(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.suspend()")
    by_hand.kernel.run('%pauseflow approve {"n": 1}')
    buttons.buttons["Cancel"].click()

    assert by_hand.value("%%step b\nsteps.a.data.n") == 1
    assert "is approved" in texts(buttons.box)


@pytest.mark.parametrize("what", ["%pauseflow reset", "%%step a\n1"])
def test_buttons_of_what_was_left_go_away(by_hand: ByHand, what: str) -> None:
    buttons = by_hand.ask("flow.suspend()")
    by_hand.kernel.run(what)

    assert "Approve" not in [getattr(each, "description", "") for each in _below(buttons.box)]


def order(by_hand: ByHand) -> tuple[Buttons, dict[str, Any]]:
    by_hand.kernel.run(MODEL)
    buttons = by_hand.ask("flow.suspend(schema=Order)")
    return buttons, inputs(buttons)


def test_the_form_shows_defaults_descriptions_and_required_marks(by_hand: ByHand) -> None:
    buttons, fields = order(by_hand)
    assert buttons.form is not None
    labels = [getattr(each, "description", "") for each in _below(buttons.form.box)]

    assert {"Amount *", "Price", "Who", "Urgent", "Due", "Street *", "Number"} <= set(labels)
    assert fields["Who"].value == "ann"
    assert fields["Number"].value == "1"
    assert "How many bottles" in texts(buttons.form.box)
    assert isinstance(fields["Due"], widgets.DatePicker)
    assert isinstance(fields["Urgent"], widgets.Checkbox)
    size = next(each for each in _below(buttons.form.box) if isinstance(each, widgets.Dropdown))
    assert [label for label, _ in size.options] == ["—", "small", "large"]


def fill(fields: dict[str, Any], **values: Any) -> None:
    written = {"Amount": "4", "Size": 1, "Street": "Long Road", **values}
    for label, value in written.items():
        fields[label].value = value


def test_a_filled_form_becomes_an_instance_of_the_model(by_hand: ByHand) -> None:
    buttons, fields = order(by_hand)
    fill(fields)
    add = next(each for each in _below(buttons.box) if getattr(each, "description", "") == "Add")
    add.click()
    entry = next(each for each in _below(buttons.box) if isinstance(each, widgets.Text) and each.description == "")
    entry.value = "red"
    buttons.buttons["Approve"].click()

    source = "%%step b\no = steps.a.data\n(type(o).__name__, o.amount, o.size.value, o.address.street, o.tags, o.due)"
    assert by_hand.value(source) == ("Order", 4, "large", "Long Road", ["red"], None)


def test_errors_stand_beside_their_fields_and_it_still_waits(by_hand: ByHand) -> None:
    buttons, fields = order(by_hand)
    fill(fields, Amount="1")
    buttons.buttons["Approve"].click()

    assert "must be at least 3" in texts(_input_of(buttons, "amount").box)
    fill(fields, Who="bob")
    buttons.buttons["Approve"].click()
    assert "must not be bob" in texts(_input_of(buttons, "who").box)
    assert "must be" not in texts(_input_of(buttons, "amount").box)
    assert by_hand.kernel.session.test_mode.waiting is not None
    fill(fields, Who="eve")
    buttons.buttons["Approve"].click()
    assert by_hand.value("%%step b\nsteps.a.data.who") == "eve"


def test_a_number_that_is_none_is_said_before_it_is_sent(by_hand: ByHand) -> None:
    buttons, fields = order(by_hand)
    fill(fields, Amount="many")
    buttons.buttons["Approve"].click()

    assert "must be a whole number" in texts(_input_of(buttons, "amount").box)


def test_a_required_field_that_is_empty_is_said_beside_it(by_hand: ByHand) -> None:
    buttons, fields = order(by_hand)
    fill(fields, Amount="")
    buttons.buttons["Approve"].click()

    assert "required" in texts(_input_of(buttons, "amount").box)


def test_a_type_is_a_form_with_one_field(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.suspend(schema=int)")
    inputs(buttons)["Value"].value = "12"
    buttons.buttons["Approve"].click()

    assert by_hand.value("%%step b\nsteps.a.data") == 12


def test_a_json_schema_is_a_form_too(by_hand: ByHand) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "number", "default": 2.5}, "ok": {"type": "boolean"}}}
    buttons = by_hand.ask(f"flow.suspend(schema={schema!r})")
    buttons.buttons["Approve"].click()

    assert by_hand.value("%%step b\n(steps.a.data.n, steps.a.data.ok)") == (2.5, False)


def test_a_schema_that_contains_itself_ends_in_a_field_for_json(by_hand: ByHand) -> None:
    by_hand.kernel.run("from __future__ import annotations\nfrom pydantic import BaseModel")
    by_hand.kernel.run("class Node(BaseModel):\n    name: str\n    inner: 'Node | None' = None")

    assert len(inputs(by_hand.ask("flow.suspend(schema=Node)"))) == 2


def _of(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": {"type": kind, **more}}}


LIST_OF_OBJECTS = _of("array", items=_of("integer"), default=[{"x": 1}, {"x": 2}])
SCHEMAS = [
    *(_of(kind) for kind in ("string", "number", "integer", "boolean")),
    *({**_of(kind), "required": ["x"]} for kind in ("string", "integer", "boolean")),
    *(
        {**_of("object", **_of(kind)), "required": required}
        for kind in ("boolean", "string")
        for required in ([], ["x"])
    ),
    {"properties": {"x": {"anyOf": [{"type": "boolean"}, {"type": "null"}], "default": None}}},
    {"properties": {"x": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}, "required": ["x"]},
    {"properties": {"x": {"enum": ["a", 1, True, None]}}},
    {"properties": {"x": {"const": "only"}}, "required": ["x"]},
    {"properties": {"x": {"type": ["integer", "null"]}, "y": {"type": ["integer", "string"], "default": "a"}}},
    *(_of("string", default=default) for default in ("a", "", "two\nlines")),
    _of("string", format="date", default="2026-11-20"),
    _of("number", default=0.1),
    _of("array", items={"type": "string"}),
    _of("array", items={"type": "string"}, default=["a", "b"]),
    _of("array", items={"enum": ["a", "b"]}, default=["b"]),
    LIST_OF_OBJECTS,
    {**_of("array", items={"type": "integer"}), "required": ["x"]},
    _of("array"),
    _of("object"),
    {"properties": {"x": {"enum": [1, True], "default": True}}},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_an_untouched_form_answers_as_the_approval_page_does(schema: dict[str, Any]) -> None:
    problems: dict[Any, str] = {}
    read = input_for(fields_of(schema), is_outer=True).read((), problems)

    assert problems == {}
    assert ({} if read is NOTHING else read) == read_form(schema, initial_entries(schema))


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({"type": "string", "default": "a"}, {"x": ""}),
        ({"type": "string"}, {}),
        ({"type": "integer", "default": 1}, {}),
    ],
)
def test_an_emptied_field_answers_as_on_the_approval_page(given: dict[str, Any], answer: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"x": given}}
    form = input_for(fields_of(schema), is_outer=True)
    next(each for each in _below(form.box) if isinstance(each, widgets.Text)).value = ""

    assert form.read((), {}) == read_form(schema, {"answer/x": [""]}) == answer


def test_an_entry_that_is_left_empty_is_none_and_moves_no_error(by_hand: ByHand) -> None:
    schema = {"properties": {"n": {"type": "array", "title": "N", "items": {"type": "integer"}, "default": [1, 2]}}}
    buttons = by_hand.ask(f"flow.suspend(schema={schema!r})")
    first, second = [each for each in _below(buttons.box) if isinstance(each, widgets.Text)]
    first.value, second.value = "", "x"
    buttons.buttons["Approve"].click()
    rows = [each for each in _below(buttons.form.box) if isinstance(each, widgets.HBox)]  # type: ignore[union-attr]
    assert ["must be a whole number" in texts(row) for row in rows] == [False, True]
    second.value = "5"
    buttons.buttons["Approve"].click()

    assert by_hand.value("%%step b\nsteps.a.data.n") == [5]


@pytest.mark.parametrize("default", ["2026-11-20", "tomorrow", 3])
def test_a_default_of_a_date_may_be_anything(by_hand: ByHand, default: Any) -> None:
    schema = {"properties": {"day": {"type": "string", "format": "date", "title": "Day", "default": default}}}
    day = inputs(by_hand.ask(f"flow.suspend(schema={schema!r})"))["Day"]

    assert str(day.value) == (default if default == "2026-11-20" else "None")


def test_an_entry_of_a_list_can_be_removed_and_its_error_stands_beside_it(by_hand: ByHand) -> None:
    schema = {"properties": {"n": {"type": "array", "title": "N", "items": {"type": "integer"}, "default": [1, 2]}}}
    buttons = by_hand.ask(f"flow.suspend(schema={schema!r})")
    first, second = [each for each in _below(buttons.box) if isinstance(each, widgets.Text)]
    second.value = "x"
    buttons.buttons["Approve"].click()
    assert "must be a whole number" in texts(buttons.box)
    next(each for each in _below(buttons.box) if getattr(each, "tooltip", "") == "Remove this entry").click()
    second.value = "5"
    buttons.buttons["Approve"].click()

    assert first.value == "1"
    assert by_hand.value("%%step b\nsteps.a.data.n") == [5]


def test_a_list_of_objects_is_filled_in_and_its_errors_stand_beside_its_fields(by_hand: ByHand) -> None:
    by_hand.kernel.run("from pydantic import BaseModel\nclass Line(BaseModel):\n    wine: str\n    bottles: int = 1")
    by_hand.kernel.run("class Order(BaseModel):\n    lines: list[Line]")
    buttons = by_hand.ask("flow.suspend(schema=Order)")
    add = next(each for each in _below(buttons.box) if getattr(each, "description", "") == "Add")
    add.click()
    add.click()
    buttons.buttons["Approve"].click()
    assert texts(buttons.box).count("is required") == 2
    # ipywidgets shows an error in place of a box that has one.
    assert [each for each in _below(buttons.box) if isinstance(each, widgets.Box) and each.tooltip is not None] == []
    wines = [each for each in _below(buttons.box) if getattr(each, "description", "") == "Wine *"]
    wines[0].value, wines[1].value = "red", "white"
    buttons.buttons["Approve"].click()

    assert by_hand.value("%%step b\n[(line.wine, line.bottles) for line in steps.a.data.lines]") == [
        ("red", 1),
        ("white", 1),
    ]


def test_two_kernels_do_not_mix(new_kernel: Callable[[], Any]) -> None:
    one, two = ByHand(new_kernel()), ByHand(new_kernel())
    first, second = one.ask("flow.suspend()"), two.ask("flow.suspend()")
    first.buttons["Approve"].click()

    assert one.kernel.session.test_mode.waiting is None
    assert two.kernel.session.test_mode.waiting is not None
    second.buttons["Cancel"].click()
    assert one.kernel.session.test_mode.cancelled is None


def _input_of(buttons: Buttons, name: str) -> Any:
    return buttons.form._inputs[name]  # type: ignore[union-attr]
