"""Cancel an execution in any state, with the notebooks that it runs."""

import sqlalchemy as sa

from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.engine.settling import RECORD_AFTER, Settling, make_cancel_reason
from pauseflow_nb.errors import UnknownExecution
from pauseflow_nb.store import executions, segments, steps, suspensions
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import FINAL


def cancel(store: OpenStore, execution: str, *, by: str, text: str | None = None) -> None:
    """Cancel an execution, unless it has ended.

    Args:
        store: The store.
        execution: Its id.
        by: `"user:NAME"`, or `"parent:EXECUTION"`.
        text: The reason.

    Raises:
        UnknownExecution: If there is none.
    """

    def change(connection: sa.Connection) -> None:
        segment = segments.lock_latest(connection, execution)
        row = executions.lock_plain(connection, execution)
        if segment is None or row is None:
            raise UnknownExecution(execution)
        if row.state in FINAL:
            return
        running = segment.state == "running"
        waiting = suspensions.list_open_claims(connection, execution)
        segments.end(connection, segment, "cancelled")
        steps.fail(connection, execution, segment.n, None)
        suspensions.void(connection, execution, by)
        Settling(connection, store.jobs).apply_early(execution, segment.n, None)
        executions.end(
            connection,
            execution,
            "cancelled",
            by=by,
            reason=make_cancel_reason(by, text),
            record_after=RECORD_AFTER if running else 0.0,
        )
        for claim in waiting:
            Settling(connection, store.jobs).record_end(claim)

    store.change(change)
    cancel_children(store, execution)


def cancel_children(store: OpenStore, execution: str) -> None:
    """Cancel the children of a cancelled execution, each in its own transaction: see `children`."""
    with reading(store.engine) as connection:
        row = executions.find_plain(connection, execution)
        if row is None or row.state != "cancelled":
            return
        following = [row for row in executions.list_children(connection, execution) if row.nested["linked"]]
    for child in following:
        if child.state not in FINAL:
            cancel(store, child.id, by=f"parent:{execution}")
