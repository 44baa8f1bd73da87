"""An error that a cell shows and does not raise: papermill's exit code and marks, through `pauseflow run` and `papermill --engine pauseflow`."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from papermill_parity.compare import Run, run
from papermill_parity.shown_errors import CASES, Case, write_files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_exit_code_the_errors_and_their_marks_are_papermills(case: Case, tmp_path: Path) -> None:
    write_files(tmp_path)
    notebook = new_notebook(cells=[new_code_cell(case.source), new_code_cell("print('after')")])
    notebook.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "Python"}
    nbformat.write(notebook, tmp_path / "in.ipynb")

    theirs, *ours = (run(command, tmp_path / "in.ipynb", tmp_path) for command in ("papermill", "run", "engine"))

    assert theirs[0] == case.exit_code
    for mine in ours:
        assert (mine[0], marks_in(mine), errors_in(mine)) == (theirs[0], marks_in(theirs), errors_in(theirs))


def marks_in(done: Run) -> list[int]:
    assert done[2] is not None
    cells = enumerate(done[2]["cells"])
    return [index for index, cell in cells if "papermill-error-cell-tag" in cell["metadata"].get("tags", [])]


def errors_in(done: Run) -> list[list[str]]:
    assert done[2] is not None
    shown = [cell.get("outputs", []) for cell in done[2]["cells"]]
    return [[output["ename"] for output in outputs if output["output_type"] == "error"] for outputs in shown]
