"""Read and change the rows of processes: each beats, and one that stops beating counts as dead."""

import itertools
import os
import secrets
import socket
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.queues import DEFAULT_QUEUE
from pauseflow_nb.store.database import now
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.tables import workers

#: Seconds without a beat after which a process does not count as alive.
_SILENCE_SECONDS = 5.0

_TOKEN = secrets.token_hex(4)
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class ProcessFacts:
    """A process that is alive."""

    id: str
    #: `"worker"`, `"starting"`, `"server"` or `"attached"`.
    kind: str
    #: Of a worker: the queues that it serves.
    queues: tuple[str, ...]
    #: Of a worker: how many segments it runs at once.
    concurrency: int | None
    #: Of this package.
    version: str | None
    #: By how many seconds its clock is ahead of the database's.
    clock_ahead: float | None


def process_name() -> str:
    """Make an id for this process, which nothing else has ever had."""
    return f"{_prefix()}{next(_NUMBERS)}"


def is_own(name: str) -> bool:
    """Whether this very process made the id. A process of the same number, before a restart, did not."""
    return name.startswith(_prefix())


def was_made_by(name: str, pid: int) -> bool:
    """Whether a process of this machine with this number made the id."""
    return name.startswith(f"{socket.gethostname()}:{pid}:")


def _prefix() -> str:
    # The number of the process is read each time: a fork is another process.
    return f"{socket.gethostname()}:{os.getpid()}:{_TOKEN}:"


def add(connection: sa.Connection, process: str, kind: str, url: str | None, **serves: Any) -> None:
    """Register a process.

    Args:
        connection: The caller's transaction.
        process: Its id, `host:pid:random`.
        kind: `"starting"`, `"worker"`, `"server"` or `"attached"`.
        url: Where a server answers.
        serves: For a worker: its `queues` and `concurrency`.
    """
    before = time.time()
    moment = now(connection)
    ahead = (before + time.time()) / 2 - moment
    known = {"version": version("pauseflow_nb"), "clock_ahead": ahead, **serves}
    row = {"id": process, "kind": kind, "url": url, "started_at": moment, "beat": moment, **known}
    connection.execute(workers.insert().values(**row))


def beat(connection: sa.Connection, process: str, kind: str, url: str | None = None, **serves: Any) -> None:
    """Note that a process is alive; one that was taken for dead is registered again."""
    before = time.time()
    moment = now(connection)
    values = {"beat": moment, "kind": kind, "url": url, "clock_ahead": (before + time.time()) / 2 - moment}
    changed = connection.execute(workers.update().where(workers.c.id == process).values(**values))
    if not changed.rowcount:
        add(connection, process, kind, url, **serves)


def list_all(connection: sa.Connection) -> list[Row]:
    """List every process, alive or not."""
    return list(connection.execute(sa.select(workers).order_by(workers.c.started_at)))


def is_worker(connection: sa.Connection, process: str | None) -> bool:
    """Whether a registered process takes jobs."""
    return connection.execute(sa.select(workers.c.kind).where(workers.c.id == process)).scalar() == "worker"


def list_alive(connection: sa.Connection, *kinds: str) -> list[Row]:
    """List the processes of some kinds that have beaten within the last seconds, the newest first."""
    where = (workers.c.kind.in_(kinds), workers.c.beat > now(connection) - _SILENCE_SECONDS)
    return list(connection.execute(sa.select(workers).where(*where).order_by(workers.c.started_at.desc())))


def list_queues(worker: Row) -> list[str]:
    """List the queues that a worker serves."""
    return (worker.queues or DEFAULT_QUEUE).split(",")


def list_serving(connection: sa.Connection, queue: str) -> list[Row]:
    """List the workers that are alive and take the segments of a queue."""
    return [row for row in list_alive(connection, "worker") if queue in list_queues(row)]


def list_processes(connection: sa.Connection) -> list[ProcessFacts]:
    """List the processes that are alive, the newest first."""
    rows = list_alive(connection, "worker", "starting", "server", "attached")
    return [
        ProcessFacts(
            row.id,
            row.kind,
            tuple(list_queues(row)) if row.kind == "worker" else (),
            row.concurrency,
            row.version,
            row.clock_ahead,
        )
        for row in rows
    ]


def remove(connection: sa.Connection, process: str, beat: float | None = None) -> bool:
    """Forget a process; with `beat` only if it has not beaten again since."""
    where = [workers.c.id == process]
    if beat is not None:
        where.append(workers.c.beat == beat)
    return connection.execute(workers.delete().where(*where)).rowcount == 1
