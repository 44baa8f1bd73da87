"""Send messages again while somebody is waited for."""

import logging
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from pauseflow_nb.errors import NotDelivered, PauseflowError
from pauseflow_nb.links import Claim
from pauseflow_nb.messages import deliver
from pauseflow_nb.protocol import MessageRequest
from pauseflow_nb.store import executions, suspensions
from pauseflow_nb.store.audit import note
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import Row

if TYPE_CHECKING:
    from pauseflow_nb.engine.queue import Queue

__all__ = ["remind"]

log = logging.getLogger(__name__)


def remind(queue: "Queue", due: list[Row]) -> None:
    """Take the reminders that no other process takes, and send them in a thread: a mail server may be slow."""
    mine = [row for row in due if queue.change(lambda connection, row=row: suspensions.take_reminder(connection, row))]  # type: ignore[misc]
    if mine:
        threading.Thread(target=_send, args=[queue, mine], name="pauseflow-reminder", daemon=True).start()


def _send(queue: "Queue", reminders: list[Row]) -> None:
    for row in reminders:
        try:
            _send_one(queue, row)
        except PauseflowError as problem:
            log.warning("did not remind of %s: %s", row.execution, problem, extra={"execution": row.execution})


def _send_one(queue: "Queue", row: Row) -> None:
    with reading(queue.engine) as connection:
        execution = executions.find(connection, row.execution)
    if execution is None:
        return
    claim = Claim(row.execution, row.segment, row.step, row.ordinal, "", execution.revocations)
    link = queue.links_of()(claim)["approval_url"]
    problem: str | None = None
    for stored in row.notice["messages"]:
        message = MessageRequest.from_dict(stored)
        try:
            deliver(queue.settings, replace(message, subject=f"Reminder: {message.subject}", link=link))
        except NotDelivered as failure:
            problem = str(failure)
            log.warning("%s", problem, extra={"execution": row.execution})
    what = "reminded" if problem is None else "not reminded"
    where = {"segment": row.segment, "step": row.step}
    queue.change(lambda connection: note(connection, row.execution, what, "clock", **where, text=problem))
