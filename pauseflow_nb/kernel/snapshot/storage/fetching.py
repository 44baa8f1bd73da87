"""Fetch parts of packs from a remote store in background threads, in the order in which they are needed."""

import os
import threading
from collections import deque
from collections.abc import Iterable

from pauseflow_nb.errors import StoreUnavailable
from pauseflow_nb.kernel.snapshot.storage.packfile import PackReader, Run

#: Number of concurrent requests. One request rarely uses the full bandwidth of an object store.
_THREADS = 8
#: Most bytes of a request, unless a single piece is larger.
_REQUEST = 8 << 20


class Fetcher:
    """Fetches requested parts in threads that end when nothing is left."""

    def __init__(self, packs: PackReader, url: str) -> None:
        self._packs = packs
        self._url = url
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._queue: deque[Run] = deque()
        self._threads = 0
        #: Requested digests that have not arrived yet.
        self._missing: set[str] = set()
        self._problems: dict[str, Exception] = {}

    def begin(self, digests: Iterable[str]) -> None:
        """Fetch in the background, after earlier requests."""
        with self._changed:
            self._ask_for(digests)

    def wait(self, digests: Iterable[str]) -> None:
        """Fetch before all other requests, and wait until everything has arrived.

        Raises:
            SnapshotDamaged: If something is missing or is not what was written.
            StoreUnavailable: If the store does not answer, or refuses. A later call tries again.
        """
        needed = set(digests)
        if os.getpid() != self._process:
            raise StoreUnavailable(self._url, "a process that was forked meanwhile cannot read from it")
        with self._changed:
            # Requests that failed in the background are tried again now, because they are needed.
            self._problems = {digest: each for digest, each in self._problems.items() if digest not in needed}
            self._ask_for(needed)
            self._queue = deque(sorted(self._queue, key=lambda run: needed.isdisjoint(run.digests)))
            while needed & self._missing and not needed & self._problems.keys():
                self._changed.wait()
            for digest in needed & self._problems.keys():
                raise self._problems[digest].with_traceback(None)

    def _ask_for(self, digests: Iterable[str]) -> None:
        new = [digest for digest in digests if digest not in self._missing and digest not in self._problems]
        for run in self._packs.find_runs(new, _REQUEST):
            self._queue.append(run)
            self._missing.update(run.digests)
        while self._threads < min(_THREADS, len(self._queue)):
            self._threads += 1
            threading.Thread(target=self._work, name="pauseflow-fetch", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._queue:
                    self._threads -= 1
                    return
                run = self._queue.popleft()
            problem: Exception | None = None
            try:
                self._packs.fetch(run)
            except Exception as error:  # noqa: BLE001 - raised where it is waited for
                problem = error
            with self._changed:
                self._missing.difference_update(run.digests)
                if problem is not None:
                    self._problems.update(dict.fromkeys(run.digests, problem))
                self._changed.notify_all()
