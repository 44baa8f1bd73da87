"""Send the messages of a suspension again while nobody has answered it."""

import logging
import threading
from dataclasses import replace

import sqlalchemy as sa

from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.errors import NotDelivered
from pauseflow_nb.links import Claim
from pauseflow_nb.notifications import deliver
from pauseflow_nb.protocol import MessageRequest
from pauseflow_nb.store import executions, suspensions
from pauseflow_nb.store.audit import note
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import Row

log = logging.getLogger(__name__)


def remind(store: OpenStore, due: Claim) -> None:
    """Take a reminder, unless another process takes it, and send it in a thread: a mail server may be slow."""

    def take(connection: sa.Connection) -> Row | None:
        row = suspensions.find(connection, due)
        return row if row is not None and suspensions.take_reminder(connection, row) else None

    claimed = store.change(take)
    if claimed is not None:
        threading.Thread(target=_send, args=[store, claimed], name="pauseflow-reminder", daemon=True).start()


def _send(store: OpenStore, row: Row) -> None:
    try:
        _send_one(store, row)
    except Exception as problem:  # noqa: BLE001  (nobody else would say it)
        log.warning("did not remind of %s: %s", row.execution, problem, extra={"execution": row.execution})


def _send_one(store: OpenStore, row: Row) -> None:
    with reading(store.engine) as connection:
        execution = executions.find(connection, row.execution)
    if execution is None:
        return
    claim = suspensions.make_claim(row, revocations=execution.revocations)
    link = store.link_maker()(claim)["approval_url"]
    word = "Asked again" if (row.shown or {}).get("drift") else "Reminder"
    problem: str | None = None
    for stored in row.notice["messages"]:
        message = MessageRequest.from_dict(stored)
        try:
            deliver(store.settings, replace(message, subject=f"{word}: {message.subject}", link=link))
        except NotDelivered as failure:
            problem = str(failure)
            log.warning("%s", problem, extra={"execution": row.execution})
    what = "reminded" if problem is None else "not reminded"
    where = {"segment": row.segment, "step": row.step}
    store.change(lambda connection: note(connection, row.execution, what, "clock", **where, text=problem))
