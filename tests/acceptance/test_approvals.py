"""Several people approve, as the notebook, the command line and the API then say."""

import json
from dataclasses import replace
from typing import Any

import nbformat
import pytest
from acceptance.command import Pauseflow
from acceptance.road import Road
from roads.rider import returned, shown

pytestmark = pytest.mark.acceptance


def test_the_notebook_says_who_approved_when_and_with_which_comment(road: Road) -> None:
    view = road.run(
        "%%step ask\nflow.suspend(approvals=2)",
        "%%step last\n[[a.by, a.comment] for a in steps.ask['$resume_data'].approvals], steps.ask.data",
    )
    assert road.send(view, body={"comment": "numbers are fine"})[0] == 202
    (waits,) = road.view(view)["suspended"]
    assert [each["comment"] for each in waits["approvals"]["given"]] == ["numbers are fine"]

    ended = road.answer(view["id"], {"comment": "ship it", "size": 3})

    approved = [["link", "numbers are fine"], ["user:ann", "ship it"]]
    assert returned(ended, "last") == [approved, {"comment": "ship it", "size": 3}]
    text = shown(road.output())
    assert "Resumed by link at" in text
    assert "\\u201cnumbers are fine\\u201d), ann at" in text
    assert "\\u201cship it\\u201d" in text


def test_an_approval_does_not_count_for_a_sibling(road: Road) -> None:
    view = road.run("%%step ask\nflow.suspend(approvals=2, approvers=['ann', 'bob'])", "%%step last\n1")
    assert road.queue.resume(view["id"], by="user:bob").status == 202

    (asked,) = road.queue.view(road.fork(view["id"]))["suspended"]

    assert (asked["approvals"]["given"], asked["approvals"]["approvers"]) == ([], ["ann", "bob"])


def as_person(pauseflow: Pauseflow, name: str) -> Pauseflow:
    return replace(pauseflow, environment={**pauseflow.environment, "LOGNAME": name})


@pytest.fixture
def notebook(pauseflow: Pauseflow) -> str:
    call = "flow.suspend(approvers=['ann', 'bob', 'eve'], approvals=2, self_approval=False, schema=bool)"
    sources = ["from pauseflow_nb import flow, steps", f"%%step ask\n{call}", "%%step last\nsteps.ask.data"]
    made: Any = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    made.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "Python"}
    nbformat.write(made, pauseflow.folder / "in.ipynb")
    return "in.ipynb"


def test_the_command_line_asks_the_same_rules(pauseflow: Pauseflow, notebook: str) -> None:
    ann, bob, eve, max_ = (as_person(pauseflow, name) for name in ("ann", "bob", "eve", "max"))
    waits = ann("run", notebook, "--until-pause", "--json").execution
    yes = ("resume", waits["id"], "--data", '{"value": true}')

    own, other = ann(*yes), max_(*yes)
    assert (own.code, own.stderr) == (2, "pauseflow: ann started this and may not approve it\n")
    assert (other.code, other.stderr) == (2, "pauseflow: max may not answer, only ann, bob, eve\n")
    bad = bob("resume", waits["id"], "--data", '{"value": "yes!"}')
    assert (bad.code, "value must be true or false" in bad.stderr) == (2, True)

    first = bob(*yes)
    assert first.code == 0
    assert "approvals: 1 of 2 (bob)" in first.stdout
    assert "wants     value (boolean)" in first.stdout
    last = eve(*yes, "--wait", "--json")
    assert (last.code, last.execution["state"]) == (0, "completed")
    assert last.exports("last")["$return_value"] is True
    given = last.exports("ask")["$resume_data"]["approvals"]
    assert [each["by"] for each in given] == ["user:bob", "user:eve"]
    assert json.dumps(given).count('"at"') == 2
