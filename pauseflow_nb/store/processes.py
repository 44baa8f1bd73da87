"""What the store knows of a process that is alive."""

from dataclasses import dataclass

import sqlalchemy as sa

from pauseflow_nb.store import workers

__all__ = ["ProcessFacts", "list_processes"]


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


def list_processes(connection: sa.Connection) -> list[ProcessFacts]:
    """List the processes that are alive, the newest first."""
    rows = workers.list_alive(connection, "worker", "starting", "server", "attached")
    return [
        ProcessFacts(
            row.id,
            row.kind,
            tuple(workers.list_queues(row)) if row.kind == "worker" else (),
            row.concurrency,
            row.version,
            row.clock_ahead,
        )
        for row in rows
    ]
