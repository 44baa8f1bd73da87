"""Stores: any that fsspec knows, with what was fetched kept locally; several kernels at once."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pytest
from kernel_snapshot.conftest import Kernels, cell, nursery
from shells import new_shell

from pauseflow_nb.errors import SnapshotDamaged
from pauseflow_nb.kernel import snapshot
from pauseflow_nb.kernel.snapshot.storage.folder import forget_cache, open_folder

URL = "memory://pf-test/execution/snapshots"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A shell in this process, because memory:// cannot be seen from another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    main = sys.modules["__main__"]
    made = new_shell()
    yield made
    sys.modules["__main__"] = main
    fsspec.filesystem("memory").store.clear()


def test_a_remote_store_serves_a_kernel_without_its_cache(shell: Any) -> None:
    pytest.importorskip("numpy")
    shell.run_cell("import numpy as np\na = np.arange(300_000.); b = a[5:]; d = {'x': [1]}")
    saved = snapshot.save(shell, URL)
    forget_cache(URL)
    assert not open_folder(URL).local.exists()
    shell.run_cell("del a, b, d")

    snapshot.restore(shell, URL, saved.ref)

    shell.run_cell("a[5] = -1\nok = b[0] == -1 and d == {'x': [1]} and a[299_999] == 299_999")
    assert shell.user_ns["ok"]
    assert snapshot.save(shell, URL).written < (1 << 20) + 20_000


def test_what_was_fetched_is_not_fetched_again(shell: Any) -> None:
    shell.run_cell("x = list(range(1000))")
    saved = snapshot.save(shell, URL)
    forget_cache(URL)
    snapshot.restore(shell, URL, saved.ref)
    fsspec.filesystem("memory").store.clear()

    assert snapshot.restore(shell, URL, saved.ref).values["x"][-1] == 999


def test_a_missing_remote_pack_is_named(shell: Any) -> None:
    shell.run_cell("x = 1")
    saved = snapshot.save(shell, URL)
    forget_cache(URL)
    system = fsspec.filesystem("memory")
    for name in system.ls("/pf-test/execution/snapshots", detail=False):
        if name.endswith(".pack"):
            system.rm(name)

    with pytest.raises(SnapshotDamaged, match=r"\.pack is missing from memory://"):
        snapshot.restore(shell, URL, saved.ref)


def test_a_remote_store_is_swept(shell: Any) -> None:
    shell.run_cell("x = 1")
    first = snapshot.save(shell, URL)
    shell.run_cell("x = 2")
    second = snapshot.save(shell, URL)

    assert snapshot.sweep(URL, [second.ref.name], grace_seconds=0) >= 1

    assert snapshot.restore(shell, URL, second.ref).values["x"] == 2
    with pytest.raises(SnapshotDamaged, match="manifest is missing"):
        snapshot.restore(shell, URL, first.ref)


def test_file_urls_are_local_folders(shell: Any, tmp_path: Path) -> None:
    shell.run_cell("x = 1")

    saved = snapshot.save(shell, f"file://{tmp_path}/s")

    assert (tmp_path / "s" / saved.ref.name).exists()


@pytest.mark.thorough
def test_kernels_that_save_at_once_into_one_folder_do_not_disturb_each_other(kernels: Kernels) -> None:
    pytest.importorskip("numpy")
    base = kernels.save("import numpy as np\na = np.arange(500_000.)")
    restore = {"do": "restore", "folder": kernels.folder, "ref": base["ref"]}
    begun, apart = [], [nursery() for _ in range(3)]
    for n in range(3):
        actions: list[dict[str, Any]] = [restore]
        for turn in range(4):
            actions += [cell(f"a[{turn} * 100_000] = {n}; me = {n}"), {"do": "save", "folder": kernels.folder}]
        begun.append(kernels.begin(*actions, nursery=apart[n]))
    refs = [answers()[-1] for answers in begun]
    for process in apart:
        process.communicate()
    snapshot.sweep(kernels.folder, [ref["ref"]["name"] for ref in refs], grace_seconds=0)

    for n, ref in enumerate(refs):
        kernels.restore(ref, f"assert me == {n} and (a[:400_000:100_000] == {n}).all() and a[499_999] == 499_999")


def memory_digests(manifest: bytes) -> set[str]:
    return {chunk[0] for _, chunks in json.loads(manifest)["regions"] for chunk in chunks}


def test_what_is_fetched_is_checked_with_cryptographic_digests(shell: Any) -> None:
    pytest.importorskip("numpy")
    shell.run_cell("import numpy as np\na = np.arange(300_000.)")
    saved = snapshot.save(shell, URL)
    system = fsspec.filesystem("memory")
    (manifest,) = [name for name in system.store if name.endswith(".json")]
    (pack,) = [name for name in system.store if name.endswith(".pack")]
    kinds = memory_digests(system.cat_file(manifest))
    data = bytearray(system.cat_file(pack))
    data[1_500_000] ^= 1
    system.pipe_file(pack, bytes(data))
    forget_cache(URL)

    assert kinds == {"k"}
    with pytest.raises(SnapshotDamaged, match="are not what was written"):
        snapshot.restore(shell, URL, saved.ref)


@pytest.mark.parametrize("umask", [0, 0o022])
def test_the_cache_of_a_remote_store_is_for_its_user_alone(shell: Any, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        shell.run_cell("x = bytearray(3_000_000)")
        saved = snapshot.save(shell, URL)
        written = modes_below(tmp_path / "cache")
        forget_cache(URL)
        snapshot.restore(shell, URL, saved.ref)
        fetched = modes_below(tmp_path / "cache")
    finally:
        os.umask(before)

    assert written == fetched == {"folder": {0o700}, "file": {0o600}}


def modes_below(folder: Path) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {"folder": set(), "file": set()}
    for path in (folder, *folder.rglob("*")):
        found["folder" if path.is_dir() else "file"].add(path.stat().st_mode & 0o777)
    return found
