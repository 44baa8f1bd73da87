"""Poll the store for changes ten times a second, in a thread, and emit them through `jupyter_events`.

Other processes make most changes: workers, commands, other servers. On both databases a poll takes a fraction of a
millisecond and finds all of them. NOTIFY of PostgreSQL would find them a little sooner, but SQLite has no counterpart.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pauseflow_nb.engine.outage import Outage
from pauseflow_nb.json_values import JSON
from pauseflow_nb.server.api.events.watcher import Watcher
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.store.database import reading

#: The schema of the events, for `EventLogger.register_event_schema`.
SCHEMA = Path(__file__).parent / "changes.v1.yaml"
SCHEMA_ID = "https://schema.pauseflow-nb.org/changes/v1"

_POLL_SECONDS = 0.1
#: An event without changes is sent this often, so that a client which reconnects notices missed events.
_KEEPALIVE_SECONDS = 2.0
_RETRY_SECONDS = 2.0

log = logging.getLogger(__name__)


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
