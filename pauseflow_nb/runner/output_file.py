"""Write the executed notebook to its output file: replace the file as a whole, and never overwrite an edit of the user."""

import contextlib
import errno
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pauseflow_nb.errors import InvalidOutput, StorageFull
from pauseflow_nb.private_files import create, follow, is_at, lock_alone
from pauseflow_nb.runner import file_addresses
from pauseflow_nb.runner.document import Document, is_sealed_by

# While cells run, the file is written at this interval, and less often if writing takes more than this share of the time.
_INTERVAL_SECONDS = 1.0
_SHARE_OF_TIME = 0.1

#: Longest name of a file, in bytes. Systems allow 255, and the file is first written under a longer name.
_LONGEST_NAME = 210

_FULL = {errno.ENOSPC, errno.EDQUOT}


def require_writable(path: str | None) -> None:
    """Check before anything runs that an output can be written; other errors show only when it is written.

    Raises:
        InvalidOutput: If it cannot be written; says why.
    """
    if path is None:
        return
    if "://" in path:
        file_addresses.require_client(path)
        return
    try:
        problem = _find_write_problem(Path(path).expanduser())
    except (OSError, ValueError, RuntimeError) as error:
        # Too long for the system, with a character that is not allowed, or below the home of an unknown user.
        problem = f"cannot be the path of a file ({getattr(error, 'strerror', None) or error})"
    if problem is not None:
        raise InvalidOutput(path, problem)


def _find_write_problem(output: Path) -> str | None:
    if follow(output).is_symlink() or follow(output) != output.resolve():
        return "is a link that another user has made: name the file itself, or remove the link"
    if output.is_dir():
        return "is a folder: name a file in it"
    if len(os.fsencode(output.name)) > _LONGEST_NAME:
        return f"has a name that is too long: at most {_LONGEST_NAME} bytes"
    if not output.parent.is_dir():
        return "is in a folder that does not exist: create it first, or check the path"
    # The file is replaced as a whole, so the permissions of the folder matter.
    if not os.access(output.parent, os.W_OK):
        return "is in a folder that you may not write to: choose another"
    return None


def write_whole(path: str, text: str) -> str:
    """Write a file as a whole, or what a URL names; `-` is standard output.

    An existing file is replaced and keeps its permissions; a device or a pipe is written to.

    Returns:
        The absolute path of the file, or the URL.

    Raises:
        InvalidOutput: If it cannot be written; says why. An existing file is unchanged.
    """
    if path == "-":
        sys.stdout.write(text)
        return path
    if "://" in path:
        require_writable(path)
        try:
            file_addresses.write(text, path)
        except Exception as problem:
            # Each of papermill's handlers raises the errors of its client.
            raise InvalidOutput(
                path, f"cannot be written: {problem}: check the address and your credentials"
            ) from problem
        return path
    try:
        if _is_stream(path):
            Path(path).write_text(text, encoding="utf-8")
            return path
        require_writable(path)
        file = Path(path).expanduser().absolute()
        _replace(follow(file), text.encode())
    except OSError as problem:
        raise InvalidOutput(path, f"cannot be written: {problem.strerror or problem}") from problem
    return str(file)


def _is_stream(path: str) -> bool:
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISCHR(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


class OutputFile:
    """Writes the document of an execution to its path whenever it has changed.

    If another program has changed the file, the document is written beside it as `NAME.pauseflow-ID.ipynb` from then on. If
    the file was deleted, it is written again.

    Args:
        path: Path of the file; a symbolic link is followed, except one of another user, which is replaced.
        execution: Id of the execution.
        is_first: Whether the execution writes the file for the first time, over an existing file.
        on_moved: Called with the new path when the document is written beside the file.
    """

    def __init__(
        self, path: str, *, execution: str, is_first: bool, on_moved: Callable[[str], None] = lambda _path: None
    ) -> None:
        self._execution = execution
        self._is_first = is_first
        self._on_moved = on_moved
        #: Called before each write; raises if another process writes the file now.
        self.check: Callable[[], None] = lambda: None
        self._written: tuple[int, int, int] | None = None
        self._revision = -1
        self._due = 0.0
        #: Path of the file that is written.
        self.path = follow(Path(path))
        self._other_path = self.path.with_name(f"{self.path.stem}.pauseflow-{execution}.ipynb")

    #: Seconds between two writes while a cell runs; 0: only when a step or the notebook ends.
    every_seconds = _INTERVAL_SECONDS

    def read(self) -> bytes | None:
        """Read the file, or the one beside it; None if it was not written for this execution, or was changed since."""
        found = map(_read_file, (self._other_path, self.path))
        return next((data for data in found if is_sealed_by(data, self._execution)), None)

    def save(self, document: Document) -> None:
        """Write the document if it has changed since the last time, or if the file has.

        Raises:
            StorageFull: If the disk is full; the previous file is unchanged.
        """
        if self._revision == document.revision and self._read_stamp() == self._written:
            return
        started = time.monotonic()
        revision, data = document.revision, document.for_people()
        self.check()
        self._avoid_overwriting()
        self._replace(data)
        self._written, self._revision, self._is_first = self._read_stamp(), revision, False
        now = time.monotonic()
        self._due = now + max(self.every_seconds, (now - started) / _SHARE_OF_TIME)

    def save_when_due(self, document: Document) -> float | None:
        """Write a changed document, unless the last write was a moment ago.

        Errors are ignored here, because a running cell must not fail for them; the next `save` raises.

        Returns:
            Seconds until the next write is due; None if there is nothing to write.
        """
        if self._revision == document.revision or self.every_seconds == 0:
            return None
        left = self._due - time.monotonic()
        if left > 0:
            return left
        try:
            self.save(document)
        except OSError:
            self._due = time.monotonic() + _INTERVAL_SECONDS
            return _INTERVAL_SECONDS
        return None

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _avoid_overwriting(self) -> None:
        if self._is_first or self.path == self._other_path:
            return
        found = self._read_stamp()
        if found is None or found == self._written or is_sealed_by(_read_file(self.path), self._execution):
            return
        self.path = self._other_path
        self._on_moved(str(self.path))

    def _replace(self, data: bytes) -> None:
        if not self._is_first:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _replace(self.path, data)
        except OSError as problem:
            if problem.errno in _FULL:
                raise StorageFull(str(self.path)) from problem
            raise


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that at any time it holds either all of what it held before or all of the data."""
    # At no time may more people be able to read it than the file that it replaces.
    temporary, file = _create_beside(path, _read_mode(path) or 0o666)
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if (mode := _read_mode(path)) is not None:
                temporary.chmod(mode)
            if os.name == "nt":
                # It cannot rename an open file. Elsewhere the file is renamed while it is locked: see `_create_beside`.
                file.close()
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _create_beside(path: Path, mode: int) -> tuple[Path, BinaryIO]:
    """Create and lock a file beside another one; a process that was killed while it wrote one has left it unlocked."""
    temporary = path.with_name(f".{path.name}.pauseflow.tmp")
    _remove_unlocked(temporary)
    with contextlib.suppress(FileExistsError):
        file = create(temporary, mode=mode)
        # Another process may have found it before it was locked, and take it for one that was left.
        is_locked, is_there = lock_alone(file.fileno()), is_at(file.fileno(), temporary)
        if is_locked and is_there:
            return temporary, file
        file.close()
        if is_there:
            temporary.unlink(missing_ok=True)
    # Another process writes it now, or the disk has no locks.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    return temporary, create(temporary, mode=mode)


def _remove_unlocked(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return
    try:
        # Its writer may have renamed it before it was locked here.
        if lock_alone(descriptor) and is_at(descriptor, path):
            # It may belong to another user.
            with contextlib.suppress(OSError):
                path.unlink()
    finally:
        os.close(descriptor)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _read_mode(path: Path) -> int | None:
    """Read the permissions of a file; None if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return stat.S_IMODE(found.st_mode) & 0o777 if stat.S_ISREG(found.st_mode) else None


def _sync_folder(folder: Path) -> None:
    # Windows cannot open folders.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
