"""Finish the notebook of an execution that ended while no kernel ran: the decision takes the card's place."""

import logging
import secrets
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pauseflow_nb.errors import PauseflowError
from pauseflow_nb.identity import in_words
from pauseflow_nb.store import executions, segments, suspensions
from pauseflow_nb.store.database import reading, transaction
from pauseflow_nb.store.executions import FINAL, Row
from pauseflow_nb.store.files import Files
from pauseflow_nb.store.views import iso

if TYPE_CHECKING:
    from pauseflow_nb.runner.document import Document

__all__ = ["finish_notebook", "sentence_of"]

log = logging.getLogger(__name__)


def finish_notebook(engine: sa.Engine, files: Files, execution: str, live: "Document | None" = None) -> None:
    """Write how an execution ended into its stored notebook and its output. May be called twice.

    Args:
        engine: The database.
        files: The storage.
        execution: Its id.
        live: The notebook as the kernel left it, if there was one until now.
    """
    with reading(engine) as connection:
        row = executions.find(connection, execution)
        asked = suspensions.last_of(connection, execution)
        first = segments.find(connection, execution, 0)
    if row is None or row.record_due is None or row.state not in FINAL:
        return
    name = f"{execution}/end-{secrets.token_hex(4)}.ipynb"
    try:
        is_begun = asked is not None or first is None or first.attempt > 0
        _write(files, row, asked.step if asked else "", name, live, is_begun=is_begun)
    except (PauseflowError, OSError) as problem:
        # The decision stands in the store; that the notebook cannot show it is no reason to try for ever.
        log.warning("did not finish the notebook of %s: %s", execution, problem, extra={"execution": execution})
        name = row.document
    with transaction(engine) as connection:
        executions.recorded(connection, execution, document=name)
    if name != row.document:
        files.remove(row.document)


def sentence_of(row: Row) -> str:
    """Say how an execution ended, and who or what ended it."""
    reason = row.reason or {}
    by = reason.get("by")
    who = {"clock": "the clock", None: "nobody known"}.get(by) or in_words(str(by), reason)
    said = {"cancelled": "Cancelled", "failed": "Failed", "completed": "Completed"}[row.state]
    said = "Timed out" if reason.get("kind") == "timeout" else said
    text = f": {reason['text']}" if reason.get("text") else ""
    return f"{said} by {who} at {iso(row.ended_at)}{text}."


def _write(files: Files, row: Row, step: str, name: str, live: "Document | None", *, is_begun: bool) -> None:
    # Lazily: only this needs the notebook's side of the house.
    from pauseflow_nb.engine.output import finish_output, first_output
    from pauseflow_nb.runner.cards import close_document
    from pauseflow_nb.runner.document import Document

    document = Document.from_bytes(files.read(row.document)) if live is None else live
    close_document(document, step, sentence_of(row))
    files.write(name, document.to_bytes())
    if row.output is not None:
        # What is there before its first segment is not ours, and nobody's edit of ours.
        (finish_output if is_begun else first_output)(row, document)
