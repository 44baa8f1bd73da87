"""Poll the store for changes ten times a second, in a thread, and emit them through `jupyter_events`.

Other processes make most changes: workers, commands, other servers. On both databases a poll takes a fraction of a
millisecond and finds all of them. NOTIFY of PostgreSQL would find them a little sooner, but SQLite has no counterpart.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.engine.outage import Outage
from pauseflow_nb.json_values import JSON
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.store.changes import Line, Standing, find_standings, list_last_lines, list_running
from pauseflow_nb.store.database import reading

#: The schema of the events, for `EventLogger.register_event_schema`.
SCHEMA = Path(__file__).parent / "changes.v1.yaml"
SCHEMA_ID = "https://schema.pauseflow-nb.org/changes/v1"

_POLL_SECONDS = 0.1
#: An event without changes is sent this often, so that a client which reconnects notices missed events.
_KEEPALIVE_SECONDS = 2.0
_RETRY_SECONDS = 2.0

log = logging.getLogger(__name__)
#: Lines of the audit trail that each poll reads and remembers. If some of them are new, it reads up to 1,000 new ones.
_FEW, _MANY = 32, 1000


class ChangeEmitter:
    """Emits the changes in one store while a server runs."""

    def __init__(self, queue: LazyQueue, emit: Callable[[dict[str, Any]], None]) -> None:
        """Set the store and the function that emits events.

        Args:
            queue: The store; may be closed or unreachable at first.
            emit: Called in the thread with the data of each event.
        """
        self._queue, self._emit = queue, emit
        self._server = secrets.token_hex(4)
        self._count = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pauseflow-live", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; blocks until the current poll has ended."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        watcher = Watcher()
        emitted_at = 0.0
        outage = Outage(log, "changes cannot be seen")
        while not self._stopping.is_set():
            try:
                with reading(self._queue.get().engine) as connection:
                    changes = watcher.poll(connection)
            except Exception as problem:  # noqa: BLE001  (after any error, polling must continue)
                # The next poll finds what changes meanwhile.
                outage.failed(problem)
                self._stopping.wait(_RETRY_SECONDS)
                continue
            outage.ended()
            if changes or time.monotonic() - emitted_at > _KEEPALIVE_SECONDS:
                emitted_at = time.monotonic()
                self._emit_changes(changes)
            self._stopping.wait(_POLL_SECONDS)

    def _emit_changes(self, changes: list[dict[str, JSON]]) -> None:
        after = self._tip()
        if changes:
            self._count += 1
        self._emit({"after": after, "tip": self._tip(), "changes": changes})

    def _tip(self) -> str:
        return f"{self._server}-{self._count}"


class Watcher:
    """Remembers the state at the last poll; for one thread at a time."""

    def __init__(self) -> None:
        self._seen: set[Line] | None = None
        self._done: dict[str, int] = {}

    def poll(self, connection: sa.Connection) -> list[dict[str, JSON]]:
        """Return the changes since the last poll, one entry for each execution; none at the first poll."""
        lines = self._new_lines(connection)
        moving = list_running(connection)
        changed: dict[str, list[Line]] = {}
        for line in lines:
            changed.setdefault(line.execution, []).append(line)
        stands = {found.execution: found for found in moving}
        missing = [execution for execution in changed if execution not in stands]
        if missing:
            stands |= {found.execution: found for found in find_standings(connection, missing)}
        progressed = self._find_progress(moving)
        return [
            _make_change(stands[execution], changed.get(execution, []))
            for execution in dict.fromkeys([*changed, *progressed])
            if execution in stands
        ]

    def _new_lines(self, connection: sa.Connection) -> list[Line]:
        lines = list_last_lines(connection, _FEW)
        known = self._seen
        lowest = min((line.id for line in known or ()), default=0)
        if known is not None and len(lines) == _FEW and lines[0] not in known:
            lines = list_last_lines(connection, _MANY, lowest if known.intersection(lines) else 0)
        self._seen = set(lines[-_FEW:])
        if known is None:
            return []
        # A line below all known lines is not new: it is only among the last lines because others were deleted. The times
        # alone would not do: a clock may be set back.
        oldest = min((line.at for line in known), default=0.0)
        return [line for line in lines if line not in known and (line.id >= lowest or line.at >= oldest)]

    def _find_progress(self, moving: Iterable[Standing]) -> list[str]:
        before, self._done = self._done, {found.execution: found.cells_done for found in moving}
        return [
            execution for execution, done in self._done.items() if execution in before and before[execution] != done
        ]


def _make_change(stands: Standing, lines: list[Line]) -> dict[str, JSON]:
    return {
        "execution": stands.execution,
        "state": stands.state,
        "segment": stands.segment,
        "cells": {"done": stands.cells_done, "total": stands.cells_total},
        "what": [line.what for line in lines],
        "steps": list(dict.fromkeys(line.step for line in lines if line.step is not None)),
    }
