"""Write into the notebook how its execution ended while no kernel ran: the decision takes the place of the card."""

import contextlib
import logging
import secrets
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pauseflow_nb.actions import name_decision
from pauseflow_nb.engine.decision_records import seal
from pauseflow_nb.engine.traces import send_trace
from pauseflow_nb.errors import PauseflowError, StorageFull, StoreUnavailable
from pauseflow_nb.identity import in_words
from pauseflow_nb.protocol import Wake
from pauseflow_nb.store import executions, segments, suspensions
from pauseflow_nb.store.database import now, reading, transaction
from pauseflow_nb.store.executions import FINAL, Row
from pauseflow_nb.store.files import Files
from pauseflow_nb.store.views import iso

if TYPE_CHECKING:
    from pauseflow_nb.runner.cards import Decision
    from pauseflow_nb.runner.document import Document

log = logging.getLogger(__name__)

#: For finishing one notebook; then the process that began it is taken for dead.
_CLAIM_SECONDS = 30.0
#: Until the next try after the storage could not be used.
_AGAIN_SECONDS = 1.0


def finish_notebook(engine: sa.Engine, files: Files, execution: str, live: "Document | None" = None) -> None:
    """Write how an execution ended into its stored notebook and its output.

    May be called twice, and by several processes at once: one of them does it. While the storage cannot be used it is
    left for later.

    Args:
        engine: The database.
        files: The storage.
        execution: Its id.
        live: The notebook as the kernel left it, if there was one until now.
    """
    with reading(engine) as connection:
        row = executions.find(connection, execution)
        is_due = (
            row is not None and row.record_due is not None and (live is not None or row.record_due <= now(connection))
        )
    if row is None or not is_due or row.state not in FINAL:
        return
    with transaction(engine) as connection:
        claimed = executions.claim_record(connection, row, _CLAIM_SECONDS)
    if claimed is None:
        return
    name = f"{execution}/end-{secrets.token_hex(4)}.ipynb"
    try:
        _finish(engine, files, claimed, name, live)
    except (StoreUnavailable, StorageFull) as problem:
        log.warning("could not finish the notebook of %s yet: %s", execution, problem, extra={"execution": execution})
        # If the store cannot be used either, the claim ends by itself.
        with contextlib.suppress(StoreUnavailable, StorageFull), transaction(engine) as connection:
            executions.claim_record(connection, claimed, _AGAIN_SECONDS)
        return
    except (PauseflowError, OSError) as problem:
        # The decision stands in the store; that the notebook cannot show it is no reason to try for ever.
        log.warning("did not finish the notebook of %s: %s", execution, problem, extra={"execution": execution})
        name = row.document
    with transaction(engine) as connection:
        is_ours = executions.is_record_claimed(connection, claimed)
        if is_ours:
            executions.set_recorded(connection, execution, document=name)
    if name != row.document:
        files.remove(row.document if is_ours else name)
    if is_ours:
        send_trace(engine, execution)


def _finish(engine: sa.Engine, files: Files, row: Row, name: str, live: "Document | None") -> None:
    """Close the notebook and write it, under a name of its own and into the output."""
    from pauseflow_nb.runner.document import Document  # lazily: only this needs the notebook's side of the house

    with reading(engine) as connection:
        suspension = suspensions.find_last(connection, row.id)
        first, last = (segments.find(connection, row.id, n) for n in (0, row.segment))
    is_begun = suspension is not None or first is None or first.attempt > 0
    document = Document.from_bytes(files.read(row.document)) if live is None else live
    _close(document, row, suspension, last)
    with transaction(engine) as connection:
        if not executions.is_record_claimed(connection, row):
            return
        seal(connection, row.id, row.state, document)
    _write(files, row, document, name, is_begun=is_begun)


def describe_end(row: Row) -> str:
    """Say how an execution ended, and who or what ended it."""
    reason = row.reason or {}
    return f"{name_decision(None, _action(row), by=str(reason.get('by') or ''))} by {_by_whom(row)}."


def _action(row: Row) -> str:
    is_timeout = (row.reason or {}).get("kind") == "timeout"
    return "timeout" if is_timeout else {"cancelled": "cancel"}.get(row.state, row.state)


def _by_whom(row: Row) -> str:
    from pauseflow_nb.runner.card_text import format_moment  # lazily: see finish_notebook

    reason = row.reason or {}
    who = in_words(str(reason["by"]), reason) if reason.get("by") else "nobody known"
    text = f": {reason['text']}" if reason.get("text") else ""
    return f"{who}{format_moment(iso(row.ended_at) or '')}{text}"


def _close(document: "Document", row: Row, suspension: Row | None, last: Row | None) -> None:
    """Write what was decided below the question, and why nothing came of it if that is so."""
    from pauseflow_nb.runner.cards import close_document, describe_decision, put_decision  # lazily: see above
    from pauseflow_nb.runner.notices import put_ending

    reason = row.reason or {}
    # What the segment itself asks has another answer than the one that woke it, and may be asked by the same step. So has
    # a question that is open again because the notebook refused the answer, or something has changed meanwhile.
    is_suspended = suspension is not None and last is not None and suspension.segment == last.n
    if last is not None and last.wake is not None and not is_suspended and last.how != "refused":
        # It was answered, but no kernel has begun with the answer, which would have written it.
        wake = Wake.from_dict(last.wake)
        put_decision(document, wake.step, describe_decision(wake, wake.callback))
    if reason.get("kind") == "environment" and last is not None:
        put_ending(document, last.first_cell, describe_end(row))
    close_document(document, suspension.step if suspension else "", describe_ending_decision(row, suspension))


def describe_ending_decision(row: Row, suspension: Row | None) -> "Decision":
    """Describe what ended an execution, as its notebook shows it below the question.

    Args:
        row: The execution, which has ended.
        suspension: What it waited for last, if anything.
    """
    from pauseflow_nb.runner.cards import Decision  # lazily: see finish_notebook

    reason = row.reason or {}
    action = _action(row)
    return Decision(
        _by_whom(row),
        action,
        by=str(reason.get("by") or ""),
        known_by=str(reason.get("known_by") or ""),
        at=iso(row.ended_at) or "",
        comment=str(reason.get("text") or "") if action == "cancel" else "",
        approvals=None if suspension is None else suspension.given,
    )


def _write(files: Files, row: Row, document: "Document", name: str, *, is_begun: bool) -> None:
    from pauseflow_nb.engine.write_output import finish_output, start_output  # lazily: see above

    files.write(name, document.to_bytes())
    if row.output is not None:
        # What is there before its first segment is not ours, and nobody's edit of ours.
        (finish_output if is_begun else start_output)(row, document)
