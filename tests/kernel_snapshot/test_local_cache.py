"""The cache of remote snapshots: within its limit, and never without what a kernel reads."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from shells import new_shell

from pauseflow_nb.errors import SnapshotDamaged, StorageFull
from pauseflow_nb.kernel import snapshot
from pauseflow_nb.kernel.snapshot.storage import local_cache
from pauseflow_nb.kernel.snapshot.storage.folder import open_folder
from pauseflow_nb.kernel.snapshot.storage.local_cache import CacheUse, find_directory, measure_cache, trim_cache

STORE = "memory://pf-cache"
KIB = 1024


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(local_cache, "_used_to_the_end", {})
    yield tmp_path / "pauseflow_nb" / "snapshots"
    fsspec.filesystem("memory").store.clear()


def folder(execution: str) -> str:
    return f"{STORE}/{execution}/snapshots"


def fill(execution: str, *names: str, used_at: float, size: int = 64 * KIB) -> Path:
    """Put files into the cache of an execution that was last used then."""
    directory = find_directory(folder(execution))
    CacheUse(directory).begin()
    for name in names:
        (directory / name).write_bytes(b"x" * size)
    os.utime(directory / "in-use", (used_at, used_at))
    return directory


def left_in(directory: Path) -> set[str]:
    return {path.name for path in directory.glob("*.pack")}


def test_what_was_not_used_for_the_longest_time_goes_first() -> None:
    oldest = fill("aa", "1.pack", used_at=1)
    newest = fill("cc", "1.pack", used_at=3)
    between = fill("bb", "2.pack", "1.pack", used_at=2)

    assert trim_cache(128 * KIB) == measure_cache() <= 128 * KIB

    assert not oldest.exists()
    assert left_in(between) == {"2.pack"}, "of one execution the older files"
    assert left_in(newest) == {"1.pack"}
    assert trim_cache(0) == 0
    assert not between.exists()
    assert not newest.exists()


def test_a_cache_within_its_limit_stays_as_it_is() -> None:
    directory = fill("aa", "1.pack", used_at=1)

    assert trim_cache(10 * 64 * KIB) >= 64 * KIB

    assert left_in(directory) == {"1.pack"}


def test_what_is_in_use_stays_and_counts() -> None:
    used, idle = fill("aa", "1.pack", used_at=1), fill("bb", "1.pack", used_at=2)
    use = CacheUse(used)
    use.begin()

    assert trim_cache(64 * KIB) <= 64 * KIB
    assert left_in(used) == {"1.pack"}
    assert not idle.exists()
    assert trim_cache(0) == 64 * KIB
    del use
    assert trim_cache(0) == 0


def test_what_is_named_as_unneeded_goes_even_within_the_limit() -> None:
    removed, other = fill("aa", "1.pack", used_at=2), fill("bb", "1.pack", used_at=1)

    trim_cache(10 * 64 * KIB, [removed, find_directory(folder("never-there"))])

    assert not removed.exists()
    assert left_in(other) == {"1.pack"}


def test_sparse_files_count_as_what_they_take() -> None:
    directory = fill("aa", used_at=1)
    with (directory / "1.pack.sparse").open("wb") as file:
        file.truncate(1 << 30)
        file.write(b"x" * 4096)

    assert measure_cache() < 1 << 20


def test_the_executions_of_a_store_are_listed() -> None:
    fill("aa", "1.pack", used_at=1)
    fill("bb", "1.pack", used_at=1)

    assert sorted(local_cache.list_executions(STORE)) == ["aa", "bb"]
    assert local_cache.list_executions("memory://another") == []


KILLED = """
import sys
from pathlib import Path
from pauseflow_nb.kernel.snapshot.storage.local_cache import CacheUse
use = CacheUse(Path(sys.argv[1]))
use.begin()
(Path(sys.argv[1]) / "2.pack.part").write_bytes(b"half")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_locks_nothing_and_its_half_files_go_at_the_next_use() -> None:
    directory = fill("aa", "1.pack", used_at=1)
    command = [sys.executable, "-c", KILLED, str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        assert trim_cache(0) > 0
        CacheUse(directory).begin()
        assert (directory / "2.pack.part").exists(), "another process writes it"
        other.kill()
    CacheUse(directory).begin()

    assert {path.name for path in directory.iterdir()} == {"1.pack", "in-use"}
    assert trim_cache(0) == 0


@pytest.fixture
def shell() -> Iterator[Any]:
    main = sys.modules["__main__"]
    yield new_shell()
    sys.modules["__main__"] = main


def test_a_kernel_keeps_what_it_restored_until_it_ends(shell: Any) -> None:
    shell.run_cell("x = bytearray(3_000_000)")
    saved = snapshot.save(shell, folder("aa"))
    local_cache.forget(find_directory(folder("aa")))

    restored = snapshot.restore(shell, folder("aa"), saved.ref)

    before = measure_cache()
    assert trim_cache(0) == before > 3_000_000
    assert len(restored.values["x"]) == 3_000_000
    local_cache._used_to_the_end.clear()
    assert trim_cache(0) == 0
    assert snapshot.restore(shell, folder("aa"), saved.ref).values["x"] == restored.values["x"]


def test_a_damaged_manifest_in_the_cache_is_fetched_again(shell: Any) -> None:
    shell.run_cell("x = 1")
    saved = snapshot.save(shell, folder("aa"))
    cached = find_directory(folder("aa")) / saved.ref.name
    cached.write_bytes(cached.read_bytes()[:-1])

    assert snapshot.restore(shell, folder("aa"), saved.ref).values["x"] == 1


def test_a_manifest_that_the_store_changed_does_not_stay_in_the_cache(shell: Any) -> None:
    shell.run_cell("x = 1")
    saved = snapshot.save(shell, folder("aa"))
    local_cache.forget(find_directory(folder("aa")))
    system = fsspec.filesystem("memory")
    (path,) = [name for name in system.store if name.endswith(".json")]
    right = system.cat_file(path)
    system.pipe_file(path, right.replace(b'"schema":3', b'"schema":4'))
    with pytest.raises(SnapshotDamaged, match="its manifest is not what was written"):
        snapshot.restore(shell, folder("aa"), saved.ref)
    system.pipe_file(path, right)

    assert snapshot.restore(shell, folder("aa"), saved.ref).values["x"] == 1


def test_a_full_disk_of_the_cache_is_named_and_the_snapshot_is_not_damaged(
    shell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.run_cell("x = bytearray(3_000_000)")
    saved = snapshot.save(shell, folder("aa"))
    directory = find_directory(folder("aa"))
    local_cache.forget(directory)
    write = os.pwrite

    def refuse(*_arguments: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(StorageFull) as raised:
        snapshot.restore(shell, folder("aa"), saved.ref)
    monkeypatch.setattr(os, "pwrite", write)

    assert str(directory) in str(raised.value)
    assert len(snapshot.restore(shell, folder("aa"), saved.ref).values["x"]) == 3_000_000


def test_nothing_is_created_before_it_is_used(cache: Path) -> None:
    open_folder(folder("aa")).names()

    assert not cache.exists()
