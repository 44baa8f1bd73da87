"""Several processes settle one suspension at the same moment; the dead are told from the living."""

import itertools
import subprocess
import sys
import threading
from typing import Any

import pytest
from engine.stage import Stage, at_once

from pauseflow_nb.engine import heartbeat as module
from pauseflow_nb.engine.heartbeat import BEATS_OF_SILENCE, Presence
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import StoreUnavailable
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import workers
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.workers import list_all

_SENDER = """
import json, sys, threading
from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.links import Claim
from pauseflow_nb.settings import Settings
queue = Queue.open(Settings.load(flags={"data_dir": sys.argv[1], "db": sys.argv[2]}, environment={}))
print("ready", flush=True)
executions = json.loads(sys.stdin.readline())
answers = []
def send(execution, action):
    answer = queue.settle(Claim(execution, 0, "ask", 0, action), Callback(action, None, "link"))
    answers.append([execution, answer.status, bool(answer.body.get("already")), answer.body.get("action")])
for execution in executions:
    threads = [threading.Thread(target=send, args=[execution, action]) for action in ("resume", "cancel") * 3]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
print(json.dumps(answers))
"""


@pytest.mark.thorough
def test_senders_in_several_processes(stage: Stage, settings: Settings) -> None:
    import json

    executions = [stage.suspended(seconds=3600.0) for _ in range(6)]
    command = [sys.executable, "-c", _SENDER, str(settings.data_dir), settings.db]
    senders = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for sender in senders:
        assert sender.stdout is not None
        assert sender.stdout.readline() == "ready\n"

    outputs = at_once(
        *[lambda sender=sender: sender.communicate(json.dumps(executions) + "\n")[0] for sender in senders]
    )

    answers = [answer for text in outputs for answer in json.loads(text)]
    for execution in executions:
        of_it = [answer[1:] for answer in answers if answer[0] == execution]
        winners = [action for status, already, action in of_it if status == 200 and not already]
        assert len(winners) == 1
        assert len(of_it) == 18
        assert {status for status, _, _ in of_it} == {200, 409}
        assert stage.queue.state(execution) == {"resume": "queued", "cancel": "cancelled"}[winners[0]]


@pytest.fixture
def _quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.02)


@pytest.mark.usefixtures("_quick_beats")
def test_who_stops_beating_is_taken_for_dead_once(queue: Queue, wait_until: Any) -> None:
    dead: list[Row] = []
    queue.change(lambda connection: workers.beat(connection, "other", "worker"))
    with Presence(queue, "worker", on_dead=dead.append) as me:
        wait_until(lambda: dead, description="the other is taken for dead")
        wait_until(lambda: names(queue) == [me.name], description="its row is removed")

    assert [row.id for row in dead] == ["other"]
    assert names(queue) == []


@pytest.mark.usefixtures("_quick_beats")
def test_who_beats_is_not_taken_for_dead(queue: Queue, wait_until: Any) -> None:
    dead: list[Row] = []
    looks: list[int] = []
    with Presence(queue, "attached"), Presence(queue, "worker", on_dead=dead.append) as me:
        look = me._look

        def counted(on_dead: Any) -> None:
            looks.append(1)
            look(on_dead)

        me._look = counted  # type: ignore[method-assign]
        wait_until(lambda: len(looks) > BEATS_OF_SILENCE * 3, description="it has looked long enough")

    assert dead == []


@pytest.mark.usefixtures("_quick_beats")
def test_a_burial_that_fails_is_tried_again(queue: Queue, wait_until: Any) -> None:
    tries: list[str] = []

    def on_dead(row: Row) -> None:
        tries.append(row.id)
        if len(tries) == 1:
            raise StoreUnavailable("x", "not now")

    queue.change(lambda connection: workers.beat(connection, "other", "worker"))
    with Presence(queue, "worker", on_dead=on_dead) as me:
        wait_until(lambda: names(queue) == [me.name], description="its row is removed")

    assert tries == ["other", "other"]


@pytest.mark.usefixtures("_quick_beats")
def test_an_outage_is_told_once_and_so_is_its_end(
    queue: Queue, wait_until: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats, beat = itertools.count(), workers.beat

    def sometimes(*arguments: Any) -> None:
        if 1 <= next(beats) <= 5:
            raise StoreUnavailable("x", "not now")
        beat(*arguments)

    monkeypatch.setattr(workers, "beat", sometimes)
    with Presence(queue, "worker", name="me"):
        wait_until(lambda: next(beats) > 20, description="it beats again")

    assert caplog.messages == [
        "worker me cannot say that it is alive: the store x cannot be used: not now",
        "worker me cannot say that it is alive: it works again",
    ]


@pytest.mark.usefixtures("_quick_beats")
def test_who_was_taken_for_dead_by_mistake_comes_back(queue: Queue, wait_until: Any) -> None:
    with Presence(queue, "worker") as me:
        queue.change(lambda connection: workers.remove(connection, me.name))
        wait_until(lambda: names(queue) == [me.name], description="it registers again")


def test_a_database_that_is_locked_makes_nobody_look_dead(
    sqlite_settings: Settings, wait_until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    # Not as quick as elsewhere: SQLite lets a writer sleep for 0.1 s between two looks at the lock.
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.1)
    queue = Queue.open(sqlite_settings)
    dead: list[Row] = []
    holder = sqlite3.connect(sqlite_settings.data_dir / "pauseflow.db", isolation_level=None)
    with Presence(queue, "worker") as other, Presence(queue, "worker", on_dead=dead.append) as me:
        holder.execute("BEGIN EXCLUSIVE")
        # Far longer than the living may be silent.
        threading.Event().wait(module.BEAT_SECONDS * BEATS_OF_SILENCE * 3)
        holder.execute("ROLLBACK")
        beats = beats_of(queue)
        wait_until(lambda: all(beats_of(queue)[p.name] > beats[p.name] for p in (other, me)), description="both beat")

    assert dead == []
    holder.close()
    queue.close()


def names(queue: Queue) -> list[str]:
    return list(beats_of(queue))


def beats_of(queue: Queue) -> dict[str, float]:
    with reading(queue.engine) as connection:
        return {row.id: row.beat for row in list_all(connection)}
