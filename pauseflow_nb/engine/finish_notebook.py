"""Write the end of an execution into its notebook when the attempt could not, or when no kernel ran."""

import contextlib
import logging
import secrets
import time
from typing import TYPE_CHECKING

from pauseflow_nb.engine.cancelling import cancel_children
from pauseflow_nb.engine.decision_records import seal
from pauseflow_nb.engine.describe_end import describe_end, describe_ending_decision
from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.engine.traces import send_trace
from pauseflow_nb.errors import PauseflowError, StorageFull, StoreDamaged, StoreUnavailable
from pauseflow_nb.protocol import Wake
from pauseflow_nb.store import executions, segments, suspensions
from pauseflow_nb.store.database import now, reading, transaction
from pauseflow_nb.store.executions import FINAL, Row

if TYPE_CHECKING:
    from pauseflow_nb.runner.document import Document

log = logging.getLogger(__name__)

#: Seconds for one attempt; after that, the process that began it is considered dead.
_CLAIM_SECONDS = 30.0
#: Seconds that the process with the notebook in memory retries while files cannot be written.
_PATIENCE_SECONDS = 30.0
#: Limits of the wait before the next attempt of any process: a tenth of the time since the end.
_AGAIN_SECONDS = (1.0, 600.0)
#: Time after which an output that cannot be written is given up.
_GIVE_UP_SECONDS = 86400.0


def finish_notebook(store: OpenStore, execution: str, live: "Document | None" = None) -> None:
    """Write the end of an execution into its stored notebook and its output.

    May be called more than once, and by several processes at once: one of them does it. While the files cannot be
    written, it is postponed; for the output, at most for a day. The process that cancelled the execution may have
    died before it cancelled the nested executions, so that is done first.

    Args:
        store: The store.
        execution: Its id.
        live: The notebook in memory, if a kernel has just run it. No other process has it, so while the files cannot
            be written this retries for half a minute.
    """
    row = _find_due(store, execution, is_live=live is not None)
    if row is None:
        return
    cancel_children(store, execution)
    patience = 0.0 if live is None else _PATIENCE_SECONDS
    with transaction(store.engine) as connection:
        claimed = executions.claim_record(connection, row, _CLAIM_SECONDS + patience)
    end = time.monotonic() + patience
    while claimed is not None:
        try:
            problem = _try(store, claimed, live)
        except (StoreUnavailable, StorageFull) as why:
            if time.monotonic() < end:
                time.sleep(_AGAIN_SECONDS[0])
                continue
            problem = why
        if problem is not None:
            log.warning(
                "could not finish the notebook of %s yet: %s", execution, problem, extra={"execution": execution}
            )
            _leave(store, claimed)
        return


def _find_due(store: OpenStore, execution: str, *, is_live: bool) -> Row | None:
    """Read an execution; None if its notebook need not be finished, or not yet."""
    try:
        with reading(store.engine) as connection:
            row = executions.find(connection, execution)
            if row is None or row.state not in FINAL or row.record_due is None:
                return None
            return row if is_live or row.record_due <= now(connection) else None
    except StoreDamaged as why:
        log.warning("did not finish the notebook of %s: %s", execution, why, extra={"execution": execution})
        with transaction(store.engine) as connection:
            executions.set_recorded(connection, execution)
        return None


def _leave(store: OpenStore, claimed: Row) -> None:
    """Let any process try again later, after a delay that grows with the time since the end."""
    # If the store cannot be used either, the claim expires.
    with contextlib.suppress(StoreUnavailable, StorageFull), transaction(store.engine) as connection:
        soonest, latest = _AGAIN_SECONDS
        since = now(connection) - claimed.ended_at
        executions.claim_record(connection, claimed, min(max(since / 10, soonest), latest))


def _try(store: OpenStore, row: Row, live: "Document | None") -> PauseflowError | None:
    """Try to finish it; return why the output was not written, if another attempt is needed.

    Raises:
        StoreUnavailable, StorageFull: If the notebook could not be stored.
    """
    name = f"{row.id}/end-{secrets.token_hex(4)}.ipynb"
    problem = None
    try:
        problem = _finish(store, row, name, live)
    except (StoreUnavailable, StorageFull):
        raise
    except Exception as why:  # noqa: BLE001  (whatever is wrong with a row or a file is wrong with that one alone)
        # The store has the decision, so this is not retried for ever if the notebook cannot show it.
        log.warning("did not finish the notebook of %s: %s", row.id, why, extra={"execution": row.id})
        name = row.document
    with transaction(store.engine) as connection:
        if problem is not None and now(connection) - row.ended_at > _GIVE_UP_SECONDS:
            problem = None
        is_ours = executions.is_record_claimed(connection, row)
        if is_ours:
            executions.set_recorded(connection, row.id, document=name, due=None if problem is None else row.record_due)
    if name != row.document:
        store.files.remove(row.document if is_ours else name)
    if is_ours and problem is None:
        send_trace(store.engine, row.id)
    return problem if is_ours else None


def _finish(store: OpenStore, row: Row, name: str, live: "Document | None") -> PauseflowError | None:
    """Close the notebook and write it, under a new name and to the output; return why the output was not written."""
    from pauseflow_nb.engine.newest_notebook import (
        find_newest,  # lazily: only this needs notebooks
    )
    from pauseflow_nb.runner.document import Document

    with reading(store.engine) as connection:
        suspension = suspensions.find_last(connection, row.id)
        first, last = (segments.find(connection, row.id, n) for n in (0, row.segment))
    document = live
    if document is None:
        stored = Document.from_bytes(store.files.read(row.document))
        document = find_newest(store.engine, row, stored, suspension=suspension, segment=last)
    _close(document, row, suspension, last)
    with transaction(store.engine) as connection:
        if not executions.is_record_claimed(connection, row):
            return None
        seal(connection, row.id, row.state, document)
        is_begun = suspension is not None or first is None or first.attempt > 0
        is_taken = row.output is not None and executions.is_output_taken(connection, row)
    store.files.write(name, document.to_bytes())
    return _write_output(row, document, is_first=not (is_begun or is_taken))


def _close(document: "Document", row: Row, suspension: Row | None, last: Row | None) -> None:
    """Write the decision below the question, and why it had no effect if that is the case."""
    from pauseflow_nb.runner.cards import close_document, describe_decision, write_decision  # lazily: see above
    from pauseflow_nb.runner.notices import write_ending

    reason = row.reason or {}
    # Not for the segment's own question, which may be of the same step and has another answer than the wake; nor
    # for a question that is open again because the notebook refused the answer or values have changed.
    is_suspended = suspension is not None and last is not None and suspension.segment == last.n
    if last is not None and last.wake is not None and not is_suspended and last.how != "refused":
        # It was answered, but no kernel has started with the answer, which would have written it.
        wake = Wake.from_dict(last.wake)
        write_decision(document, wake.step, describe_decision(wake, wake.callback))
    if reason.get("kind") == "environment" and last is not None:
        write_ending(document, last.first_cell, describe_end(row))
    close_document(document, suspension.step if suspension else "", describe_ending_decision(row, suspension))


def _write_output(row: Row, document: "Document", *, is_first: bool) -> PauseflowError | None:
    from pauseflow_nb.engine.write_output import finish_output, start_output  # lazily: see above

    if row.output is None:
        return None
    # A file from before its first segment is not the output of this execution, nor an edit of it.
    return start_output(row, document) if is_first else finish_output(row, document)
