"""What docs/ecosystem.md and its how-tos say, by running their commands and taking their settings as they stand there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from acceptance.command import Pauseflow
from acceptance.test_command_line import notebook
from acceptance.web import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

DOCS = Path(__file__).parents[2] / "docs"
SCRIPTS = Path(sys.executable).parent

STEPS = [
    "from pauseflow_nb import flow, steps",
    "%%step ask\nflow.suspend(title='Approve?')",
    "%%step after\nsteps.ask.data",
]


def shell(pauseflow: Pauseflow, command: str, *, day: str = "2026-11-25") -> subprocess.CompletedProcess[str]:
    """Run a command of the page in its shell, as Airflow and GitHub do."""
    environment = {**pauseflow.environment, "PATH": f"{SCRIPTS}:{os.environ['PATH']}"}
    words = ["bash", "-e", "-c", command.replace("{{ ds }}", day)]
    return subprocess.run(
        words, cwd=pauseflow.folder, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


def quoted(page: str, pattern: str) -> str:
    found = re.search(pattern, (DOCS / page).read_text())
    assert found is not None, f"{pattern} does not stand in docs/{page}"
    return found[1]


def report(pauseflow: Pauseflow, *cells: str) -> Path:
    return notebook(pauseflow.folder, *cells).rename(pauseflow.folder / "report.ipynb")


def test_airflow_runs_it_and_fails_with_it(pauseflow: Pauseflow) -> None:
    command = quoted("how-to/airflow.md", r"`(pauseflow run .* --quiet)`")
    report(pauseflow, "assert day != '2026-11-26'\nday")
    fine, failed = shell(pauseflow, command), shell(pauseflow, command, day="2026-11-26")

    assert (fine.returncode, fine.stdout, fine.stderr) == (0, "", "")
    assert failed.returncode == 1
    assert "2026-11-25" in (pauseflow.folder / "out-2026-11-25.ipynb").read_text()


def test_airflow_submits_it_and_a_sensor_looks(pauseflow: Pauseflow) -> None:
    report(pauseflow, *STEPS)
    pauseflow.start("worker").line_with("worker")
    submitted = shell(pauseflow, "pauseflow run report.ipynb out.ipynb --detach --json")
    id_ = json.loads(submitted.stdout)["id"]

    def sensed() -> str:
        state: str = json.loads(shell(pauseflow, f"pauseflow show {id_} --json").stdout)["state"]
        return state

    wait_until(lambda: sensed() == "suspended", "it waits")
    pauseflow("resume", id_, "--data", '"yes"')
    wait_until(lambda: sensed() == "completed", "it has ended")


def test_github_takes_a_pause_for_no_failure_and_another_machine_goes_on(pauseflow: Pauseflow, tmp_path: Path) -> None:
    command = quoted("how-to/github-actions.md", r"- run: (pauseflow .*)")
    pauseflow.environment["PAUSEFLOW_DB"] = f"sqlite:///{tmp_path}/shared.sqlite"
    pauseflow.environment["PAUSEFLOW_STORAGE"] = f"file://{tmp_path}/shared"
    report(pauseflow, *STEPS)
    ran = shell(pauseflow, command)
    (recorded,) = pauseflow.executions()
    elsewhere = pauseflow.environment | {"PAUSEFLOW_DATA_DIR": str(tmp_path / "elsewhere")}
    ended = Pauseflow(pauseflow.folder, elsewhere)("resume", recorded["id"], "--data", '"yes"', "--wait", "--json")
    (pauseflow.folder / "report.ipynb").write_text((notebook(tmp_path, "1 / 0")).read_text())

    assert (ran.returncode, recorded["state"]) == (0, "suspended"), ran.stderr
    assert (ended.execution["state"], ended.exports("after")["$return_value"]) == ("completed", "yes")
    assert shell(pauseflow, command).returncode == 1


def test_nbconvert_shows_the_card_and_nbdiff_leaves_our_metadata_out(pauseflow: Pauseflow) -> None:
    pytest.importorskip("nbdime", reason="needs `pip install nbdime`")
    report(pauseflow, "x = 1", *STEPS)
    pauseflow("run", "report.ipynb", "out.ipynb", "--until-pause")
    pauseflow("run", "report.ipynb", "again.ipynb", "--until-pause")
    shown = shell(pauseflow, "jupyter-nbconvert --to html out.ipynb")
    compared = shell(pauseflow, "nbdiff --ignore-metadata --ignore-outputs --ignore-id out.ipynb again.ipynb")

    assert shown.returncode == 0, shown.stderr
    assert "Approve?" in (pauseflow.folder / "out.html").read_text()
    assert (compared.returncode, compared.stdout) == (0, ""), compared.stderr


def test_tools_take_a_notebook_with_records_and_what_they_strip_is_named(pauseflow: Pauseflow) -> None:
    pytest.importorskip("nbdime", reason="needs `pip install nbdime`")
    pytest.importorskip("jupytext", reason="needs `pip install jupytext`")
    report(pauseflow, "print(40 + 2)", *STEPS)
    waits = pauseflow("run", "report.ipynb", "out.ipynb", "--until-pause", "--json")
    pauseflow("resume", waits.execution["id"], "--data", '"yes"', "--wait")
    nbformat.write(nbformat.read(pauseflow.folder / "out.ipynb", as_version=4), pauseflow.folder / "written.ipynb")
    nbformat.validate(nbformat.read(pauseflow.folder / "written.ipynb", as_version=4))
    done = [
        shell(pauseflow, command)
        for command in (
            "jupyter-nbconvert --to notebook --output converted.ipynb out.ipynb",
            "nbdiff out.ipynb written.ipynb",
            "cp out.ipynb text.ipynb; jupytext --to py:percent -o text.py text.ipynb; jupytext --to ipynb --update -o text.ipynb text.py",
            "papermill --help-notebook out.ipynb || test $? = 1",
            "jupyter-nbconvert --to notebook --clear-output --output stripped.ipynb out.ipynb",
        )
    ]
    verified = {
        name: pauseflow("verify", f"{name}.ipynb") for name in ("out", "written", "converted", "text", "stripped")
    }

    assert [each.stderr for each in done if each.returncode] == []
    codes = {name: each.code for name, each in verified.items()}
    assert codes == {"out": 0, "written": 0, "converted": 0, "text": 0, "stripped": 1}
    assert "1 output was removed" in verified["stripped"].stderr
    assert "the question and its decision (record 1) were removed" in verified["stripped"].stderr


def test_a_percent_script_runs_and_comes_back_as_one(pauseflow: Pauseflow) -> None:
    pytest.importorskip("jupytext", reason="needs `pip install jupytext`")
    cells = "\n\n".join(f"# %%\n{'# ' if cell.startswith('%%') else ''}{cell}" for cell in STEPS)
    (pauseflow.folder / "flow.py").write_text(f"{cells}\n")
    waits = pauseflow("run", "flow.py", "out.ipynb", "--until-pause", "--json")
    ended = pauseflow("resume", waits.execution["id"], "--data", '"yes"', "--wait", "--json")
    back = shell(pauseflow, "jupytext --to py:percent --output - out.ipynb")

    assert (waits.code, ended.exports("after")["$return_value"]) == (75, "yes"), waits.stderr
    assert "# %%step ask\nflow.suspend(title='Approve?')" in back.stdout.replace('"', "'")


def test_ruff_and_black_take_the_settings(pauseflow: Pauseflow) -> None:
    pytest.importorskip("black", reason="needs `pip install black[jupyter]`")
    (pauseflow.folder / "pyproject.toml").write_text(
        quoted("ecosystem.md", r"(?s)## ruff and black.*?```toml\n(.*?)```")
    )
    path = report(
        pauseflow,
        "import json\n\nfrom pauseflow_nb import flow, steps",
        "%%step ask\nx = json.dumps( [1] )\nflow.suspend()",
    )
    path.write_text(path.read_text())
    linted, formatted = shell(pauseflow, "ruff check report.ipynb"), shell(pauseflow, "black --quiet report.ipynb")
    sources: list[Any] = ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]

    assert (linted.returncode, formatted.returncode) == (0, 0), linted.stdout + formatted.stderr
    assert sources[1] == "%%step ask\nx = json.dumps([1])\nflow.suspend()"
