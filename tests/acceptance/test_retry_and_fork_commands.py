"""`retry`, `fork`, `suspend` and `flow.pause` as a shell and a web client see them."""

import json

import pytest
from acceptance.command import Pauseflow
from acceptance.test_command_line import ASK, IMPORT, in_step, notebook
from acceptance.web import send

pytestmark = pytest.mark.acceptance

ONCE = "%%step once\nopen('log', 'a').write('once\\n')\nx = 20"


def test_an_edited_notebook_goes_on_and_a_fork_begins_at_a_step(pauseflow: Pauseflow) -> None:
    broken = pauseflow(
        "run", notebook(pauseflow.folder, IMPORT, ONCE, "%%step use\nx / 0"), "out.ipynb", "--json"
    ).execution
    edited = notebook(pauseflow.folder, IMPORT, ONCE, "%%step use\nx + 1", name="edited.ipynb")

    mended = pauseflow("retry", broken["id"], "--with", edited, "--wait", "--json")
    assert (mended.code, mended.exports("use")["$return_value"]) == (0, 21)
    assert "it continues after step 'once', at cell 3; these steps run again: use" in mended.stderr
    forked = pauseflow("fork", broken["id"], "--from", "use", "--output", "fork.ipynb", "--wait", "--json")
    assert (forked.code, forked.execution["output"]) == (0, str(pauseflow.folder / "fork.ipynb"))
    assert forked.execution["id"] != broken["id"]
    assert (pauseflow.folder / "log").read_text() == "once\n"
    refused = pauseflow("retry", broken["id"])
    assert (refused.code, "go back with --from STEP" in refused.stderr) == (2, True)


@pytest.mark.thorough
@pytest.mark.new_process  # and it takes its time to start
def test_a_run_is_suspended_from_another_shell_and_resumed(pauseflow: Pauseflow) -> None:
    wait = (
        "import pathlib, time\npathlib.Path('began').touch()\nwhile not pathlib.Path('go').exists(): time.sleep(0.02)"
    )
    running = pauseflow.start(
        "run", notebook(pauseflow.folder, IMPORT, wait, "%%step last\n'end'"), "out.ipynb", "--json"
    )
    in_step(running, pauseflow.folder / "began")
    (listed,) = pauseflow.executions()

    assert pauseflow("suspend", listed["id"]).code == 0
    # The run looks twice a second, and this command takes longer than that to start.
    pauseflow("list")
    (pauseflow.folder / "go").touch()
    running.line_with("Suspended by")
    assert pauseflow("resume", listed["id"]).code == 0
    ended = running.end()
    assert (ended.code, ended.exports("last")["$return_value"]) == (0, "end")


def test_a_pause_is_printed_and_answered_by_its_link(pauseflow: Pauseflow) -> None:
    step = "%%step ask\nflow.pause('5m', title='How many?', schema=int) * 2"
    running = pauseflow.start("run", notebook(pauseflow.folder, IMPORT, step), "out.ipynb", "--json")
    link = running.link("resume")

    assert send(link, {"value": "many"})[0] == 422
    assert send(link, {"value": 4})[0] == 200
    ended = running.end()
    assert (ended.code, ended.exports("ask")["$return_value"]) == (0, 8)
    assert "How many?" in ended.stderr


@pytest.mark.thorough
def test_what_a_nested_notebook_waits_for_is_shown_and_answered_at_its_parent(pauseflow: Pauseflow) -> None:
    notebook(pauseflow.folder, IMPORT, ASK, name="child.ipynb")
    path = notebook(pauseflow.folder, IMPORT, "%%step run\nflow.run_notebook('child.ipynb')", "%%step last\n'end'")
    running = pauseflow.start("run", path, "out.ipynb", "--json")
    running.line_with("run → ask (--step child.ask): Go on?")
    parent = next(each for each in pauseflow.executions() if each["parent"] is None)

    answered = pauseflow("resume", parent["id"], "--data", json.dumps({"ok": True}))
    assert answered.code == 0
    ended = running.end()
    assert (ended.code, ended.exports("last")["$return_value"]) == (0, "end")
    assert ended.exports("run")["child"]["ask"]["$resume_data"]["body"] == {"ok": True}
