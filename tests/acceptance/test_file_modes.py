"""Every folder and file that we make is for its user alone, whatever the umask is."""

import os
import stat
from pathlib import Path

import pytest
from acceptance.command import Pauseflow
from nbformat import v4, write

pytestmark = [pytest.mark.acceptance, pytest.mark.new_process]


def too_open(folder: Path) -> list[str]:
    """Name what others may look at below a folder."""
    found = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    assert len(found) > 1
    return [f"{stat.filemode(path.lstat().st_mode)} {path}" for path in found if path.lstat().st_mode & 0o077]


def test_others_cannot_look_into_what_a_run_keeps(pauseflow: Pauseflow) -> None:
    cells = [
        "from pauseflow_nb import flow\nbig = bytearray(3_000_000)",
        "%%step ask\nflow.suspend('1h')",
        "big[0]",
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    write(
        v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells], metadata=metadata),
        pauseflow.folder / "in.ipynb",
    )
    temporary = pauseflow.folder / "tmp"
    temporary.mkdir(mode=0o700)
    pauseflow.environment |= {
        "PAUSEFLOW_DATA_DIR": str(pauseflow.folder / "new" / "deep" / "store"),
        "TMPDIR": str(temporary),
    }
    before = os.umask(0)
    try:
        running = pauseflow.start("run", "in.ipynb", "out.ipynb")
        running.link("resume")
    finally:
        os.umask(before)

    kept = too_open(pauseflow.folder / "new")
    assert list((pauseflow.folder / "new").rglob("*.pack")), "a snapshot was looked at"
    assert list((pauseflow.folder / "new").rglob("*-wal")), "the database's files were looked at"
    assert kept == []
    running.kill()
