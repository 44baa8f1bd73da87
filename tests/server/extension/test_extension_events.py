"""Changes reach whoever listens at `/api/events/subscribe`, without the listener asking."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from server.extension.loops import run_in

from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.links import Claim
from pauseflow_nb.server.api import events
from pauseflow_nb.server.api.events import SCHEMA_ID

Connect = Callable[..., Awaitable[Any]]


class Listener:
    def __init__(self, socket: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._socket, self._loop = socket, loop

    def next_event(self) -> dict[str, Any]:
        while True:
            text = run_in(self._loop, lambda: asyncio.wait_for(self._socket.read_message(), 20))
            event: dict[str, Any] = json.loads(text)
            if event["schema_id"] == SCHEMA_ID:
                return event

    def next_change(self) -> dict[str, Any]:
        while True:
            event = self.next_event()
            if event["changes"]:
                return event


@pytest.fixture
def listener(jp_ws_fetch: Connect, jp_asyncio_loop: asyncio.AbstractEventLoop) -> Listener:
    socket = run_in(jp_asyncio_loop, lambda: jp_ws_fetch("api", "events", "subscribe"))
    listener = Listener(socket, jp_asyncio_loop)
    # The first one says that the store is open and watched.
    listener.next_event()
    return listener


def test_a_change_arrives_without_asking(listener: Listener, stage: Any, queue: Queue) -> None:
    execution = stage.suspended()
    while "suspended" not in listener.next_change()["changes"][0]["what"]:
        pass
    queue.settle(Claim(execution, 0, "approve", 0, "resume"), Callback("resume", None, "link"))
    [change] = listener.next_change()["changes"]

    assert (change["execution"], change["state"], change["what"]) == (execution, "queued", ["settled"])
    # With what the panel needs to draw it, it shows within 200 ms.
    assert events._POLL_SECONDS <= 0.1


def test_events_tell_whether_one_was_missed(listener: Listener, stage: Any) -> None:
    stage.begun()
    first = listener.next_change()
    stage.begun()
    second = listener.next_change()
    quiet = listener.next_event()

    assert first["tip"] == second["after"] != second["tip"]
    assert (quiet["after"], quiet["tip"], quiet["changes"]) == (second["tip"], second["tip"], [])


def test_events_hold_neither_names_nor_links(listener: Listener, stage: Any) -> None:
    stage.suspended(title="Pay Ada?", data={"salary": 1})

    text = json.dumps(listener.next_change())

    assert "user:" not in text
    assert "Ada" not in text
    assert "/pauseflow/" not in text
