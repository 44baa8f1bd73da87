"""Which file system holds a path: SQLite's write-ahead log needs memory that all processes share.

On a network file system it has none, and two machines would damage the database without a word.
"""

from pathlib import Path

__all__ = ["filesystem_of", "is_network"]

_NETWORK = frozenset(
    {
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
    }
    | {
        "pvfs2",
        "smb3",
        "smbfs",
        "fuse.ceph",
        "fuse.glusterfs",
        "fuse.gcsfuse",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
    }
)


def filesystem_of(path: Path, mounts: str | None = None) -> str | None:
    """Name the type of the file system that holds a path.

    Args:
        path: A path; it need not exist yet.
        mounts: A table as in `/proc/self/mounts`, instead of this machine's.

    Returns:
        The type, such as `"ext4"` or `"nfs4"`; None where the system does not tell.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(errors="replace")
        except OSError:
            return None
    path = path.resolve()
    longest, found = -1, None
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = Path(_unescaped(words[1]))
        # A later line covers an earlier one of the same place.
        if path.is_relative_to(point) and len(point.parts) >= longest:
            longest, found = len(point.parts), words[2]
    return found


def is_network(filesystem: str | None) -> bool:
    """Whether SQLite must not be used there."""
    return filesystem in _NETWORK


def _unescaped(text: str) -> str:
    # The table writes spaces, tabs and backslashes in octal.
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text
