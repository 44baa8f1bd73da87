"""Check that an execution may start: the storage and the disk have room, and its output belongs to no other execution."""

from pathlib import Path

import sqlalchemy as sa

from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.errors import DiskNearlyFull, OutputInUse, QuotaReached, StoreUnavailable
from pauseflow_nb.private_files import follow
from pauseflow_nb.store import executions
from pauseflow_nb.store.database import named, reading

__all__ = ["explain_conflict", "require_free_output", "require_room", "resolve_output"]

#: Bytes that the disk must have beyond the notebook itself: the database needs to write, too.
_RESERVE = 16 * 1024**2


def require_room(store: OpenStore, size: int) -> None:
    """Refuse a new execution if the storage is at its quota, its disk nearly full, or its client not installed.

    Args:
        store: The store.
        size: Bytes that the execution begins with.

    Raises:
        StoreUnavailable: If the storage needs a package that is not installed.
        QuotaReached: If the quota is reached; nothing has been written.
        DiskNearlyFull: If the disk is nearly full; nothing has been written.
    """
    files, quota = store.files, store.settings.quota
    files.require_client()
    if quota is not None and (used := files.used()) + size > quota:
        raise QuotaReached(files.url, used, quota)
    free = files.free()
    if free is not None and free < _RESERVE + size:
        raise DiskNearlyFull(files.url, free)


def resolve_output(output: str | None) -> str | None:
    """Name an output so that two ways to write one path are one owner."""
    return output if output is None or "://" in output else str(follow(Path(output)))


def require_free_output(connection: sa.Connection, output: str | None) -> None:
    """Refuse an output that another execution writes.

    Raises:
        OutputInUse: If an execution that has not ended owns the output.
    """
    owner = None if output is None else executions.find_owner(connection, output)
    if owner is not None:
        raise OutputInUse(owner.output, owner.id, owner.state)


def explain_conflict(store: OpenStore, output: str | None) -> OutputInUse | StoreUnavailable:
    """Make the error for a change that broke the rule that an output has one owner.

    On PostgreSQL, of two transactions at once neither sees the other's row before one is refused.
    """
    try:
        with reading(store.engine) as connection:
            require_free_output(connection, output)
    except OutputInUse as problem:
        return problem
    return StoreUnavailable(named(store.engine), "another execution took the output a moment ago")
