"""Sending back, on the page and by a link: only where the question allows it, and without JavaScript."""

import base64
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from server.conftest import BROWSER
from server.page_form import PageForm

from pauseflow_nb.protocol import Wake
from pauseflow_nb.store import segments

if TYPE_CHECKING:
    from server.conftest import Send, Stage

ALLOW = ["resume", "send_back", "cancel"]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def sent_back(stage: "Stage", execution: str) -> dict[str, Any]:
    """What the step finds when it runs again."""

    def find(connection: sa.Connection) -> dict[str, Any]:
        segment = segments.find(connection, execution, 1)
        assert segment is not None, "nothing goes on"
        assert segment.first_cell == 0, "the same cell runs again"
        wake = Wake.from_dict(segment.wake)
        assert wake.callback is None
        return wake.sent_back or {}

    return stage.queue.change(find)


def press(send: "Send", url: str, decision: str, **typed: str) -> Any:
    page = PageForm(send("GET", url, accept=BROWSER).body.decode())
    body = urlencode({**page.entries, **typed, "decision": decision}, doseq=True)
    return send("POST", url, body=body, accept=BROWSER, headers=FORM)


@pytest.mark.parametrize("schema", [None, SCHEMA], ids=["any answer", "a form that is not filled in"])
def test_the_page_has_a_third_button_that_sends_the_comment(
    stage: "Stage", base: str, send: "Send", schema: dict[str, Any] | None
) -> None:
    execution = stage.suspended(allow=ALLOW, schema=schema, labels={"send_back": "Rework"})
    url = f"{base}/{stage.link('approve', execution)}"
    page = PageForm(send("GET", url, accept=BROWSER).body.decode())
    assert [(action, is_disabled) for action, _, is_disabled in page.buttons] == [(each, False) for each in ALLOW]
    assert page.buttons[1][1] == "Rework"

    answer = press(send, url, "send_back", comment="Round the totals")

    assert answer.code == 200
    page = answer.body.decode()
    assert "Sent back with “Rework” by someone with the link on " in page
    assert "; the step runs again." in page
    assert ">Round the totals</blockquote>" in page
    assert sent_back(stage, execution)["comment"] == "Round the totals"
    assert "$resume_data" not in stage.queue.view(execution)["steps"]["approve"]["exports"]


def test_a_text_that_is_no_json_is_said_and_nothing_is_sent_back(stage: "Stage", base: str, send: "Send") -> None:
    execution = stage.suspended(allow=ALLOW)
    answer = press(send, f"{base}/{stage.link('approve', execution)}", "send_back", data="{oops")

    assert answer.code == 422
    assert "must be JSON" in answer.body.decode()
    assert stage.queue.state(execution) == "suspended"


def test_a_link_sends_back_what_a_program_says(stage: "Stage", base: str, send: "Send") -> None:
    execution = stage.suspended(allow=ALLOW)
    body = {"comment": "wrong rows", "rows": [3, 4]}
    answer = send("POST", f"{base}/{stage.link('send_back', execution)}", json=body)

    assert answer.code == 200
    found = sent_back(stage, execution)
    assert (found["comment"], found["data"], found["by"]) == ("wrong rows", body, "link")
    (record,) = stage.queue.decisions(execution)
    decision = json.loads(base64.b64decode(record["payload"]))["predicate"]["decision"]
    assert (decision["action"], decision["comment"], decision["at"]) == ("send_back", "wrong rows", found["at"])
    assert datetime.fromisoformat(found["at"])


@pytest.mark.parametrize("action", ["send_back", "cancel"])
def test_a_link_does_only_what_the_question_allows(stage: "Stage", base: str, send: "Send", action: str) -> None:
    allow = [each for each in ALLOW if each != action]
    execution = stage.suspended(allow=allow)
    url = f"{base}/{stage.link(action, execution)}"
    page = PageForm(send("GET", url, accept=BROWSER).body.decode())
    on_page = PageForm(send("GET", f"{base}/{stage.link('approve', execution)}", accept=BROWSER).body.decode())

    assert send("POST", url, json={}).code == 403
    assert [(each, is_disabled) for each, _, is_disabled in page.buttons] == [(action, True)]
    assert [each for each, *_ in on_page.buttons] == allow
    assert press(send, f"{base}/{stage.link('approve', execution)}", action).code == 403
    assert stage.queue.state(execution) == "suspended"


@pytest.mark.parametrize("allow", [ALLOW, ["resume", "cancel"]])
def test_what_comes_before_the_step_has_ended_is_judged_at_its_end(
    stage: "Stage", base: str, send: "Send", allow: list[str]
) -> None:
    execution = stage.begun()
    early = send("POST", f"{base}/{stage.link('send_back', execution)}", json={"comment": "early"})
    stage.suspend(execution, allow=allow)

    assert early.code == 202
    if "send_back" in allow:
        assert sent_back(stage, execution)["comment"] == "early"
    else:
        assert stage.queue.state(execution) == "suspended"


def test_looking_at_a_link_in_a_browser_sends_nothing_back(stage: "Stage", base: str, send: "Send") -> None:
    execution = stage.suspended(allow=ALLOW)
    answer = send("GET", f"{base}/{stage.link('send_back', execution)}", accept=BROWSER)

    assert [each for each, *_ in PageForm(answer.body.decode()).buttons] == ["send_back"]
    assert stage.queue.state(execution) == "suspended"


def test_a_long_comment_reaches_the_step_whole(stage: "Stage") -> None:
    execution = stage.suspended(allow=ALLOW)
    stage.queue.send_back(execution, comment="x" * 5000, by="user:ann")

    assert len(sent_back(stage, execution)["comment"]) == 5000


def test_the_shapes_of_before_are_as_they_were(stage: "Stage", make_stage: Callable[..., Any]) -> None:
    """Prefect's, Mastra's and Pipedream's pauses know nothing of a third answer."""
    del make_stage
    for kind in ("suspend", "rerun", "delay"):
        (suspension,) = stage.queue.view(stage.suspended(kind=kind))["suspended"]

        assert suspension["allow"] == ["resume", "cancel"]
        assert set(suspension["labels"]) == {"resume", "cancel"}
        assert suspension["send_back_url"] is None
        assert suspension["resume_url"]
        assert suspension["cancel_url"]
    assert asdict(Wake("a", "suspend"))["sent_back"] is None
