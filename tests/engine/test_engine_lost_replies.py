"""The database commits, and the connection breaks before anybody hears of it: what was committed keeps its files."""

from pathlib import Path

import nbformat
import pytest
from engine.stage import ME, Stage, die, finish, in_turn, plan
from lost_replies import lose_reply

from pauseflow_nb.engine.retry_fork import fork
from pauseflow_nb.engine.run_segment import Segments
from pauseflow_nb.engine.triggers import managing
from pauseflow_nb.engine.triggers.managing import NewTrigger
from pauseflow_nb.errors import StoreUnavailable
from pauseflow_nb.runner.control import Control


def test_an_execution_that_has_ended_keeps_its_notebook(stage: Stage) -> None:
    execution = stage.start("%%step last")
    with lose_reply(stage.queue.engine, when=lambda: stage.queue.state(execution) == "completed") as lost:
        how = stage.play(execution)

    assert (lost, how) == ([True], "ended")
    assert b"%%step last" in stage.queue.document(execution)


@pytest.mark.every(2)
def test_an_execution_that_has_suspended_keeps_its_notebook(stage: Stage) -> None:
    with lose_reply(stage.queue.engine, when=lambda: stage.queue.list()[0]["state"] == "suspended") as lost:
        execution = stage.suspended()

    assert lost == [True]
    assert b"%%step ask" in stage.queue.document(execution)
    stage.send(execution)
    stage.play(execution)
    assert stage.queue.state(execution) == "completed"
    assert stage.script.ran == [("first", 1, 1), ("ask", 1, 1), ("last", 1, 1)]


def test_a_segment_whose_kernel_has_died_runs_again(stage: Stage) -> None:
    stage.script.steps["last"] = in_turn(die, finish)
    execution = stage.queue.start(plan("%%step last"))
    worker = Segments(stage.queue, ME, run=stage.script)
    with lose_reply(stage.queue.engine, when=lambda: "crashed" in stage.whats(execution)) as lost:
        worker.run(execution, 0, Control(), job=0)
    # If it was noticed meanwhile that the segment is queued, its next job runs it.
    worker.run(execution, 0, Control(), job=1)

    assert (lost, stage.queue.state(execution)) == ([True], "completed")


def test_an_execution_that_was_started_has_its_notebook(stage: Stage) -> None:
    with lose_reply(stage.queue.engine, when=lambda: bool(stage.queue.list())), pytest.raises(StoreUnavailable):
        stage.queue.start(plan("%%step first"))

    (execution,) = stage.queue.list()
    assert b"%%step first" in stage.queue.document(execution["id"])


def test_a_fork_that_was_started_has_its_notebook(stage: Stage) -> None:
    execution = stage.start("x = 1", "%%step first")
    stage.play(execution)
    with lose_reply(stage.queue.engine, when=lambda: len(stage.queue.list()) == 2), pytest.raises(StoreUnavailable):
        fork(stage.queue, execution, by="user:ann", from_step="first", attached_to=ME)

    (sibling,) = (each["id"] for each in stage.queue.list() if each["id"] != execution)
    assert b"%%step first" in stage.queue.document(sibling)


def test_an_execution_that_a_trigger_has_started_has_its_notebook(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "hook.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%step a\n1")]), path)
    trigger = managing.add(stage.queue, NewTrigger(str(path)), by="user:ann")["id"]
    with lose_reply(stage.queue.engine, when=lambda: bool(stage.queue.list())), pytest.raises(StoreUnavailable):
        managing.run(stage.queue, trigger)

    (execution,) = stage.queue.list()
    assert b"%%step a" in stage.queue.document(execution["id"])
