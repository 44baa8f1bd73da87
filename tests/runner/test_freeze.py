"""From the user's notebook to an execution's document, and what is refused before anything starts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from pauseflow_nb.errors import InvalidNotebook, InvalidParameter, InvalidStep, KernelUnavailable, NotebookNotFound
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.notebook import freeze
from pauseflow_nb.runner.notebook_file import read_notebook
from pauseflow_nb.runner.parameters import check_parameters


def written(folder: Path, *cells: Any, **metadata: Any) -> str:
    nodes = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    notebook = new_notebook(cells=nodes, metadata=metadata)
    path = folder / "in.ipynb"
    nbformat.write(notebook, path)
    return str(path)


def test_outputs_are_cleared_and_steps_are_listed(tmp_path: Path) -> None:
    used = new_code_cell("%%step b", outputs=[nbformat.v4.new_output("stream", text="old")], execution_count=7)

    frozen = freeze(written(tmp_path, "%%setup", used, "%%step a"))

    cell = Document.from_bytes(frozen.document).cells[1]
    assert (frozen.steps, frozen.cells, frozen.kernel, frozen.interpreter) == (["b", "a"], 3, "python3", sys.executable)
    assert (cell.outputs, cell.execution_count, cell.metadata.papermill.status) == ([], None, "pending")


def test_an_unknown_parameter_is_warned_of_with_the_one_that_was_probably_meant(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = written(tmp_path, new_code_cell("alpha = 0.5", metadata={"tags": ["parameters"]}))

    freeze(path, {"alhpa": 1, "zzz": 2})

    assert caplog.messages == ["Passed unknown parameter: alhpa (did you mean alpha?)", "Passed unknown parameter: zzz"]


def test_parameters_are_injected_as_papermill_does_and_inputs_hold_the_defaults(tmp_path: Path) -> None:
    source = "alpha = 0.5\nn: int = 3\nname = 'x'\ncomputed = n + 1\na = b = [1, (2, 3)]"
    path = written(tmp_path, "first = 1", new_code_cell(source, metadata={"tags": ["parameters"]}), "last = 1")

    frozen = freeze(path, {"alpha": 0.6, "extra": None})

    cells = Document.from_bytes(frozen.document).cells
    assert cells[2].metadata.tags == ["injected-parameters"]
    assert cells[2].source == "# Parameters\nalpha = 0.6\nextra = None\n"
    assert frozen.inputs == {"alpha": 0.6, "n": 3, "name": "x", "a": [1, [2, 3]], "b": [1, [2, 3]], "extra": None}
    nbformat.validate(nbformat.reads(frozen.document.decode(), as_version=4))


def test_papermill_is_not_loaded_without_parameters(tmp_path: Path) -> None:
    path = written(tmp_path, "1")
    code = f"import sys; from pauseflow_nb.runner.notebook import freeze; freeze({path!r}); print('papermill' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )

    assert done.stdout == "False\n"


def test_older_notebooks_are_upgraded_and_get_ids(tmp_path: Path) -> None:
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": ""},
        "worksheets": [
            {"cells": [{"cell_type": "code", "input": "1", "outputs": [], "language": "python", "collapsed": False}]}
        ],
    }
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps(old))

    notebook = read_notebook(str(path))

    assert (notebook.nbformat, notebook.nbformat_minor, notebook.cells[0].source) == (4, 5, "1")
    assert notebook.cells[0].id


def test_repeated_ids_are_made_unique(tmp_path: Path) -> None:
    notebook = new_notebook(cells=[new_code_cell("1"), new_code_cell("2")])
    notebook.cells[1]["id"] = notebook.cells[0]["id"]
    path = tmp_path / "in.ipynb"
    path.write_text(json.dumps(notebook))

    ids = [cell.id for cell in read_notebook(str(path)).cells]

    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("not json", "not JSON"),
        ("[1]", "not a notebook"),
        ("{}", "not a notebook"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "cells"),
        *(
            ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [' + cell + "]}", expected)
            for cell, expected in (
                ("1", "cell 1 must be an object, and is a number"),
                ("null", "cell 1 must be an object, and is null"),
                ('{"cell_type": []}', "`cell_type` of cell 1 must be text, and is a list"),
                ("{}", "`cell_type` of cell 1 is missing"),
                ('{"cell_type": "raw"}', "`source` of cell 1 is missing"),
                ('{"cell_type": "raw", "source": ""}', "`metadata` of cell 1 is missing"),
                (
                    '{"cell_type": "raw", "source": "", "metadata": "a"}',
                    "`metadata` of cell 1 must be an object, and is text",
                ),
                ('{"cell_type": "raw", "source": {}}', "`source` of cell 1 must be text or a list, and is an object"),
                ('{"cell_type": "raw", "source": [1]}', "line 1 of cell 1 must be text, and is a number"),
                (
                    '{"cell_type": "code", "source": "", "outputs": {}}',
                    "`outputs` of cell 1 must be a list, and is an obj",
                ),
                (
                    '{"cell_type": "code", "source": "", "outputs": [true]}',
                    "output 1 of cell 1 must be an object, and is a boolean",
                ),
                (
                    '{"cell_type": "code", "source": "", "metadata": {"tags": "a"}}',
                    "`metadata.tags` of cell 1 must be a list, and is text",
                ),
                (
                    '{"cell_type": "code", "source": "", "execution_count": 1, "metadata": {}, "outputs": [{"output_type": "stream", "name": "a", "text": 3}]}',
                    "`text` of output 1 of cell 1 is not valid: it is a number",
                ),
            )
        ),
        (
            '{"nbformat": 4, "nbformat_minor": "5", "metadata": {}, "cells": []}',
            "`nbformat_minor` must be a number, and is t",
        ),
        (
            '{"nbformat": 4, "nbformat_minor": 5, "metadata": [], "cells": []}',
            "`metadata` must be an object, and is a list",
        ),
        (
            '{"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": null}, "cells": []}',
            "`metadata.kernelspec` must be an object, and is null",
        ),
        ('\ufeff{"nbformat": 4}', "it begins with a byte order mark: save it as UTF-8 without one"),
        ('{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}', "it has no list of `cells`"),
        ('{"nbformat": 9, "nbformat_minor": 0, "cells": []}', "it is of version 9, and 4 is the newest"),
        ('{"nbformat": 9, "nbformat_minor": 0, "metadata": {}, "cells": []}', "9"),
        (
            '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "odd", "metadata": {}, "source": ""}]}',
            "odd",
        ),
        *(
            (
                f'{{"nbformat": {version}, "nbformat_minor": 0, "metadata": {{"a": {"[" * depth}{"]" * depth}}}, "cells": []}}',
                expected,
            )
            for version in (3, 4)
            for depth, expected in (
                (199, "it is nested too deeply: at most 200 levels"),
                (100_000, "it is nested too deeply"),
            )
        ),
        ('{"nbformat": 4, "metadata": ' + '{"a":' * 800 + "1" + "}" * 800 + "}", "it is nested too deeply"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_a_file_that_is_no_notebook_is_refused_with_a_reason(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "bad.ipynb"
    path.write_text(content)

    with pytest.raises(InvalidNotebook, match=expected):
        freeze(str(path))


def test_a_notebook_may_be_as_deep_as_outputs_are(tmp_path: Path) -> None:
    tree: Any = {}
    for _ in range(190):
        tree = {"a": tree}
    notebook = new_notebook(
        cells=[new_code_cell("1", outputs=[new_output("display_data", {"application/json": tree})])]
    )
    path = tmp_path / "in.ipynb"
    path.write_text(json.dumps(notebook))

    assert Document.from_bytes(freeze(str(path)).document).cells[0].source == "1"


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(NotebookNotFound):
        freeze(str(tmp_path / "missing.ipynb"))
    with pytest.raises(InvalidNotebook, match="is a folder"):
        freeze(str(tmp_path))
    for odd in ("nul\0", "half\ud800", "~nobody_of_this_name/in.ipynb"):
        with pytest.raises(InvalidNotebook, match="cannot be the path of a file"):
            freeze(odd)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidNotebook, match="UTF-8"):
        freeze(str(tmp_path / "binary"))


@pytest.mark.filterwarnings("error")
def test_duplicate_and_missing_ids_are_replaced_without_a_warning(tmp_path: Path) -> None:
    cell: dict[str, Any] = {"cell_type": "code", "metadata": {}, "source": "1", "outputs": [], "execution_count": None}
    cells = [cell | {"id": "a"}, cell | {"id": "a"}, cell]
    path = tmp_path / "in.ipynb"
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))

    ids = [cell.id for cell in read_notebook(str(path)).cells]
    assert ids[0] == "a"
    assert len(set(ids)) == 3


def test_bad_steps_and_unknown_kernels_are_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(InvalidStep, match="cell 1 has this name already"):
        freeze(written(tmp_path, "%%step a", "%%step a"))
    with pytest.raises(
        KernelUnavailable, match=r"'nope' is not available: it is not installed here; installed are: .*python3"
    ):
        freeze(written(tmp_path, "1"), kernel="nope")


@pytest.mark.parametrize("noted", [None, [], "text", 1])
def test_what_another_program_left_in_papermills_place_is_replaced(noted: object, tmp_path: Path) -> None:
    frozen = freeze(written(tmp_path, "1", papermill=noted), {"x": 1})

    assert Document.from_bytes(frozen.document).metadata.papermill.parameters == {"x": 1}


def test_a_notebook_is_read_from_standard_input(tmp_path: Path) -> None:
    path = written(tmp_path, "1")
    code = "from pauseflow_nb.runner.notebook_file import read_notebook; print(read_notebook('-').cells[0].source)"

    with Path(path).open() as file:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdin=file,
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )

    assert done.stdout == "1\n"


SCRIPT = """# %% [markdown]
# # Title

# %% tags=["parameters"]
alpha = 1

# %%
# %%step ask
print(alpha)
"""


def test_a_percent_script_is_a_notebook(tmp_path: Path) -> None:
    pytest.importorskip("jupytext", reason="jupytext is not installed")
    script = tmp_path / "flow.py"
    script.write_text(SCRIPT)
    frozen = freeze(str(script), {"alpha": 2})

    assert (frozen.steps, frozen.cells, frozen.inputs) == (["ask"], 4, {"alpha": 2})


def test_a_script_without_jupytext_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jupytext", None)
    script = tmp_path / "flow.py"
    script.write_text(SCRIPT)
    with pytest.raises(InvalidNotebook, match="pip install jupytext"):
        freeze(str(script))


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"a": object()}, "parameter a: must be JSON, but holds object: use text, numbers"),
        ({"a": {"b": [1, {2}]}}, "parameter a: must be JSON, but holds set at ['b'][1]"),
        ({"a": b"x"}, "must be JSON, but holds bytes"),
        ({"not ident": 1}, "parameter not ident: a name must be a Python identifier, such as `alpha`"),
        ({1: 1}, "a name must be a Python identifier"),
        ({"": 1}, "a name must be a Python identifier"),
    ],
)
def test_parameters_that_no_notebook_can_hold_are_refused(parameters: Any, sentence: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        check_parameters(parameters)

    assert sentence in str(caught.value)


@pytest.mark.parametrize("value", [1, 1.5, float("nan"), True, None, "x", [1, (2, 3)], {"a": {"b": 1}, "c": [None]}])
def test_other_parameters_are_taken(value: Any) -> None:
    check_parameters({"alpha": value})
