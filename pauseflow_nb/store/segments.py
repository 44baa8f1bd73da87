"""Read and change the rows of segments, which fence out all but the newest attempt.

A claim raises `attempt`. Later writes of an earlier attempt then find no row to change, and return False.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sqlalchemy as sa

from pauseflow_nb.errors import UnknownExecution
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import SnapshotRef, Wake
from pauseflow_nb.store import executions, tables
from pauseflow_nb.store.database import lock_row, now
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.many_rows import insert_many, name_ids, select_among
from pauseflow_nb.store.tables import segments, steps

_PLAIN = tuple(column for column in segments.c if not isinstance(column.type, sa.JSON))
_NEWEST = (
    sa.select(segments.c.execution, sa.func.max(segments.c.n))
    .where(select_among(segments.c.execution))
    .group_by(segments.c.execution)
)


class HasSnapshot(Protocol):
    """An object that names a signed snapshot, or none."""

    @property
    def snapshot(self) -> str | None:
        """Return the name of its manifest."""

    @property
    def digest(self) -> str | None:
        """Return the digest of the manifest."""

    @property
    def signature(self) -> str | None:
        """Return our signature of the digest."""


@dataclass(frozen=True)
class NewSegment:
    """A segment to queue."""

    execution: str
    #: Number of the segment, from 0.
    n: int
    #: Index of the cell to begin with.
    first_cell: int
    #: The wake: what ended the suspension before it.
    wake: Wake | None = None
    #: The segment or the run of a step with the snapshot that it begins from.
    saved_by: HasSnapshot | Row | None = None
    #: Variables missing from this snapshot, for which the segment must run in the kept kernel.
    kernel_variables: list[dict[str, JSON]] | None = None


def add_all(connection: sa.Connection, new: Iterable[NewSegment], moment: float | None = None) -> None:
    """Insert segments that are queued at a moment; the default is now."""
    moment = now(connection) if moment is None else moment
    insert_many(connection, segments, [_values(each, moment) for each in new])


def find(connection: sa.Connection, execution: str, n: int) -> Row | None:
    """Read a row without locking it."""
    return connection.execute(sa.select(segments).where(*_is(execution, n))).first()


def lock(connection: sa.Connection, execution: str, n: int) -> Row | None:
    """Lock and read a row.

    Settling a suspension and ending a segment both begin with this: otherwise neither would see uncommitted changes
    of the other, and a callback that arrives at the end of the step would be lost.
    """
    return connection.execute(lock_row(sa.select(segments).where(*_is(execution, n)))).first()


def lock_plain(connection: sa.Connection, execution: str, n: int) -> Row | None:
    """Lock a row, and read the columns that are not JSON; see `lock`."""
    return connection.execute(lock_row(sa.select(*_PLAIN).where(*_is(execution, n)))).first()


def list_all(connection: sa.Connection, execution: str) -> list[Row]:
    """Read all segments of an execution, in order."""
    return list(connection.execute(sa.select(segments).where(segments.c.execution == execution).order_by(segments.c.n)))


def lock_latest(connection: sa.Connection, execution: str) -> Row | None:
    """Lock the newest segment of an execution."""
    newest = sa.select(sa.func.max(segments.c.n)).where(segments.c.execution == execution).scalar_subquery()
    return connection.execute(
        lock_row(sa.select(segments).where(segments.c.execution == execution, segments.c.n == newest))
    ).first()


def lock_with_execution(connection: sa.Connection, execution: str) -> tuple[Row, Row]:
    """Lock the newest segment of an execution, and then the execution.

    Raises:
        UnknownExecution: If there is none.
    """
    segment = lock_latest(connection, execution)
    row = executions.lock(connection, execution)
    if segment is None or row is None:
        raise UnknownExecution(execution)
    return segment, row


def lock_latest_number(connection: sa.Connection, execution: str) -> None:
    """Lock the newest segment of an execution, even if its row is damaged."""
    newest = sa.select(sa.func.max(segments.c.n)).where(segments.c.execution == execution).scalar_subquery()
    connection.execute(
        lock_row(sa.select(segments.c.n).where(segments.c.execution == execution, segments.c.n == newest))
    )


def next_number(connection: sa.Connection, execution: str) -> int:
    """Return the number of the next segment of an execution whose row the caller has locked."""
    return next_numbers(connection, [execution])[execution]


def next_numbers(connection: sa.Connection, ids: Sequence[str]) -> dict[str, int]:
    """Read the numbers of the next segments of executions whose rows the caller has locked."""
    return {execution: n + 1 for execution, n in connection.execute(_NEWEST, name_ids(ids))}


def find_woken_after(connection: sa.Connection, execution: str, n: int) -> Row | None:
    """Find the next segment that an answer woke and that did not refuse the answer."""
    where = (segments.c.execution == execution, segments.c.n > n, segments.c.wake.is_not(None))
    found = connection.execute(sa.select(segments).where(*where).order_by(segments.c.n))
    return next((row for row in found if row.how != "refused"), None)


def find_last_begun(connection: sa.Connection, execution: str) -> Row | None:
    """Read the newest segment that any worker has begun."""
    where = (segments.c.execution == execution, segments.c.attempt > 0)
    return connection.execute(sa.select(segments).where(*where).order_by(segments.c.n.desc()).limit(1)).first()


def list_jobs(connection: sa.Connection, execution: str) -> list[tuple[int, int]]:
    """List the possible jobs of its segments: number of the segment, and how often it was queued before."""
    found = connection.execute(sa.select(segments.c.n, segments.c.job).where(segments.c.execution == execution))
    return [(n, job) for n, last in found for job in range(last + 1)]


def list_run_by_jobs(connection: sa.Connection, limit: int = 1000) -> list[tuple[str, int, int]]:
    """List segments that run as jobs, not attached to a process, the oldest executions first.

    Returns:
        Execution, number of the segment, and how often it was queued before.
    """
    is_current = sa.and_(tables.executions.c.id == segments.c.execution, tables.executions.c.segment == segments.c.n)
    found = connection.execute(
        sa.select(segments.c.execution, segments.c.n, segments.c.job)
        .join(tables.executions, is_current)
        .where(tables.executions.c.state.in_(("running", "paused")), tables.executions.c.attached_to.is_(None))
        .where(segments.c.state == "running")
        .order_by(tables.executions.c.created_at)
        .limit(limit)
    )
    return [(execution, n, job) for execution, n, job in found]


def list_snapshots(connection: sa.Connection, execution: str) -> set[str]:
    """List the snapshots from which an execution may continue."""
    statements = [sa.select(table.c.snapshot).where(table.c.execution == execution) for table in (segments, steps)]
    return {name for name in connection.execute(sa.union(*statements)).scalars() if name is not None}


def claim(connection: sa.Connection, segment: Row, worker: str) -> Row:
    """Begin an attempt; the caller has locked the row, and the segment has not ended.

    A row that is `running` was left by a process that died, which counts as a crash, or by this process, which could
    not reach the store at the end of the attempt.
    """
    moment = now(connection)
    was_running = segment.state == "running"
    died = was_running and segment.worker != worker
    values: dict[str, Any] = {
        "state": "running",
        "attempt": segment.attempt + 1,
        "crashes": segment.crashes + died,
        "worker": worker,
        "started_at": segment.started_at or moment,
        "attempt_at": moment,
        "seen_at": moment,
        "compute_seconds": segment.compute_seconds + (_last(segment) if was_running else 0.0),
    }
    statement = segments.update().where(*_is(segment.execution, segment.n)).values(**values).returning(*segments.c)
    return connection.execute(statement).one()


def checkpoint(
    connection: sa.Connection,
    segment: Row,
    *,
    first_cell: int,
    snapshot: SnapshotRef,
    signature: str,
    kernel_variables: list[dict[str, JSON]] | None = None,
) -> bool:
    """Record a checkpoint, at which the segment would begin again; False if another attempt has taken over.

    `kernel_variables`: for a kernel-bound execution, needed variables that are missing from the snapshot.
    """
    return _change(
        connection,
        segment,
        first_cell=first_cell,
        snapshot=snapshot.name,
        digest=snapshot.digest,
        signature=signature,
        bound=kernel_variables,
        crashes=0,
        seen_at=now(connection),
    )


def mark_seen(connection: sa.Connection, segment: Row) -> bool:
    """Record that the attempt is alive; False if another one has taken over."""
    return _change(connection, segment, seen_at=now(connection))


def note_checked(connection: sa.Connection, segment: Row) -> bool:
    """Record that the fresh cells have run again since the answer; False if another attempt has taken over."""
    return _change(connection, segment, wake={**segment.wake, "is_checked": True})


def is_lost(connection: sa.Connection, segment: Row) -> bool:
    """Whether this attempt was cancelled, or taken over by another.

    An attempt that has ended is not lost: its process may not have noticed the end yet.
    """
    columns = (segments.c.attempt, segments.c.state, segments.c.how)
    row = connection.execute(sa.select(*columns).where(*_is(segment.execution, segment.n))).first()
    return row is None or row.attempt != segment.attempt or row.state == "queued" or row.how == "cancelled"


def set_losses(connection: sa.Connection, execution: str, n: int, losses: list[dict[str, JSON]]) -> None:
    """Record what the kernels of a segment could not restore, replacing an earlier record."""
    connection.execute(segments.update().where(*_is(execution, n)).values(losses=losses or None))


def end(connection: sa.Connection, segment: Row, how: str) -> bool:
    """End the segment; False if another attempt has taken over. If it has ended, only `how` changes."""
    if segment.state == "ended":
        return _change(connection, segment, how=how)
    moment = now(connection)
    # The time of a released segment has already been added.
    attempt = moment - (segment.attempt_at or moment) if segment.state == "running" else 0.0
    return _change(
        connection,
        segment,
        state="ended",
        how=how,
        ended_at=moment,
        seen_at=moment,
        compute_seconds=segment.compute_seconds + attempt,
    )


def close(connection: sa.Connection, execution: str, n: int, how: str) -> None:
    """End a segment that no attempt runs."""
    moment = now(connection)
    values = {"state": "ended", "how": how, "started_at": moment, "ended_at": moment}
    connection.execute(segments.update().where(*_is(execution, n)).values(**values))


def release(connection: sa.Connection, segment: Row, *, crashed: bool = False, new_job: bool = False) -> bool:
    """Return the segment to the queue, to begin at its last checkpoint; False if another attempt has taken over.

    Args:
        connection: The caller's transaction.
        segment: The row as it was claimed.
        crashed: Whether this counts as a crash.
        new_job: Whether a new job will run it, so that the current job must do nothing.
    """
    moment = now(connection)
    return _change(
        connection,
        segment,
        state="queued",
        queued_at=moment,
        seen_at=moment,
        crashes=segments.c.crashes + int(crashed),
        job=segments.c.job + int(new_job),
        compute_seconds=segments.c.compute_seconds + (moment - (segment.attempt_at or moment)),
    )


def pass_on(connection: sa.Connection, segment: Row) -> bool:
    """Leave a segment to another job without beginning an attempt; a `running` one was left by a dead process."""
    died = segment.state == "running"
    return _change(
        connection,
        segment,
        state="queued",
        queued_at=now(connection),
        crashes=segments.c.crashes + int(died),
        job=segments.c.job + 1,
        compute_seconds=segments.c.compute_seconds + (_last(segment) if died else 0.0),
    )


def _values(new: NewSegment, moment: float) -> dict[str, Any]:
    by = new.saved_by
    return {
        "execution": new.execution,
        "n": new.n,
        "state": "queued",
        "attempt": 0,
        "job": 0,
        "crashes": 0,
        "start_cell": new.first_cell,
        "first_cell": new.first_cell,
        "snapshot": None if by is None else by.snapshot,
        "digest": None if by is None else by.digest,
        "signature": None if by is None else by.signature,
        "wake": None if new.wake is None else {**vars(new.wake)},
        "bound": new.kernel_variables,
        "queued_at": moment,
        "compute_seconds": 0.0,
    }


def _is(execution: str, n: int) -> tuple[sa.ColumnElement[bool], ...]:
    return segments.c.execution == execution, segments.c.n == n


def _is_same_attempt(segment: Row) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        *_is(segment.execution, segment.n),
        segments.c.attempt == segment.attempt,
        segments.c.state == segment.state,
    )


def _change(connection: sa.Connection, segment: Row, **values: Any) -> bool:
    return connection.execute(segments.update().where(*_is_same_attempt(segment)).values(**values)).rowcount == 1


def _last(segment: Row) -> float:
    return float((segment.seen_at or 0.0) - (segment.attempt_at or segment.seen_at or 0.0))
