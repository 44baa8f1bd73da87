"""A notebook that has gone on since a decision, and waits again, is compared with what was signed when it began to wait."""

import json
import textwrap
from threading import Thread
from typing import Any

import nbformat
from roads.rider import Rider
from roads.test_decisions import ASK, WORK, answer_when_paused, check, decision, read

AGAIN = "%%step again\nflow.suspend(title='And this?');"
NEVER_TWICE = "assert __import__('os').path.exists('fixed')"


def ride_fork(rider: Rider, execution: str, *, from_step: str) -> dict[str, Any]:
    """Fork an execution, and read the fork's notebook at its next pause."""
    output = rider.folder / "fork.ipynb"
    rider.ride(rider.fork(execution, from_step=from_step, output=str(output)))
    return dict(json.loads(output.read_text(encoding="utf-8")))


def assert_signed(rider: Rider, notebook: dict[str, Any] | None = None) -> None:
    """It waits, nothing was changed, and a change to its last output is found."""
    notebook = notebook or read(rider)
    result = check(rider, notebook)
    outputs = [each for cell in notebook["cells"] for each in cell["outputs"] if each["output_type"] == "stream"]
    outputs[-1]["text"] = ["something else\n"]

    assert result.problems == []
    assert any(note.startswith("it waits") for note in result.notes)
    assert any("was changed" in problem for problem in check(rider, notebook).problems)


def test_a_step_that_was_sent_back_has_other_outputs(rider: Rider) -> None:
    ask = "%%step ask\nprint('run', flow.context.run.runs)\nflow.suspend(allow=('resume', 'cancel', 'send_back'));"
    view = rider.run(WORK, ask, "1")
    rider.queue.send_back(view["id"], by="user:ann", comment="once more")
    rider.ride(view["id"])

    assert_signed(rider)


def test_a_later_cell_changes_what_an_earlier_one_has_displayed(rider: Rider) -> None:
    show = "handle = display('one', display_id='x')\nprint('shown')"
    view = rider.run(show, ASK, "handle.update('two')", AGAIN)
    rider.answer(view["id"])

    assert_signed(rider)


def test_an_answer_within_a_cell_and_then_a_question(rider: Rider) -> None:
    execution = rider.start("%%step ask\nprint(flow.pause('1h'))\nprint('after')", AGAIN)
    answered = Thread(target=answer_when_paused, args=(rider, execution))
    answered.start()
    rider.ride(execution)
    answered.join()

    assert_signed(rider)


def test_what_ended_and_was_retried(rider: Rider) -> None:
    view = rider.run(WORK, ASK, NEVER_TWICE, AGAIN)
    rider.answer(view["id"])
    (rider.folder / "fixed").touch()
    rider.retry(view["id"])
    rider.ride(view["id"])

    assert_signed(rider)


def test_a_fork_has_the_records_of_its_source(rider: Rider) -> None:
    view = rider.run(WORK, ASK, AGAIN, "1")
    rider.answer(view["id"])
    rider.fork(view["id"], output=str(rider.folder / "at_once.ipynb"))
    sibling = rider.fork(view["id"], from_step="again", output=str(rider.folder / "later.ipynb"))
    rider.ride(sibling)

    for name in ("at_once.ipynb", "later.ipynb"):
        assert_signed(rider, json.loads((rider.folder / name).read_text(encoding="utf-8")))


def test_decisions_of_steps_after_the_one_that_a_fork_begins_with_do_not_count(rider: Rider) -> None:
    view = rider.run(WORK, ASK, AGAIN, "1")
    rider.answer(view["id"])
    rider.answer(view["id"])
    forked = ride_fork(rider, view["id"], from_step="ask")

    assert_signed(rider, forked)
    withdrawn = [each.facts["suspension"] for each in check(rider, forked).statements if each.facts.get("withdrawn")]
    assert [place["step"] for place in withdrawn if isinstance(place, dict)] == ["ask", "again"]


def test_a_decision_on_cells_that_were_edited_since_does_not_count(rider: Rider) -> None:
    view = rider.run(WORK, ASK, "print('end')")
    rider.answer(view["id"])
    edited = nbformat.read(rider.folder / "in.ipynb", 4)
    edited.cells[1].source = "print('other work')"
    nbformat.write(edited, rider.folder / "edited.ipynb")
    rider.retry(view["id"], notebook=str(rider.folder / "edited.ipynb"))
    rider.ride(view["id"])

    assert_signed(rider)
    rider.answer(view["id"])
    assert check(rider).problems == []


def test_an_answer_that_the_notebook_refused_does_not_count(rider: Rider) -> None:
    model = """
    import pydantic

    class Answer(pydantic.BaseModel):
        n: int

        @pydantic.field_validator("n")
        @classmethod
        def must_be_even(cls, value):
            if value % 2:
                raise ValueError("odd")
            return value
    """
    view = rider.run(textwrap.dedent(model), "%%step ask\nflow.suspend(schema=Answer);", "print(steps.ask.data)")
    rider.answer(view["id"], {"n": 1})
    refused = check(rider)
    rider.answer(view["id"], {"n": 2})
    result = check(rider)

    assert (refused.problems, result.problems) == ([], [])
    assert [each.facts.get("decision") is None for each in result.statements] == [False, True, False, True]
    assert decision(result, 3)["answer"] == {"n": 2}


def suspend_before_first_cell(rider: Rider, *sources: str) -> str:
    """Let somebody suspend a notebook from outside before any cell has run."""
    execution = rider.start(*sources)
    rider.queue.suspend(execution, by="user:bob")
    rider.ride(execution)
    return execution


def test_a_question_from_outside_is_compared_with_its_card(rider: Rider) -> None:
    view = rider.run(WORK, ASK, "print('on')", AGAIN)
    rider.queue.resume(view["id"], by="user:ann")
    rider.queue.suspend(view["id"], by="user:bob")
    rider.ride(view["id"])
    assert_signed(rider)
    rider.answer(view["id"])
    assert_signed(rider)
    rider.answer(view["id"])

    assert check(rider).problems == []
    notebook = json.dumps(read(rider)).replace("Suspended by bob", "Suspended by eve")
    assert "step none: the title was changed" in check(rider, json.loads(notebook)).problems


def test_a_question_from_outside_before_the_first_cell_has_no_card(rider: Rider) -> None:
    execution = suspend_before_first_cell(rider, WORK, ASK)
    rider.answer(execution)
    assert_signed(rider)
    rider.answer(execution)

    assert check(rider).problems == []


def test_a_question_from_outside_is_followed_by_a_failure_and_a_retry(rider: Rider) -> None:
    view = rider.run(WORK, ASK, "print('on')", NEVER_TWICE, AGAIN)
    rider.queue.resume(view["id"], by="user:ann")
    rider.queue.suspend(view["id"], by="user:bob")
    rider.ride(view["id"])
    rider.answer(view["id"])
    assert check(rider).problems == []
    (rider.folder / "fixed").touch()
    rider.retry(view["id"])
    rider.ride(view["id"])

    assert_signed(rider)


def test_a_question_from_outside_before_the_step_that_a_fork_begins_with_counts(rider: Rider) -> None:
    view = rider.run(WORK, ASK, "print('on')", AGAIN)
    rider.queue.resume(view["id"], by="user:ann")
    rider.queue.suspend(view["id"], by="user:bob")
    rider.ride(view["id"])
    rider.answer(view["id"])
    forked = ride_fork(rider, view["id"], from_step="again")
    assert_signed(rider, forked)
