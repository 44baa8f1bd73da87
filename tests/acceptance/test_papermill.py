"""Whoever uses papermill changes one word, and loses nothing."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from acceptance.command import Pauseflow
from acceptance.web import wait_until
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from papermill_parity.compare import compare

OUTPUTS = [
    "import sys\nprint('out'); print('err', file=sys.stderr)",
    "from IPython.display import HTML, clear_output, display\nhandle = display('one', display_id=True)\ndisplay(HTML('<b>b</b>'))",
    "handle.update('two')",
    "print('gone'); clear_output(); print('stays')",
    "%%html\n<i>cell magic</i>",
    "await __import__('asyncio').sleep(0)\n{'a': [1, 2]}",
    "",
    "import ipywidgets\nipywidgets.IntSlider(3)",
]


def write(path: Path, cells: list[Any], **metadata: Any) -> Path:
    nodes = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    for n, node in enumerate(nodes):
        node.id = f"c{n}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    language = {"name": "python", "version": "3"}
    path.write_text(
        nbformat.writes(
            new_notebook(cells=nodes, metadata={"kernelspec": kernel, "language_info": language} | metadata)
        )
    )
    return path


def parameters_cell() -> Any:
    return new_code_cell("alpha = 0.5  # how much\nname: str = 'x'\nmore = {}", metadata={"tags": ["parameters"]})


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "engine"])
def test_outputs_and_metadata_are_those_of_papermill(tmp_path: Path, command: str) -> None:
    notebook = write(tmp_path / "outputs.ipynb", [new_markdown_cell("# title"), parameters_cell(), *OUTPUTS])

    assert (
        compare(notebook, tmp_path, command, "-p", "alpha", "3", "-y", "{more: {deep: [1, null]}}", "--report-mode")
        == []
    )


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "engine"])
@pytest.mark.parametrize("ends", ["1 / 0", "import sys\nsys.exit(0)", "import sys\nsys.exit(2)", "raise SystemExit"])
def test_errors_and_exit_codes_are_those_of_papermill(tmp_path: Path, command: str, ends: str) -> None:
    notebook = write(tmp_path / "ends.ipynb", ["print('before')", ends, "print('after')"])
    found = [line for line in compare(notebook, tmp_path, command) if not line.startswith("said")]

    # The one difference that the docs list.
    assert [line.partition(": ")[2] for line in found] == ['"pending" | "not run"']


def test_the_engine_pauses_and_goes_on(pauseflow: Pauseflow, tmp_path: Path) -> None:
    notebook = write(
        tmp_path / "waits.ipynb",
        [
            parameters_cell(),
            "from pauseflow_nb import flow, steps",
            "%%step ask\nflow.suspend()\nprint(alpha)",
            "print(steps.ask.data)",
        ],
    )
    papermill = [
        "-m",
        "papermill",
        str(notebook),
        str(tmp_path / "out.ipynb"),
        "--engine",
        "pauseflow",
        "-p",
        "alpha",
        "7",
    ]
    running = pauseflow.start_process(*papermill, "--no-progress-bar")
    link = running.link("resume")
    waiting = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    subprocess.run(
        [
            sys.executable,
            "-c",
            f"import urllib.request as r; r.urlopen(r.Request({link!r}, b'\"yes\"', {{'Content-Type': 'application/json'}}))",
        ],
        check=True,
    )
    ended = running.end()

    assert ended.code == 0, ended.stderr
    assert [cell.metadata.papermill.status for cell in waiting.cells][3:] == ["suspended", "pending"]
    assert [output.get("text") for cell in ended.notebook.cells[3:] for output in cell.outputs if "text" in output] == [
        "7\n",
        "yes\n",
    ]
    assert pauseflow.executions()[0]["state"] == "completed"
    assert pauseflow.executions()[0]["parameters"]["alpha"] == 7


@pytest.mark.thorough
def test_the_engine_tells_of_a_cancelled_execution(pauseflow: Pauseflow, tmp_path: Path) -> None:
    notebook = write(
        tmp_path / "waits.ipynb", ["from pauseflow_nb import flow", "%%step ask\nflow.suspend()", "print('never')"]
    )
    running = pauseflow.start_process(
        "-m", "papermill", str(notebook), str(tmp_path / "out.ipynb"), "--engine", "pauseflow"
    )
    running.link("cancel")
    pauseflow("cancel", wait_until(pauseflow.executions, "it is there")[0]["id"])
    ended = running.end()

    assert ended.code == 3
    assert [cell.metadata.papermill.status for cell in ended.notebook.cells] == ["completed", "completed", "not run"]


def test_error_markers_stand_in_the_output_only(pauseflow: Pauseflow, tmp_path: Path) -> None:
    notebook = write(tmp_path / "fails.ipynb", ["1", "1 / 0", "2"])
    ended = pauseflow("run", notebook, pauseflow.folder / "out.ipynb")
    again = pauseflow("run", pauseflow.folder / "out.ipynb", pauseflow.folder / "out2.ipynb", "--json")

    assert ended.code == again.code == 1
    assert [cell.cell_type for cell in ended.notebook.cells] == ["markdown", "code", "markdown", "code", "code"]
    assert "In [2]" in ended.notebook.cells[0].source
    assert "ZeroDivisionError" in ended.stderr
    assert "----> 1 1 / 0" in _plain(ended.stderr)
    assert again.execution["cells"]["total"] == 3
    assert len(nbformat.read(pauseflow.folder / "out2.ipynb", as_version=4).cells) == 5
    stored = json.loads(pauseflow("outputs", again.execution["id"]).stdout)
    assert len(stored["cells"]) == 3


def test_prepare_only_injects_and_runs_nothing(pauseflow: Pauseflow, tmp_path: Path) -> None:
    notebook = write(tmp_path / "in.ipynb", [parameters_cell(), "1 / 0"])
    text = base64.b64encode(b"{alpha: 1, name: b}").decode()
    (tmp_path / "given.yaml").write_text("name: from a file\nday: 2026-11-20\n")
    flags: list[str | Path] = [
        "-b",
        text,
        "-f",
        tmp_path / "given.yaml",
        "-r",
        "alpha",
        "08",
        "--inject-paths",
        "--prepare-only",
        "--report-mode",
    ]
    ended = pauseflow("run", notebook, "{name}.ipynb", *flags)

    assert ended.code == 0, ended.stderr
    prepared = nbformat.read(tmp_path / "from a file.ipynb", as_version=4)
    injected = prepared.cells[1]
    assert injected.metadata.tags == ["injected-parameters"]
    assert 'alpha = "08"' in injected.source
    assert 'day = "2026-11-20"' in injected.source
    assert f'PAPERMILL_INPUT_PATH = "{notebook}"' in injected.source
    assert all(cell.metadata.jupyter.source_hidden for cell in prepared.cells)
    assert pauseflow.executions() == []


@pytest.mark.thorough
def test_inspect_lists_parameters_and_steps(pauseflow: Pauseflow, tmp_path: Path) -> None:
    notebook = write(tmp_path / "in.ipynb", [parameters_cell(), "%%step ask\n1"])
    shown, described = pauseflow("inspect", notebook), pauseflow("inspect", notebook, "--json")
    without = pauseflow("inspect", write(tmp_path / "without.ipynb", ["1"]))

    assert "alpha: Unknown type (default 0.5)" in shown.stdout
    assert "how much" in shown.stdout
    assert described.execution["steps"] == ["ask"]
    assert [parameter["name"] for parameter in described.execution["parameters"]] == ["alpha", "name", "more"]
    assert (without.code, "No cell tagged 'parameters': the notebook runs as it is" in without.stdout) == (0, True)


@pytest.mark.thorough
def test_standard_streams_and_files_for_output(pauseflow: Pauseflow, tmp_path: Path) -> None:
    notebook = write(tmp_path / "in.ipynb", ["import sys\nprint('one'); print('two', file=sys.stderr)"])
    words = [sys.executable, "-m", "pauseflow_nb", "run", "-", "-", "--stdout-file", "o.txt", "--stderr-file", "e.txt"]
    done = subprocess.run(
        words,
        input=notebook.read_text(),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=pauseflow.environment,
        check=True,
    )
    written = nbformat.reads(done.stdout, as_version=4)

    assert {output.name: output.text for output in written.cells[0].outputs} == {"stdout": "one\n", "stderr": "two\n"}
    assert ((tmp_path / "o.txt").read_text(), (tmp_path / "e.txt").read_text()) == ("one\n", "two\n")


def test_addresses_that_only_fsspec_knows(pauseflow: Pauseflow, tmp_path: Path) -> None:
    notebook = write(tmp_path / "in.ipynb", [parameters_cell(), "print(alpha)"])
    (tmp_path / "given.yaml").write_text("alpha: 7")
    given = f"file://{tmp_path}/given.yaml"
    ended = pauseflow("run", f"file://{notebook}", f"file://{pauseflow.folder}/out.ipynb", "-f", given)
    unknown = pauseflow("run", "nowhere://in.ipynb")

    assert (ended.code, ended.notebook.cells[-1].outputs[0].text) == (0, "7\n"), ended.stderr
    assert unknown.code == 2
    assert "nowhere" in unknown.stderr


@pytest.mark.thorough
def test_a_kernel_that_dies_leaves_what_its_cell_showed(pauseflow: Pauseflow, tmp_path: Path) -> None:
    notebook = write(
        tmp_path / "dies.ipynb",
        ["print('alive', flush=True)\nimport os, time\ntime.sleep(.2)\nos.kill(os.getpid(), 9)", "1"],
    )
    ended = pauseflow("run", notebook, pauseflow.folder / "out.ipynb", "--json")

    assert (ended.code, ended.execution["reason"]["kind"]) == (1, "crashed")
    assert [cell.metadata.papermill.status for cell in ended.notebook.cells] == ["interrupted", "not run"]
    assert ended.notebook.cells[0].outputs[0].text == "alive\n"


@pytest.mark.thorough
def test_papermill_loads_the_engine_without_paying_for_it() -> None:
    code = "import papermill, sys; print([m for m in sys.modules if m.startswith(('pauseflow_nb', 'sqlalchemy', 'pydantic'))])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    ).stdout

    assert set(json.loads(loaded.replace("'", '"'))) <= {
        "pauseflow_nb",
        "pauseflow_nb.compat",
        "pauseflow_nb.compat.papermill",
    }


def _plain(text: str) -> str:
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)
