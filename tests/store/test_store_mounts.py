"""Network file systems are told apart by a table of mounts."""

from pathlib import Path

import pytest

from pauseflow_nb.errors import StoreUnavailable
from pauseflow_nb.store import database
from pauseflow_nb.store.mounts import filesystem_of, is_network

pytestmark = pytest.mark.one_python("a table of mounts is read")

MOUNTS = """\
/dev/vda / ext4 rw,relatime 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/vdb /home/local xfs rw 0 0
//nas/share /mnt/my\\040share cifs rw 0 0
garbage
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/a.db", "ext4"),
        ("/home/ann/a.db", "nfs4"),
        ("/home/local/a.db", "xfs"),
        ("/homely/a.db", "ext4"),
        ("/mnt/my share/a.db", "cifs"),
    ],
)
def test_the_longest_mount_point_counts(path: str, kind: str) -> None:
    assert filesystem_of(Path(path), MOUNTS) == kind


def test_a_later_mount_covers_an_earlier_one() -> None:
    assert filesystem_of(Path("/a/b"), "x / ext4 rw 0 0\ny / nfs rw 0 0") == "nfs"


def test_an_empty_table_tells_nothing() -> None:
    assert filesystem_of(Path("/a"), "") is None


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "glusterfs"])
def test_network_file_systems(kind: str) -> None:
    assert is_network(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "apfs", None])
def test_local_file_systems(kind: str | None) -> None:
    assert not is_network(kind)


def test_sqlite_is_refused_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = f"server:/x {tmp_path} nfs4 rw 0 0"
    monkeypatch.setattr(database, "filesystem_of", lambda path: filesystem_of(path, table))

    with pytest.raises(StoreUnavailable, match=r"network file system \(nfs4\).*PAUSEFLOW_DB"):
        database.open_engine(f"sqlite:///{tmp_path / 'a.db'}")
    assert not (tmp_path / "a.db").exists()
