"""Create folders and files that only this user can read, and follow only links made by this user or root."""

import os
from pathlib import Path
from typing import BinaryIO

_MOST_LINKS = 40
_NOT_HERE = 0


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents; existing folders keep their permissions."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        # A strict umask may have removed permissions that the owner needs.
        each.chmod(0o700)


def create(path: Path, *, buffering: int = -1, mode: int = 0o600) -> BinaryIO:
    """Create a file and open it for writing; refuse an existing file or link.

    Args:
        path: Path of the new file.
        buffering: As for `open`.
        mode: Permissions before the umask; with the default, only the owner can read and write, under any umask.

    Raises:
        FileExistsError: If the path exists.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, _NOT_HERE)
    descriptor = os.open(path, flags, mode)
    if mode == 0o600 and hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)
    return os.fdopen(descriptor, "wb", buffering)


def lock_alone(descriptor: int) -> bool:
    """Lock a file for as long as it is open; False if another process has locked it, or the system or disk has no locks."""
    try:
        import fcntl  # not on Windows
    except ImportError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one that a path names: another process may have removed or replaced it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


def follow(path: Path) -> Path:
    """Follow the links in a path as `Path.resolve` does, but none that another user has planted.

    A planted link belongs neither to this user nor to root, and is the end of the path or lies further up in a folder
    that anybody may write to. The result then ends or begins with that link.
    """
    if not hasattr(os, "geteuid"):
        return path.resolve()
    parts = list(reversed(path.absolute().parts))
    found = Path(parts.pop())
    links = 0
    while parts:
        part = parts.pop()
        if part == "..":
            found = found.parent
            continue
        found /= part
        if not found.is_symlink():
            continue
        links += 1
        if links > _MOST_LINKS or _is_planted(found, is_last=not parts):
            return found.joinpath(*reversed(parts))
        target = found.readlink()
        found = Path(target.anchor) if target.is_absolute() else found.parent
        parts += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return found


def _is_planted(link: Path, *, is_last: bool) -> bool:
    if link.lstat().st_uid in {os.geteuid(), 0}:
        return False
    return is_last or bool(link.parent.stat().st_mode & 0o002)
