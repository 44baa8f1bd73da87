"""Files are there as a whole or not at all, on a disk and elsewhere."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from pauseflow_nb.errors import StorageFull, StoreUnavailable
from pauseflow_nb.store.files import Files


@pytest.fixture(params=["folder", "file-url", "memory"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    urls = {"folder": str(tmp_path / "f"), "file-url": f"file://{tmp_path}/f", "memory": f"memory://{tmp_path.name}"}
    return Files(urls[request.param])


def test_what_was_written_is_read(files: Files) -> None:
    files.write("e1/a.ipynb", b"first")
    files.write("e1/a.ipynb", b"second")

    assert files.read("e1/a.ipynb") == b"second"
    assert files.exists("e1/a.ipynb")
    assert files.used() == 6


def test_what_is_not_there(files: Files) -> None:
    assert not files.exists("e1/none")
    with pytest.raises(FileNotFoundError):
        files.read("e1/none")
    files.remove("e1/none")
    assert files.used() == 0


def test_a_folder_is_removed_with_all_in_it(files: Files) -> None:
    files.write("e1/a", b"1")
    files.write("e1/snapshots/b", b"2")
    files.write("e2/c", b"3")
    files.remove("e1")

    assert not files.exists("e1/a")
    assert files.read("e2/c") == b"3"


def test_executions_and_the_ages_of_their_files(files: Files) -> None:
    assert files.folders() == []
    files.write("0123456789ab/a.ipynb", b"1")
    files.write("0123456789ab/snapshots/b", b"2")
    files.write("not ours/c", b"3")
    ages = dict(files.ages("0123456789ab"))

    assert files.folders() == ["0123456789ab"]
    assert sorted(ages) == ["a.ipynb", "snapshots/b"]
    assert all(abs(age) < 60 for age in ages.values())
    assert dict(files.ages("000000000000")) == {}


def test_snapshots_have_a_place_that_a_kernel_understands(tmp_path: Path) -> None:
    assert Files(str(tmp_path)).folder("e1") == str(tmp_path / "e1" / "snapshots")
    assert Files("s3://bucket/x/").folder("e1") == "s3://bucket/x/e1/snapshots"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Files(str(tmp_path))
    files.write("e1/a", b"old")

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull):
        files.write("e1/a", b"new")

    assert files.read("e1/a") == b"old"
    assert [path.name for path in (tmp_path / "e1").iterdir()] == ["a"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreUnavailable, match="check PAUSEFLOW_STORAGE"):
        Files(str(tmp_path / "file")).write("e1/a", b"")


def test_only_its_owner_may_look(tmp_path: Path) -> None:
    Files(str(tmp_path / "files")).write("e1/a", b"")

    assert (tmp_path / "files" / "e1").stat().st_mode & 0o077 == 0


def test_free_space_is_told_before_the_folder_is_there(tmp_path: Path) -> None:
    free: Any = Files(str(tmp_path / "not" / "yet")).free()

    assert free > 0
    assert Files("memory://x").free() is None


def test_a_kind_of_address_that_nobody_here_knows_is_said() -> None:
    with pytest.raises(StoreUnavailable, match="there is no storage made-up://: use a folder, or a URL such as s3://"):
        Files("made-up://bucket/x").write("e/a.ipynb", b"{}")


def test_a_storage_that_cannot_be_reached_is_said() -> None:
    with pytest.raises(StoreUnavailable, match="check PAUSEFLOW_STORAGE"):
        Files("hdfs://nowhere/x").write("e/a.ipynb", b"{}")


class SilentStore(MemoryFileSystem):  # type: ignore[misc]
    """An object store whose server does not answer; its client has an error of its own, as that of S3 has."""

    protocol = "silent"

    def _fail(self, *_arguments: object, **_options: object) -> None:
        raise RuntimeError("could not connect to the endpoint\nat port 9")

    pipe_file = cat_file = rm = exists = open = _fail


@pytest.mark.parametrize(
    "use",
    [
        lambda files: files.write("e/a", b"x"),
        lambda files: files.read("e/a"),
        lambda files: files.remove("e"),
        lambda files: files.exists("e/a"),
        lambda files: files.stream("e/a"),
    ],
)
def test_an_object_store_that_does_not_answer_is_unavailable(use: Callable[[Files], object]) -> None:
    fsspec.register_implementation("silent", SilentStore, clobber=True)

    with pytest.raises(StoreUnavailable, match="could not connect to the endpoint: check PAUSEFLOW_STORAGE"):
        use(Files("silent://bucket/store"))
