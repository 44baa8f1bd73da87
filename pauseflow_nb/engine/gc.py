"""Remove executions that ended long ago, and data and files that no execution needs: `pauseflow gc`.

Data: blocks that no usable snapshot refers to. Files: those that no row names, left by processes that were killed
while writing.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import sqlalchemy as sa

from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.engine.snapshot_cache import CacheSize, trim
from pauseflow_nb.errors import StorageFull, StoreUnavailable
from pauseflow_nb.store import executions, segments
from pauseflow_nb.store.database import now, reading
from pauseflow_nb.store.executions import FINAL, Row
from pauseflow_nb.store.files import Files

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Newer files may still be in use, or not be named in the database yet.
GRACE = timedelta(hours=1)


@dataclass(frozen=True)
class Cleaned:
    """What was removed."""

    #: Executions that were removed, or that a dry run would remove.
    executions: tuple[str, ...]
    #: Number of unneeded files of other executions that were removed.
    files: int
    #: Number of bytes that were freed.
    bytes: int
    #: This machine's cache of remote snapshots afterwards; None without a remote store, and after a dry run.
    cache: CacheSize | None = None


def clean(store: OpenStore, *, older_than: timedelta, dry_run: bool = False, grace: timedelta = GRACE) -> Cleaned:
    """Remove executions, data and files that are no longer needed.

    May run beside workers, servers and itself. An execution is removed together with those nested in it, once all of
    them ended long enough ago.

    Args:
        store: The store.
        older_than: How long ago an execution must have ended to be removed.
        dry_run: Only list the executions that would be removed.
        grace: How long ago an unneeded file must have been written to be removed.
    """
    with reading(store.engine) as connection:
        old = executions.list_ended_before(connection, now(connection) - older_than.total_seconds())
    if dry_run:
        return Cleaned(tuple(old), 0, 0)
    before = store.files.used()
    removed_executions = tuple(
        execution for execution in old if _skip_if_damaged(_remove, store, execution, older_than)
    )
    # Listed before the rows are read, so that new files of an execution are not in the list.
    listed = {folder: dict(store.files.ages(folder)) for folder in store.files.folders()}
    removed = sum(
        _skip_if_damaged(_remove_unneeded, store, folder, ages, grace) or 0 for folder, ages in listed.items()
    )
    return Cleaned(removed_executions, removed, max(before - store.files.used(), 0), trim(store))


def _skip_if_damaged(clean: Callable[..., T], store: OpenStore, execution: str, *more: Any) -> T | None:
    """Clean one execution; skip it if it cannot be read, so that the others are still cleaned."""
    try:
        return clean(store, execution, *more)
    except (StoreUnavailable, StorageFull):
        raise
    except Exception as problem:  # noqa: BLE001  (whatever is wrong with it is wrong with it alone)
        log.warning("left %s alone: %s", execution, problem, extra={"execution": execution})
        return None


def _remove(store: OpenStore, execution: str, older_than: timedelta) -> bool:
    """Remove an execution; if this is interrupted, the next `gc` finishes it."""
    with reading(store.engine) as connection:
        jobs = segments.list_jobs(connection, execution)

    def change(connection: sa.Connection) -> bool:
        segments.lock_latest_number(connection, execution)
        row = executions.lock_plain(connection, execution)
        # It may have been retried meanwhile.
        if row is None or row.state not in FINAL or row.ended_at > now(connection) - older_than.total_seconds():
            return False
        executions.remove(connection, execution)
        return True

    if not store.change(change):
        return False
    store.jobs.forget(execution, jobs)
    store.files.remove(execution)
    if store.files.local is None:
        from pauseflow_nb.kernel.snapshot.storage.folder import forget_cache  # lazily: see _sweep

        forget_cache(store.files.folder(execution))
    log.info("removed %s, which ended long ago", execution, extra={"execution": execution})
    return True


def _remove_unneeded(store: OpenStore, execution: str, ages: dict[str, float], grace: timedelta) -> int:
    """Remove unneeded files in the folder of one execution; return their number."""
    old = [name for name, age in ages.items() if age > grace.total_seconds()]
    with reading(store.engine) as connection:
        row = executions.find(connection, execution)
        segment = None if row is None else segments.find(connection, execution, row.segment)
        snapshots = segments.list_snapshots(connection, execution)
        bodies = [
            name
            for name in old
            if _is_body(name) and not executions.is_named_in_answers(connection, execution, _key(name))
        ]
    if row is None or segment is None:
        # The folder may be about to receive its first file.
        if not ages or len(old) < len(ages):
            return 0
        store.files.remove(execution)
        return len(ages)
    doomed = [*bodies, *_notebooks(row, old)]
    for name in doomed:
        store.files.remove(f"{execution}/{name}")
    # A running kernel may be about to name what it has just saved.
    swept = 0 if segment.state == "running" else _sweep(store.files, execution, snapshots, grace)
    return len(doomed) + swept


def _is_body(name: str) -> bool:
    return name.startswith("bodies/")


def _key(name: str) -> str:
    """Return the unique part of a body's name."""
    return name.rpartition("-")[2]


def _notebooks(row: Row, old: list[str]) -> Iterator[str]:
    """Find notebooks of attempts that no longer count, and incomplete files."""
    for name in old:
        is_ours = "/" not in name and (name.endswith(".ipynb") or name.startswith("."))
        if is_ours and f"{row.id}/{name}" != row.document:
            yield name


def _sweep(files: Files, execution: str, live: set[str], grace: timedelta) -> int:
    # Lazily: it loads modules of the kernel.
    from pauseflow_nb.kernel.snapshot import sweep

    try:
        return sweep(files.folder(execution), live, grace_seconds=grace.total_seconds())
    except FileNotFoundError as problem:
        log.warning("left the snapshots of %s alone: %s", execution, problem, extra={"execution": execution})
        return 0
