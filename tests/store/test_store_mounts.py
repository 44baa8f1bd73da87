"""SQLite is refused on network file systems, which are found in the system's table of mounts."""

import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from pauseflow_nb.errors import StoreUnavailable
from pauseflow_nb.store import database
from pauseflow_nb.store.mounts import find_filesystem, is_network

MOUNTS = [
    ("/", "ext4"),
    ("/home", "nfs4"),
    ("/home/local", "xfs"),
    ("/mnt/my share", "cifs"),
]


def set_mounts(monkeypatch: pytest.MonkeyPatch, mounts: list[tuple[str, str]]) -> None:
    """Let the system have these mounts: what a test cannot make without being root."""
    template = psutil.disk_partitions(all=True)[0]
    found = [template._replace(mountpoint=place, fstype=kind) for place, kind in mounts]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_options: found)


@pytest.mark.skipif(shutil.which("findmnt") is None, reason="no `findmnt` to compare with")
@pytest.mark.parametrize("path", ["/", "/proc/self", "/dev/shm", str(Path.cwd())])
def test_it_is_what_the_system_itself_says(path: str) -> None:
    listed = subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", path], capture_output=True, text=True, check=True)

    assert find_filesystem(Path(path)) == listed.stdout.split()[-1]


def test_a_path_that_is_not_there_yet_has_one(tmp_path: Path) -> None:
    assert find_filesystem(tmp_path / "a" / "b") == find_filesystem(tmp_path)


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
def test_the_innermost_mount_counts(path: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_mounts(monkeypatch, MOUNTS)

    assert find_filesystem(Path(path)) == kind


def test_a_later_mount_covers_an_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    set_mounts(monkeypatch, [("/", "ext4"), ("/", "nfs")])

    assert find_filesystem(Path("/a/b")) == "nfs"


def test_without_mounts_it_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    set_mounts(monkeypatch, [])

    assert find_filesystem(Path("/a")) is None


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "glusterfs"])
def test_network_file_systems(kind: str) -> None:
    assert is_network(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs", "overlay", "zfs", "apfs", None])
def test_local_file_systems(kind: str | None) -> None:
    assert not is_network(kind)


def test_sqlite_is_refused_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_mounts(monkeypatch, [("/", "ext4"), (str(tmp_path), "nfs4")])

    with pytest.raises(StoreUnavailable, match=r"network file system \(nfs4\).*PAUSEFLOW_DB"):
        database.open_engine(f"sqlite:///{tmp_path / 'a.db'}")
    assert not (tmp_path / "a.db").exists()
