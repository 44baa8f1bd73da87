"""Start the executions whose scheduled time has come, each by only one worker."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.engine.triggers.schedule import Schedule
from pauseflow_nb.engine.triggers.starting import describe_last, start_execution
from pauseflow_nb.errors import PauseflowError, StoreUnavailable, UnknownTrigger
from pauseflow_nb.store import triggers
from pauseflow_nb.store.database import format_time, now, reading
from pauseflow_nb.store.executions import Row

log = logging.getLogger(__name__)

#: Seconds after which a time counts as missed: workers check more often, but a machine may be busy.
_GRACE_SECONDS = 60.0

#: Reads the database's clock.
ReadTime = Callable[[sa.Connection], float]


def start_due(store: OpenStore, *, read_time: ReadTime = now) -> list[str]:
    """Start the executions that are due; several missed times of one schedule start only one.

    Returns:
        The ids of the executions that were started.

    Raises:
        StoreUnavailable: If the store cannot be used.
    """
    with reading(store.engine) as connection:
        moment = read_time(connection)
        rows = triggers.list_due(connection, moment)
        due = [_Due(store, row, read_time) for row in rows if _judge(connection, row, moment) is not None]
    started = [each.act() for each in due]
    return [execution for execution in started if execution is not None]


def _judge(connection: sa.Connection, row: Row, moment: float) -> str | None:
    """Decide about a due time: `"start"`, `"missed"`, `"skipped"` or `"queued"`; None if it is already queued."""
    is_queued = row.held_since is not None
    if row.missed == "skip" and not is_queued and moment - row.next_at > _GRACE_SECONDS:
        return "missed"
    if row.overlap == "allow" or _find_unended(connection, row) is None:
        return "start"
    if row.overlap == "skip":
        return "skipped"
    return None if is_queued else "queued"


def _find_unended(connection: sa.Connection, row: Row) -> str | None:
    return triggers.find_unended(connection, row.id, likely=(row.last or {}).get("execution"))


@dataclass(frozen=True)
class _Due:
    store: OpenStore
    row: Row
    read_time: ReadTime

    def act(self) -> str | None:
        """Carry out the decision, unless another worker has."""
        try:
            return self._start_or_note()
        except StoreUnavailable:
            raise
        except UnknownTrigger:
            # The trigger has just been removed.
            return None
        except Exception as problem:  # noqa: BLE001  (whatever is wrong with one must not stop the others)
            log.warning("trigger %s started nothing: %s", self.row.id, problem, extra={"trigger": self.row.id})
            self.store.change(lambda connection, why=problem: self._fail(connection, why))  # type: ignore[misc]
            return None

    def _start_or_note(self) -> str | None:
        with reading(self.store.engine) as connection:
            verdict = _judge(connection, self.row, self.read_time(connection))
        if verdict != "start":
            self.store.change(self._note)
            return None
        event = {**Schedule.from_json(self.row.schedule).describe_time(self.row.next_at), "manual": False}
        key = f"due {format_time(self.row.next_at)}"
        started = start_execution(self.store, self.row, event, key=key, check=self._may_start, changes=self._move_on)
        return None if started is None or started.is_earlier else started.execution

    def _is_current(self, row: Row) -> bool:
        return (row.state, row.next_at) == ("active", self.row.next_at)

    def _may_start(self, connection: sa.Connection, row: Row) -> bool:
        return self._is_current(row) and _judge(connection, row, self.read_time(connection)) == "start"

    def _note(self, connection: sa.Connection) -> None:
        """Skip a time, or hold it until the previous execution has ended."""
        row = triggers.lock(connection, self.row.id)
        if not self._is_current(row):
            return
        moment = self.read_time(connection)
        verdict = _judge(connection, row, moment)
        if verdict in ("missed", "skipped", "queued"):
            unended = _find_unended(connection, row)
            last = describe_last(connection, verdict, due=row.next_at, execution=unended)
            changes = {"held_since": moment} if verdict == "queued" else self._move_on(connection, row)
            triggers.update(connection, row.id, **{**changes, "last": last})

    def _fail(self, connection: sa.Connection, problem: Exception) -> None:
        row = triggers.lock(connection, self.row.id)
        if self._is_current(row):
            last = describe_last(connection, "failed", due=row.next_at, problem=problem)
            is_ours = isinstance(problem, PauseflowError)
            # A row that cannot be read would fail again immediately.
            changes = self._move_on(connection, row) if is_ours else {"state": "paused", "next_at": None}
            triggers.update(connection, row.id, **{**changes, "last": last})

    def _move_on(self, connection: sa.Connection, row: Row) -> dict[str, object]:
        """Set the next time; end a schedule that has none."""
        moment = max(self.read_time(connection), row.next_at)
        following = Schedule.from_json(row.schedule).find_next(moment, anchor=row.created_at)
        state = "active" if following is not None else "ended"
        return {"next_at": following, "held_since": None, "state": state}
