"""Register this process in the store as alive, and detect processes that have died.

A process beats twice a second, from a daemon thread, until it ends: one that drains still runs segments, which
others would run again if it stopped beating. It considers another process dead if that row did not change during
several of its own beats. So neither a locked database nor a suspended machine makes a live process look dead.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.engine.outage import Outage
from pauseflow_nb.errors import PauseflowError
from pauseflow_nb.store import workers
from pauseflow_nb.store.database import reading, transaction
from pauseflow_nb.store.executions import Row

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.5
#: Number of own beats without a change of another's row after which it is considered dead: about 4 s. That is far
#: longer than a writer waits for others on SQLite, which would also look like silence.
BEATS_OF_SILENCE = 8


class Presence:
    """A row of this process among the workers, during a `with` block.

    Args:
        store: The store.
        kind: `"starting"`, `"worker"`, `"server"` or `"attached"`.
        url: Where a server answers.
        name: Id of the process, if it already has one.
        on_dead: Called in the beating thread with a process that stopped beating, again until it returns without an
            error. Without it, other processes are not watched.
        serves: For a worker: its `queues` and `concurrency`.
    """

    def __init__(
        self,
        store: OpenStore,
        kind: str,
        *,
        url: str | None = None,
        name: str | None = None,
        on_dead: Callable[[Row], None] | None = None,
        serves: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name or workers.process_name()
        self._store, self._kind, self._url = store, kind, url
        self._on_dead, self._serves = on_dead, dict(serves or {})
        self._stop = threading.Event()
        self._has_left_work = False
        self._unchanged: dict[str, tuple[float, int]] = {}
        self._thread = threading.Thread(target=self._loop, name="pauseflow-beat", daemon=True)

    def __enter__(self) -> Self:
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(BEAT_SECONDS * 4)
        if self._has_left_work:
            return
        try:
            self._store.change(lambda connection: workers.remove(connection, self.name))
        except PauseflowError as problem:
            log.warning("did not say goodbye: %s", problem)

    def change_kind(self, kind: str) -> None:
        """Change the kind of this process in its row."""
        self._kind = kind
        self._beat()

    def leave_work(self) -> None:
        """Keep the row at the end, although nobody beats then: others take this process for dead, and do what it has left."""
        self._has_left_work = True

    def _beat(self) -> None:
        self._store.change(
            lambda connection: workers.beat(connection, self.name, self._kind, self._url, **self._serves)
        )

    def _loop(self) -> None:
        outage = Outage(log, f"{self._kind} {self.name} cannot say that it is alive")
        while not self._stop.wait(BEAT_SECONDS):
            try:
                self._beat()
                if self._on_dead is not None:
                    self._look(self._on_dead)
            except Exception as problem:  # noqa: BLE001  (whatever it is: to stop beating is worse)
                outage.failed(problem)
            else:
                outage.ended()

    def _look(self, on_dead: Callable[[Row], None]) -> None:
        with reading(self._store.engine) as connection:
            rows = workers.list_all(connection)
        before, self._unchanged = self._unchanged, {}
        for row in rows:
            if row.id == self.name:
                continue
            beat, count = before.get(row.id, (row.beat, 0))
            self._unchanged[row.id] = (row.beat, count + 1 if beat == row.beat else 0)
            if self._unchanged[row.id][1] >= BEATS_OF_SILENCE:
                self._remove_dead(row, on_dead)

    def _remove_dead(self, row: Row, on_dead: Callable[[Row], None]) -> None:
        log.warning("took %s %s for dead", row.kind, row.id)
        # First the work that it left, then its row: if we die in between, another process finds the row again.
        on_dead(row)
        with transaction(self._store.engine) as connection:
            workers.remove(connection, row.id, row.beat)
