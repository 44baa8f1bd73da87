"""Keep what was fetched from remote stores in a local cache, within a limit, and lock what kernels use.

Each folder of a remote store has a directory. Who uses it holds a shared lock on a file in it, which the operating
system takes away when the process ends in any way. Only a directory that nobody uses is emptied.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pauseflow_nb.private_files import is_at, lock_alone, make_folder

#: Suffix of files that are still being written.
PART = ".part"
#: Suffix of files in the cache with only some parts of the stored file, and zeros in between.
SPARSE = ".sparse"
#: The locked file of a directory; the time of its last change is that of the last use.
_LOCK = "in-use"
_BLOCK = 512


class CacheUse:
    """Locks a directory of the cache from `begin` until this object is gone."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock: int | None = None

    def begin(self) -> None:
        """Create and lock the directory; does nothing the second time."""
        if self._lock is None:
            self._lock = _lock_for_use(self._directory)

    def __del__(self) -> None:
        if self._lock is not None:
            os.close(self._lock)


#: What this process uses until it ends, because its memory shows files there.
_used_to_the_end: dict[Path, CacheUse] = {}


def use_directory(directory: Path) -> CacheUse:
    """Return what locks a directory; the lock is shared."""
    return _used_to_the_end.get(directory) or CacheUse(directory)


def keep_using(directory: Path) -> None:
    """Lock a directory until this process ends."""
    _used_to_the_end.setdefault(directory, CacheUse(directory)).begin()


def find_directory(url: str) -> Path:
    """Return the directory for the folder of one execution's snapshots, `STORE/EXECUTION/snapshots`."""
    store, _, execution = url.rstrip("/").removesuffix("/snapshots").rpartition("/")
    return _find_root() / _digest(store) / (execution if execution.isalnum() else _digest(execution))


def list_executions(store: str) -> list[str]:
    """List the executions of a store that have a directory in the cache."""
    place = _find_root() / _digest(store.rstrip("/"))
    return [entry.name for entry in os.scandir(place) if entry.is_dir()] if place.is_dir() else []


def forget(directory: Path) -> None:
    """Remove a directory, also if it is in use."""
    _used_to_the_end.pop(directory, None)
    shutil.rmtree(directory, ignore_errors=True)


def measure_cache() -> int:
    """Count the bytes that the cache takes on the disk."""
    return sum(each.size for each in _list_directories())


def trim_cache(most: int, unneeded: Iterable[Path] = ()) -> int:
    """Remove the files that were not used for the longest time, until the cache takes at most `most` bytes.

    Directories in use are left alone, and what is in them counts. Can run in several processes at once.

    Args:
        most: Bytes.
        unneeded: Directories to empty first.

    Returns:
        The bytes that the cache takes then.
    """
    for directory in unneeded:
        _empty(directory, None)
    found = sorted(_list_directories(), key=lambda each: each.used_at)
    total = sum(each.size for each in found)
    for each in found:
        if total > most or not each.size:
            total -= _empty(each.path, max(total - most, 0))
    return total


@dataclass(frozen=True)
class _Directory:
    path: Path
    size: int
    used_at: float


def _find_root() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pauseflow_nb", "snapshots")


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _list_directories() -> Iterator[_Directory]:
    for place, _, names in os.walk(_find_root()):
        if names:
            path = Path(place)
            lock = _stat(path / _LOCK) or _stat(path)
            sizes = (found.st_blocks * _BLOCK for found in map(_stat, map(path.joinpath, names)) if found is not None)
            yield _Directory(path, sum(sizes), 0.0 if lock is None else lock.st_mtime)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _lock_for_use(directory: Path) -> int:
    """Lock a directory that may be removed at any moment before; return the descriptor that holds the lock."""
    import fcntl

    while True:
        make_folder(directory)
        try:
            descriptor = _open_lock(directory)
        except FileNotFoundError:
            continue
        # Where the file system has no locks, the directory is never emptied either.
        with contextlib.suppress(OSError):
            if lock_alone(descriptor):
                _remove_parts(directory)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        if is_at(descriptor, directory / _LOCK):
            os.utime(directory / _LOCK)
            return descriptor
        os.close(descriptor)


def _open_lock(directory: Path) -> int:
    return os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)


def _remove_parts(directory: Path) -> None:
    """Remove what killed processes left; nobody else is there."""
    for path in directory.glob(f"*{PART}"):
        path.unlink(missing_ok=True)


def _empty(directory: Path, bytes_to_free: int | None) -> int:
    """Remove the oldest files of a directory that nobody uses, until `bytes_to_free` are free; None: all of them.

    Returns:
        The bytes that were freed.
    """
    try:
        descriptor = _open_lock(directory)
    except OSError:
        return 0
    try:
        if not (lock_alone(descriptor) and is_at(descriptor, directory / _LOCK)):
            return 0
        _remove_parts(directory)
        freed = 0
        # The names of packs and manifests begin with their time.
        paths = sorted(path for path in directory.iterdir() if path.name != _LOCK)
        while paths and (bytes_to_free is None or freed < bytes_to_free):
            freed += _remove(paths.pop(0))
        if not paths:
            with contextlib.suppress(OSError):
                (directory / _LOCK).unlink()
                directory.rmdir()
        return freed
    finally:
        os.close(descriptor)


def _remove(path: Path) -> int:
    found = _stat(path)
    with contextlib.suppress(OSError):
        path.unlink()
        return 0 if found is None else found.st_blocks * _BLOCK
    return 0
