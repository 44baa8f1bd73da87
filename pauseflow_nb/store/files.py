"""Store files (notebooks, snapshots, large bodies) in a folder on a disk, or at any fsspec URL.

A name is `EXECUTION/…` with slashes. A file is complete or does not exist under its name, and on a local disk it is
durable when the call returns.
"""

import contextlib
import errno
import glob
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from pauseflow_nb.errors import PauseflowError, StorageFull, StoreUnavailable
from pauseflow_nb.private_files import create, make_folder
from pauseflow_nb.remote_files import open_filesystem, require_client
from pauseflow_nb.store.mounts import find_filesystem, is_network
from pauseflow_nb.store.streams import FileStream

#: Matches the ids of executions.
_EXECUTION = re.compile(r"[0-9a-f]{12}")


class Files:
    """Reads and writes under one folder or URL."""

    def __init__(self, url: str) -> None:
        """Take the `storage` setting; nothing is created yet."""
        self.url = url.rstrip("/") if "://" in url else str(Path(url).expanduser().absolute())
        #: The folder, if it is on a local disk, for which fsspec is not needed.
        self.local = _local(self.url)

    @property
    def is_shared(self) -> bool:
        """Whether other machines may write here: an object store, or a folder on a network file system."""
        return self.local is None or is_network(find_filesystem(self.local))

    def require_client(self) -> None:
        """Check that the client for this kind of URL is installed.

        Raises:
            StoreUnavailable: If it is missing; says what to install.
        """
        if self.local is None:
            require_client(self.url)

    def folder(self, execution: str) -> str:
        """Return the path or URL of the folder for an execution's snapshots."""
        if self.local is not None:
            return str(self.local / execution / "snapshots")
        return f"{self.url}/{execution}/snapshots"

    def write(self, name: str, data: bytes) -> None:
        """Write a file as a whole.

        Raises:
            StorageFull: If there is no room; the previous file is unchanged.
            StoreUnavailable: If it cannot be written for another reason.
        """
        with self._own_errors():
            if self.local is not None:
                _write_durably(self.local / name, data)
            else:
                self._remote().pipe_file(f"{self.url}/{name}", data)

    def stream(self, name: str) -> FileStream:
        """Begin a file that is written in pieces, under a new name.

        Raises:
            StorageFull: If there is no room.
            StoreUnavailable: If it cannot be written for another reason.
        """
        address = f"{self.url}/{name}"
        with self._own_errors():
            if self.local is not None:
                path = self.local / name
                make_folder(path.parent)
                address = str(path)
                file: BinaryIO = create(path)
            else:
                file = self._remote().open(address, "wb")
        return FileStream(file, address, lambda: self.remove(name), self._plain)

    def read(self, name: str) -> bytes:
        """Read a file.

        Raises:
            FileNotFoundError: If there is none.
            StoreUnavailable: If it cannot be read for another reason.
        """
        with self._own_errors(FileNotFoundError):
            if self.local is not None:
                return (self.local / name).read_bytes()
            return bytes(self._remote().cat_file(f"{self.url}/{name}"))

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        if self.local is not None:
            return (self.local / name).exists()
        with self._own_errors():
            return bool(self._remote().exists(f"{self.url}/{name}"))

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with its contents; do nothing if it does not exist."""
        with contextlib.suppress(FileNotFoundError), self._own_errors(FileNotFoundError):
            if self.local is None:
                self._remote().rm(f"{self.url}/{name}", recursive=True)
            elif (path := self.local / name).is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def folders(self) -> list[str]:
        """List the executions that have files."""
        if self.local is not None:
            found = [entry.name for entry in os.scandir(self.local) if entry.is_dir()] if self.local.is_dir() else []
        else:
            remote, root = self._remote_at("")
            found = [_last(entry["name"]) for entry in remote.ls(root, detail=True)] if remote.exists(root) else []
        # The user's folder may have other contents, too.
        return [name for name in found if _EXECUTION.fullmatch(name)]

    def ages(self, execution: str) -> Iterator[tuple[str, float]]:
        """Return the files of an execution: name below its folder → seconds since its last change."""
        moment = time.time()
        if self.local is not None:
            top = self.local / execution
            for folder, _, names in os.walk(top):
                for name in names:
                    path = Path(folder, name)
                    with contextlib.suppress(FileNotFoundError):
                        # A hard link has the age of the data: what counts is when the link was made.
                        facts = path.stat()
                        yield path.relative_to(top).as_posix(), moment - max(facts.st_mtime, facts.st_ctime)
            return
        remote, root = self._remote_at(execution)
        for path, facts in remote.find(root, detail=True).items():
            yield path.removeprefix(f"{root}/"), moment - _changed_at(facts, moment)

    def used(self) -> int:
        """Count the bytes that all files hold together; takes time in proportion to their number."""
        if self.local is None:
            return int(self._remote().du(self.url)) if self._remote().exists(self.url) else 0
        return sum(_size(Path(root) / name) for root, _, names in os.walk(self.local) for name in names)

    def used_in(self, folders: Iterable[str]) -> int:
        """Count the bytes that the files in some folders hold together; takes time in proportion to their number."""
        if self.local is not None:
            roots = [self.local / folder for folder in folders]
            return sum(_size(Path(at) / name) for root in roots for at, _, names in os.walk(root) for name in names)
        system, names = self._remote(), set(folders)
        root = self._remote_at("")[1]
        found = system.find(root, detail=True) if system.exists(root) else {}
        return sum(
            each["size"] or 0
            for name, each in found.items()
            if str(name).removeprefix(root).lstrip("/").partition("/")[0] in names
        )

    def used_by(self, folder: str, prefix: str) -> int:
        """Count the bytes of files in one folder whose names have this prefix, also while they are written."""
        if self.local is not None:
            return sum(_size(path) for path in (self.local / folder).glob(f"{glob.escape(prefix)}*"))
        system, root = self._remote_at(folder)
        if not system.exists(root):
            return 0
        return sum(each["size"] or 0 for each in system.ls(root, detail=True) if _last(each["name"]).startswith(prefix))

    def free(self) -> int | None:
        """Return the free bytes of the disk; None if that is unknown."""
        if self.local is None:
            return None
        place = next(folder for folder in (self.local, *self.local.parents) if folder.exists())
        return shutil.disk_usage(place).free

    def _remote(self) -> Any:
        return self._remote_at("")[0]

    def _remote_at(self, name: str) -> tuple[Any, str]:
        system, root = open_filesystem(f"{self.url}/{name}".rstrip("/"))
        return system, root.rstrip("/")

    @contextlib.contextmanager
    def _own_errors(self, *others: type[Exception]) -> Iterator[None]:
        """Convert errors of the storage to ours, except `others`."""
        try:
            yield
        except PauseflowError:
            raise
        except OSError as problem:
            if isinstance(problem, others):
                raise
            raise self._plain(problem) from problem
        except Exception as problem:
            if self.local is not None:
                raise
            # Clients of object stores raise their own errors, for example if the server does not answer.
            sentence = (str(problem).strip() or type(problem).__name__).splitlines()[0]
            raise StoreUnavailable(self.url, f"{sentence}: check PAUSEFLOW_STORAGE and its permissions") from problem

    def _plain(self, problem: OSError) -> Exception:
        if isinstance(problem, StoreUnavailable):
            return problem
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            return StorageFull(self.url)
        reason = problem.strerror or str(problem)
        return StoreUnavailable(self.url, f"{reason}: check PAUSEFLOW_STORAGE and its permissions")


def _local(url: str) -> Path | None:
    if url.startswith("file://"):
        return Path(url.removeprefix("file://"))
    return None if "://" in url else Path(url)


def _write_durably(path: Path, data: bytes) -> None:
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with create(temporary) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # Otherwise a power failure could lose the new name, although the bytes are stored.
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _last(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def _changed_at(facts: dict[str, Any], unknown: float) -> float:
    """Return when a file was written, which each object store reports under another name."""
    for key in ("mtime", "created", "LastModified", "last_modified"):
        value = facts.get(key)
        if value is not None:
            return float(value.timestamp() if hasattr(value, "timestamp") else value)
    return unknown


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
