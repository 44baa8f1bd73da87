"""docs/operations.md and docs/cluster.md, as their reader uses them: a backup is restored, systemd accepts the units."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest

if TYPE_CHECKING:
    from acceptance.command import Pauseflow

pytestmark = pytest.mark.acceptance

DOCS = Path(__file__).parents[2] / "docs"
PAGES = "".join((DOCS / page).read_text(encoding="utf-8") for page in ("operations.md", "cluster.md"))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGES, re.DOTALL)


@pytest.mark.thorough
def test_a_backup_that_is_taken_while_something_runs_can_be_restored(pauseflow: "Pauseflow") -> None:
    backup, restore = (block for block in blocks("sh") if "$BACKUP" in block)
    store = Path(pauseflow.environment["PAUSEFLOW_DATA_DIR"])
    cells = [
        "from pauseflow_nb import flow\nrows = [1, 2, 3]",
        "%%step ask\nflow.suspend()",
        "%%step use\nflow.export('total', sum(rows))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    nbformat.write(notebook, pauseflow.folder / "in.ipynb")
    output = pauseflow.folder / "out.ipynb"
    run = pauseflow.start("run", pauseflow.folder / "in.ipynb", output, output=output)
    run.link("resume")
    (waits,) = (each["id"] for each in pauseflow.executions())

    run_commands(backup, pauseflow)
    run.kill()
    assert pauseflow("cancel", waits).code == 0
    shutil.rmtree(store)
    run_commands(restore, pauseflow)

    resumed = pauseflow("resume", waits, "--wait", "--json")
    assert resumed.code == 0, resumed.stderr
    assert resumed.execution["state"] == "completed"
    assert resumed.exports("use")["total"] == 6


def run_commands(commands: str, pauseflow: "Pauseflow") -> None:
    bin_folder = str(Path(sys.executable).parent)
    environment = pauseflow.environment | {
        "BACKUP": str(pauseflow.folder / "backup"),
        "PATH": os.pathsep.join([bin_folder, os.environ["PATH"]]),
    }
    subprocess.run(["sh", "-e", "-c", commands], env=environment, check=True, timeout=60)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
@pytest.mark.parametrize("unit", blocks("ini"), ids=lambda unit: unit.splitlines()[0].rpartition("/")[2])
def test_systemd_accepts_each_unit(unit: str, tmp_path: Path) -> None:
    name = unit.splitlines()[0].rpartition("/")[2]
    # systemd looks for the program, and no machine of a test has it at that place.
    (tmp_path / name).write_text(unit.replace("/opt/pauseflow/bin/pauseflow", sys.executable), encoding="utf-8")

    found = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, check=False
    )

    assert [line for line in found.stderr.splitlines() if name in line] == []
