"""A disk that fills up in the middle of a run: said in a sentence, nothing saved is lost, `retry` goes on."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.command import Pauseflow
from acceptance.test_command_line import IMPORT, notebook

pytestmark = pytest.mark.acceptance


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 18 MB; `make_larger` gives it more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=18M", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs to mount a small disk, which only root may")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def make_larger(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=80M", str(folder)], check=True)


def test_a_step_whose_variables_do_not_fit_fails_and_retry_goes_on(pauseflow: Pauseflow, small_disk: Path) -> None:
    log = pauseflow.folder / "log"
    source = notebook(
        pauseflow.folder,
        f"{IMPORT}\nimport os, pathlib\nlog = pathlib.Path({str(log)!r})",
        "%%step small\nlog.open('a').write('small\\n')\nx = 1",
        "%%step large\nblob = os.urandom(30_000_000)",
        "%%step after\n[len(blob), x]",
    )
    pauseflow.environment["PAUSEFLOW_DATA_DIR"] = str(small_disk / "store")
    failed = pauseflow("run", source, "out.ipynb", "--json")
    record = failed.notebook
    make_larger(small_disk)
    ended = pauseflow("retry", failed.execution["id"], "--wait", "--json")

    assert (failed.code, failed.execution["error"]["type"]) == (1, "StorageFull")
    assert "no space left" in failed.stderr
    (large,) = [cell for cell in record.cells if cell.source.startswith("%%step large")]
    assert large.metadata.papermill.status == "failed"
    assert (ended.code, ended.execution["state"]) == (0, "completed")
    assert ended.exports("after")["$return_value"] == [30_000_000, 1]
    assert log.read_text() == "small\n"


@pytest.mark.thorough
def test_an_output_that_does_not_fit_fails_after_the_record_was_made(pauseflow: Pauseflow, small_disk: Path) -> None:
    source = notebook(pauseflow.folder, "print('x' * 30_000_000)")
    failed = pauseflow("run", source, small_disk / "out.ipynb", "--json")
    make_larger(small_disk)
    ended = pauseflow("retry", failed.execution["id"], "--wait", "--json")

    assert (failed.code, failed.execution["error"]["type"]) == (1, "StorageFull")
    assert (ended.code, ended.execution["state"]) == (0, "completed")
    assert (small_disk / "out.ipynb").stat().st_size > 30_000_000
