"""Count executions, late work and processes, for the metrics of a server."""

from dataclasses import dataclass

import sqlalchemy as sa

from pauseflow_nb.queues import QueuePlan
from pauseflow_nb.store import workers
from pauseflow_nb.store.database import now
from pauseflow_nb.store.executions import STATES
from pauseflow_nb.store.tables import executions, segments, suspensions


@dataclass(frozen=True)
class Counts:
    """Numbers of executions, suspensions and processes, and the delay of the oldest work."""

    #: State → number of executions, for every state.
    executions: dict[str, int]
    #: Suspensions that wait for an answer or the clock.
    open_suspensions: int
    #: Seconds that the oldest queued segment has waited for a worker; 0 if none waits.
    queue_seconds: float
    #: Seconds since the oldest passed deadline without effect; 0 if there is none.
    overdue_seconds: float
    #: Kind of process → how many are alive: `worker`, `server`, `attached`.
    processes: dict[str, int]


def count(connection: sa.Connection) -> Counts:
    """Count everything in one transaction, so that the numbers belong together."""
    moment = now(connection)
    by_state = sa.select(executions.c.state, sa.func.count()).group_by(executions.c.state)
    is_open = suspensions.c.state == sa.literal_column("'open'")
    waiting = connection.execute(sa.select(sa.func.count()).select_from(suspensions).where(is_open)).scalar_one()
    queued_at = sa.select(sa.func.min(segments.c.queued_at)).where(segments.c.state == "queued")
    due_at = sa.select(sa.func.min(suspensions.c.deadline)).where(is_open)
    kinds = ("worker", "server", "attached")
    alive = [row.kind for row in workers.list_alive(connection, *kinds)]
    return Counts(
        executions=dict.fromkeys(STATES, 0) | {row[0]: row[1] for row in connection.execute(by_state)},
        open_suspensions=waiting,
        queue_seconds=_age(moment, connection.execute(queued_at).scalar()),
        overdue_seconds=_age(moment, connection.execute(due_at).scalar()),
        processes={kind: alive.count(kind) for kind in kinds},
    )


def count_queued(connection: sa.Connection) -> dict[str, int]:
    """Count the executions that wait for a worker, by the queue of their next cell."""
    columns = (executions.c.queues, segments.c.first_cell, sa.func.count())
    is_latest = (segments.c.execution == executions.c.id, segments.c.n == executions.c.segment)
    statement = (
        sa.select(*columns)
        .join(segments, sa.and_(*is_latest))
        .where(executions.c.state == "queued", executions.c.attached_to.is_(None))
        .group_by(executions.c.queues, segments.c.first_cell)
    )
    found: dict[str, int] = {}
    for queues, first_cell, number in connection.execute(statement):
        name = QueuePlan.parse(queues).find(first_cell)
        found[name] = found.get(name, 0) + number
    return found


def _age(moment: float, since: float | None) -> float:
    return 0.0 if since is None else max(0.0, moment - since)
