"""`steps.trigger`: what started the execution, headless and by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from pauseflow_nb.protocol import Briefing

READ = "%%step a\n[steps.trigger.event['name'], steps['trigger']['event']['name'], steps.trigger['event'].name]"


def test_by_hand_the_event_is_the_parameters(kernel: Any) -> None:
    kernel.run("name = 'ann'")

    assert kernel.run(READ).value == ["ann"] * 3
    assert kernel.run("steps.trigger.context.kind, steps.trigger.context.test").value == ("test", True)


def test_by_hand_a_sample_takes_the_place_of_the_parameters(kernel: Any) -> None:
    kernel.run("name = 'ann'")
    text = kernel.run('%pauseflow trigger {"name": "bob", "body": {"items": [{"n": 1}]}}')

    assert "steps.trigger.event" in text.text
    assert kernel.run(READ).value == ["bob"] * 3
    assert kernel.run("steps.trigger.event.body['items'][0].n").value == 1
    assert '"name": "bob"' in kernel.run("%pauseflow trigger").text


def test_a_sample_outlives_a_reset(kernel: Any) -> None:
    kernel.run('%pauseflow trigger {"name": "bob"}')
    kernel.run("%pauseflow reset")

    assert kernel.run(READ).value == ["bob"] * 3


@pytest.mark.parametrize("text", ["null", "3", '["a"]', '"text"'])
def test_a_sample_is_any_json_value(kernel: Any, text: str) -> None:
    kernel.run(f"%pauseflow trigger {text}")

    assert kernel.run("import json; json.dumps(steps.trigger.event)").value == text


def test_a_sample_that_is_no_json_is_refused_and_the_old_one_stays(kernel: Any) -> None:
    kernel.run('%pauseflow trigger {"name": "bob"}')
    refused = kernel.run("%pauseflow trigger {name: 1}")

    assert "%pauseflow trigger" in str(refused.error)
    assert "is not JSON" in str(refused.error)
    assert kernel.run(READ).value == ["bob"] * 3


def test_without_a_sample_the_magic_says_what_the_event_is(kernel: Any) -> None:
    assert "holds the parameters" in kernel.run("%pauseflow trigger").text


def test_a_handler_reads_it_under_pipedreams_name(kernel: Any) -> None:
    kernel.run('%pauseflow trigger {"body": {"name": "bob"}}')

    source = "%%step a\ndef handler(pd: 'pipedream'):\n    return pd.steps['trigger']['event']['body']['name']"
    assert kernel.run(source).value == "bob"


def test_it_is_no_step_that_has_run(kernel: Any) -> None:
    assert kernel.run("'trigger' in steps, list(steps), len(steps)").value == (True, [], 0)
    assert "trigger" in kernel.run("dir(steps)").value


def test_headless_the_event_is_the_parameters_unless_a_trigger_started_it(
    kernel: Any, briefing: Callable[..., Briefing]
) -> None:
    kernel.begin(briefing(inputs={"name": "ann"}, trigger={"context": {"kind": "run", "id": "e1"}}))

    assert kernel.run(READ).value == ["ann"] * 3
    assert kernel.run("steps.trigger.context.kind, steps.trigger.context['id']").value == ("run", "e1")


def test_headless_the_event_of_a_trigger_may_be_null(kernel: Any, briefing: Callable[..., Briefing]) -> None:
    kernel.begin(briefing(inputs={"name": "ann"}, trigger={"context": {"kind": "http"}, "event": None}))

    assert kernel.run("steps.trigger.event is None").value is True
