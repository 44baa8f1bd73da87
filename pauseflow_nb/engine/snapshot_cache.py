"""Keep this machine's cache of remote snapshots within its limit, and free of executions that were removed."""

import logging
import threading
import time
from dataclasses import dataclass

from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.errors import PauseflowError
from pauseflow_nb.store import executions
from pauseflow_nb.store.database import reading

log = logging.getLogger(__name__)

#: Seconds between two looks at the cache, and how many times longer than a look they must be.
_SECONDS, _TIMES = 60.0, 100
#: Ids in one statement.
_AT_ONCE = 500


@dataclass(frozen=True)
class CacheSize:
    """What the cache takes on the disk, and may take, in bytes."""

    bytes: int
    most: int


def describe_cache(size: CacheSize) -> str:
    """Write a size for people, with its limit."""
    return f"{size.bytes / 1024**2:,.1f} MiB of at most {size.most / 1024**2:,.1f} MiB"


class CacheTrimmer:
    """Trims the cache again and again, but not too often; thread-safe."""

    def __init__(self, store: OpenStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._next = 0.0

    def trim(self) -> None:
        """Trim the cache, unless that was done a short time ago or another thread does it."""
        if self._store.files.local is not None or not self._lock.acquire(blocking=False):
            return
        try:
            began = time.monotonic()
            if began < self._next:
                return
            trim(self._store)
            took = time.monotonic() - began
            self._next = began + max(_SECONDS, took * _TIMES)
        except (PauseflowError, OSError) as problem:
            log.warning("the cache of snapshots could not be trimmed: %s", problem)
        finally:
            self._lock.release()


def measure(store: OpenStore) -> CacheSize | None:
    """Measure the cache; None if the files of the store are on a local disk."""
    if store.files.local is not None:
        return None
    from pauseflow_nb.kernel.snapshot.storage.local_cache import measure_cache  # lazily: as in trim

    return CacheSize(measure_cache(), int(store.settings.snapshot_cache))


def trim(store: OpenStore) -> CacheSize | None:
    """Remove caches of executions that were removed, then what was not used for the longest time.

    Returns:
        What is left; None if the files of the store are on a local disk, which needs no cache.
    """
    if store.files.local is not None:
        return None
    # Lazily: it is needed only for remote stores.
    from pauseflow_nb.kernel.snapshot.storage.local_cache import find_directory, list_executions, trim_cache

    cached = list_executions(store.files.url)
    there: set[str] = set()
    for first in range(0, len(cached), _AT_ONCE):
        with reading(store.engine) as connection:
            there |= executions.find_existing(connection, cached[first : first + _AT_ONCE])
    removed = [find_directory(store.files.folder(each)) for each in cached if each not in there]
    most = int(store.settings.snapshot_cache)
    return CacheSize(trim_cache(most, removed), most)
