"""Read and write the folder of an execution's snapshots: a local directory, or any store that fsspec knows.

Files are written under a temporary name, flushed to the disk and renamed, so that visible files are complete. They
never change afterwards. Files of a remote store go through a local directory, which serves as a cache: data that was
written or read is not fetched again.
"""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from pauseflow_nb.errors import StorageFull, StoreUnavailable
from pauseflow_nb.kernel.snapshot.storage.local_cache import (
    PART,
    SPARSE,
    CacheUse,
    find_directory,
    forget,
    keep_using,
    use_directory,
)
from pauseflow_nb.private_files import create, make_folder

#: Kinds of stores in which files appear only when they are complete; others need temporary names.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci"})


@dataclass(frozen=True)
class Folder:
    """A folder of immutable files; `local` is their directory, or the cache of a remote folder."""

    url: str
    local: Path
    #: The fsspec file system and the path in it; None for a local directory.
    remote: tuple[Any, str] | None = None
    #: Whether everything is verified before it is used.
    is_checked: bool = False
    #: Locks the cache as long as this object exists.
    use: CacheUse | None = field(default=None, compare=False, repr=False)

    @property
    def needs_strong_digests(self) -> bool:
        """Whether raw memory needs cryptographic digests, too."""
        return self.is_checked or self.remote is not None

    @contextlib.contextmanager
    def writing(self, name: str, *, is_last: bool = True) -> Iterator[BinaryIO]:
        """Write a new file, which appears complete and durable when the `with` block ends without an error.

        Its name is durable only with the `is_last` file, which names the others.
        """
        self._use_local()
        part = self.local / f"{name}{PART}"
        try:
            with create(part, buffering=0) as file:
                yield file
                os.fsync(file.fileno())
            if self.remote is not None:
                with self._remote_errors(f"{name} could not be written"):
                    self._upload(part, name)
            part.rename(self.local / name)
            if is_last:
                _sync_directory(self.local)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def path(self, name: str) -> Path:
        """Return the local path of a file, after fetching it from a remote store.

        Raises:
            FileNotFoundError: If there is no such file.
        """
        path = self.local / name
        if self.remote is not None:
            self._use_local()
            if not path.exists():
                self._download(name, path)
        return path

    def read(self, name: str) -> bytes:
        """Return the contents of a file."""
        return self.path(name).read_bytes()

    def keep_using(self) -> None:
        """Keep the cache of a remote folder as it is until this process ends, because memory will show its files."""
        if self.remote is not None:
            keep_using(self.local)

    def uncache(self, name: str) -> bool:
        """Remove a file from the cache, so that it is fetched again; False for a local folder, which has none."""
        if self.remote is None:
            return False
        (self.local / name).unlink(missing_ok=True)
        return True

    def open(self, name: str, size: int) -> int:
        """Open a file for random access; for a remote store, its file in the cache, which may be empty.

        Args:
            name: Its name.
            size: Size of the stored file in bytes.

        Returns:
            The descriptor. Data from the cache must be checked, and fetched with `fetch` if it is wrong.

        Raises:
            FileNotFoundError: If there is no such local file.
        """
        flags = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        if self.remote is None:
            return os.open(self.local / name, os.O_RDONLY | flags)
        self._use_local()
        with contextlib.suppress(FileNotFoundError):
            return os.open(self.local / name, os.O_RDWR | flags)
        descriptor = os.open(self.local / f"{name}{SPARSE}", os.O_RDWR | os.O_CREAT | flags, 0o600)
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
        return descriptor

    def fetch(self, name: str, start: int, size: int) -> bytes:
        """Fetch a range of a file from the remote store; fewer bytes if the file ends before.

        Raises:
            FileNotFoundError: If there is no such file.
            StoreUnavailable: If the store does not answer, or refuses the request.
        """
        assert self.remote is not None
        system, root = self.remote
        with self._remote_errors(f"{name} could not be read"):
            return bytes(system.cat_file(f"{root}/{name}", start=start, end=start + size))

    def sizes(self) -> dict[str, int]:
        """List all files of a remote store with their sizes in bytes.

        Raises:
            StoreUnavailable: If the store does not answer, or refuses the request.
        """
        return {name: int(entry["size"]) for name, entry in self._list_remote().items()}

    def names(self) -> dict[str, float]:
        """List all files with the time of their last change, in seconds since the epoch.

        Raises:
            StoreUnavailable: If the store does not answer, or refuses the request.
        """
        if self.remote is None:
            if not self.local.is_dir():
                return {}
            return {entry.name: entry.stat().st_mtime for entry in os.scandir(self.local) if entry.is_file()}
        return {name: _changed(self.remote[0], entry) for name, entry in self._list_remote().items()}

    def _list_remote(self) -> dict[str, dict[str, Any]]:
        assert self.remote is not None
        system, root = self.remote
        try:
            with self._remote_errors("its files could not be listed"):
                # Clients remember what they have listed, and another machine may have removed files since.
                found = system.ls(root, detail=True, refresh=True)
        except FileNotFoundError:
            return {}
        return {entry["name"].rpartition("/")[2]: entry for entry in found if entry["type"] == "file"}

    def remove(self, name: str) -> None:
        """Remove a file if it exists."""
        (self.local / name).unlink(missing_ok=True)
        if self.remote is not None:
            (self.local / f"{name}{SPARSE}").unlink(missing_ok=True)
            system, root = self.remote
            with contextlib.suppress(FileNotFoundError):
                system.rm_file(f"{root}/{name}")

    def _use_local(self) -> None:
        if self.use is None:
            make_folder(self.local)
        else:
            self.use.begin()

    @contextlib.contextmanager
    def writing_cache(self) -> Iterator[None]:
        """Say that the disk of the cache is full, if that is why it cannot be written."""
        try:
            yield
        except OSError as problem:
            if problem.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFull(str(self.local)) from problem
            raise

    @contextlib.contextmanager
    def _remote_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, StorageFull):
            raise
        # Each client raises its own errors, after several attempts.
        except Exception as problem:
            raise StoreUnavailable(self.url, f"{what}: {type(problem).__name__}: {problem}") from problem

    def _upload(self, part: Path, name: str) -> None:
        assert self.remote is not None
        system, root = self.remote
        system.makedirs(root, exist_ok=True)
        if not _OBJECT_STORES.isdisjoint(_kinds(system)):
            system.put_file(str(part), f"{root}/{name}")
            return
        hidden = f"{root}/{name}{PART}"
        system.put_file(str(part), hidden)
        system.mv(hidden, f"{root}/{name}")

    def _download(self, name: str, path: Path) -> None:
        assert self.remote is not None
        system, root = self.remote
        descriptor, part = tempfile.mkstemp(prefix=name, suffix=PART, dir=self.local)
        os.close(descriptor)
        try:
            with self._remote_errors(f"{name} could not be read"), self.writing_cache():
                system.get_file(f"{root}/{name}", part)
            # With a different time from the recorded one, so that fetched data is verified before it is trusted.
            os.utime(part, (0, 0))
            Path(part).rename(path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise


def open_folder(url: str, *, is_checked: bool = False) -> Folder:
    """Open the folder at a local path or fsspec URL; nothing is created before the first write."""
    if "://" not in url:
        return Folder(url, Path(url), is_checked=is_checked)
    from pauseflow_nb.remote_files import open_filesystem  # lazily: most stores are local folders

    system, root = open_filesystem(url)
    if "file" in _kinds(system):
        return Folder(url, Path(root), is_checked=is_checked)
    local = find_directory(url)
    return Folder(url, local, (system, root.rstrip("/")), is_checked, use_directory(local))


def _kinds(system: Any) -> tuple[str, ...]:
    """Return the schemes of URLs that a file system handles."""
    return system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)


def forget_cache(url: str) -> None:
    """Remove the local cache of a remote folder."""
    folder = open_folder(url)
    if folder.remote is not None:
        forget(folder.local)


def _changed(system: Any, entry: dict[str, Any]) -> float:
    for key in ("mtime", "created", "LastModified", "last_modified"):
        value = entry.get(key)
        if value is not None:
            return float(value.timestamp() if hasattr(value, "timestamp") else value)
    with contextlib.suppress(NotImplementedError):
        return float(system.modified(entry["name"]).timestamp())
    return 0.0


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
