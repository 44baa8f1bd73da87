"""What must not be left after a chaos run: rows of processes, jobs, connections, locks, files that nothing names."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa
from chaos.world import World

from pauseflow_nb.engine.gc import clean
from pauseflow_nb.engine.jobs import DBOS_SCHEMA
from pauseflow_nb.store import workers
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.tables import executions

__all__ = ["find_leftovers"]


def find_leftovers(world: World) -> list[str]:
    """Look for what is left after all processes have ended; `gc` then removes all there was."""
    return [*_rows(world), *_jobs(world), *_connections(world), *_files(world), *_after_gc(world)]


def _rows(world: World) -> Iterator[str]:
    with reading(world.queue.engine) as connection:
        for row in workers.list_all(connection):
            yield f"{row.kind} {row.id} is still registered"
        attached = connection.execute(sa.select(executions.c.id).where(executions.c.attached_to.is_not(None))).scalars()
        yield from (f"{id_} is still attached to a process" for id_ in attached)


def _jobs(world: World) -> Iterator[str]:
    schema = f"{DBOS_SCHEMA}." if world.plan.database == "postgresql" else ""
    statement = (
        f"SELECT workflow_uuid, status FROM {schema}workflow_status WHERE status NOT IN ('SUCCESS', 'CANCELLED')"
    )
    with reading(world.queue.engine) as connection:
        for name, status in connection.execute(sa.text(statement)):
            # What was queued for an execution that was cancelled since does nothing when it is taken.
            if not (status == "ENQUEUED" and _has_ended(connection, name)):
                yield f"job {name} is {status}"


def _has_ended(connection: sa.Connection, job: str) -> bool:
    where = executions.c.id == job.partition("/")[0]
    return connection.execute(sa.select(executions.c.ended_at).where(where)).scalar() is not None


def _connections(world: World) -> Iterator[str]:
    if world.plan.database != "postgresql":
        return
    statement = "SELECT pid, query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
    with reading(world.queue.engine) as connection:
        for pid, query in connection.execute(sa.text(statement)):
            yield f"connection {pid} still does something: {query}"


def _files(world: World) -> Iterator[str]:
    """Only notebooks and outputs lie where the notebooks are."""
    for path in sorted(world.work.iterdir()):
        if path.suffix != ".ipynb" or path.name.startswith("."):
            yield f"{path.name} is left beside the notebooks"
    runtime = [path.name for path in (world.folder / "runtime").iterdir() if path.name.startswith("kernel-")]
    if runtime:
        yield f"connection files of kernels are left: {sorted(runtime)}"


def _after_gc(world: World) -> Iterator[str]:
    """`gc` leaves what is needed; after that, removing all executions leaves nothing."""
    queue = world.queue
    clean(queue, older_than=timedelta(days=1), grace=timedelta())
    again = clean(queue, older_than=timedelta(days=1), grace=timedelta())
    if again.files:
        yield f"the second `gc` found {again.files} files that the first had left"
    for name in _stored(world):
        if Path(name).name.startswith(".") or name.endswith((".tmp", ".part")):
            yield f"half a file is left in the storage: {name}"
    clean(queue, older_than=timedelta(), grace=timedelta())
    left = _stored(world)
    if left:
        yield f"after all executions were removed, files are left: {left[:10]}"


def _stored(world: World) -> list[str]:
    files = world.queue.files
    return [f"{folder}/{name}" for folder in files.folders() for name, _ in files.ages(folder)]
