"""Segments: claimed once, recorded as they go, begun again from the last checkpoint, fenced off when they lost."""

import sqlite3
import threading
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from engine.stage import ME, Stage, die, fail, finish, in_turn, plan, saved, suspend

from pauseflow_nb.engine import attempt_fence, finish_notebook, open_store, ownership
from pauseflow_nb.engine.attempt_end import Ending
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.ownership import Watch, attach, detach
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.retry_fork import retry
from pauseflow_nb.engine.run_segment import MOST_CRASHES, Segments
from pauseflow_nb.errors import (
    CannotRetry,
    KernelDied,
    KernelNotReady,
    KernelUnavailable,
    NotebookGone,
    StorageFull,
    StoreUnavailable,
    UnknownExecution,
)
from pauseflow_nb.protocol import Briefing, Outcome
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.observer import SegmentEnd
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import executions, workers
from pauseflow_nb.store import segments as store_segments
from pauseflow_nb.store.database import open_engine, reading, transaction
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.files import Files
from pauseflow_nb.store.tables import segments


def test_a_notebook_without_pauses(stage: Stage) -> None:
    execution = stage.start("x = 1", "%%step first", "%%step last")

    assert stage.play(execution) == "ended"
    view = stage.queue.view(execution)
    assert (view["state"], view["reason"], view["error"]) == ("completed", None, None)
    assert view["cells"] == {"done": 3, "total": 3}
    assert view["steps"]["first"]["exports"] == {"$return_value": 1}
    assert stage.whats(execution) == ["started", "running", "completed"]


def test_the_keys_of_a_returned_dict_are_exports_unless_a_named_one_shadows_them(stage: Stage) -> None:
    exports = {"$return_value": {"rows": 3, "mean": 0.5}, "mean": "named"}
    stage.script.steps["first"] = lambda _briefing: Outcome("finished", "", exports=exports, snapshot=saved())
    execution = stage.start("%%step first")
    stage.play(execution)

    assert stage.queue.view(execution)["steps"]["first"]["exports"] == {**exports, "rows": 3}


def test_the_shape_of_a_view(stage: Stage) -> None:
    execution = stage.suspended(seconds=60.0, title="T", message="M", data=[1])

    view = stage.queue.view(execution)

    assert set(view) >= {"id", "notebook", "output", "parameters", "state", "reason", "created_at", "started_at"}
    assert set(view) >= {"ended_at", "created_by", "parent", "segment", "cells", "steps", "suspended", "usage", "error"}
    waits = view["suspended"][0]
    assert waits["path"] == ["ask"]
    assert (waits["kind"], waits["on_timeout"], waits["title"], waits["message"]) == ("suspend", "cancel", "T", "M")
    assert (waits["data"], waits["schema"], waits["approvals"]) == (
        [1],
        None,
        {"needed": 1, "given": [], "approvers": None, "self_approval": True},
    )
    assert waits["resume_url"].startswith("http://127.0.0.1:7287/pauseflow/resume/")
    assert view["usage"]["wakeups"] == 0
    assert view["usage"]["suspended_seconds"] >= 0
    assert [segment["state"] for segment in view["usage"]["segments"]] == ["suspended"]
    assert stage.queue.view(execution, with_links=False)["suspended"][0]["resume_url"] is None
    assert [view["id"] for view in stage.queue.list(states=["suspended"], text="IN.ipynb")] == [execution]
    assert stage.queue.list(states=["failed"]) == []


def test_wake_ups_are_counted(stage: Stage) -> None:
    execution = stage.suspended()
    stage.send(execution)
    assert stage.queue.view(execution)["usage"]["wakeups"] == 0
    stage.play(execution)

    assert stage.queue.view(execution)["usage"]["wakeups"] == 1


def test_an_exit_completes_with_its_reason(stage: Stage) -> None:
    stage.script.steps["ask"] = lambda _briefing: Outcome("exited", "", exit_reason="enough", snapshot=saved())
    execution = stage.start("%%step ask", "%%step last")
    stage.play(execution)

    view = stage.queue.view(execution)
    assert (view["state"], view["reason"]) == ("completed", {"kind": "exit", "by": "step:ask", "text": "enough"})
    assert "last" not in view["steps"]


def test_a_failure_is_told(stage: Stage) -> None:
    stage.script.steps["ask"] = fail("no such column")
    execution = stage.start("%%step ask")
    stage.play(execution)

    view = stage.queue.view(execution)
    assert (view["state"], view["reason"]["kind"]) == ("failed", "error")
    assert (view["error"]["type"], view["error"]["message"]) == ("ValueError", "no such column")
    assert view["steps"]["ask"]["state"] == "failed"


def test_retry_goes_on_from_the_last_checkpoint(stage: Stage) -> None:
    stage.script.steps["ask"] = in_turn(fail(), finish)
    execution = stage.start("%%step first", "%%step ask", "%%step last")
    stage.play(execution)

    retry(stage.queue, execution, by="user:ann")
    assert stage.queue.view(execution)["error"] is None
    attach(stage.queue, execution, ME)
    stage.play(execution)

    assert stage.script.ran == [("first", 1, 1), ("ask", 1, 1), ("ask", 1, 2), ("last", 1, 1)]
    assert stage.queue.view(execution)["state"] == "completed"


def test_retry_runs_a_step_again_that_finished_after_the_last_checkpoint(stage: Stage) -> None:
    """With `--checkpoint pause` finished steps leave none: the run of each is the same, as after a crash."""
    stage.script.steps["first"] = lambda _briefing: Outcome("finished", "", exports={"x": 1})
    stage.script.steps["ask"] = in_turn(fail(), finish)
    execution = stage.start("%%step first", "%%step ask")
    stage.play(execution)

    assert retry(stage.queue, execution, by="user:ann", attached_to=ME).again == ("first", "ask")
    stage.play(execution)

    assert stage.script.ran == [("first", 1, 1), ("ask", 1, 1), ("first", 1, 2), ("ask", 1, 2)]
    assert list(stage.queue.view(execution)["steps"]["first"]["exports"]) == ["x"]


def test_retry_of_what_has_not_failed(stage: Stage) -> None:
    with pytest.raises(CannotRetry, match="suspended"):
        retry(stage.queue, stage.suspended(), by="user:ann")
    with pytest.raises(UnknownExecution):
        retry(stage.queue, "nowhere", by="user:ann")


def test_retry_after_a_timeout_asks_again(stage: Stage) -> None:
    execution = stage.suspended(seconds=60.0, on_timeout="fail")
    stage.make_overdue(execution)
    Clock(stage.queue).sweep()
    retry(stage.queue, execution, by="user:ann", attached_to=ME)
    stage.play(execution)

    assert stage.queue.view(execution)["state"] == "suspended"
    assert stage.send(execution, segment=0)[0] == 410
    assert stage.send(execution, segment=1)[0] == 200


def test_an_answer_is_kept_when_the_next_segment_cannot_start(stage: Stage) -> None:
    execution = stage.suspended()
    stage.send(execution, body="yes")

    def broken(*_arguments: Any, **_options: Any) -> SegmentEnd:
        raise KernelUnavailable("python3", "it is not installed")

    Segments(stage.queue, ME, run=broken).run(execution, 1, Control())
    view = stage.queue.view(execution)
    assert (view["state"], view["reason"]["kind"]) == ("failed", "environment")
    retry(stage.queue, execution, by="user:ann", attached_to=ME)
    stage.play(execution)

    wake = stage.script.briefings[-1].wake
    assert wake is not None
    assert wake.callback is not None
    assert wake.callback["body"] == "yes"
    assert stage.queue.view(execution)["state"] == "completed"


def test_a_kernel_that_dies_is_replaced_from_the_checkpoint(stage: Stage) -> None:
    stage.script.steps["ask"] = in_turn(die, die, finish)
    execution = stage.start("%%step first", "%%step ask", "%%step last")

    assert stage.play(execution) == "ended"
    assert stage.script.ran == [("first", 1, 1), ("ask", 1, 1), ("ask", 1, 2), ("ask", 1, 3), ("last", 1, 1)]
    view = stage.queue.view(execution, history=True)
    assert view["state"] == "completed"
    assert view["usage"]["segments"][0]["attempts"] == 3
    assert [run["attempts"] for run in view["history"]["runs"]] == [1, 3, 1]


def test_it_is_given_up_after_three_crashes_in_a_row(stage: Stage) -> None:
    stage.script.steps["ask"] = die
    execution = stage.start("%%step first", "%%step ask")
    stage.play(execution)

    assert [run for run in stage.script.ran if run[0] == "ask"] == [("ask", 1, n + 1) for n in range(MOST_CRASHES)]
    view = stage.queue.view(execution)
    assert (view["state"], view["reason"]["kind"], view["error"]["step"]) == ("failed", "crashed", "ask")


def test_attempts_that_end_because_the_database_is_away_are_no_crashes(stage: Stage) -> None:
    def lose_store(_briefing: Briefing) -> Outcome:
        raise StoreUnavailable("the database", "it does not answer")

    stage.script.steps["ask"] = in_turn(*[lose_store] * MOST_CRASHES, finish)
    execution = stage.queue.start(plan("%%step ask"))
    worker = Segments(stage.queue, ME, run=stage.script)
    for _ in range(MOST_CRASHES):
        with pytest.raises(StoreUnavailable):
            worker.run(execution, 0, Control(), job=0)

    assert worker.run(execution, 0, Control(), job=0) == "ended"
    assert stage.queue.state(execution) == "completed"
    assert stage.script.ran[-1] == ("ask", 1, MOST_CRASHES + 1)


@pytest.mark.parametrize(
    "problem",
    [KernelNotReady("python3", "its process ended while it started (status -9)"), KernelDied(-9)],
    ids=["while it starts", "while it is briefed"],
)
def test_a_kernel_that_dies_before_its_first_cell_is_replaced(stage: Stage, problem: Exception) -> None:
    left = [problem, problem]

    def dying(*arguments: Any, **options: Any) -> SegmentEnd:
        if left:
            raise left.pop()
        return stage.script(*arguments, **options)

    execution = stage.start("%%step first")
    how = Segments(stage.queue, ME, run=dying).run(execution, 0, Control())

    assert (how, stage.queue.view(execution)["state"]) == ("ended", "completed")
    crashes = [line for line in stage.queue.audit(execution) if line["what"] == "crashed"]
    assert [line["details"] for line in crashes] == [{"text": str(problem)}] * 2


def test_a_kernel_that_never_starts_is_given_up_as_crashed_and_its_words_are_told(stage: Stage) -> None:
    tries = []

    def dying(*_arguments: Any, **_options: Any) -> SegmentEnd:
        tries.append(1)
        raise KernelNotReady("python3", "its process ended while it started; it said:\nno licence")

    execution = stage.suspended()
    stage.send(execution, body="yes")
    Segments(stage.queue, ME, run=dying).run(execution, 1, Control())

    view = stage.queue.view(execution)
    assert (view["state"], view["reason"]["kind"], len(tries)) == ("failed", "crashed", MOST_CRASHES)
    assert "no licence" in view["error"]["message"]
    retry(stage.queue, execution, by="user:ann", attached_to=ME)
    stage.play(execution)
    wake = stage.script.briefings[-1].wake
    assert wake is not None
    assert wake.callback is not None
    assert wake.callback["body"] == "yes"


def test_progress_between_crashes_starts_the_count_anew(stage: Stage) -> None:
    stage.script.steps["ask"] = in_turn(die, die, finish)
    stage.script.steps["last"] = in_turn(die, die, finish)
    execution = stage.start("%%step ask", "%%step last")
    stage.play(execution)

    assert stage.queue.view(execution)["state"] == "completed"


def test_with_checkpoints_at_pauses_only_a_crash_runs_finished_steps_again(stage: Stage) -> None:
    stage.script.steps["first"] = lambda _briefing: Outcome("finished", "")
    stage.script.steps["ask"] = in_turn(die, finish)
    execution = stage.start("%%step first", "%%step ask", options={"checkpoint": "pause"})
    stage.play(execution)

    assert stage.script.briefings[0].checkpoint == "pause"
    assert stage.script.ran == [("first", 1, 1), ("ask", 1, 1), ("first", 1, 2), ("ask", 1, 2)]


def test_a_segment_is_claimed_by_whom_it_is_attached_to(stage: Stage) -> None:
    execution = stage.start("%%step ask")

    assert Segments(stage.queue, "someone:else", run=stage.script).run(execution, 0, Control()) == "nothing"
    assert Segments(stage.queue, "a:worker", run=stage.script).run(execution, 0, Control(), job=0) == "nothing"
    assert stage.play(execution) == "ended"
    assert stage.play(execution) == "nothing"


def test_a_job_with_an_old_number_does_nothing(stage: Stage) -> None:
    execution = stage.start("%%step ask")
    attach(stage.queue, execution, ME)
    detach(stage.queue, execution)

    assert Segments(stage.queue, "a:worker", run=stage.script).run(execution, 0, Control(), job=0) == "nothing"
    assert Segments(stage.queue, "a:worker", run=stage.script).run(execution, 0, Control(), job=1) == "ended"


def take_over(stage: Stage, execution: str) -> None:
    """Let another process claim the running segment, as after a silence that was no death."""
    with transaction(stage.queue.engine) as connection:
        connection.execute(segments.update().values(attempt=segments.c.attempt + 1, worker="another"))


def test_a_zombie_is_fenced_at_its_checkpoint(stage: Stage) -> None:
    def overtaken(briefing: Briefing) -> Outcome:
        take_over(stage, briefing.execution)
        return finish(briefing)

    stage.script.steps["ask"] = overtaken
    execution = stage.start("%%step ask", "%%step last")
    before = stage.queue.document(execution)

    assert stage.play(execution) == "fenced"
    view = stage.queue.view(execution)
    assert (view["state"], view["steps"]["ask"]["state"]) == ("running", "running")
    assert stage.queue.document(execution) == before
    assert ("last", 1, 1) not in stage.script.ran


def test_a_zombie_is_fenced_at_its_end(stage: Stage) -> None:
    def overtaken(briefing: Briefing) -> Outcome:
        take_over(stage, briefing.execution)
        return suspend()(briefing)

    stage.script.steps["ask"] = overtaken
    execution = stage.start("%%step ask")

    assert stage.play(execution) == "fenced"
    assert stage.queue.view(execution)["suspended"] == []


def test_a_zombie_whose_kernel_dies_releases_nothing(stage: Stage) -> None:
    def overtaken(briefing: Briefing) -> Outcome:
        take_over(stage, briefing.execution)
        return die(briefing)

    stage.script.steps["ask"] = overtaken
    execution = stage.start("%%step ask")

    assert stage.play(execution) == "fenced"
    assert stage.queue.view(execution)["state"] == "running"


def test_stopped_at_a_boundary_it_goes_back_to_the_queue(stage: Stage) -> None:
    control = Control()

    def stopped(briefing: Briefing) -> Outcome:
        control.stop_at_boundary()
        return finish(briefing)

    stage.script.steps["first"] = stopped
    execution = stage.start("%%step first", "%%step last")

    assert stage.play(execution, control=control) == "released"
    assert stage.queue.view(execution)["state"] == "queued"
    assert stage.play(execution) == "ended"
    assert stage.script.ran == [("first", 1, 1), ("last", 1, 1)]


def test_cancelled_while_it_runs(stage: Stage) -> None:
    def cancelled(briefing: Briefing) -> Outcome:
        stage.queue.cancel(briefing.execution, by="user:ann", text="wrong data")
        return finish(briefing)

    stage.script.steps["ask"] = cancelled
    execution = stage.start("%%step ask", "%%step last")

    assert stage.play(execution) == "fenced"
    view = stage.queue.view(execution)
    assert (view["state"], view["reason"]) == ("cancelled", {"kind": "user", "by": "user:ann", "text": "wrong data"})
    assert view["steps"]["ask"]["state"] == "interrupted"
    assert stage.script.ran == [("ask", 1, 1)]


def test_the_watch_interrupts_what_was_cancelled(stage: Stage, wait_until: Any) -> None:
    control = Control()

    def long_step(briefing: Briefing) -> Outcome:
        stage.queue.cancel(briefing.execution, by="user:ann")
        wait_until(lambda: control.request == "interrupt", description="the kernel is interrupted", seconds=5)
        return finish(briefing)

    stage.script.steps["ask"] = long_step

    assert stage.play(stage.start("%%step ask"), control=control) == "fenced"


@pytest.mark.parametrize("how", ["completed", "suspended", "failed"])
def test_a_segment_that_has_just_ended_by_itself_is_not_lost(stage: Stage, how: str) -> None:
    """The watch may look between the end's transaction and the next line; an attached run must not stop for that."""
    execution = stage.start("%%step ask")
    with transaction(stage.queue.engine) as connection:
        row = store_segments.lock(connection, execution, 0)
        assert row is not None
        segment = store_segments.claim(connection, row, ME)
        assert not store_segments.is_lost(connection, segment)
        store_segments.end(connection, segment, how)

        assert not store_segments.is_lost(connection, segment)


@pytest.mark.parametrize("loss", ["cancelled", "taken over", "released"])
def test_a_segment_that_others_took_is_lost(stage: Stage, loss: str) -> None:
    execution = stage.start("%%step ask")
    with transaction(stage.queue.engine) as connection:
        row = store_segments.lock(connection, execution, 0)
        assert row is not None
        segment = store_segments.claim(connection, row, ME)
        if loss == "cancelled":
            store_segments.end(connection, segment, "cancelled")
        elif loss == "taken over":
            store_segments.claim(connection, segment, "another")
        else:
            store_segments.release(connection, segment, new_job=True)

        assert store_segments.is_lost(connection, segment)


def test_two_attempts_at_one_segment_in_one_process_are_watched_each_for_itself(stage: Stage) -> None:
    """A worker that was stopped and lost its segment may get it again, before its first attempt has noticed."""
    execution = stage.start("%%step ask")
    first, second = claim(stage, execution), claim(stage, execution)
    watch = Watch(stage.queue)

    with ExitStack() as stack:
        stack.enter_context(watch.over(second, Control()))
        with watch.over(first, Control()):
            assert sorted(row.attempt for row, _ in watch.list_running()) == [1, 2]
        stack.enter_context(watch.in_kernel(second))
        assert [row.attempt for row, _ in watch.list_running()] == [2]
    assert watch.list_running() == []


def claim(stage: Stage, execution: str) -> Row:
    with transaction(stage.queue.engine) as connection:
        row = store_segments.lock(connection, execution, 0)
        assert row is not None
        return store_segments.claim(connection, row, ME)


def test_a_segment_that_was_released_because_its_kernel_died_is_not_lost(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watch may look between the transaction and the next line; an attached run has one control for all attempts."""
    looked, crashed = threading.Semaphore(0), Ending.crashed
    is_lost = store_segments.is_lost

    def look(connection: sa.Connection, segment: Row) -> bool:
        found = is_lost(connection, segment)
        looked.release()
        return found

    def crash(ending: Ending, problem: str) -> str:
        how = crashed(ending, problem)
        # The second look begins after the first has acted on what it found.
        for _ in range(2):
            assert looked.acquire(timeout=30)
        return how

    monkeypatch.setattr(ownership, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(store_segments, "is_lost", look)
    monkeypatch.setattr(Ending, "crashed", crash)
    stage.script.steps["ask"] = in_turn(die, finish)
    control = Control()

    assert stage.play(stage.start("%%step ask"), control=control) == "ended"
    assert control.request == ""


@pytest.mark.parametrize("state", ["queued", "suspended", "waiting"])
def test_cancelled_while_it_waits(stage: Stage, state: str) -> None:
    if state == "queued":
        execution = stage.start("%%step ask")
    else:
        execution = stage.suspended(kind="suspend" if state == "suspended" else "rerun")
    stage.queue.cancel(execution, by="user:ann")
    stage.queue.cancel(execution, by="user:bob")

    view = stage.queue.view(execution)
    assert (view["state"], view["reason"]["by"]) == ("cancelled", "user:ann")
    assert stage.whats(execution).count("cancelled") == 1
    if state != "queued":
        assert stage.send(execution)[0] == 410
    assert stage.play(execution) == "nothing"


def test_cancel_of_the_unknown(stage: Stage) -> None:
    with pytest.raises(UnknownExecution):
        stage.queue.cancel("nowhere", by="user:ann")


def test_a_snapshot_that_nobody_signed_is_not_loaded(stage: Stage) -> None:
    execution = stage.suspended()
    stage.send(execution)
    with transaction(stage.queue.engine) as connection:
        connection.execute(segments.update().values(digest="forged"))
    stage.play(execution)

    view = stage.queue.view(execution)
    assert (view["state"], view["reason"]["kind"], view["error"]["type"]) == (
        "failed",
        "environment",
        "SnapshotDamaged",
    )
    assert len(stage.script.briefings) == 1


def test_a_signature_of_another_execution_is_worth_nothing(stage: Stage) -> None:
    first, second = stage.suspended(), stage.suspended()
    stage.send(second)
    with transaction(stage.queue.engine) as connection:
        signature = sa.select(segments.c.signature).where(segments.c.execution == first).scalar_subquery()
        connection.execute(segments.update().where(segments.c.execution == second).values(signature=signature))
    stage.play(second)

    assert stage.queue.view(second)["error"]["type"] == "SnapshotDamaged"


def test_the_working_directory_must_be_there(stage: Stage, tmp_path: Path) -> None:
    execution = stage.start("%%step ask", cwd=str(tmp_path / "gone"))
    stage.play(execution)

    view = stage.queue.view(execution)
    assert (view["reason"]["kind"], "gone" in view["error"]["message"]) == ("environment", True)


def test_the_interpreter_must_be_there(stage: Stage) -> None:
    execution = stage.start("%%step ask", interpreter="/no/such/python")
    stage.play(execution)

    assert "/no/such/python" in stage.queue.view(execution)["error"]["message"]


def test_a_fault_of_ours_does_not_leave_it_running(stage: Stage) -> None:
    def faulty(_briefing: Briefing) -> Outcome:
        raise ZeroDivisionError("ours")

    stage.script.steps["ask"] = faulty
    execution = stage.start("%%step ask")
    stage.play(execution)

    view = stage.queue.view(execution)
    assert (view["state"], view["error"]["type"]) == ("failed", "ZeroDivisionError")


def test_superseded_notebooks_are_removed(stage: Stage) -> None:
    execution = stage.suspended()
    folder = stage.queue.files.local
    assert folder is not None

    assert len(list((folder / execution).glob("*.ipynb"))) == 1
    assert stage.queue.document(execution)


def test_a_full_storage_does_not_run_a_finished_step_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    execution = stage.start("%%step first", "%%step last")

    def full(_self: Files, name: str, _data: bytes) -> None:
        raise StorageFull(name)

    monkeypatch.setattr(Files, "write", full)
    # As if it had been waited for in vain.
    monkeypatch.setattr(finish_notebook, "_PATIENCE_SECONDS", 0.0)
    stage.script.steps["last"] = in_turn(die, finish)
    stage.play(execution)

    assert stage.script.ran == [("first", 1, 1), ("last", 1, 1), ("last", 1, 2)]
    assert stage.queue.view(execution)["state"] == "completed"


def test_compute_seconds_include_attempts_that_crashed(stage: Stage) -> None:
    stage.script.steps["ask"] = in_turn(die, finish)
    execution = stage.start("%%step ask")
    stage.play(execution)

    usage = stage.queue.view(execution)["usage"]
    assert usage["compute_seconds"] > 0
    assert usage["compute_seconds"] == pytest.approx(usage["segments"][0]["compute_seconds"], abs=0.01)


def test_a_cancel_does_not_count_the_time_that_it_waited_as_computing(stage: Stage) -> None:
    execution = stage.suspended()
    (computed,) = stage.queue.view(execution)["usage"]["segments"]
    stage.queue.cancel(execution, by="user:ann")

    (segment,) = stage.queue.view(execution)["usage"]["segments"]
    assert segment == {**computed, "state": "cancelled"}


def test_a_store_that_is_locked_for_a_while_costs_nothing(
    sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_store, "open_engine", lambda url: open_engine(url, patience=timedelta(milliseconds=50)))
    queue = Queue.open(sqlite_settings)
    stage = Stage(queue)
    holder = sqlite3.connect(sqlite_settings.data_dir / "pauseflow.db", isolation_level=None, check_same_thread=False)

    def locked(briefing: Briefing) -> Outcome:
        holder.execute("BEGIN EXCLUSIVE")
        threading.Timer(0.3, lambda: holder.execute("ROLLBACK")).start()
        return finish(briefing)

    stage.script.steps["first"] = locked
    execution = stage.start("%%step first", "%%step last")

    assert stage.play(execution) == "ended"
    assert stage.script.ran == [("first", 1, 1), ("last", 1, 1)]
    holder.close()
    queue.close()


def test_a_store_that_stays_locked_ends_the_attempt_and_loses_no_checkpoint(
    sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_store, "open_engine", lambda url: open_engine(url, patience=timedelta(milliseconds=50)))
    monkeypatch.setattr(attempt_fence, "_PATIENCE_SECONDS", 0.0)
    queue = Queue.open(sqlite_settings)
    stage = Stage(queue)
    holder = sqlite3.connect(sqlite_settings.data_dir / "pauseflow.db", isolation_level=None)

    def locked(briefing: Briefing) -> Outcome:
        holder.execute("BEGIN EXCLUSIVE")
        return finish(briefing)

    stage.script.steps["last"] = in_turn(locked, finish)
    execution = stage.start("%%step first", "%%step last")

    with pytest.raises(StoreUnavailable, match="keeps it locked"):
        stage.play(execution)
    holder.close()
    detach(queue, execution)
    attach(queue, execution, ME)

    assert stage.play(execution) == "ended"
    assert stage.script.ran == [("first", 1, 1), ("last", 1, 1), ("last", 1, 2)]
    queue.close()


def test_executions_of_a_process_that_nobody_knows_are_left_to_the_workers(stage: Stage) -> None:
    execution = stage.start("%%step first")
    Clock(stage.queue).sweep()
    assert stage.queue.has_runner(execution)
    stage.queue.change(lambda connection: workers.remove(connection, ME))
    Clock(stage.queue).sweep()

    assert Segments(stage.queue, "a:worker", run=stage.script).run(execution, 0, Control(), job=0) == "ended"


def test_a_stored_notebook_that_was_removed_is_said_before_a_retry_and_by_a_wake_up(stage: Stage) -> None:
    stage.script.steps["ask"] = fail()
    failed = stage.start("%%step ask")
    stage.play(failed)
    waits = stage.suspended()
    stage.send(waits)
    for execution in (failed, waits):
        with reading(stage.queue.engine) as connection:
            row = executions.find(connection, execution)
        assert row is not None
        stage.queue.files.remove(row.document)

    with pytest.raises(NotebookGone, match="start a new execution with `pauseflow run in"):
        retry(stage.queue, failed, by="user:ann")
    with pytest.raises(NotebookGone):
        stage.queue.document(failed)
    assert stage.play(waits) == "ended"

    view = stage.queue.view(waits)
    assert stage.queue.view(failed)["error"]["type"] == "ValueError"
    assert (view["state"], view["reason"]["kind"], view["error"]["type"]) == ("failed", "environment", "NotebookGone")
    assert f"the stored notebook of execution {waits} is missing from" in view["error"]["message"]
