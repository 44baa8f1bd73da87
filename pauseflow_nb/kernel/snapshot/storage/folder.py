"""Read and write the folder of an execution's snapshots: a local directory, or any store that fsspec knows.

Files are written under another name, forced to the disk and renamed: who sees a file sees all of it. No
file is ever changed afterwards. For a remote store they go through a local directory, which then serves
as a cache: what was written or read once is not fetched again.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pauseflow_nb.errors import StoreUnavailable
from pauseflow_nb.private_files import create, make_folder

#: Ends the names of files that are still being written.
PART = ".part"
#: Ends the names of files in the cache that hold only some parts of the stored ones, and zeros in between.
SPARSE = ".sparse"
#: Stores that show a file when all of it is there; the others get a name that nobody reads first.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci"})


@dataclass(frozen=True)
class Folder:
    """A folder of files that are written once. `local` is their directory, or the cache of a remote folder."""

    url: str
    local: Path
    #: The fsspec file system and the path in it; None for a local directory.
    remote: tuple[Any, str] | None = None
    #: Whether everything is read through before it is used, however sure it looks.
    is_checked: bool = False

    @property
    def needs_strong_digests(self) -> bool:
        """Whether raw memory is known by cryptographic digests, too."""
        return self.is_checked or self.remote is not None

    @contextlib.contextmanager
    def writing(self, name: str, *, is_last: bool = True) -> Iterator[BinaryIO]:
        """Write a new file; it appears, whole and durable, when the block ends without an error.

        Its name is durable only with the `is_last` file, which names the others: nobody looks for them before.
        """
        make_folder(self.local)
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
        """Return where a file lies locally, fetching it first from a remote store.

        Raises:
            FileNotFoundError: If there is no such file.
        """
        path = self.local / name
        if self.remote is not None and not path.exists():
            self._download(name, path)
        return path

    def read(self, name: str) -> bytes:
        """Read a whole file."""
        return self.path(name).read_bytes()

    def open(self, name: str, size: int) -> int:
        """Open a file for reading at any place; of a remote store, its place in the cache, which may hold nothing yet.

        Args:
            name: Its name.
            size: How many bytes the stored file has.

        Returns:
            The descriptor. What is read from the cache must be checked, and fetched with `fetch` if it is wrong.

        Raises:
            FileNotFoundError: If there is no such local file.
        """
        flags = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        if self.remote is None:
            return os.open(self.local / name, os.O_RDONLY | flags)
        with contextlib.suppress(FileNotFoundError):
            return os.open(self.local / name, os.O_RDWR | flags)
        make_folder(self.local)
        descriptor = os.open(self.local / f"{name}{SPARSE}", os.O_RDWR | os.O_CREAT | flags, 0o600)
        if os.fstat(descriptor).st_size < size:
            os.ftruncate(descriptor, size)
        return descriptor

    def fetch(self, name: str, start: int, size: int) -> bytes:
        """Fetch a range of a file from the remote store; fewer bytes if the file ends before.

        Raises:
            FileNotFoundError: If there is no such file.
            StoreUnavailable: If the store does not answer, or refuses.
        """
        assert self.remote is not None
        system, root = self.remote
        with self._remote_errors(f"{name} could not be read"):
            return bytes(system.cat_file(f"{root}/{name}", start=start, end=start + size))

    def sizes(self) -> dict[str, int]:
        """List all files of a remote store with their sizes in bytes.

        Raises:
            StoreUnavailable: If the store does not answer, or refuses.
        """
        assert self.remote is not None
        system, root = self.remote
        try:
            with self._remote_errors("its files could not be listed"):
                found = system.ls(root, detail=True, refresh=True)
        except FileNotFoundError:
            return {}
        return {entry["name"].rpartition("/")[2]: int(entry["size"]) for entry in found if entry["type"] == "file"}

    def names(self) -> dict[str, float]:
        """List all files with the time of their last change, in seconds since the epoch."""
        if self.remote is None:
            if not self.local.is_dir():
                return {}
            return {entry.name: entry.stat().st_mtime for entry in os.scandir(self.local) if entry.is_file()}
        system, root = self.remote
        try:
            found = system.ls(root, detail=True)
        except FileNotFoundError:
            return {}
        return {entry["name"].rpartition("/")[2]: _changed(system, entry) for entry in found if entry["type"] == "file"}

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.local / name).unlink(missing_ok=True)
        if self.remote is not None:
            (self.local / f"{name}{SPARSE}").unlink(missing_ok=True)
            system, root = self.remote
            with contextlib.suppress(FileNotFoundError):
                system.rm_file(f"{root}/{name}")

    @contextlib.contextmanager
    def _remote_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        # Each client has errors of its own, and each has tried several times by then.
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
        make_folder(self.local)
        descriptor, part = tempfile.mkstemp(prefix=name, suffix=PART, dir=self.local)
        os.close(descriptor)
        try:
            with self._remote_errors(f"{name} could not be read"):
                system.get_file(f"{root}/{name}", part)
            # Another time than the one noted: what was fetched is not trusted before it was read through.
            os.utime(part, (0, 0))
            Path(part).rename(path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise


def open_folder(url: str, *, is_checked: bool = False) -> Folder:
    """Open the folder at a local path or fsspec URL; nothing is created before something is written."""
    if "://" not in url:
        return Folder(url, Path(url), is_checked=is_checked)
    from pauseflow_nb.remote_files import open_filesystem  # lazily: most stores are a folder

    system, root = open_filesystem(url)
    if "file" in _kinds(system):
        return Folder(url, Path(root), is_checked=is_checked)
    return Folder(url, _cache_directory(url), (system, root.rstrip("/")), is_checked)


def _kinds(system: Any) -> tuple[str, ...]:
    """Return the kinds of URL that a file system is for."""
    return system.protocol if isinstance(system.protocol, tuple) else (system.protocol,)


def _cache_directory(url: str) -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root, "pauseflow_nb", "snapshots", hashlib.blake2b(url.encode(), digest_size=16).hexdigest())


def forget_cache(url: str) -> None:
    """Remove the local cache of a remote folder."""
    folder = open_folder(url)
    if folder.remote is not None:
        shutil.rmtree(folder.local, ignore_errors=True)


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
