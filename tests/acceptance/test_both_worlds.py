"""The same notebook by hand and headless leaves the same values in `steps` and tells steps the same."""

import functools
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import pytest
from acceptance.shell import Shell
from nbformat.v4 import new_code_cell, new_notebook

from pauseflow_nb.engine.attached import run_attached
from pauseflow_nb.engine.progress_events import Event
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.launching import RunOptions, plan, start_attached
from pauseflow_nb.protocol import merge_exports
from pauseflow_nb.runner.kernels.source import Supply
from pauseflow_nb.settings import Settings

pytestmark = pytest.mark.acceptance

#: What differs by nature: where it ran and when. `by` is compared by its kind.
_OF_ITS_OWN = {"id", "notebook", "started_at", "test", "idempotency_key"}
_OF_THE_REQUEST = {"received_at", "path", "url", "method", "client_ip", "body_raw", "headers", "known_by"}

TOLD = "flow.export('told', dict(flow.context))\nflow.export('brought', repr(flow.data))"


@dataclass(frozen=True)
class Story:
    """A notebook, and how each of its pauses is answered, in order: with data, by the clock, or by a cancel."""

    cells: list[str]
    answers: list[Any] = field(default_factory=list)
    ends: str = "completed"


class Clock:
    """Stands for an answer that never comes."""


class Cancel:
    """Stands for somebody who says no."""


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
    "a schema of every kind": Story(
        [
            (
                "from datetime import date\nfrom typing import Literal\nfrom pydantic import BaseModel\n"
                "class Line(BaseModel):\n    wine: str\n    bottles: int = 1\n"
                "class Order(BaseModel):\n    lines: list[Line]\n    size: Literal['small', 'large']\n"
                "    price: float\n    urgent: bool = False\n    due: date | None = None"
            ),
            "%%step ask\nflow.suspend('1h', schema=Order);",
            "%%step use\no = steps.ask.data\n[type(o).__name__, o.lines[0].bottles, o.due.year, o.model_dump(mode='json')]",
        ],
        [{"lines": [{"wine": "red"}], "size": "small", "price": 2.5, "due": "2026-11-20"}],
    ),
    "a JSON Schema": Story(
        [
            "%%step ask\nflow.suspend('1h', schema={'properties': {'n': {'type': 'integer'}}, 'required': ['n']});",
            "%%step use\n[steps.ask.data.n, dict(steps.ask.data)]",
        ],
        [{"n": 3, "more": None}],
    ),
    "a cancelled approval": Story(
        [f"%%step ask\n{TOLD}\nflow.suspend('1h', data={{'n': 1}});", "%%step use\n1"], [Cancel], "cancelled"
    ),
    "a cancelled rerun": Story([f"%%step poll\n{TOLD}\nflow.rerun('1h');", "%%step use\n1"], [Cancel], "cancelled"),
    "an approval that times out": Story(["%%step ask\nflow.suspend('50ms');", "%%step use\n1"], [Clock], "cancelled"),
    "reruns by a callback and by the clock": Story(
        [
            (
                f"%%step poll\n{TOLD}\nflow.export('runs', flow.context.run.runs)\n"
                "if flow.context.run.runs < 3:\n"
                "    flow.rerun('1h' if flow.context.run.runs == 1 else 50, {'n': flow.context.run.runs})"
            ),
            "%%step use\n[steps.poll.runs, sorted(steps.poll)]",
        ],
        [{"done": False}, Clock],
    ),
    "the same step once more, with a model": Story(
        [
            (
                f"%%step ask\n{TOLD}\nif flow.context.run.runs == 1:\n    flow.suspend('1h', schema=int, then='rerun')\n"
                "flow.data"
            ),
            "%%step use\nsteps.ask.data + 1",
        ],
        [{"value": 5}],
    ),
    "a pause within a step": Story(
        ["%%step hold\nanswer = flow.pause('1h')\nanswer.n + 1", "%%step use\n[steps.hold.data.n, answer.n]"],
        [{"n": 1}],
    ),
    "two pauses, one with a schema": Story(
        ["%%step hold\n[dict(flow.pause('1h')), flow.pause('1h', schema=int)]", "%%step use\nsorted(steps.hold)"],
        [{"n": 1}, {"value": 4}],
    ),
    "a pause that times out": Story(
        [
            (
                "%%step hold\nfrom pauseflow_nb.errors import PauseTimeout\ntry:\n    flow.pause('50ms')\n"
                "except PauseTimeout:\n    flow.export('late', True)"
            ),
            "%%step use\nsorted(steps.hold)",
        ],
        [Clock],
    ),
    "a handler": Story(
        [
            (
                "%%step ask\ndef handler(pd):\n    pd.export('seen', 1)\n    pd.flow.suspend('1h', data='q')\n"
                "    return {'n': 2, 'seen': 3}"
            ),
            (
                "%%step use\nasync def handler(pd):\n"
                "    return {'n': pd.steps.ask.n, 'seen': pd.steps.ask.seen, 'ok': pd.steps['ask'].data.ok}"
            ),
        ],
        [{"ok": 1}],
    ),
    "an exit": Story([f"%%step ask\n{TOLD}\nflow.exit('nothing to do')\n5"]),
    "an exit instead of a pause": Story(["%%step ask\nflow.suspend('1h')\nflow.exit()\n5"]),
    "a delay": Story(["%%step wait\nflow.delay(50);", "%%step use\nsorted(steps.wait)"], [Clock]),
}


@pytest.mark.every(2)
@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_by_hand_leaves_what_a_headless_run_leaves(
    story: Story, tmp_path: Path, new_shell: Callable[[], Shell], shared_supply: Supply
) -> None:
    by_hand, headless = _by_hand(new_shell(), story), _headless(tmp_path, story, shared_supply)

    assert _compared(by_hand) == _compared(headless)


def _by_hand(shell: Shell, story: Story) -> Mapping[str, Any]:
    answers, at = list(story.answers), 0
    cells = ["from pauseflow_nb import flow, steps", *story.cells]
    while at < len(cells):
        error = shell.run(cells[at])
        testmode = shell.session.test_mode
        assert testmode is not None
        if testmode.waiting is None:
            assert error is None or type(error).__name__ == "Exited"
            at = at + 1 if error is None else len(cells)
            continue
        assert shell.run(_by_magic(answers.pop(0))) is None
        if testmode.cancelled is not None:
            assert (story.ends, type(shell.run(cells[-1])).__name__) == ("cancelled", "Paused")
            break
        at += testmode.due is None
    else:
        assert story.ends == "completed"
    assert not answers
    return shell.session.mode.exports


def _headless(folder: Path, story: Story, supply: Supply) -> Mapping[str, Any]:
    cells = [new_code_cell(source) for source in ["from pauseflow_nb import flow, steps", *story.cells]]
    nbformat.write(new_notebook(cells=cells), folder / "n.ipynb")
    settings = Settings.load(flags={"data_dir": folder / "data", "port": 0}, environment={})
    queue = Queue.open(settings)
    try:
        options = RunOptions(kernel="python3", cwd=str(folder))
        execution = start_attached(queue, plan(str(folder / "n.ipynb"), None, {}, options))
        answers = [answer for answer in story.answers if answer is not Clock]

        def answer_pause(event: Event) -> None:
            if answers and event.kind == "suspended" and event.data["view"]["state"] == "paused":
                resume = functools.partial(queue.resume, execution, **_data(answers.pop(0)), by="user:ann")
                threading.Thread(target=resume).start()

        ride = functools.partial(run_attached, queue, execution, on_event=answer_pause, supply=supply)
        while (view := ride(until_pause=True))["state"] in ("suspended", "waiting"):
            # On a busy machine the clock may come before anybody sees that it is waited for.
            answer = answers.pop(0) if answers else Clock
            if answer is Cancel:
                queue.cancel(execution, by="user:ann")
            elif answer is not Clock:
                assert queue.resume(execution, **_data(answer), by="user:ann").status == 200
            else:
                ride()
        assert (view["state"], view["error"], answers) == (story.ends, None, [])
        return {name: step["exports"] for name, step in queue.view(execution)["steps"].items()}
    finally:
        queue.close()


def _data(answer: Any) -> dict[str, Any]:
    return {} if answer is None else {"data": answer}


def _by_magic(answer: Any) -> str:
    if answer is Clock or answer is Cancel:
        return "%pauseflow skip" if answer is Clock else "%pauseflow cancel"
    return "%pauseflow approve" if answer is None else f"%pauseflow approve {json.dumps(answer)}"


def _compared(exports: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(merge_exports(values)) for name, values in exports.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        is_envelope = "body" in value and "received_at" in value
        left_out = _OF_THE_REQUEST if is_envelope else _OF_ITS_OWN
        kept = {key: _plain(item) for key, item in value.items() if key not in left_out}
        return {**kept, "by": str(value["by"]).split(":")[0]} if is_envelope else kept
    return [_plain(item) for item in value] if isinstance(value, list) else value
