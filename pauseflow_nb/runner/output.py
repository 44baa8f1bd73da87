"""The output file that the user named: replaced as a whole, never torn, never somebody else's edit lost."""

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path

from pauseflow_nb.errors import InvalidParameter, StorageFull
from pauseflow_nb.private_files import create, follow
from pauseflow_nb.runner.document import Document, is_sealed_by

__all__ = ["OutputFile", "require_writable"]

# While cells run the file follows at this distance, and further behind where writing it is slow.
_INTERVAL_SECONDS = 1.0
_SHARE_OF_TIME = 0.1

#: In bytes. Systems allow 255, and the file is written first under a longer name, perhaps with the execution's id in it.
_LONGEST_NAME = 210

_FULL = {errno.ENOSPC, errno.EDQUOT}


def require_writable(path: str | None) -> None:
    """Find out before anything runs that an output can never be written; a path that only looks so fails later.

    Raises:
        InvalidParameter: Saying what is wrong with it.
    """
    if path is None or "://" in path:
        return
    try:
        problem = _why_not_writable(Path(path).expanduser())
    except (OSError, ValueError, RuntimeError) as error:
        # Too long for the system, or with a character that no name may have, or below the home of nobody.
        problem = f"cannot be the path of a file ({getattr(error, 'strerror', None) or error})"
    if problem is not None:
        raise InvalidParameter("output", f"{path} {problem}")


def _why_not_writable(output: Path) -> str | None:
    if follow(output).is_symlink() or follow(output) != output.resolve():
        return "is a link that another user has made: name the file itself, or remove the link"
    if output.is_dir():
        return "is a folder: name a file in it"
    if len(os.fsencode(output.name)) > _LONGEST_NAME:
        return f"has a name that is too long: at most {_LONGEST_NAME} bytes"
    if not output.parent.is_dir():
        return "is in a folder that does not exist: make it first, or check the path"
    # The file is replaced as a whole, so it is the folder that counts.
    if not os.access(output.parent, os.W_OK):
        return "is in a folder that you may not write to: choose another"
    return None


class OutputFile:
    """Writes one execution's document to its path, again and again.

    If the file was changed by somebody else, ours goes beside it as `NAME.pauseflow-ID.ipynb` from
    then on. If it was deleted, it is written again.

    Args:
        path: Where to write; a symbolic link is followed, unless another user has planted it: that is replaced.
        execution: The execution whose output this is.
        is_first: Whether this execution writes it for the first time, over whatever is there.
        on_moved: Told the new path when ours goes beside.
    """

    def __init__(
        self, path: str, *, execution: str, is_first: bool, on_moved: Callable[[str], None] = lambda _path: None
    ) -> None:
        self._execution = execution
        self._is_first = is_first
        self._on_moved = on_moved
        self._written: tuple[int, int, int] | None = None
        self._revision = -1
        self._due = 0.0
        #: Where it goes.
        self.path = follow(Path(path))
        self._beside = self.path.with_name(f"{self.path.stem}.pauseflow-{execution}.ipynb")

    #: How soon the file follows while a cell runs; 0: not before a step or the notebook ends.
    every_seconds = _INTERVAL_SECONDS

    def save(self, document: Document) -> None:
        """Write the document if it changed since the last time, or if the file is no longer as we left it.

        Raises:
            StorageFull: If the disk is full; the file that was there is still whole.
        """
        if self._revision == document.revision and self._stamp() == self._written:
            return
        started = time.monotonic()
        revision, data = document.revision, document.for_people()
        self._step_aside()
        self._replace(data)
        self._written, self._revision, self._is_first = self._stamp(), revision, False
        now = time.monotonic()
        self._due = now + max(self.every_seconds, (now - started) / _SHARE_OF_TIME)

    def save_when_due(self, document: Document) -> float | None:
        """Write a changed document unless that was done a moment ago.

        A failure is not told of here: a cell that runs must not fail for it. The next `save` tells.

        Returns:
            Seconds until it is due; None if all is written.
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

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _step_aside(self) -> None:
        if self._is_first or self.path == self._beside:
            return
        found = self._stamp()
        if found is None or found == self._written or is_sealed_by(self._content(), self._execution):
            return
        self.path = self._beside
        self._on_moved(str(self.path))

    def _content(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError:
            return b""

    def _replace(self, data: bytes) -> None:
        if not self._is_first:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        try:
            # No more readable than what it replaces, at no moment.
            with create(temporary, mode=_mode_of(self.path) or 0o666) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if (mode := _mode_of(self.path)) is not None:
                temporary.chmod(mode)
            temporary.replace(self.path)
        except OSError as problem:
            if problem.errno in _FULL:
                raise StorageFull(str(self.path)) from problem
            raise
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(self.path.parent)


def _mode_of(path: Path) -> int | None:
    """Tell who may read and write a file; None if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return stat.S_IMODE(found.st_mode) & 0o777 if stat.S_ISREG(found.st_mode) else None


def _sync_folder(folder: Path) -> None:
    # Windows opens no folders.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
