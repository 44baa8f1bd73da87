"""`flow.context`, `flow.data` and `flow.inputs` within a step."""

from collections.abc import Callable
from typing import Any

import pytest

from pauseflow_nb.protocol import StepBriefing, Wake

from .conftest import step_briefing

HeadlessT = Callable[..., Any]
ENVELOPE = {"method": "POST", "query": {"q": "1"}, "body": {"ok": True}, "by": "link"}


def context_of(kernel: Any) -> Any:
    kernel.run("%%step a\nseen = flow.context\ndata = flow.data")
    return kernel.names["seen"]


def test_the_first_run_of_a_step_knows_where_it_runs(headless: HeadlessT) -> None:
    assert context_of(headless()) == {
        "id": "k3v9",
        "notebook": "n.ipynb",
        "started_at": "2026-11-20T08:00:00+00:00",
        "test": False,
        "step": "a",
        "run": {
            "runs": 1,
            "context": None,
            "suspend_data": None,
            "attempt": 1,
            "idempotency_key": "k3v9/a/1",
        },
    }


def test_by_hand_the_context_says_that_it_is_a_test(kernel: Any) -> None:
    seen = context_of(kernel)

    assert (seen.test, seen.id, seen.run.runs) == (True, "test", 1)


def test_the_context_takes_items_and_attributes_alike(headless: HeadlessT) -> None:
    seen = context_of(headless())

    assert seen.run.runs == seen["run"]["runs"] == seen.run["runs"] == 1
    with pytest.raises(AttributeError, match="there is no 'callback_request'"):
        _ = seen.run.callback_request


def test_a_rerun_by_the_clock_has_its_context_and_no_callback_request(headless: HeadlessT) -> None:
    wake = Wake("a", "rerun", then="rerun", context={"job": 7}, max_retries=3)
    kernel = headless(steps={"a": step_briefing("a", runs=2)}, wake=wake)
    seen = context_of(kernel)

    assert (seen.run.runs, seen.run.context.job) == (3, 7)
    assert "callback_request" not in seen.run
    assert seen.run.idempotency_key == "k3v9/a/3"
    assert kernel.names["data"] is None


def test_a_rerun_by_a_request_has_the_request_and_its_data(headless: HeadlessT) -> None:
    wake = Wake("a", "suspend", then="rerun", callback=ENVELOPE, suspend_data={"n": 1}, by="link")
    kernel = headless(steps={"a": step_briefing("a", runs=1)}, wake=wake)
    seen = context_of(kernel)

    assert seen.run.callback_request.body.ok is True
    assert seen.run.suspend_data == {"n": 1}
    assert kernel.names["data"] == {"ok": True}


def test_a_rerun_by_the_clock_that_brought_a_default_has_it_as_its_data(headless: HeadlessT) -> None:
    kept = {"$resume_data": {"body": {"ok": False}, "by": "clock"}}
    kernel = headless(steps={"a": step_briefing("a", runs=1, exports=kept)}, wake=Wake("a", "suspend", then="rerun"))
    seen = context_of(kernel)

    assert "callback_request" not in seen.run
    assert kernel.names["data"] == {"ok": False}


def test_a_step_that_did_not_cause_the_wake_knows_nothing_of_it(headless: HeadlessT) -> None:
    wake = Wake("b", "rerun", then="rerun", callback=ENVELOPE, context=1)

    assert context_of(headless(wake=wake)).run == {
        "runs": 1,
        "context": None,
        "suspend_data": None,
        "attempt": 1,
        "idempotency_key": "k3v9/a/1",
    }


def test_an_attempt_after_a_crash_keeps_its_run_and_its_key(headless: HeadlessT) -> None:
    seen = context_of(headless(steps={"a": step_briefing("a", interrupted=2)}))

    assert (seen.run.runs, seen.run.attempt, seen.run.idempotency_key) == (1, 3, "k3v9/a/1")


def test_inputs_are_the_parameters_in_steps_and_elsewhere(headless: HeadlessT) -> None:
    kernel = headless(inputs={"alpha": 0.6})

    assert kernel.run("flow.inputs.alpha, flow.inputs['alpha']").value == (0.6, 0.6)
    assert isinstance(kernel.run("flow.inputs.beta").error, AttributeError)


def test_by_hand_inputs_are_the_variables_that_the_parameters_cell_set(kernel: Any) -> None:
    kernel.run("alpha = 0.6")

    assert kernel.run("flow.inputs.alpha, flow.inputs['alpha']").value == (0.6, 0.6)
    assert isinstance(kernel.run("flow.inputs.beta").error, AttributeError)


def test_a_step_without_links_in_the_briefing_says_so(headless: HeadlessT) -> None:
    ran = headless(steps={"a": StepBriefing()}).run("%%step a\nflow.suspend()")

    assert "there are no links for attempt 1" in str(ran.error)
