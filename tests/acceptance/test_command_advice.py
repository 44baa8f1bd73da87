"""What a person at a terminal is told after an error, and which ids and files the shell completes."""

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from acceptance.command import Pauseflow
from nbformat import write
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = pytest.mark.acceptance

ASK = "%%step ask\nfrom pauseflow_nb import flow\nflow.suspend()"


def notebook(folder: Path, *sources: str, name: str = "in.ipynb") -> Path:
    made = new_notebook(cells=[new_code_cell(source) for source in sources])
    made.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "Python"}
    write(made, folder / name)
    return folder / name


@pytest.mark.thorough
def test_quiet_prints_the_error_and_the_command_that_goes_on_with_the_corrected_notebook(pauseflow: Pauseflow) -> None:
    notebook(pauseflow.folder, "%%step first\n1", "%%step second\n1 / 0", name="my own.ipynb")
    ended = pauseflow("run", "my own.ipynb", "--quiet")
    (execution,) = [each["id"] for each in pauseflow.executions()]

    assert ended.code == 1
    assert ended.stdout == ""
    assert "ZeroDivisionError in step 'second': division by zero" in ended.stderr
    assert f"`pauseflow retry {execution} --with 'my own.ipynb'`" in ended.stderr
    notebook(pauseflow.folder, "%%step first\n1", "%%step second\n2", name="my own.ipynb")
    again = pauseflow("retry", execution, "--with", "my own.ipynb", "--wait")
    assert again.code == 0, again.stderr


def test_a_run_without_an_output_says_how_to_get_the_executed_notebook(pauseflow: Pauseflow) -> None:
    notebook(pauseflow.folder, "6 * 7")
    ended = pauseflow("run", "in.ipynb")
    with_output = pauseflow("run", "in.ipynb", "out.ipynb")
    execution = ended.stderr.split()[1]
    command = f"pauseflow outputs {execution} -o OUT.ipynb"
    written = pauseflow(*command.split()[1:])

    assert f"`{command}` writes the executed notebook" in ended.stderr
    assert "pauseflow outputs" not in with_output.stderr
    assert (written.code, written.stdout) == (0, "wrote OUT.ipynb\n")
    assert "42" in (pauseflow.folder / "OUT.ipynb").read_text()
    as_json = json.loads(pauseflow("outputs", execution, "-o", "a.ipynb", "--json").stdout)
    assert as_json == {"execution": execution, "output": str(pauseflow.folder / "a.ipynb")}


def test_warnings_about_pauses_reach_the_terminal(pauseflow: Pauseflow) -> None:
    lines = ["%%step ask", "from pauseflow_nb import flow", "for _ in range(2):", "    links = flow.suspend(5)"]
    notebook(pauseflow.folder, "\n".join([*lines, "if links: flow.suspend()"]))
    ended = pauseflow("run", "in.ipynb", "--until-pause")
    shown = pauseflow("show", ended.stderr.split()[1]).stdout

    for text in (ended.stderr, shown):
        for warning in ("because 5 is milliseconds", "asked to pause twice", "are always true"):
            assert text.count(warning) == 1


def test_the_advice_repeats_the_flags_that_said_which_store(pauseflow: Pauseflow) -> None:
    notebook(pauseflow.folder, "%%step a\n1 / 0")
    ended = pauseflow("run", "in.ipynb", "-q", "--data-dir", "another store")
    store = str(pauseflow.folder / "another store")

    assert f"--data-dir '{store}' --with in.ipynb`" in ended.stderr
    execution = ended.stderr.partition("`pauseflow retry ")[2].split()[0]
    for flags in (["--state"], []):
        shown = pauseflow("show", execution, "--data-dir", "another store", *flags)
        assert f"`pauseflow retry {execution} --data-dir" in shown.stdout
    notebook(pauseflow.folder, ASK, name="ask.ipynb")
    waits = pauseflow("run", "ask.ipynb", "--until-pause", "--data-dir", "another store")
    serve = f"`pauseflow serve --data-dir '{store}'`"
    assert serve in waits.stderr
    asked = waits.stderr.split()[1]
    assert serve in pauseflow("show", asked, "--state", "--data-dir", "another store").stdout
    assert f"--data-dir '{store}' --with in.ipynb`" in shown.stdout


@pytest.mark.thorough
@pytest.mark.parametrize("output", ["in.ipynb", "./in.ipynb", "link.ipynb"])
def test_a_notebook_may_be_its_own_output_as_with_papermill_and_it_is_said(pauseflow: Pauseflow, output: str) -> None:
    notebook(pauseflow.folder, "print(6 * 7)")
    (pauseflow.folder / "link.ipynb").symlink_to("in.ipynb")
    ended = pauseflow("run", "in.ipynb", output)
    again = pauseflow("run", "in.ipynb", output, "--quiet")

    assert (ended.code, again.code) == (0, 0)
    assert "in.ipynb is IN and OUT: its outputs are replaced" in ended.stderr
    assert again.stderr == ""
    assert "42" in (pauseflow.folder / "in.ipynb").read_text()


@pytest.mark.thorough
def test_a_notebook_that_is_no_file_may_replace_an_output_that_is_there(pauseflow: Pauseflow) -> None:
    source = notebook(pauseflow.folder, "print(6 * 7)").read_text()
    (pauseflow.folder / "out.ipynb").write_text(source)
    words = [sys.executable, "-m", "pauseflow_nb", "run", "-", "out.ipynb"]
    ended = subprocess.run(
        words,
        cwd=pauseflow.folder,
        env=pauseflow.environment,
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, "IN and OUT" in ended.stderr) == (0, False)
    assert "42" in (pauseflow.folder / "out.ipynb").read_text()


@pytest.mark.thorough
def test_a_port_that_is_taken_is_said_only_to_who_gets_links(pauseflow: Pauseflow) -> None:
    notebook(pauseflow.folder, "%%step a\n1", name="plain.ipynb")
    notebook(pauseflow.folder, ASK, name="ask.ipynb")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = {**pauseflow.environment, "PAUSEFLOW_PORT": str(taken.getsockname()[1])}
        there = replace(pauseflow, environment=environment)
        plain, asks = there("run", "plain.ipynb"), there("run", "ask.ipynb", "--until-pause")

    assert "is taken by another program" not in plain.stderr
    assert asks.stderr.count("is taken by another program: links of this run work only until it ends") == 1


@pytest.mark.thorough
def test_the_beginning_of_an_id_is_enough_and_one_that_several_have_is_not(pauseflow: Pauseflow) -> None:
    path = notebook(pauseflow.folder, ASK)
    ids = [pauseflow("run", path, "--until-pause", "--json").execution["id"] for _ in range(2)]
    beginning = next(ids[0][:n] for n in range(1, 13) if not ids[1].startswith(ids[0][:n]))

    assert json.loads(pauseflow("show", beginning, "--json").stdout)["id"] == ids[0]
    assert json.loads(pauseflow("cancel", beginning, "--json").stdout)["state"] == "cancelled"
    assert pauseflow("show", "zzz").code == 2


def test_an_ambiguous_beginning_names_those_it_may_be() -> None:
    from pauseflow_nb.cli.options import find_execution
    from pauseflow_nb.errors import AmbiguousExecution

    class Queue:
        def find_beginning(self, beginning: str, limit: int) -> list[str]:
            return [each for each in ("ab12", "ab34", "cd56") if each.startswith(beginning)][:limit]

    assert find_execution(Queue(), "c") == "cd56"
    assert find_execution(Queue(), "x") == "x"
    with pytest.raises(
        AmbiguousExecution, match="several executions begin with 'ab', write more of the id: ab12, ab34"
    ):
        find_execution(Queue(), "ab")


@pytest.mark.thorough
@pytest.mark.new_process
def test_the_shell_completes_ids_steps_and_files(pauseflow: Pauseflow) -> None:
    execution = pauseflow("run", notebook(pauseflow.folder, ASK), "--until-pause", "--json").execution["id"]

    def complete(words: str) -> str:
        more = {"_PAUSEFLOW_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        there = replace(pauseflow, environment={**pauseflow.environment, **more}, nursery=None)
        return there.start_process("-c", "from pauseflow_nb.cli import main; main(prog_name='pauseflow')").end().stdout

    assert complete(f"pauseflow show {execution[:2]}") == f"plain,{execution}\n"
    assert complete("pauseflow show zz").strip() == ""
    assert complete(f"pauseflow resume {execution[:4]} --step ") == "plain,ask\n"
    assert complete(f"pauseflow fork {execution[:4]} --from a") == "plain,ask\n"
    assert complete(f"pauseflow retry {execution[:4]} --from z").strip() == ""
    assert complete("pauseflow run i") == "file,i\n"
