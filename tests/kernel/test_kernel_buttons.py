"""The buttons and the form under a cell that was run by hand, clicked without a browser."""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
import nbconvert
import nbformat
import pytest
from kernel.by_hand import ByHand, below, fill, input_at, inputs, problems, texts

from pauseflow_nb.forms.codec import initial_entries
from pauseflow_nb.forms.controls import draw
from pauseflow_nb.kernel.buttons import Buttons, show_buttons
from pauseflow_nb.kernel.form_widgets import input_for

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


@pytest.fixture
def by_hand(kernel: Any) -> ByHand:
    return ByHand(kernel)


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
        ("flow.suspend()", ["Approve", "Cancel the run"]),
        ("flow.rerun(1000)", ["Run again now", "As if it called back", "Cancel the run"]),
        ("flow.pause('1h')", ["Approve", "Cancel the run"]),
        ("flow.delay(1000)", ["Skip", "Cancel the run"]),
        ("flow.sleep('1s')", ["Skip", "Cancel the run"]),
    ],
)
def test_each_kind_of_pause_has_its_buttons(by_hand: ByHand, call: str, words: list[str]) -> None:
    assert list(by_hand.ask(call).buttons) == words


def test_approve_sends_what_stands_in_the_field_and_a_sentence_takes_its_place(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.suspend()")
    inputs(buttons)["Data"].value = '{"ok": true}'
    buttons.buttons["Approve"].click()

    assert by_hand.last["data"]["text/plain"] == "Step 'a' is approved: continue with the next cell."
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
    by_hand.ask("flow.suspend()").buttons["Cancel the run"].click()

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
    buttons.buttons["Submit"].click()

    assert by_hand.last["metadata"]["pauseflow"]["by_hand"] == "again"
    assert by_hand.value("%%step a\nflow.pause('1h', schema=int)") == 7
    assert by_hand.kernel.run("%%step b\n1").ok


def test_skip_goes_on(by_hand: ByHand) -> None:
    by_hand.ask("flow.delay(1000)").buttons["Skip"].click()

    assert by_hand.value("%%step b\n'$resume_data' in steps.a") is False


def test_a_click_after_it_was_settled_otherwise_does_nothing(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.suspend()")
    by_hand.kernel.run('%pauseflow approve {"n": 1}')
    buttons.buttons["Cancel the run"].click()

    assert by_hand.value("%%step b\nsteps.a.data.n") == 1
    assert "is approved" in texts(buttons.box)


@pytest.mark.parametrize("what", ["%pauseflow reset", "%%step a\n1"])
def test_buttons_of_what_was_left_go_away(by_hand: ByHand, what: str) -> None:
    buttons = by_hand.ask("flow.suspend()")
    by_hand.kernel.run(what)

    assert "Approve" not in [getattr(each, "description", "") for each in below(buttons.box)]


def order(by_hand: ByHand) -> tuple[Buttons, dict[str, Any]]:
    by_hand.kernel.run(MODEL)
    buttons = by_hand.ask("flow.suspend(schema=Order)")
    return buttons, inputs(buttons)


def test_the_form_shows_defaults_descriptions_and_required_marks(by_hand: ByHand) -> None:
    buttons, fields = order(by_hand)
    assert buttons.form is not None
    labels = [getattr(each, "description", "") for each in below(buttons.form.box)]

    assert {"Amount *", "Price", "Who", "Urgent", "Due", "Street *", "Number"} <= set(labels)
    assert fields["Who"].value == "ann"
    assert fields["Number"].value == "1"
    assert "How many bottles" in texts(buttons.form.box)
    assert isinstance(fields["Due"], widgets.DatePicker)
    assert isinstance(fields["Urgent"], widgets.Checkbox)
    size = next(each for each in below(buttons.form.box) if isinstance(each, widgets.Dropdown))
    assert [label for label, _ in size.options] == ["Not chosen", "small", "large"]


def filled(buttons: Buttons, **typed: str) -> None:
    written = {"amount": "4", "size": '"large"', "address/street": "Long Road", **typed}
    fill(buttons, {f"answer/{name}": [text] for name, text in written.items()})


def test_a_filled_form_becomes_an_instance_of_the_model(by_hand: ByHand) -> None:
    buttons, _ = order(by_hand)
    filled(buttons, tags="red\nblue")
    buttons.buttons["Submit"].click()

    source = "%%step b\no = steps.a.data\n(type(o).__name__, o.amount, o.size.value, o.address.street, o.tags, o.due)"
    assert by_hand.value(source) == ("Order", 4, "large", "Long Road", ["red", "blue"], None)


def test_all_that_is_wrong_is_said_at_once_beside_its_fields_and_in_a_summary(by_hand: ByHand) -> None:
    buttons, _ = order(by_hand)
    filled(buttons, amount="many", price="cheap", **{"address/street": ""})
    buttons.buttons["Submit"].click()

    assert problems(buttons) == {"answer/amount", "answer/price", "answer/address/street"}
    summary = texts(buttons._summary)
    assert "* required" in texts(buttons.box)
    assert "3 entries need a change, and nothing was answered" in summary
    assert "Amount must be a whole number" in summary
    assert 'role="alert"' in summary
    assert by_hand.kernel.session.test_mode.waiting is not None


def test_what_the_models_own_validators_say_stands_beside_the_field(by_hand: ByHand) -> None:
    buttons, _ = order(by_hand)
    filled(buttons, amount="1")
    buttons.buttons["Submit"].click()
    assert "must be at least 3" in texts(input_at(buttons, "answer/amount").box)
    filled(buttons, who="bob")
    buttons.buttons["Submit"].click()

    assert "must not be bob" in texts(input_at(buttons, "answer/who").box)
    assert problems(buttons) == {"answer/who"}
    filled(buttons, who="eve")
    buttons.buttons["Submit"].click()
    assert by_hand.value("%%step b\nsteps.a.data.who") == "eve"


def test_a_type_is_a_form_with_one_field(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.suspend(schema=int)")
    inputs(buttons)["Value"].value = "12"
    buttons.buttons["Submit"].click()

    assert by_hand.value("%%step b\nsteps.a.data") == 12


def test_digits_are_not_lost(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.suspend(schema=int)")
    inputs(buttons)["Value"].value = "7615917337495251231"
    buttons.buttons["Submit"].click()

    assert by_hand.value("%%step b\nsteps.a.data") == 7615917337495251231


def test_a_json_schema_is_a_form_too(by_hand: ByHand) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "number", "default": 2.5}, "ok": {"type": "boolean"}}}
    buttons = by_hand.ask(f"flow.suspend(schema={schema!r})")
    buttons.buttons["Submit"].click()

    assert by_hand.value("%%step b\n(steps.a.data.n, steps.a.data.ok)") == (2.5, False)


def test_an_untouched_form_sends_what_stands_in_it(by_hand: ByHand) -> None:
    by_hand.kernel.run(MODEL)
    schema = by_hand.value("from pauseflow_nb.kernel.answer_types import make_form; make_form(Order).json_schema")
    sent = input_for(draw(schema), is_outer=True).entries()

    drawn = {name: texts for name, texts in initial_entries(schema).items() if texts not in ([], [""])}
    assert {name: texts for name, texts in sent.items() if texts not in ([], [""])} == drawn


def test_an_object_that_may_be_left_out_is_absent_until_it_is_opened(by_hand: ByHand) -> None:
    by_hand.kernel.run("from pydantic import BaseModel\nclass Address(BaseModel):\n    street: str = 'Long Road'")
    by_hand.kernel.run("class Order(BaseModel):\n    address: Address | None = None")
    buttons = by_hand.ask("flow.suspend(schema=Order)")
    assert "answer/address/street" not in {each.control.name for each in buttons.form.inputs()}  # type: ignore[union-attr]
    buttons.buttons["Submit"].click()
    assert by_hand.value("%%step b\nsteps.a.data.address") is None

    buttons = by_hand.ask("flow.suspend(schema=Order)", "c")
    fill(buttons, {"answer/address~is": ["0"]})
    buttons.buttons["Submit"].click()
    assert by_hand.value("%%step d\nsteps.c.data.address.street") == "Long Road"


def test_rows_are_added_and_removed_and_their_errors_stand_beside_their_fields(by_hand: ByHand) -> None:
    by_hand.kernel.run("from pydantic import BaseModel\nclass Line(BaseModel):\n    wine: str\n    bottles: int = 1")
    by_hand.kernel.run("class Order(BaseModel):\n    lines: list[Line]")
    buttons = by_hand.ask("flow.suspend(schema=Order)")
    typed = {"answer/lines/0/wine": ["red"], "answer/lines/1/bottles": ["many"], "answer/lines/1/wine": ["white"]}
    fill(buttons, typed)
    buttons.buttons["Submit"].click()
    assert problems(buttons) == {"answer/lines/1/bottles"}
    # ipywidgets shows an error in place of a box that has one.
    assert [each for each in below(buttons.box) if isinstance(each, widgets.Box) and each.tooltip is not None] == []
    first = next(each for each in below(buttons.box) if str(getattr(each, "tooltip", "")).startswith("Remove"))
    first.click()
    fill(buttons, {"answer/lines/1/bottles": ["2"]})
    buttons.buttons["Submit"].click()

    assert by_hand.value("%%step b\n[(line.wine, line.bottles) for line in steps.a.data.lines]") == [("white", 2)]


@pytest.mark.parametrize("default", ["2026-11-20", "tomorrow"])
def test_a_default_of_a_date_may_be_anything(by_hand: ByHand, default: str) -> None:
    schema = {"properties": {"day": {"type": "string", "format": "date", "title": "Day", "default": default}}}
    day = inputs(by_hand.ask(f"flow.suspend(schema={schema!r})"))["Day"]

    assert str(day.value) == default


def test_a_comment_is_what_the_notebook_gets(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.suspend()")
    inputs(buttons)["Comment"].value = "looks good"
    buttons.buttons["Approve"].click()

    assert by_hand.value("%%step b\nsteps.a.data.comment") == "looks good"


def test_a_comment_beside_a_form_is_noted_with_the_decision(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.suspend(schema=int)")
    assert buttons.comment is not None
    below(buttons.comment.box)[1].value = "three\nat most"
    fill(buttons, {"answer/value": ["3"]})
    buttons.buttons["Submit"].click()

    assert "Comment: three\nat most" in by_hand.card
    assert "three\nat most" in by_hand.markup
    assert by_hand.value("%%step b\nsteps.a.data, steps.a['$resume_data']['comment']") == (3, "three\nat most")


@pytest.mark.parametrize("call", ["flow.suspend()", "flow.suspend(schema=int)", "flow.pause(schema=int)"])
def test_a_comment_says_why_the_flow_was_cancelled(by_hand: ByHand, call: str) -> None:
    buttons = by_hand.ask(call)
    commented = inputs(buttons)["Comment"] if buttons.comment is None else below(buttons.comment.box)[1]
    commented.value = "not today"
    buttons.buttons["Cancel the run"].click()

    assert by_hand.card.startswith("Cancelled by you: step 'a'")
    assert "Comment: not today" in by_hand.card


def test_the_author_writes_the_words_on_the_buttons(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.suspend(title='Ship?', labels={'resume': 'Ship it', 'cancel': 'Stop'})")
    assert list(buttons.buttons) == ["Ship it", "Stop"]
    assert "Stop ends the flow here" in texts(buttons.box)
    buttons.buttons["Ship it"].click()

    assert by_hand.card.splitlines()[0] == "Answered with “Ship it” by you: Ship?"


@pytest.mark.parametrize(
    ("call", "act", "headline"),
    [
        ("flow.suspend(title='Ship?')", "Approve", "Approved by you: Ship?"),
        ("flow.suspend()", "Approve", "Approved by you: step 'a'"),
        ("flow.suspend(schema=bool)", "Submit", "Submitted by you: step 'a'"),
        ("flow.suspend(title='Ship?')", "Cancel the run", "Cancelled by you: Ship?"),
        ("flow.suspend(title='Ship?')", "%pauseflow skip", "Timed out: Ship?"),
        ("flow.suspend(title='Ship?')", "%pauseflow reset", "Not answered: Ship?"),
        ("flow.rerun('1h')", "Run again now", "Run again by you: step 'a'"),
        ("flow.rerun('1h')", "As if it called back", "Run again by you: step 'a'"),
        ("flow.delay('1h')", "Skip", "Skipped by you: step 'a'"),
        ("flow.pause('1h', title='Ship?')", "Approve", "Approved by you: Ship?"),
    ],
)
def test_the_headline_of_the_card_follows_what_happens(by_hand: ByHand, call: str, act: str, headline: str) -> None:
    buttons = by_hand.ask(call)
    assert "canceled" in by_hand.card
    if act.startswith("%"):
        by_hand.show(act)
    else:
        buttons.buttons[act].click()

    assert by_hand.card.splitlines()[0] == headline
    assert "canceled" not in by_hand.card


def test_the_card_says_what_was_answered_as_it_was_typed_without_its_secrets(by_hand: ByHand) -> None:
    schema = {
        "properties": {
            "name": {"type": "string"},
            "pin": {"type": "string", "format": "password"},
            "wait": {"type": "string", "format": "duration"},
        }
    }
    buttons = by_hand.ask(f"flow.suspend(schema={schema!r})")
    fill(buttons, {"answer/name": ["ann <b>"], "answer/pin": ["4711"], "answer/wait": ["1 h"]})
    buttons.buttons["Submit"].click()

    assert "ann <b>" in by_hand.card
    assert "4711" not in by_hand.card
    assert '"wait": "1 h"' in by_hand.card
    assert "ann &lt;b&gt;" in by_hand.markup


def test_the_refusal_of_a_later_step_goes_when_the_answer_has_come(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.suspend()")
    refused = by_hand.show("%%step b\n1")
    assert "Step 'a' is suspended" in by_hand.text(refused)
    buttons.buttons["Approve"].click()

    assert by_hand.text(refused) == "Step 'b' can run now: run its cell."


def test_the_refusal_of_a_later_step_follows_a_rerun_and_a_cancel(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.rerun('1h')")
    refused = by_hand.show("%%step b\n1")
    buttons.buttons["Run again now"].click()
    assert "has to run again" in by_hand.text(refused)
    buttons = by_hand.ask("flow.suspend()")
    buttons.buttons["Cancel the run"].click()
    assert "was cancelled" in by_hand.text(refused)
    by_hand.show("%pauseflow reset")

    assert by_hand.text(refused) == "Step 'b' can run now: run its cell."


def test_two_kernels_do_not_mix(new_kernel: Callable[[], Any]) -> None:
    one, two = ByHand(new_kernel()), ByHand(new_kernel())
    first, second = one.ask("flow.suspend()"), two.ask("flow.suspend()")
    first.buttons["Approve"].click()

    assert one.kernel.session.test_mode.waiting is None
    assert two.kernel.session.test_mode.waiting is not None
    second.buttons["Cancel the run"].click()
    assert one.kernel.session.test_mode.cancelled is None


ALLOW = "allow=['resume', 'send_back', 'cancel']"


def test_a_question_that_is_sent_back_runs_its_step_again_with_the_comment(by_hand: ByHand) -> None:
    buttons = by_hand.ask(f"flow.suspend({ALLOW}, labels={{'send_back': 'Rework'}})")
    assert list(buttons.buttons) == ["Approve", "Rework", "Cancel the run"]
    inputs(buttons)["Comment"].value = "Round the totals"
    buttons.buttons["Rework"].click()

    assert by_hand.last["data"]["text/plain"] == "Step 'a' is sent back: run its cell again, it will be run 2."
    assert "was answered" in by_hand.kernel.run("%%step b\n1").shown
    source = "%%step a\nrun = flow.context.run\n(run.runs, run.sent_back.comment, 'callback_request' in run, flow.data)"
    assert by_hand.value(source) == (2, "Round the totals", False, None)


def test_a_form_has_a_place_for_the_comment_with_which_it_is_sent_back(by_hand: ByHand) -> None:
    buttons = by_hand.ask(f"flow.suspend(schema=int, {ALLOW})")
    assert buttons.comment is not None
    buttons.comment.body.value = "too low"  # type: ignore[attr-defined]
    buttons.buttons["Send back"].click()

    assert by_hand.value("%%step a\nflow.context.run.sent_back.comment") == "too low"


def test_a_question_without_a_cancel_has_no_button_for_it(by_hand: ByHand) -> None:
    buttons = by_hand.ask("flow.suspend(allow=['resume', 'send_back'])")

    assert list(buttons.buttons) == ["Approve", "Send back"]
    assert "ends the flow" not in texts(buttons.box)
