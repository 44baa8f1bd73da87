"""Nested executions and answers to kernels that wait, on both databases, with made-up kernels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine.stage import Stage, at_once, fail, notebook, suspend

from pauseflow_nb.engine import cancelling
from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.errors import AmbiguousSuspension
from pauseflow_nb.execution import Execution
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Briefing, ChildRequest, Outcome, PauseQuestion, SuspensionRequest


def asks_for(*names: str, path: Path, **options: Any) -> Callable[[Briefing], Outcome]:
    children = [ChildRequest(str(path), {}, name, **options) for name in names]
    return suspend(kind="notebook", on_timeout="resume", children=children)


@pytest.fixture
def child(tmp_path: Path) -> Path:
    path = tmp_path / "child.ipynb"
    path.write_bytes(notebook("%%step first", "%%step work"))
    return path


def start(stage: Stage, act: Callable[[Briefing], Outcome]) -> tuple[str, dict[str, str]]:
    """An execution whose step `run` waits for notebooks; gives their ids by name."""
    stage.script.steps["run"] = act
    parent = stage.start("%%step run", "%%step after")
    assert stage.play(parent) == "ended"
    children: dict[str, str] = stage.queue.view(parent)["suspended"][0]["data"]
    return parent, children


def test_two_that_end_at_the_same_moment_wake_their_parent_once(stage: Stage, child: Path) -> None:
    for _ in range(3):
        parent, children = start(stage, asks_for("a", "b", path=child))
        ended = at_once(*(lambda id_=id_: stage.play(id_) for id_ in children.values()))
        assert ended == ["ended", "ended"]
        at_once(Clock(stage.queue).sweep, Clock(stage.queue).sweep)
        Clock(stage.queue).sweep()

        view = stage.queue.view(parent)
        assert (view["state"], view["segment"]) == ("queued", 1)
        assert stage.play(parent) == "ended"
        assert stage.queue.state(parent) == "completed"
        exports = view["steps"]["run"]["exports"]
        assert exports["a"]["work"]["$return_value"] == 1
        assert exports["$notebooks"]["b"] == {"id": children["b"], "state": "completed", "error": None}


def test_it_only_waits_while_nothing_below_it_goes_on(stage: Stage, child: Path) -> None:
    stage.script.steps["work"] = suspend()
    parent, children = start(stage, asks_for("a", "b", path=child))
    seen = [stage.queue.only_waits(parent)]
    for id_ in children.values():
        stage.play(id_)
        seen.append(stage.queue.only_waits(parent))
    for name in children:
        stage.queue.resume(parent, step=f"{name}.work", by="user:ann")
        seen.append(stage.queue.only_waits(parent))
        stage.play(children[name])
        seen.append(stage.queue.only_waits(parent))

    # Both begin, one asks, both ask; one is answered, has ended; the other is answered, and then the parent goes on.
    assert seen == [False, False, True, False, True, False, False]


def test_one_that_has_ended_is_not_enough(stage: Stage, child: Path) -> None:
    parent, children = start(stage, asks_for("a", "b", path=child))
    stage.play(children["a"])
    Clock(stage.queue).sweep()
    assert stage.queue.state(parent) == "suspended"

    stage.script.steps["work"] = fail("broken")
    stage.play(children["b"])
    Clock(stage.queue).sweep()
    view = stage.queue.view(parent)
    assert (view["state"], view["error"]["type"]) == ("failed", "NotebookFailed")
    assert "notebook 'b'" in view["error"]["message"]


def test_a_cancel_reaches_linked_ones_at_every_depth(stage: Stage, child: Path) -> None:
    stage.script.steps["work"] = asks_for("deep", path=child)
    parent, children = start(stage, asks_for("a", path=child))
    stage.play(children["a"])
    deep = stage.queue.view(children["a"])["suspended"][0]["data"]["deep"]
    stage.queue.cancel(parent, by="user:ann")

    assert [stage.queue.state(id_) for id_ in (parent, children["a"], deep)] == ["cancelled"] * 3
    assert stage.queue.view(deep)["reason"] == {"kind": "parent", "by": f"parent:{children['a']}", "text": None}
    Clock(stage.queue).sweep()
    assert stage.queue.state(parent) == "cancelled"


def test_a_cancel_reaches_linked_ones_although_the_process_that_cancelled_has_died(
    stage: Stage, child: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent, children = start(stage, asks_for("a", path=child))
    with monkeypatch.context() as dying:
        dying.setattr(cancelling, "cancel_children", lambda *_of: None)
        stage.queue.cancel(parent, by="user:ann")
    assert stage.queue.state(children["a"]) == "queued"

    Clock(stage.queue).sweep()
    assert stage.queue.state(children["a"]) == "cancelled"


@pytest.mark.every(3)
@pytest.mark.parametrize(
    "name",
    ["a.deep.work", "run.work.work", ["run", "work", "work"], {"address": "a.deep.work"}],
    ids=["address", "path with dots", "path", "entry of suspended"],
)
def test_what_waits_far_below_is_answered_by_what_suspended_shows(stage: Stage, child: Path, name: Any) -> None:
    stage.script.steps["work"] = asks_for("deep", path=child)
    parent, children = start(stage, asks_for("a", "b", path=child))
    stage.play(children["a"])
    deep = stage.queue.view(children["a"])["suspended"][0]["data"]["deep"]
    stage.script.steps["work"] = suspend()
    stage.play(deep)
    stage.play(children["b"])
    shown = {one["address"]: one["path"] for one in stage.queue.view(parent)["suspended"]}
    assert shown == {
        "run": ["run"],
        "a.work": ["run", "work"],
        "a.deep.work": ["run", "work", "work"],
        "b.work": ["run", "work"],
    }
    execution = Execution(stage.queue, parent)
    with pytest.raises(AmbiguousSuspension, match=r"name one with --step: a\.deep\.work, b\.work"):
        execution.resume("run")

    execution.resume(name, "yes")

    assert (stage.queue.state(deep), stage.queue.state(children["b"])) == ("queued", "suspended")
    # Only one is left, so the step at the top is enough.
    execution.resume(["run"])
    assert stage.queue.state(children["b"]) == "queued"


def test_notebooks_that_were_started_in_one_moment_keep_the_order_of_the_request(stage: Stage, child: Path) -> None:
    names = [f"n{number}" for number in range(8)]

    parent, children = start(stage, asks_for(*names, path=child))

    assert list(children) == names
    for name in names:
        stage.script.steps["work"] = suspend()
        stage.play(children[name])
    assert [one["address"] for one in stage.queue.view(parent)["suspended"][1:]] == [f"{name}.work" for name in names]


def test_a_missing_notebook_fails_the_step_and_leaves_nothing(stage: Stage, tmp_path: Path, child: Path) -> None:
    stage.script.steps["run"] = suspend(
        kind="notebook", children=[ChildRequest(str(child), {}, "a"), ChildRequest(str(tmp_path / "no.ipynb"), {}, "b")]
    )
    parent = stage.start("%%step run")
    stage.play(parent)

    view = stage.queue.view(parent)
    assert (view["state"], view["error"]["type"], view["error"]["step"]) == ("failed", "NotebookNotFound", "run")
    assert len(stage.queue.list()) == 1


def test_a_pause_is_answered_once_and_a_crash_asks_the_same_again(stage: Stage) -> None:
    asked: list[str] = []

    def paused(briefing: Briefing) -> Outcome:
        assert stage.recording is not None
        question = PauseQuestion("ask", 1, 1001, SuspensionRequest("pause", seconds=60.0, on_timeout="fail"))
        assert stage.recording.find_answer(question, 0) is None
        view = stage.queue.view(briefing.execution)
        asked.append(view["suspended"][0]["resume_url"])
        assert view["state"] == "paused"
        claim = Claim(briefing.execution, 0, "ask", 1001, "resume")
        answers = at_once(*[lambda: stage.queue.settle(claim, Callback("resume", {"body": 1}, "link"))] * 3)
        assert sorted(answer.body.get("already", False) for answer in answers) == [False, True, True]
        assert stage.queue.state(briefing.execution) == "running"
        answer = stage.recording.find_answer(question, 0)
        assert answer is not None
        assert (answer.action, (answer.envelope or {})["body"]) == ("resume", 1)
        return Outcome("finished", "", exports={}, snapshot=None)

    stage.script.steps["ask"] = paused
    execution = stage.start("%%step ask")

    assert stage.play(execution) == "ended"
    assert stage.queue.state(execution) == "completed"
    assert len(asked) == 1


def test_a_cancel_that_came_before_the_step_had_ended_reaches_its_notebooks(stage: Stage, child: Path) -> None:
    def runs_notebooks(briefing: Briefing) -> Outcome:
        # A link of a suspension that the step has asked for before.
        status, _ = stage.send(briefing.execution, "cancel", step="run")
        assert status == 202
        return asks_for("linked", path=child)(briefing)

    stage.script.steps["run"] = runs_notebooks
    parent = stage.start("%%step run")

    assert stage.play(parent) == "ended"

    (nested,) = [row["id"] for row in stage.queue.list() if row["id"] != parent]
    assert (stage.queue.state(parent), stage.queue.state(nested)) == ("cancelled", "cancelled")
