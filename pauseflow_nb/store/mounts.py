"""Find the type of the file system of a path: on a network file system, SQLite silently damages its database.

Its write-ahead log needs memory that all processes share, and two machines have none.
"""

from pathlib import Path

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


def find_filesystem(path: Path) -> str | None:
    """Find the type of the file system that holds a path, such as `"ext4"` or `"nfs4"`; None if it is not known."""
    import psutil  # lazily: only opening a store needs it

    path = path.resolve()
    try:
        found = [each for each in psutil.disk_partitions(all=True) if path.is_relative_to(each.mountpoint)]
    except (OSError, psutil.Error):
        return None
    # The innermost mount; of two at the same place, the later one hides the earlier one.
    mount = max(reversed(found), key=lambda each: len(Path(each.mountpoint).parts), default=None)
    return None if mount is None else str(mount.fstype)


def is_network(filesystem: str | None) -> bool:
    """Whether it is a network file system, on which SQLite must not be used."""
    return filesystem in _NETWORK
