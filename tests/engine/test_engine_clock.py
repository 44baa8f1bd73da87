"""What the clock does when nobody came before it."""

import re
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import sqlalchemy as sa
from engine.stage import Stage, suspend

from pauseflow_nb.engine import clock
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.store import tables
from pauseflow_nb.store.database import transaction

#: Is killed by itself at the moment that its argument names, while the clock settles what is due.
DIES = """
import os, signal, sys
import sqlalchemy as sa
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings

queue = Queue.open(Settings.load())
queue.jobs.ready(queue.jobs._open)
event = {"before": "commit", "after": "checkin"}[sys.argv[1]]

def die(*_arguments):
    os.kill(os.getpid(), signal.SIGKILL)

@sa.event.listens_for(queue.engine, "before_cursor_execute")
def _(_connection, _cursor, statement, *_arguments):
    if statement.startswith("UPDATE") and not sa.event.contains(queue.engine, event, die):
        sa.event.listen(queue.engine, event, die)

Clock(queue).sweep()
"""


def overdue(stage: Stage, **ask: Any) -> str:
    execution = stage.suspended(seconds=60.0, **ask)
    stage.make_overdue(execution)
    return execution


def test_nothing_is_due_before_the_deadline(stage: Stage) -> None:
    execution = stage.suspended(seconds=60.0)

    assert Clock(stage.queue).sweep() == 0
    assert stage.queue.view(execution)["state"] == "suspended"


def test_without_a_deadline_it_waits_for_ever(stage: Stage) -> None:
    stage.suspended(seconds=None)

    assert Clock(stage.queue).sweep() == 0


def test_a_timeout_cancels(stage: Stage) -> None:
    execution = overdue(stage, on_timeout="cancel")

    assert Clock(stage.queue).sweep() == 1
    view = stage.queue.view(execution)
    assert (view["state"], view["reason"]["kind"], view["reason"]["by"]) == ("cancelled", "timeout", "clock")
    assert view["error"] is None


def test_a_timeout_fails(stage: Stage) -> None:
    execution = overdue(stage, on_timeout="fail")
    Clock(stage.queue).sweep()

    view = stage.queue.view(execution)
    assert (view["state"], view["error"]["type"], view["error"]["step"]) == ("failed", "TimeoutError", "ask")


def test_a_timeout_resumes_with_the_default_as_body(stage: Stage) -> None:
    execution = overdue(stage, on_timeout="resume", default={"approved": False})
    Clock(stage.queue).sweep()
    stage.play(execution)

    resumed = stage.queue.view(execution)["steps"]["ask"]["exports"]["$resume_data"]
    assert (resumed["body"], resumed["by"]) == ({"approved": False}, "clock")
    wake = stage.script.briefings[-1].wake
    assert wake is not None
    assert (wake.by, wake.callback) == ("clock", None)


@pytest.mark.parametrize(("kind", "then", "first_cell"), [("rerun", "rerun", 1), ("delay", "continue", 2)])
def test_the_clock_wakes_what_waits_for_it(stage: Stage, kind: str, then: str, first_cell: int) -> None:
    execution = overdue(stage, kind=kind, then=then, on_timeout="resume", context={"k": 1}, max_retries=3)
    assert stage.queue.view(execution)["state"] == "waiting"
    Clock(stage.queue).sweep()
    stage.play(execution)

    briefing = stage.script.briefings[-1]
    assert briefing.first_cell == first_cell
    assert briefing.wake is not None
    assert (briefing.wake.kind, briefing.wake.callback, briefing.wake.context) == (kind, None, {"k": 1})
    assert briefing.wake.max_retries == 3
    assert "$resume_data" not in briefing.steps["ask"].exports


def test_a_callback_wakes_what_waits_for_the_clock(stage: Stage) -> None:
    execution = stage.suspended(kind="rerun", then="rerun", seconds=60.0, on_timeout="resume")

    assert stage.send(execution, body={"state": "done"})[0] == 200
    stage.play(execution)
    wake = stage.script.briefings[-1].wake
    assert wake is not None
    assert wake.callback is not None
    assert wake.callback["body"] == {"state": "done"}


def test_an_overdue_timer_acts_once(stage: Stage) -> None:
    execution = overdue(stage, on_timeout="resume")

    assert [Clock(stage.queue).sweep(), Clock(stage.queue).sweep()] == [1, 0]
    assert stage.queue.view(execution)["segment"] == 1


def test_a_stale_timer_never_acts(stage: Stage) -> None:
    execution = stage.suspended(seconds=60.0)
    stage.send(execution)
    stage.make_overdue(execution)

    assert Clock(stage.queue).sweep() == 0
    assert stage.queue.view(execution)["state"] == "queued"


def test_only_one_execution_can_be_swept(stage: Stage) -> None:
    first, second = overdue(stage), overdue(stage)

    assert Clock(stage.queue).sweep(second) == 1
    assert [stage.queue.state(first), stage.queue.state(second)] == ["suspended", "cancelled"]


def test_many_sweeps_at_once_settle_once(stage: Stage) -> None:
    from engine.stage import at_once

    executions = [overdue(stage, on_timeout="resume") for _ in range(5)]

    assert sum(at_once(*[Clock(stage.queue).sweep] * 4)) == 5
    for execution in executions:
        assert stage.whats(execution).count("settled") == 1
        assert stage.queue.view(execution)["segment"] == 1


def test_what_is_due_together_is_settled_in_one_transaction(stage: Stage) -> None:
    executions = [
        overdue(stage, on_timeout="resume", default={"n": 1}),
        overdue(stage, on_timeout="resume"),
        overdue(stage, kind="delay", on_timeout="resume"),
        overdue(stage, kind="rerun", then="rerun", on_timeout="resume"),
    ]
    stage.queue.jobs.register_queues(["default"], 1)
    commits: list[object] = []
    sa.event.listen(stage.queue.engine, "commit", commits.append)

    settled = Clock(stage.queue).sweep()

    assert (settled, len(commits)) == (4, 1)
    for execution in executions:
        assert stage.whats(execution).count("settled") == 1
        assert stage.queue.view(execution)["state"] == "queued"
        stage.play(execution)
    # One of the decision and one of the end; that the clock ends a delay is nobody's decision.
    assert [len(stage.queue.decisions(each)) for each in executions] == [2, 2, 0, 0]
    assert stage.queue.view(executions[0])["steps"]["ask"]["exports"]["$resume_data"]["body"] == {"n": 1}


def test_each_of_those_that_are_due_together_ends_as_it_would_alone(stage: Stage) -> None:
    ways = {
        "queued": {"on_timeout": "resume"},
        "cancelled": {"on_timeout": "cancel"},
        "failed": {"on_timeout": "fail"},
    }
    executions = {state: overdue(stage, **ask) for state, ask in ways.items()}

    assert Clock(stage.queue).sweep() == 3
    assert {state: stage.queue.state(each) for state, each in executions.items()} == {each: each for each in ways}


@pytest.mark.parametrize("on_timeout", ["cancel", "fail"])
def test_those_that_end_together_end_by_one_statement_and_as_one_ends_alone(stage: Stage, on_timeout: str) -> None:
    alone = overdue(stage, on_timeout=on_timeout)
    late = stage.send(alone, "resume", {"n": 1})
    together = [overdue(stage, on_timeout=on_timeout) for _ in range(3)]
    statements: list[str] = []
    sa.event.listen(
        stage.queue.engine, "before_cursor_execute", lambda _c, _cursor, text, *_rest: statements.append(text)
    )

    settled = Clock(stage.queue).sweep()

    assert (late[0], settled) == (410, 3)
    assert sum(re.match(r'UPDATE "?suspensions', text) is not None for text in statements) == 1
    first, *others = [describe_end(stage, each) for each in (alone, *together)]
    assert first["lines"][-1]["details"]["record"] == 1
    assert others == [first, first, first]


def describe_end(stage: Stage, execution: str) -> dict[str, Any]:
    """Collect all that is known of the end of an execution, but times, names and digests."""
    view = stage.queue.view(execution)
    record = view["decisions"][0]
    lines = [{**line, "id": None, "execution": None, "at": None} for line in stage.queue.audit(execution)]
    for line in lines:
        line["details"].pop("digest", None)
    return {
        **{name: view[name] for name in ("state", "reason", "error")},
        **{name: record[name] for name in ("number", "kind", "seen", "suspension")},
        "decision": {**record["decision"], "at": None, "sentence": None},
        "lines": lines,
    }


def test_all_that_are_due_are_settled_however_many(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_AT_ONCE", 2)
    executions = [overdue(stage, on_timeout="resume") for _ in range(5)]

    assert Clock(stage.queue).sweep() == 5
    assert {stage.queue.state(each) for each in executions} == {"queued"}


def test_what_another_transaction_holds_is_left_for_the_next_time(stage: Stage) -> None:
    if stage.queue.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no locks of rows")
    free, held = overdue(stage, on_timeout="resume"), overdue(stage, on_timeout="resume")
    statement = sa.select(tables.segments).where(tables.segments.c.execution == held).with_for_update()
    with transaction(stage.queue.engine) as connection:
        connection.execute(statement)
        assert Clock(stage.queue).sweep() == 1

    assert stage.queue.state(free) == "queued"
    assert Clock(stage.queue).sweep() == 1
    assert stage.whats(held).count("settled") == 1


@pytest.mark.every(3)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_clock_that_dies_around_the_commit_has_settled_all_or_nothing(
    stage: Stage, environment_of_store: dict[str, str], when: str
) -> None:
    executions = [overdue(stage, on_timeout="resume") for _ in range(3)]
    stage.queue.jobs.register_queues(["default"], 1)
    died = subprocess.run([sys.executable, "-c", DIES, when], env=environment_of_store, check=False)

    left = Clock(stage.queue).sweep()

    assert (died.returncode, left) == (-signal.SIGKILL, 3 if when == "before" else 0)
    for execution in executions:
        assert stage.whats(execution).count("settled") == 1
        assert stage.queue.view(execution)["segment"] == 1


def test_the_clock_starts_at_the_end_of_the_step(stage: Stage) -> None:
    stage.script.steps["ask"] = suspend(seconds=3600.0)
    execution = stage.start("%%step ask", "%%step last")
    stage.play(execution)

    waits = stage.queue.view(execution)["suspended"][0]
    assert waits["since"] < waits["deadline"]
    assert waits["since"] >= stage.queue.view(execution)["steps"]["ask"]["started_at"]


def test_daylight_saving_and_other_zones_move_no_deadline(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are seconds by the database's clock: what this machine calls them does not matter."""
    execution = stage.suspended(seconds=3600.0)
    before = stage.queue.view(execution)["suspended"][0]["deadline"]
    for zone in ("Pacific/Kiritimati", "America/Adak"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        try:
            assert Clock(stage.queue).sweep() == 0
            assert stage.queue.view(execution)["suspended"][0]["deadline"] == before
        finally:
            monkeypatch.undo()
            time.tzset()
    stage.make_overdue(execution)

    assert Clock(stage.queue).sweep() == 1


def test_a_clock_of_this_machine_that_is_wrong_does_not_matter(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    execution = stage.suspended(seconds=3600.0)
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + 7200)

    assert Clock(stage.queue).sweep() == 0
    assert stage.send(execution)[0] == 200


def test_a_timeout_that_resumes_brings_no_data_unless_there_is_a_default(stage: Stage) -> None:
    execution = overdue(stage, on_timeout="resume", schema={"type": "object", "required": ["n"]})
    Clock(stage.queue).sweep()

    resumed = stage.queue.view(execution)["steps"]["ask"]["exports"]["$resume_data"]
    assert (resumed["body"], resumed["by"]) == (None, "clock")
