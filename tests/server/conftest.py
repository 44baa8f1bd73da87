"""A real store, executions that pause in it, and a real server before it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any, TypeAlias

import nbformat
import pytest
import sqlalchemy as sa
from tornado.httpclient import HTTPClient, HTTPRequest, HTTPResponse

from pauseflow_nb.engine.authorization import judge_early
from pauseflow_nb.engine.plan import Plan
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.settling import Settling
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Outcome, SuspensionRequest
from pauseflow_nb.server.listener import Listener
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import executions, segments, steps, suspensions, tables
from pauseflow_nb.store.audit import add_line

#: See the fixture `send`.
Send: TypeAlias = Callable[..., HTTPResponse]

#: What a browser accepts.
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@dataclass
class Stage:
    """Starts executions and brings them to their pause as a worker does, without a kernel."""

    queue: Queue

    def begun(self, step: str = "approve", **plan: Any) -> str:
        """Start an execution whose step is running: its links are out, its pause is yet to come."""
        facts: dict[str, Any] = {
            "notebook": "/work/notebooks/report.ipynb",
            "document": document(),
            "output": None,
            "inputs": {},
            "cells": 2,
            "steps": [step],
            "kernel": "python3",
            "interpreter": None,
            "cwd": "/",
            "created_by": "user:ada",
        }
        execution = self.queue.start(Plan(**{**facts, **plan}))

        def change(connection: sa.Connection) -> None:
            segment = segments.lock(connection, execution, 0)
            assert segment is not None
            segments.claim(connection, segment, "a worker")
            executions.set_state(connection, execution, "running")
            steps.begin(connection, execution, 0, step, run=1, cell=0)

        self.queue.change(change)
        return execution

    def suspend(self, execution: str, step: str = "approve", **ask: Any) -> None:
        """End the step with a pause."""
        asked = SuspensionRequest(**{"kind": "suspend", "on_timeout": "cancel", **ask})
        outcome = Outcome(kind="suspended", step=step, suspension=asked)

        verdicts = judge_early(self.queue, Claim(execution, 0, step, 0, ""), asked, {}, seconds=10)

        def change(connection: sa.Connection) -> None:
            segment = segments.lock(connection, execution, 0)
            assert segment is not None
            steps.end(connection, execution, 0, outcome, cell=0)
            suspension = suspensions.add(connection, execution, 0, outcome, cell=0)
            segments.end(connection, segment, "suspended")
            executions.set_state(connection, execution, "suspended")
            add_line(connection, execution, "suspended", f"step:{step}", segment=0, step=step)
            Settling(connection, self.queue.jobs).apply_early(execution, 0, suspension, verdicts)

        self.queue.change(change)

    def suspended(self, step: str = "approve", **ask: Any) -> str:
        """Start an execution and let it pause."""
        execution = self.begun(step)
        self.suspend(execution, step, **ask)
        return execution

    def make_overdue(self, execution: str) -> None:
        """Move the deadline of an execution that waits a day into the past."""

        def change(connection: sa.Connection) -> None:
            statement = tables.suspensions.update().where(tables.suspensions.c.execution == execution)
            connection.execute(statement.values(deadline=tables.suspensions.c.deadline - sa.literal(86_400.0)))

        self.queue.change(change)

    def link(self, action: str, execution: str, step: str = "approve", *, segment: int = 0) -> str:
        """Make the path of a link, below the server's base."""
        token = self.queue.signer.token(Claim(execution, segment, step, 0, action))
        return f"pauseflow/{action}/{token}"

    def resume_data(self, execution: str, step: str = "approve") -> dict[str, Any]:
        """Read what the notebook will find in `$resume_data`."""
        found: dict[str, Any] = self.queue.view(execution)["steps"][step]["exports"]["$resume_data"]
        return found


def document() -> bytes:
    """A notebook of two cells."""
    cells = [nbformat.v4.new_code_cell("%%step approve\nflow.suspend()"), nbformat.v4.new_code_cell("1")]
    return dumps(nbformat.v4.new_notebook(cells=cells)).encode()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load(flags={"data_dir": str(tmp_path / "data"), "max_body": 4 * 1024 * 1024}, environment={})


@pytest.fixture
def stage(queue: Queue) -> Stage:
    return Stage(queue)


@pytest.fixture
def make_stage() -> Callable[[Queue], Stage]:
    """Make a stage on a queue of the test's own."""
    return Stage


@pytest.fixture
def send() -> Iterator[Send]:
    """Send a request; any status is an answer: `send("POST", url, json={"a": 1})`."""
    client = HTTPClient()

    def call(method: str, url: str, *, json: Any = None, accept: str | None = None, **options: Any) -> HTTPResponse:
        headers = options.pop("headers", {})
        if json is not None:
            options["body"] = dumps(json)
            headers = {"Content-Type": "application/json", **headers}
        if accept is not None:
            headers = {"Accept": accept, **headers}
        options = {"allow_nonstandard_methods": True, "follow_redirects": False, **options}
        return client.fetch(HTTPRequest(url, method=method, headers=headers, **options), raise_error=False)

    yield call
    client.close()


@pytest.fixture
def listen() -> Iterator[Callable[[Queue], str]]:
    """Serve the links of a queue on a free port."""
    listeners: list[Listener] = []

    def start(queue: Queue) -> str:
        listeners.append(Listener(queue, 0))
        return listeners[-1].start()

    yield start
    for listener in listeners:
        listener.stop()


@pytest.fixture
def base(queue: Queue, listen: Callable[[Queue], str]) -> str:
    """The base of links at a listener of their own."""
    return listen(queue)
