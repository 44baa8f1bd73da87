"""What the watcher finds out between two looks at a real store."""

from typing import Any

import pytest
import sqlalchemy as sa

from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.links import Claim
from pauseflow_nb.server.api.events import Watcher
from pauseflow_nb.store import executions
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.tables import audit


class Look:
    def __init__(self, queue: Queue) -> None:
        self._queue, self._watcher = queue, Watcher()

    def __call__(self) -> list[dict[str, Any]]:
        with reading(self._queue.engine) as connection:
            return self._watcher.poll(connection)


@pytest.fixture
def watcher(queue: Queue) -> Look:
    look = Look(queue)
    look()
    return look


def test_the_first_look_finds_nothing_new(queue: Queue, stage: Any) -> None:
    stage.suspended()

    assert Look(queue)() == []


def test_a_start_and_a_pause_are_found_once(watcher: Look, stage: Any) -> None:
    execution = stage.suspended()

    [change] = watcher()

    assert (change["execution"], change["state"]) == (execution, "suspended")
    assert change["what"][0] == "started"
    assert watcher() == []


def test_a_callback_is_found_with_its_step(watcher: Look, queue: Queue, stage: Any) -> None:
    execution = stage.suspended()
    watcher()

    queue.settle(Claim(execution, 0, "approve", 0, "resume"), Callback("resume", None, "link"))
    [change] = watcher()

    assert change["state"] == "queued"
    assert change["what"] == ["settled"]
    assert change["steps"] == ["approve"]


def test_mere_progress_is_found(watcher: Look, queue: Queue, stage: Any) -> None:
    execution = stage.begun()
    watcher()

    queue.change(lambda connection: executions.set_progress(connection, execution, 1))
    [change] = watcher()

    assert change["cells"] == {"done": 1, "total": 2}
    assert change["what"] == []


def test_more_changes_than_one_look_reads_are_all_found(watcher: Look, stage: Any) -> None:
    started = {stage.begun() for _ in range(50)}

    assert {change["execution"] for change in watcher()} == started


def test_a_deleted_execution_brings_no_old_change_back(watcher: Look, queue: Queue, stage: Any) -> None:
    for _ in range(40):
        stage.begun()
    newest = stage.begun()
    watcher()

    queue.change(lambda connection: connection.execute(audit.delete().where(audit.c.execution == newest)))

    assert watcher() == []


def test_ids_that_are_used_again_are_seen_again(watcher: Look, queue: Queue, stage: Any) -> None:
    """SQLite gives the ids of deleted lines to new ones."""
    stage.begun()
    watcher()
    queue.change(lambda connection: connection.execute(sa.delete(audit)))
    watcher()

    execution = stage.begun()

    assert [change["execution"] for change in watcher()] == [execution]


def test_more_ids_used_again_than_one_look_reads_are_all_seen(watcher: Look, queue: Queue, stage: Any) -> None:
    for _ in range(50):
        stage.begun()
    watcher()
    queue.change(lambda connection: connection.execute(sa.delete(audit)))

    started = {stage.begun() for _ in range(50)}

    assert {change["execution"] for change in watcher()} == started


def test_ids_that_are_used_again_before_the_next_look_are_seen_again(watcher: Look, queue: Queue, stage: Any) -> None:
    stage.begun()
    watcher()
    queue.change(lambda connection: connection.execute(sa.delete(audit)))

    execution = stage.begun()

    assert [change["execution"] for change in watcher()] == [execution]
