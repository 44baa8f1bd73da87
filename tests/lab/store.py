"""Executions put into a store directly: as many as wanted, and no kernel."""

import secrets
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.protocol import Outcome, SuspensionRequest
from pauseflow_nb.store import executions, segments, steps, suspensions, tables
from pauseflow_nb.store.audit import add_line

FACTS: dict[str, Any] = {
    "by": "user:ada",
    "document": "nowhere.ipynb",
    "output": None,
    "steps": ["approve"],
    "kernel": "python3",
    "interpreter": None,
    "cwd": "/",
    "options": {},
    "cells_total": 4,
    "attached_to": "somebody",
}


def suspend(
    queue: Queue,
    name: str | None,
    *,
    notebook: str = "/work/report.ipynb",
    bound: Any = None,
    losses: Any = None,
    drift: Any = None,
    **ask: Any,
) -> str:
    """Add an execution that waits in its step `approve`; without a name it gets one of its own.

    `bound`: variables that only its kernel has; `losses`: what its kernel could not bring back; `drift`: what has
    changed since an answer.
    """

    name = name or secrets.token_hex(5)

    def change(connection: sa.Connection) -> None:
        _add(connection, name, notebook)
        segment = segments.lock(connection, name, 0)
        assert segment is not None
        segments.claim(connection, segment, "somebody")
        steps.begin(connection, name, 0, "approve", run=1, cell=1)
        asked = SuspensionRequest(**{"kind": "suspend", "on_timeout": "cancel", **ask})
        outcome = Outcome(kind="suspended", step="approve", suspension=asked)
        steps.end(connection, name, 0, outcome, cell=1)
        suspensions.add(connection, name, 0, outcome, cell=1)
        if drift is not None:
            of_it = tables.suspensions.c.execution == name
            connection.execute(tables.suspensions.update().where(of_it).values(shown={"digest": "0", "drift": drift}))
        segments.end(connection, segment, "suspended")
        its = tables.segments.c.execution == name
        connection.execute(tables.segments.update().where(its).values(bound=bound, losses=losses))
        state = "waiting" if asked.kind in ("rerun", "delay") else "suspended"
        executions.set_state(connection, name, state, cells_done=2)
        add_line(connection, name, "suspended", "step:approve", segment=0, step="approve", kind="suspend")

    queue.change(change)
    return name


def start(queue: Queue, name: str) -> None:
    """Let an execution that waits run, as if it had been answered and a worker had it."""

    def change(connection: sa.Connection) -> None:
        its = tables.suspensions.c.execution == name
        connection.execute(tables.suspensions.update().where(its).values(state="settled", action="resume"))
        executions.set_state(connection, name, "running", cells_done=3)
        add_line(connection, name, "begun", "somebody", segment=1)

    queue.change(change)


def complete(queue: Queue, name: str, notebook: str) -> None:
    """Add an execution that has completed."""

    def change(connection: sa.Connection) -> None:
        _add(connection, name, notebook)
        row = tables.executions.c
        ended = {"state": "completed", "cells_done": 4, "ended_at": row.created_at}
        connection.execute(tables.executions.update().where(row.id == name).values(**ended))

    queue.change(change)


def fail(queue: Queue, name: str, notebook: str) -> None:
    """Add an execution that has failed."""

    def change(connection: sa.Connection) -> None:
        _add(connection, name, notebook)
        error = {"type": "ValueError", "message": "no wine", "cell": 1, "step": "approve"}
        row = tables.executions.c.id == name
        connection.execute(tables.executions.update().where(row).values(state="failed", error=error))

    queue.change(change)


def fill(queue: Queue, count: int) -> None:
    """Add many that have ended, in one transaction."""

    def change(connection: sa.Connection) -> None:
        _add(connection, "many000000", "/work/many/report-0.ipynb", n=0)
        # The others are copies of the first: one statement for each table, and not one for each row.
        for table in (tables.executions, tables.segments, tables.audit):
            key = "id" if table is tables.executions else "execution"
            first = dict(connection.execute(sa.select(table).where(table.c[key] == "many000000")).mappings().one())
            if table is tables.audit:
                del first["id"]
            connection.execute(table.insert(), [{**first, **_of(table, key, n)} for n in range(1, count)])
        row = tables.executions.c
        done = tables.executions.update().where(row.id.like("many%"))
        # As if one had started each second.
        started = row.created_at - count + sa.cast(sa.func.substr(row.id, 5), sa.Float)
        connection.execute(done.values(state="completed", cells_done=4, created_at=started, ended_at=started))
        connection.execute(done.where(row.notebook.like("%-7.ipynb")).values(state="failed"))

    queue.change(change)


def _of(table: sa.Table, key: str, n: int) -> dict[str, Any]:
    """What is its own in a row of the `n`th execution."""
    about = {"notebook": f"/work/many/report-{n % 100}.ipynb", "parameters": {"n": n}}
    return {key: f"many{n:06d}", **(about if table is tables.executions else {})}


def _add(connection: sa.Connection, name: str, notebook: str, **parameters: Any) -> None:
    # A test that is run again finds what its first run has added.
    executions.remove(connection, name)
    executions.add(connection, name, notebook=notebook, parameters=parameters, **FACTS)
    segments.add_all(connection, [segments.NewSegment(name, 0, 0)])
