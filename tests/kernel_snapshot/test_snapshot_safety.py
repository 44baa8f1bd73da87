"""Damage, crashes, other versions, other executions, sweeping: nothing is loaded that is not what was saved."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kernel_snapshot.conftest import SESSION, Kernels, Nurseries, cell

from pauseflow_nb.errors import SnapshotDamaged
from pauseflow_nb.kernel.snapshot import describe_saved, sweep
from pauseflow_nb.kernel.snapshot.storage.folder import Folder, open_folder
from pauseflow_nb.kernel.snapshot.storage.manifest import digest_manifest, read_manifest
from pauseflow_nb.kernel.snapshot.storage.packfile import Content, Location, PackReader
from pauseflow_nb.protocol import SnapshotRef

BIG = "import numpy as np\na = np.arange(600_000.)\nb = {'small': [1, 2, 3]}\ndef f(): return b"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, nurseries: Nurseries) -> tuple[dict[str, Any], str]:
    pytest.importorskip("numpy")
    kernels = Kernels(tmp_path_factory.mktemp("original"), str(tmp_path_factory.mktemp("snapshots")), nurseries)
    return kernels.save(BIG, execution="e1"), kernels.folder


@pytest.fixture
def saved(kernels: Kernels, original: tuple[dict[str, Any], str]) -> dict[str, Any]:
    """A snapshot of its own for each test."""
    shutil.copytree(original[1], kernels.folder)
    return original[0]


def pack(kernels: Kernels) -> Path:
    (found,) = Path(kernels.folder).glob("*.pack")
    return found


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def restore(kernels: Kernels, saved: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Restore, and run a cell that tells whether anything was bound."""
    action = {"do": "restore", "folder": kernels.folder, "ref": saved["ref"], **options}
    restored, bound = kernels.run(action, cell("'b' in globals()"))
    restored["bound"] = bound["result"] == "True"
    return restored


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9999])
def test_a_flipped_byte_anywhere_is_found_before_anything_is_bound(
    kernels: Kernels, saved: dict[str, Any], where: float
) -> None:
    path = pack(kernels)
    flip(path, int(path.stat().st_size * where) - 1)

    answer = restore(kernels, saved)

    assert answer["raised"] == "SnapshotDamaged"
    assert "not what was written" in answer["message"]
    assert not answer["bound"]


def test_a_repaired_snapshot_is_restored(kernels: Kernels, saved: dict[str, Any]) -> None:
    flip(pack(kernels), 1000)
    assert restore(kernels, saved)["raised"] == "SnapshotDamaged"

    flip(pack(kernels), 1000)

    assert restore(kernels, saved)["bound"]


DAMAGES: dict[str, tuple[Callable[[Kernels, dict[str, Any]], object], str]] = {
    "a pack cut off": (lambda k, _: os.truncate(pack(k), pack(k).stat().st_size - 10), "is cut off"),
    "a pack missing": (lambda k, _: pack(k).unlink(), "is missing from"),
    "the manifest missing": (lambda k, s: Path(k.folder, s["ref"]["name"]).unlink(), "its manifest is missing"),
    "the manifest changed": (lambda k, s: flip(Path(k.folder, s["ref"]["name"]), 50), "its manifest is not what"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_has_its_own_sentence(kernels: Kernels, saved: dict[str, Any], damage: str) -> None:
    do, sentence = DAMAGES[damage]
    do(kernels, saved)

    answer = restore(kernels, saved)

    assert answer["raised"] == "SnapshotDamaged"
    assert sentence in answer["message"]
    assert not answer["bound"]


def test_the_snapshot_of_another_execution_is_refused(kernels: Kernels, saved: dict[str, Any]) -> None:
    answer = restore(kernels, saved, execution="e2")

    assert answer["raised"] == "SnapshotDamaged"
    assert "belongs to execution e1, not to e2" in answer["message"]


def changed(kernels: Kernels, saved: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Write the manifest anew with other contents, as another version would have made it."""
    path = Path(kernels.folder, saved["ref"]["name"])
    manifest = json.loads(path.read_bytes())
    for key, value in changes.items():
        manifest[key] = {**manifest[key], **value} if isinstance(value, dict) else value
    data = json.dumps(manifest).encode()
    path.write_bytes(data)
    return {"ref": {"name": path.name, "digest": digest_manifest(data)}}


def test_another_schema_says_which(kernels: Kernels, saved: dict[str, Any]) -> None:
    other = changed(kernels, saved, schema=0)
    answer = restore(kernels, other)

    assert answer["raised"] == "SnapshotMismatch"
    assert "snapshot schema 0 there, 3 here" in answer["message"]
    # In the place of one that the store did sign, it is not relied upon.
    assert "in its place is one of schema 0, and this is 3" in restore(kernels, saved)["message"]


def test_the_manifest_of_another_execution_in_the_place_of_ours_says_whose_it_is(
    kernels: Kernels, saved: dict[str, Any]
) -> None:
    changed(kernels, saved, execution="e2")

    answer = restore(kernels, saved, execution="e1")

    assert answer["raised"] == "SnapshotDamaged"
    assert "in its place is one of execution e2, not of e1" in answer["message"]


def test_other_versions_name_both_sides_and_force_overrides(kernels: Kernels, saved: dict[str, Any]) -> None:
    import numpy as np

    other = changed(kernels, saved, made_by={"packages": {"numpy": "1.0.3", "not_there": "2"}, "python": [3, 8, 1]})

    answer = restore(kernels, other)

    assert answer["raised"] == "SnapshotMismatch"
    assert f"numpy 1.0.3 there, {np.__version__} here" in answer["message"]
    assert "not_there 2 there, not installed here" in answer["message"]
    assert "Python 3.8.1 there" in answer["message"]
    assert restore(kernels, other, force=True)["bound"]


def test_the_version_of_a_module_where_cells_let_python_look(kernels: Kernels, tmp_path: Path) -> None:
    module = tmp_path / "beside" / "pf_beside.py"
    module.parent.mkdir()
    module.write_text("__version__ = '1.0'\nclass K: n = 1")
    saved = kernels.save(f"import sys; sys.path.append({str(module.parent)!r})\nimport pf_beside; k = pf_beside.K()")

    kernels.restore(saved, "assert k.n == 1")
    module.write_text("__version__ = '2.0'\nclass K: n = 22")

    assert "pf_beside 1.0 there, 2.0 here" in restore(kernels, saved)["message"]


def test_changes_of_the_environment_are_passed_on_from_kernel_to_kernel(kernels: Kernels) -> None:
    first = kernels.save("import os\nos.environ['PF_CHANGED'] = '1'")
    options = {"folder": kernels.folder}
    _, second = kernels.run({"do": "restore", "ref": first["ref"], **options}, {"do": "save", **options})

    kernels.restore(second, "import os\nassert os.environ['PF_CHANGED'] == '1'")


def test_the_snapshot_moves_to_another_folder(kernels: Kernels, saved: dict[str, Any], tmp_path: Path) -> None:
    moved = Kernels(tmp_path, str(tmp_path / "elsewhere"), kernels.nurseries)
    shutil.copytree(kernels.folder, moved.folder, copy_function=shutil.copyfile)

    moved.restore(saved, "assert a[599_999] == 599_999 and f() is b")


def test_a_full_disk_leaves_the_earlier_snapshot(kernels: Kernels, saved: dict[str, Any]) -> None:
    limit = "import resource\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"

    _, _, answer = kernels.run(cell(BIG), cell(limit), {"do": "save", "folder": kernels.folder})

    assert answer["raised"] == "SnapshotError"
    assert not list(Path(kernels.folder).glob("*.part"))
    assert restore(kernels, saved)["bound"]


def test_what_is_saved_again_unchanged_is_not_written_again(kernels: Kernels, saved: dict[str, Any]) -> None:
    options = {"folder": kernels.folder}
    restored = {"do": "restore", "ref": saved["ref"], **options}

    _, again, _, once_more, _, changed_ = kernels.run(
        restored,
        {"do": "save", **options},
        cell("b['small'].append(4)"),
        {"do": "save", **options},
        cell("a[300_000] = 0"),
        {"do": "save", **options},
    )

    assert again["written"] < 20_000
    assert once_more["written"] < 20_000
    assert 1 << 20 <= changed_["written"] < (1 << 20) + 20_000
    kernels.restore(changed_, "assert a[300_000] == 0 and a[299_999] == 299_999 and b['small'] == [1, 2, 3, 4]")
    kernels.restore(saved, "assert a[300_000] == 300_000 and b['small'] == [1, 2, 3]")


def test_a_pack_keeps_no_more_room_on_the_disk_than_it_fills(kernels: Kernels) -> None:
    pytest.importorskip("numpy")
    saved = kernels.save("import numpy as np\na = np.arange(3_000_000.)\nb = -1 - np.arange(1_000_000.)")

    stat = pack(kernels).stat()
    assert 32_000_000 < stat.st_size < 32_100_000
    assert stat.st_blocks * 512 < stat.st_size + (1 << 20)
    kernels.restore(saved, "assert (np.diff(a) == 1).all() and (np.diff(b) == -1).all() and a[-1] == 2_999_999")


def test_a_restored_array_that_is_changed_and_saved_many_times(kernels: Kernels, saved: dict[str, Any]) -> None:
    actions: list[dict[str, Any]] = [{"do": "restore", "folder": kernels.folder, "ref": saved["ref"]}]
    for n in range(5):
        actions += [cell(f"a[{n} * 100_000] = -{n} - 1; c = a[:10].copy()"), {"do": "save", "folder": kernels.folder}]

    *_, last = kernels.run(*actions)

    kernels.restore(last, "assert [a[n * 100_000] for n in range(5)] == [-1, -2, -3, -4, -5] and a[1] == 1")


def test_sweep_keeps_what_live_snapshots_need(kernels: Kernels, saved: dict[str, Any]) -> None:
    restored = {"do": "restore", "folder": kernels.folder, "ref": saved["ref"]}
    _, _, later = kernels.run(restored, cell("a[0] = 5; del b"), {"do": "save", "folder": kernels.folder})

    assert sweep(kernels.folder, [later["ref"]["name"]]) == 0  # too young
    removed = sweep(kernels.folder, [later["ref"]["name"]], grace_seconds=0)

    assert removed == 1
    kernels.restore(later, "assert a[0] == 5 and a[599_999] == 599_999")
    assert sweep(kernels.folder, [], grace_seconds=0) == 3
    assert list(Path(kernels.folder).iterdir()) == []


def test_sweep_leaves_foreign_files_and_stops_at_a_missing_manifest(kernels: Kernels, saved: dict[str, Any]) -> None:
    Path(kernels.folder, "notes.json").write_text("mine")

    with pytest.raises(FileNotFoundError, match="gone"):
        sweep(kernels.folder, ["gone.json"], grace_seconds=0)

    assert Path(kernels.folder, saved["ref"]["name"]).exists()
    sweep(kernels.folder, [], grace_seconds=0)
    assert [path.name for path in Path(kernels.folder).iterdir()] == ["notes.json"]


def test_a_saved_snapshot_is_described_without_loading_it(kernels: Kernels, saved: dict[str, Any]) -> None:
    reports = describe_saved(kernels.folder, SnapshotRef(**saved["ref"]))

    assert [report.name for report in reports][:1] == ["a"]
    assert reports[0].size >= 4_800_000
    assert {report.name: report.type_name for report in reports}["b"] == "dict"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_kill_9_at_any_moment_leaves_a_good_snapshot(kernels: Kernels, kills: int, tmp_path: Path) -> None:
    """A kernel that saves without end is killed; the last snapshot that it announced must hold."""
    pytest.importorskip("numpy")
    log = tmp_path / "log"
    for attempt in range(kills):
        process = subprocess.Popen([sys.executable, SESSION.with_name("crasher.py"), kernels.folder, log])
        deadline = time.monotonic() + 60
        while not log.exists() or log.read_text().count("\n") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(0.003 * attempt % 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        *_, last = [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        log.unlink()
        saved = json.loads(last)

        kernels.restore(saved, f"n = {saved['n']}\nassert a[n] == n and len(b) == n and a[:n].sum() == n * (n - 1) / 2")


def test_memory_that_a_thread_writes_to_during_the_save_is_stored_as_it_is_digested(kernels: Kernels) -> None:
    pytest.importorskip("numpy")
    busy = (
        "import numpy as np, threading\n"
        "a = np.zeros(3_000_000); over = []\n"
        "def write():\n"
        "    while not over: np.add(a, 1, out=a)\n"
        "threading.Thread(target=write, daemon=True).start()"
    )
    *_, saved, ended = kernels.run(cell(busy), {"do": "save", "folder": kernels.folder}, cell("over.append(1)"))
    assert ended["error"] is None
    # As if it came from another machine: then all of it is read through, against its digests.
    os.utime(pack(kernels), (0, 0))
    kernels.restore(saved, "assert a.shape == (3_000_000,)")


def test_a_limit_on_the_size_of_files_is_said_and_leaves_the_snapshot_before_it(kernels: Kernels) -> None:
    limit = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\nb = bytes(range(256)) * 2_000"
    )
    save = {"do": "save", "folder": kernels.folder}
    lift = cell("resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))")
    _, first, _, second, _ = kernels.run(cell("a = 1"), save, cell(limit), save, lift)

    assert "ulimit -f" in second["message"]
    kernels.restore(first, "assert a == 1")


def test_what_cells_put_into_json_does_not_spoil_the_manifest(kernels: Kernels) -> None:
    saved = kernels.save("import json\nx = 1\nread, write = json.loads, json.dumps\njson.loads = json.dumps = str")

    kernels.restore(saved, "assert x == 1")


@pytest.mark.parametrize("data", [b"{not json", b"\xff", b"[]", b'{"schema": 2}', b"[" * 100_000])
def test_what_is_no_manifest_is_said_to_be_none(kernels: Kernels, saved: dict[str, Any], data: bytes) -> None:
    Path(kernels.folder, saved["ref"]["name"]).write_bytes(data)

    answer = restore(kernels, {"ref": {**saved["ref"], "digest": digest_manifest(data)}})

    assert answer["raised"] == "SnapshotDamaged"
    assert "the file in place of its manifest is not a manifest" in answer["message"]


@pytest.mark.parametrize("suffix", [".json", ".pack"])
def test_files_that_cannot_be_read_are_named_and_nothing_is_lost(
    kernels: Kernels, saved: dict[str, Any], suffix: str
) -> None:
    # A directory in a file's place fails for every user, as a forbidden file does for all but root.
    (path,) = Path(kernels.folder).glob(f"*{suffix}")
    kept = path.rename(path.with_suffix(".kept"))
    path.mkdir()

    answer = restore(kernels, saved)

    assert answer["raised"] == "SnapshotDamaged"
    assert "cannot be read" in answer["message"]
    path.rmdir()
    kept.rename(path)
    assert "names" in restore(kernels, saved)


def digests(kernels: Kernels) -> set[str]:
    """The kinds of the digests of raw memory: first letters."""
    (manifest,) = Path(kernels.folder).glob("*.json")
    return {chunk[0] for _, chunks in json.loads(manifest.read_text())["regions"] for chunk in chunks}


def test_an_array_that_was_changed_in_the_storage_is_found_although_the_time_was_put_back(
    kernels: Kernels,
) -> None:
    """Size and change time of the file are what they were; only the operating system's own time is not."""
    pytest.importorskip("numpy")
    saved = kernels.save(BIG)
    before = restore(kernels, saved)
    was_trusted = is_trusted(kernels, saved)
    found = pack(kernels)
    stat = found.stat()
    with found.open("r+b") as file:
        file.seek(2_000_000)
        byte = file.read(1)
        file.seek(2_000_000)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(found, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    after = restore(kernels, saved)

    assert (before["bound"], after["bound"], was_trusted, is_trusted(kernels, saved)) == (True, False, True, False)
    assert "are not what was written" in after["message"]
    assert (found.stat().st_size, found.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)


def is_trusted(kernels: Kernels, saved: dict[str, Any]) -> bool:
    """Whether memory in the pack would be mapped without reading it."""
    folder = open_folder(kernels.folder)
    manifest = read_manifest(folder, SnapshotRef(**saved["ref"]))
    with PackReader(folder, manifest.content, "snapshot") as reader:
        return reader._is_trusted(pack(kernels).name)


def test_a_setting_has_all_memory_known_by_cryptographic_digests(kernels: Kernels) -> None:
    pytest.importorskip("numpy")
    saved = kernels.save(BIG, is_checked=True)

    assert digests(kernels) == {"k"}
    kernels.restore(saved, "assert a[599_999] == 599_999 and f()['small'] == [1, 2, 3]", is_checked=True)
    kernels.restore(saved, "assert a[599_999] == 599_999")


def test_what_a_fast_digest_names_is_named_anew_once_all_is_to_be_checked(kernels: Kernels) -> None:
    pytest.importorskip("numpy")
    action = {"do": "save", "folder": kernels.folder}
    *_, first, second = kernels.run(cell(BIG), action, {**action, "is_checked": True})

    names = [Path(kernels.folder, answer["ref"]["name"]) for answer in (first, second)]
    kinds = [{chunk[0] for _, chunks in json.loads(name.read_text())["regions"] for chunk in chunks} for name in names]
    assert kinds == [{"x"}, {"k"}]


def test_a_digest_of_a_kind_that_nobody_knows_is_said(tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(b"x")
    content = Content({"zfuture": Location("p", 0, 1)}, {"p": (1, 0)})
    with (
        PackReader(Folder(str(tmp_path), tmp_path), content, "snapshot") as reader,
        pytest.raises(SnapshotDamaged, match="a newer version made the digest zfuture"),
    ):
        reader.read("zfuture")
