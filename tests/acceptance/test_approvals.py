"""Several people approve, as the notebook, the command line and the API then say."""

from dataclasses import replace
from typing import Any

import nbformat
import pytest
from acceptance.command import Pauseflow
from acceptance.road import Road
from roads.rider import returned, shown

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.identity import identify_account, identify_user
from pauseflow_nb.settings import Settings

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
    assert "Approved by someone with the link at" in text
    assert "\\u201cnumbers are fine\\u201d), ann at" in text
    assert "\\u201cship it\\u201d" in text


def test_an_approval_does_not_count_for_a_sibling(road: Road) -> None:
    view = road.run("%%step ask\nflow.suspend(approvals=2, approvers=['ann', 'bob'])", "%%step last\n1")
    assert road.queue.resume(view["id"], by="user:bob").status == 202

    (asked,) = road.queue.view(road.fork(view["id"]))["suspended"]

    assert (asked["approvals"]["given"], asked["approvals"]["approvers"]) == ([], ["ann", "bob"])


ME = identify_account({}).removeprefix("user:")


def answer_as(pauseflow: Pauseflow, name: str, execution: str) -> int:
    """Answer as somebody whom a login knows."""
    given = {key.removeprefix("PAUSEFLOW_").lower(): value for key, value in pauseflow.environment.items()}
    queue = Queue.open(Settings.load(flags={"data_dir": given["data_dir"]}, environment={}))
    try:
        return queue.resume(execution, data={"value": True}, by=identify_user(name)).status
    finally:
        queue.close()


@pytest.fixture
def notebook(pauseflow: Pauseflow) -> str:
    return write(pauseflow, "flow.suspend(approvers=['ann', 'bob'], approvals=2, self_approval=False, schema=bool)")


@pytest.fixture
def open_notebook(pauseflow: Pauseflow) -> str:
    return write(pauseflow, "flow.suspend(approvals=2)")


def write(pauseflow: Pauseflow, call: str) -> str:
    sources = ["from pauseflow_nb import flow, steps", f"%%step ask\n{call}", "%%step last\nsteps.ask.data"]
    made: Any = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    made.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "Python"}
    nbformat.write(made, pauseflow.folder / "in.ipynb")
    return "in.ipynb"


def test_the_command_line_asks_the_same_rules(pauseflow: Pauseflow, notebook: str) -> None:
    own = pauseflow("run", notebook, "--until-pause", "--json").execution
    yes = ("--data", '{"value": true}')

    started = pauseflow("resume", own["id"], *yes)
    assert (started.code, started.stderr) == (2, f"pauseflow: {ME} may not answer, only ann, bob\n")
    assert answer_as(pauseflow, "ann", own["id"]) == 202
    shown = pauseflow("show", own["id"])
    assert "approvals: 1 of 2 (ann (login))" in shown.stdout
    assert answer_as(pauseflow, "ann", own["id"]) == 200
    assert answer_as(pauseflow, "Ann", own["id"]) == 403
    assert answer_as(pauseflow, "bob", own["id"]) == 200


@pytest.mark.thorough
@pytest.mark.parametrize("variable", ["LOGNAME", "USER"])
def test_nobody_is_who_an_environment_variable_says(pauseflow: Pauseflow, open_notebook: str, variable: str) -> None:
    waits = pauseflow("run", open_notebook, "--until-pause", "--json").execution
    bob = replace(pauseflow, environment={**pauseflow.environment, variable: "bob"})

    assert pauseflow("resume", waits["id"], "--json").code == 0
    again = bob("resume", waits["id"], "--json")

    (asked,) = again.execution["suspended"]
    given = [(each["by"], each["known_by"]) for each in asked["approvals"]["given"]]
    assert given == [(f"user:{ME}", "account")]
    sudo = replace(pauseflow, environment={**pauseflow.environment, "SUDO_USER": "bob"})
    assert sudo("cancel", waits["id"], "--json").execution["reason"]["via"] == "sudo by bob"
