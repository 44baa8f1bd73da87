"""`make demo`, as the first person runs it and as nobody does."""

import json
import os
import re
import signal
from pathlib import Path

import nbformat
import pytest
from acceptance.command import NOTEBOOKS, Pauseflow, Running
from acceptance.web import send

pytestmark = pytest.mark.acceptance


def start_demo(pauseflow: Pauseflow, **environment: str) -> Running:
    pauseflow.environment.pop("CI", None)
    pauseflow.environment |= environment
    return pauseflow.start_process(NOTEBOOKS / "demo.py", output=pauseflow.folder / "demo" / "approve_model.ipynb")


def assert_left_its_results(folder: Path) -> None:
    result = json.loads((folder / "approved_model.json").read_text())
    notebook = nbformat.read(folder / "approve_model.ipynb", as_version=4)
    nbformat.validate(notebook)

    assert result["trained by process"] != result["published by process"]
    assert all(cell.outputs for cell in notebook.cells if cell.id in {"train", "plot", "table", "publish"})


def test_with_nobody_there_it_answers_itself_and_leaves_a_finished_notebook(pauseflow: Pauseflow) -> None:
    ended = start_demo(pauseflow, CI="true").end()

    assert ended.code == 0, ended.stderr
    assert re.search(
        r"approve +http://.*\n.*resume +http://.*\n.*cancel +http://.*\nCI=true: answering it", ended.stdout
    )
    assert_left_its_results(pauseflow.folder / "demo")


@pytest.mark.slow  # the two others are as much of the road
def test_a_person_opens_the_link_and_sees_what_to_look_at(pauseflow: Pauseflow) -> None:
    running = start_demo(pauseflow)
    send(running.link("resume"))
    ended = running.end()

    assert ended.code == 0, ended.stderr
    assert "curl -X POST LINK" in ended.stdout
    assert "the finished notebook" in ended.stdout
    assert_left_its_results(pauseflow.folder / "demo")


@pytest.mark.slow
def test_it_can_be_run_again(pauseflow: Pauseflow) -> None:
    """Also when the first was left waiting, by Ctrl-C: its output is in use until it ends."""
    first = start_demo(pauseflow)
    first.link("resume")
    os.killpg(first.process.pid, signal.SIGINT)
    left = first.end()
    ended = start_demo(pauseflow, CI="true").end()

    assert left.code == 130
    assert "`make demo` begins anew" in left.stdout
    assert "Traceback" not in left.stderr
    assert ended.code == 0, ended.stderr + ended.stdout
