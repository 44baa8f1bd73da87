"""Act for the clock: settle what is due, send reminders, and finish the work of processes that died."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import sqlalchemy as sa

from pauseflow_nb.engine.finish_notebook import finish_notebook
from pauseflow_nb.engine.next_segments import Settlement, time_out_all
from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.engine.ownership import detach
from pauseflow_nb.engine.settling import Settling, make_default, wakes_in_time
from pauseflow_nb.engine.triggers.due import start_due
from pauseflow_nb.engine.unanswered import end_all_unanswered, ends_unanswered
from pauseflow_nb.errors import NotDelivered, StorageFull, StoreUnavailable
from pauseflow_nb.links import Claim
from pauseflow_nb.notifications import deliver
from pauseflow_nb.protocol import MessageRequest
from pauseflow_nb.store import executions, segments, suspensions
from pauseflow_nb.store.audit import add_line
from pauseflow_nb.store.database import now, reading
from pauseflow_nb.store.executions import Row

#: Most suspensions in one transaction: while it runs, no answer can be settled on SQLite.
_AT_ONCE = 100
#: Seconds that one sweep keeps settling, so that reminders and schedules do not wait long.
_SETTLING_SECONDS = 2.0

_SCHEDULES = "schedules"

log = logging.getLogger(__name__)

T = TypeVar("T")


class Clock:
    """Does the work that is due whenever this process calls it; remembers failures, to log each once."""

    def __init__(self, store: OpenStore) -> None:
        """Take the store."""
        self._store = store
        #: Work that failed in the last sweep because of a damaged row, and is still due.
        self._failed: set[Claim | str] = set()
        #: Work that this sweep has found.
        self._found: set[Claim | str] = set()

    def sweep(self, execution: str | None = None) -> int:
        """Do everything that is due.

        Settles suspensions, starts scheduled executions, finishes notebooks of executions that ended without a
        kernel, and leaves executions of processes that are no longer registered to the workers.

        Returns:
            How many suspensions were settled. While nothing is due this is five plain reads.
        """
        store = self._store
        self._found = {_SCHEDULES}
        settled, is_done = self._settle_due(execution)
        # Read beyond those that cannot be settled: they stay due, and must not hide others.
        more = len(self._failed)
        with reading(store.engine) as connection:
            # Finishing a notebook takes longer than settling many suspensions, which are late already.
            unfinished = executions.list_to_record(connection, (20 if is_done else 1) + more)
            reminders = suspensions.list_to_remind(connection, execution, 20 + more)
            abandoned = [] if execution is not None else executions.list_abandoned(connection, 20 + more)
        if execution is None:
            self._attempt(_SCHEDULES, lambda: start_due(store))
        for id_ in unfinished:
            if execution in (None, id_):
                self._attempt(id_, lambda: finish_notebook(store, id_))  # noqa: B023
        for id_ in abandoned:
            self._attempt(id_, lambda: detach(store, id_))  # noqa: B023
        for claim in reminders:
            self._attempt(claim, lambda: remind(store, claim))  # noqa: B023
        self._found.update(unfinished, abandoned, reminders)
        self._failed = {what for what in self._failed if what in self._found or execution not in (None, _name(what))}
        return settled

    def read_suspension(self, claim: Claim) -> Row | None:
        """Read a suspension, after settling it if its deadline has passed."""
        for _ in range(2):
            with reading(self._store.engine) as connection:
                row = suspensions.find(connection, claim)
                if row is None or row.state != "open" or row.deadline is None or row.deadline > now(connection):
                    return row
            self.sweep(claim.execution)
        return row

    def _settle_due(self, execution: str | None) -> tuple[int, bool]:
        """Settle what is due, in groups, until nothing is left or other work has waited long enough.

        Returns:
            How many were settled, and whether nothing is left.
        """
        settled, end = 0, time.monotonic() + _SETTLING_SECONDS
        while True:
            at_once = _AT_ONCE + len(self._failed)
            with reading(self._store.engine) as connection:
                due = suspensions.list_due(connection, execution, at_once)
            self._found.update(due)
            found = self._settle_group(due) if due else 0
            settled += found
            is_done = len(due) < at_once or not found
            if is_done or time.monotonic() > end:
                return settled, is_done

    def _settle_group(self, due: list[Claim]) -> int:
        """Settle suspensions that only wake or end their execution in one transaction, and the others one by one."""
        group = [claim for claim in due if claim not in self._failed]
        try:
            settled, left = self._store.change(lambda connection: self._settle_together(connection, group))
        except (StoreUnavailable, StorageFull):
            raise
        except Exception as problem:  # noqa: BLE001  (whatever it is, it is about one of them, which is logged when alone)
            log.debug("settled %s suspensions one by one: %s", len(group), problem)
            settled, left = 0, group
        left += [claim for claim in due if claim in self._failed]
        return settled + sum(bool(self._attempt(claim, lambda: self._settle(claim))) for claim in left)  # noqa: B023

    def _settle_together(self, connection: sa.Connection, due: list[Claim]) -> tuple[int, list[Claim]]:
        """Settle suspensions that only wake or end their execution; return their number, and the others.

        Rows that another transaction has locked are skipped: an answer or another worker is settling them.
        """
        # At most one of each execution: the next one must see the changes of this one.
        chosen = list({claim.execution: claim for claim in reversed(due)}.values())
        locked = [row for row in suspensions.lock_where_free(connection, chosen) if row is not None]
        if not locked:
            return 0, []
        moment = locked[0].now
        settlements: list[Settlement] = []
        unanswered: list[Row] = []
        left: list[Claim] = []
        for row in locked:
            if row.deadline is None or row.deadline > moment:
                continue
            if wakes_in_time(row):
                settlements.append(Settlement(row, row, row, "clock", make_default(row)))
            elif ends_unanswered(row):
                unanswered.append(row)
            else:
                left.append(suspensions.make_claim(row))
        if settlements:
            time_out_all(connection, self._store.jobs, settlements, moment)
        if unanswered:
            end_all_unanswered(connection, unanswered, moment)
        return len(settlements) + len(unanswered), left

    def _settle(self, due: Claim) -> bool:
        def change(connection: sa.Connection) -> bool:
            segments.lock(connection, due.execution, due.segment)
            executions.lock(connection, due.execution)
            suspension = suspensions.lock(connection, due)
            if suspension is None or suspension.state != "open":
                return False
            return Settling(connection, self._store.jobs).time_out(suspension)

        return self._store.change(change)

    def _attempt(self, what: Claim | str, act: Callable[[], T]) -> T | None:
        """Do one piece of work; log only its first failure, and let the others continue."""
        try:
            done = act()
        except (StoreUnavailable, StorageFull):
            raise
        except Exception as problem:  # noqa: BLE001  (whatever is wrong with a row is wrong with that row alone)
            if what not in self._failed:
                log.warning("left %s alone: %s", _name(what), problem, extra={"execution": _name(what)})
            self._failed.add(what)
            return None
        self._failed.discard(what)
        return done


def _name(what: Claim | str) -> str:
    return what if isinstance(what, str) else what.execution


def remind(store: OpenStore, due: Claim) -> None:
    """Claim a reminder, unless another process has, and send it in a thread: a mail server may be slow."""

    def take(connection: sa.Connection) -> Row | None:
        row = suspensions.find(connection, due)
        return row if row is not None and suspensions.take_reminder(connection, row) else None

    claimed = store.change(take)
    if claimed is not None:
        store.reminders.submit(_send, store, claimed)


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
    store.change(lambda connection: add_line(connection, row.execution, what, "clock", **where, text=problem))
