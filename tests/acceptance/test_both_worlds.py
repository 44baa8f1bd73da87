"""The same notebook by hand and headless leaves the same values in `steps` and tells steps the same."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from acceptance.shell import Shell
from nbformat.v4 import new_code_cell, new_notebook

from pauseflow_nb.engine.attached import run_attached
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.execution import RunOptions, plan, start_attached
from pauseflow_nb.settings import Settings

pytestmark = pytest.mark.acceptance

#: What differs by nature: where it ran and when. `by` is compared by its kind.
_OF_ITS_OWN = {"id", "notebook", "started_at", "test", "idempotency_key"}
_OF_THE_REQUEST = {"received_at", "path", "url", "method", "client_ip", "body_raw", "headers"}

TOLD = "flow.export('told', dict(flow.context))\nflow.export('brought', repr(flow.data))"


@dataclass(frozen=True)
class Story:
    """A notebook, and how each of its pauses is answered, in order: with data, or by the clock."""

    cells: list[str]
    answers: list[Any] = field(default_factory=list)


class Clock:
    """Stands for an answer that never comes."""


STORIES = {
    "an approval with data": Story(
        [f"%%step ask\n{TOLD}\nflow.suspend('1h', data={{'n': 1}});", f"%%step use\n{TOLD}\nsteps.ask.data.ok"],
        [{"ok": True}],
    ),
    "an approval without data": Story(
        ["%%step ask\nflow.suspend('1h');", "%%step use\n[steps.ask.data == {}, sorted(steps.ask)]"], [None]
    ),
    "a model": Story(
        [
            "from pydantic import BaseModel\nclass Order(BaseModel):\n    amount: int\n    who: str = 'ann'",
            "%%step ask\nflow.suspend('1h', schema=Order);",
            "%%step use\n[type(steps.ask.data).__name__, steps.ask.data.amount, steps.ask.data.who]",
        ],
        [{"amount": 3}],
    ),
    "one bare value": Story(
        ["%%step ask\nflow.suspend('1h', schema=int);", "%%step use\nsteps.ask.data + 1"], [{"value": 4}]
    ),
    "a default of the clock": Story(
        [
            "%%step ask\nflow.suspend('50ms', on_timeout='resume', default={'n': 2});",
            "%%step use\n[steps.ask.data.n, steps.ask['$resume_data'].by]",
        ],
        [Clock],
    ),
    "a rerun by the clock": Story(
        [
            f"%%step poll\n{TOLD}\nif flow.context.run.runs == 1:\n    flow.rerun(50, {{'job': 7}}, 3)",
            "steps.poll.told",
        ],
        [Clock],
    ),
    "a rerun by a callback": Story(
        [
            f"%%step poll\n{TOLD}\nif flow.context.run.runs == 1:\n    flow.rerun('1h', {{'job': 7}}, 3)",
            "%%step use\nsteps.poll.data.done",
        ],
        [{"done": True}],
    ),
    "a budget of reruns": Story(
        [f"%%step poll\n{TOLD}\nflow.rerun('1h', {{'n': flow.context.run.runs}}, 1);", "%%step use\nlist(steps)"],
        [None],
    ),
    "the same step once more": Story(
        [
            f"%%step ask\n{TOLD}\nif flow.context.run.runs == 1:\n    flow.suspend('1h', data='q', then='rerun')",
            "%%step use\nsteps.ask.data",
        ],
        [{"n": 5}],
    ),
    "a delay": Story(["%%step wait\nflow.delay(50);", "%%step use\nsorted(steps.wait)"], [Clock]),
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_by_hand_leaves_what_a_headless_run_leaves(
    story: Story, tmp_path: Path, new_shell: Callable[[], Shell]
) -> None:
    by_hand, headless = _by_hand(new_shell(), story), _headless(tmp_path, story)

    assert _compared(by_hand) == _compared(headless)


def _by_hand(shell: Shell, story: Story) -> Mapping[str, Any]:
    answers, at = list(story.answers), 0
    cells = ["from pauseflow_nb import flow, steps", *story.cells]
    while at < len(cells):
        error = shell.run(cells[at])
        testmode = shell.session.testmode
        if testmode is None or testmode.waiting is None:
            assert error is None
            at += 1
            continue
        is_rerun = testmode.waiting.asked.request.then == "rerun"
        answer = answers.pop(0)
        shell.run("%pauseflow skip" if answer is Clock else f"%pauseflow approve {_as_text(answer)}")
        at += not is_rerun
    assert not answers
    return shell.session.exports


def _headless(folder: Path, story: Story) -> Mapping[str, Any]:
    cells = [new_code_cell(source) for source in ["from pauseflow_nb import flow, steps", *story.cells]]
    nbformat.write(new_notebook(cells=cells), folder / "n.ipynb")
    settings = Settings.load(flags={"data_dir": folder / "data", "port": 0}, environment={})
    queue = Queue.open(settings)
    try:
        options = RunOptions(kernel="python3", cwd=str(folder))
        execution = start_attached(queue, plan(str(folder / "n.ipynb"), None, {}, options))
        # On a busy machine the clock may come before anybody sees that it is waited for.
        answers = [answer for answer in story.answers if answer is not Clock]
        while (view := run_attached(queue, execution, until_pause=True))["state"] in ("suspended", "waiting"):
            if answers:
                assert queue.resume(execution, data=answers.pop(0), by="user:ann").status == 200
            else:
                view = run_attached(queue, execution)
        assert (view["state"], view["error"], answers) == ("completed", None, [])
        return {name: step["exports"] for name, step in queue.view(execution)["steps"].items()}
    finally:
        queue.close()


def _as_text(answer: Any) -> str:
    return "" if answer is None else json.dumps(answer)


def _compared(exports: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(values) for name, values in exports.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        is_envelope = "body" in value and "received_at" in value
        left_out = _OF_THE_REQUEST if is_envelope else _OF_ITS_OWN
        kept = {key: _plain(item) for key, item in value.items() if key not in left_out}
        return {**kept, "by": str(value["by"]).split(":")[0]} if is_envelope else kept
    return [_plain(item) for item in value] if isinstance(value, list) else value
