"""A cell whose outputs hold an error has failed, also if it raised none."""

from pathlib import Path

import nbformat
import pytest
from papermill_parity.shown_errors import CASES, Case, write_files
from roads.rider import Rider

from pauseflow_nb.runner.cell_statuses import status_of

pytestmark = pytest.mark.acceptance


def is_mark(cell: nbformat.NotebookNode) -> bool:
    return "papermill-error-cell-tag" in cell.metadata.get("tags", [])


@pytest.mark.every(3)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_plain_cell_fails_where_papermill_fails(rider: Rider, case: Case) -> None:
    write_files(rider.folder)

    view = rider.run(case.source, "open('after', 'w').close()")

    assert (view["state"] == "failed") == bool(case.exit_code), view["error"]
    assert (rider.folder / "after").exists() == (not case.exit_code)
    statuses = [status_of(cell) for cell in rider.output().cells if not is_mark(cell)]
    assert statuses[1:] == (["failed", "not run"] if case.exit_code else ["completed", "completed"])
    assert sum(map(is_mark, rider.output().cells)) == (2 if case.exit_code else 0)


@pytest.mark.every(2)
@pytest.mark.parametrize("name", ["%run of a script", "run_cell", "%%capture", "showtraceback", "a message of its own"])
def test_a_step_has_not_finished(rider: Rider, name: str) -> None:
    write_files(rider.folder)

    view = rider.run("%%step before\n1", f"%%step make\n{CASES[name].source}", "%%step after\n1")

    assert view["state"] == "failed"
    assert (view["steps"]["make"]["state"], view["error"]["step"]) == ("failed", "make")
    assert "after" not in view["steps"]

    Path(rider.folder / "script.py").write_text("1")
    rider.retry(view["id"])
    again = rider.ride(view["id"])
    assert again["steps"]["before"]["runs"] == 1
    assert (again["state"] == "completed") == (name == "%run of a script")


def test_a_step_that_asked_before_its_error_does_not_wait(rider: Rider) -> None:
    view = rider.run("%%step ask\nlinks = flow.suspend('1h')\nr = get_ipython().run_cell('1/0')")

    assert (view["state"], view["suspended"], view["error"]["type"]) == ("failed", [], "ZeroDivisionError")


def test_retries_count_errors_that_were_only_shown_and_the_last_attempt_decides(rider: Rider) -> None:
    (rider.folder / "script.py").write_text(
        "import pathlib\npath = pathlib.Path('tries')\npath.write_text((path.read_text() if path.exists() else '') + 'x')\n"
        "assert len(path.read_text()) > 2, 'too early'\n"
    )

    view = rider.run("%%step make --retries 2\n%run script.py", "%%step after\n1")

    assert (view["state"], view["error"]) == ("completed", None)
    assert len((rider.folder / "tries").read_text()) == 3
    made = rider.output().cells[1]
    assert not any(output.output_type == "error" for output in made.outputs)
    assert sum(str(output.get("text", "")).count("too early") for output in made.outputs) >= 2


def test_an_expected_error_is_none(rider: Rider) -> None:
    path = rider.notebook("get_ipython().run_cell('1/0')", "%%step after\n1")
    notebook = nbformat.read(path, 4)
    notebook.cells[1].metadata["tags"] = ["raises-exception"]
    nbformat.write(notebook, path)
    from pauseflow_nb.launching import RunOptions, plan, start_attached

    work = plan(str(path), str(rider.folder / "out.ipynb"), {}, RunOptions(cwd=str(rider.folder)))
    view = rider.ride(start_attached(rider.queue, work))
    assert view["state"] == "completed"


def test_an_error_that_a_thread_shows_later_fails_the_notebook_at_its_end(rider: Rider) -> None:
    late = (
        "import threading, contextvars\ngo = threading.Event()\nshell = get_ipython()\n"
        "def late():\n    go.wait()\n    shell.run_cell('1/0')\nt = threading.Thread(target=late); t.start()"
    )
    view = rider.run(late, "go.set(); t.join()")

    assert (view["state"], view["error"]["type"]) == ("failed", "ZeroDivisionError")
