"""Data that a notebook file cannot hold: papermill ends there; `pauseflow run` and the engine keep the data as text."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from papermill_parity.compare import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("display({'image/png': 5}, raw=True)", {"image/png": "5"}),
        ("display({'text/plain': {'a': 1}}, raw=True)", {"text/plain": "{'a': 1}"}),
        (
            "class Shown:\n    def _repr_mimebundle_(self, **_): return {'text/plain': 'Shown', 'image/png': [1, 2]}\nShown()",
            {"text/plain": "Shown", "image/png": "[1, 2]"},
        ),
    ],
)
def test_data_that_a_notebook_cannot_hold_is_kept_as_text(source: str, kept: dict[str, str], tmp_path: Path) -> None:
    notebook = new_notebook(cells=[new_code_cell(source), new_code_cell("print('after')")])
    notebook.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "Python"}
    nbformat.write(notebook, tmp_path / "in.ipynb")

    theirs, *ours = (run(command, tmp_path / "in.ipynb", tmp_path) for command in ("papermill", "run", "engine"))

    assert theirs[0] == 1
    assert "NotebookValidationError" in theirs[1]
    for code, _, written in ours:
        assert code == 0
        done = nbformat.from_dict(written)
        nbformat.validate(done)
        shown, after = (cell.outputs[0] for cell in done.cells)
        assert {mime: "".join(data) for mime, data in shown.data.items()} == kept
        assert "".join(after.text) == "after\n"
