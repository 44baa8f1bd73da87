"""A thread that looks at the store ten times a second and tells `jupyter_events` what changed.

Most changes are made by other processes: workers, commands, other servers. On both databases a look
costs a fraction of a millisecond, and it finds all of them. PostgreSQL's NOTIFY would find them a
little sooner, but SQLite has no such thing, and two roads are twice the work.
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

__all__ = ["SCHEMA", "SCHEMA_ID", "Live"]

#: The events' schema, as `EventLogger.register_event_schema` takes it.
SCHEMA = Path(__file__).parent / "changes.v1.yaml"
SCHEMA_ID = "https://schema.pauseflow-nb.org/changes/v1"

_LOOK_SECONDS = 0.1
#: Whoever lost the connection learns this soon after its return that it missed something.
_BEAT_SECONDS = 2.0
_AGAIN_SECONDS = 2.0

log = logging.getLogger(__name__)


class Live:
    """Watches one store for as long as a server runs."""

    def __init__(self, queue: LazyQueue, emit: Callable[[dict[str, Any]], None]) -> None:
        """Take what to watch.

        Args:
            queue: The store; may be closed or out of reach for now.
            emit: Called in the thread with the data of each event.
        """
        self._queue, self._emit = queue, emit
        self._server = secrets.token_hex(4)
        self._count = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pauseflow-live", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End. Blocks until the look under way is over."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        watcher = Watcher()
        spoke_at = 0.0
        outage = Outage(log, "changes cannot be seen")
        while not self._stopping.is_set():
            try:
                with reading(self._queue.get().engine) as connection:
                    changes = watcher.look(connection)
            except Exception as problem:  # noqa: BLE001  (whatever it is: to look no more is worse)
                # What happens meanwhile shows at the next look.
                outage.failed(problem)
                self._stopping.wait(_AGAIN_SECONDS)
                continue
            outage.ended()
            if changes or time.monotonic() - spoke_at > _BEAT_SECONDS:
                spoke_at = time.monotonic()
                self._tell(changes)
            self._stopping.wait(_LOOK_SECONDS)

    def _tell(self, changes: list[dict[str, JSON]]) -> None:
        after = self._tip()
        if changes:
            self._count += 1
        self._emit({"after": after, "tip": self._tip(), "changes": changes})

    def _tip(self) -> str:
        return f"{self._server}-{self._count}"
