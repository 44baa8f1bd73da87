"""Check that an execution may start: limits, room on the disk, and a free output."""

from pathlib import Path

import sqlalchemy as sa

from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.errors import AllowanceReached, DiskNearlyFull, OutputInUse, QuotaReached, StoreUnavailable
from pauseflow_nb.private_files import follow
from pauseflow_nb.store import executions
from pauseflow_nb.store.database import describe_database, reading

#: Free bytes that the disk must have beyond the notebook: the database needs to write, too.
_RESERVE = 16 * 1024**2


def require_room(store: OpenStore, size: int) -> None:
    """Check that the storage is below its quota, its disk not nearly full, and its client installed.

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


def require_allowance(store: OpenStore, by: str, queue: str) -> None:
    """Check that a user and a queue may have another execution.

    Nested executions are never refused; only their bytes count for the user who started the parent.

    Raises:
        AllowanceReached: If a limit is reached; nothing has been written.
    """
    settings, user = store.settings, f"user {by.removeprefix('user:')}"
    if (settings.executions_per_user, settings.executions_per_queue, settings.bytes_per_user) == (None, None, None):
        return
    with reading(store.engine) as connection:
        if (most := settings.executions_per_user) is not None:
            _require_fewer(user, executions.count_unended(connection, by=str(by)), most, "executions_per_user")
        if (most := settings.executions_per_queue) is not None:
            used = executions.count_unended(connection, queue=queue)
            _require_fewer(f"queue {queue}", used, most, "executions_per_queue")
        own = [] if settings.bytes_per_user is None else executions.list_started_by(connection, str(by))
    if settings.bytes_per_user is not None:
        _require_fewer(user, store.files.used_in(own), settings.bytes_per_user, "bytes_per_user")


def _require_fewer(whose: str, used: int, most: int, setting: str) -> None:
    if used >= most:
        is_bytes = setting.startswith("bytes")
        numbers = [f"{number / 1e6:.1f} MB" if is_bytes else str(number) for number in (used, most)]
        raise AllowanceReached(whose, numbers[0], numbers[1], setting)


def resolve_output(output: str | None) -> str | None:
    """Return the canonical name of an output, so that different spellings of one path are the same output."""
    return output if output is None or "://" in output else str(follow(Path(output)))


def require_free_output(connection: sa.Connection, output: str | None) -> None:
    """Check that no other execution writes an output.

    Raises:
        OutputInUse: If an execution that has not ended owns the output.
    """
    owner = None if output is None else executions.find_owner(connection, output)
    if owner is not None:
        raise OutputInUse(owner.output, owner.id, owner.state)


def explain_conflict(store: OpenStore, output: str | None) -> OutputInUse | StoreUnavailable:
    """Make the error for a change that would give an output two owners.

    On PostgreSQL, two concurrent transactions do not see each other's rows before one is refused.
    """
    try:
        with reading(store.engine) as connection:
            require_free_output(connection, output)
    except OutputInUse as problem:
        return problem
    return StoreUnavailable(describe_database(store.engine), "another execution took the output a moment ago")
