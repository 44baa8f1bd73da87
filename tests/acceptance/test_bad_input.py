"""What a person gets wrong: a sentence that says what to do, exit code 2, and nothing stored."""

import json
import os
import threading
from pathlib import Path

import nbformat
import pytest
from acceptance.command import Ended, Pauseflow, example
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = pytest.mark.acceptance


def write(path: Path, *cells: str, kernel: str = "python3", language: str = "python") -> Path:
    metadata = {"kernelspec": {"name": kernel, "display_name": kernel, "language": language}}
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata=metadata), path)
    return path


def assert_refused(ended: Ended, *words: str) -> None:
    assert ended.code == 2, ended.stderr
    assert [word for word in words if word not in ended.stderr] == [], ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert not ended.output.exists()


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "good.ipynb", "x = 1")


@pytest.mark.new_process
def test_a_missing_file(pauseflow: Pauseflow) -> None:
    assert_refused(pauseflow("run", "missing.ipynb", "out.ipynb"), "no notebook at", "missing.ipynb", "check the path")
    assert pauseflow.executions() == []


def test_a_device_which_may_never_end(pauseflow: Pauseflow, good: Path) -> None:
    assert_refused(pauseflow("run", "/dev/zero", "out.ipynb"), "it is a device, not a file")
    assert_refused(pauseflow("run", str(good), "out.ipynb", "-f", "/dev/zero"), "it is a device, not a file")
    assert_refused(pauseflow("verify", "/dev/zero"), "it is a device, not a file")


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (["run", "missing.ipynb"], "NotebookNotFound"),
        (["show", "nobody"], "UnknownExecution"),
        (["list", "--limit", "many"], "UsageError"),
        (["gc", "--older-than", "soon"], "InvalidDuration"),
    ],
)
def test_what_goes_wrong_is_one_json_value_too(pauseflow: Pauseflow, command: list[str], kind: str) -> None:
    pauseflow.create_store()
    ended = pauseflow(*command, "--json")
    error = json.loads(ended.stdout)

    assert ended.code == 2
    assert error["error"]["type"] == kind
    assert error["error"]["message"] in ended.stderr


@pytest.mark.parametrize(
    "content",
    [
        b"print('hello')",
        b"",
        b"{}",
        b'{"cells": 5}',
        b"[1, 2]",
        b"\x89PNG\r\n\x1a\n\xff",
        b'{"nbformat": 4, "nbformat_minor": 5}',
    ],
    ids=["script", "empty", "no notebook", "no cells", "list", "picture", "no metadata"],
)
def test_a_file_that_is_no_notebook(pauseflow: Pauseflow, content: bytes) -> None:
    (pauseflow.folder / "other.ipynb").write_bytes(content)

    assert_refused(pauseflow("run", "other.ipynb", "out.ipynb"), "other.ipynb", "cannot be used as a notebook")


def test_a_pipe_is_read_once(pauseflow: Pauseflow, good: Path) -> None:
    pipe = pauseflow.folder / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[good.read_bytes()])
    writer.start()

    ended = pauseflow("run", str(pipe), "out.ipynb")

    writer.join()
    assert ended.code == 0, ended.stderr


def test_a_folder(pauseflow: Pauseflow) -> None:
    (pauseflow.folder / "folder.ipynb").mkdir()

    assert_refused(pauseflow("run", "folder.ipynb", "out.ipynb"), "folder.ipynb")


@pytest.mark.parametrize(("output", "word"), [("no/such/out.ipynb", "does not exist"), ("good.ipynb/", "is a folder")])
def test_an_output_that_cannot_be_written(pauseflow: Pauseflow, output: str, word: str) -> None:
    notebook = write(pauseflow.folder / "in.ipynb", "open('ran', 'w').close()")
    (pauseflow.folder / "good.ipynb").mkdir()

    assert_refused(pauseflow("run", notebook, output), "the output ", word)
    assert not (pauseflow.folder / "ran").exists()
    assert pauseflow.executions() == []


def test_an_unknown_kernel(pauseflow: Pauseflow) -> None:
    notebook = write(pauseflow.folder / "in.ipynb", "1", kernel="fortran-77")

    assert_refused(pauseflow("run", notebook, "out.ipynb"), "kernel 'fortran-77' is not available")
    assert pauseflow.executions() == []


def test_an_unknown_kernel_by_flag(pauseflow: Pauseflow, good: Path) -> None:
    assert_refused(pauseflow("run", good, "out.ipynb", "--kernel", "nope"), "kernel 'nope' is not available")


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["%%step a\n1", "%%step a\n2"], ["step 'a' (cell 2)", "cell 1 has this name already: rename one of them"]),
        (["%%step two words\n1"], ["write `%%step two_words`"]),
        (["x = 1\n%%step late\n1"], ["step 'late'", "must stand in the first line of its cell"]),
        (["%step single\n1"], ["step 'single'", "needs two percent signs"]),
        (["%%steps many\n1"], ["did you mean `%%step NAME`"]),
        (["%%step train-model\n1"], ["'train-model'", "Python identifier"]),
        (["%%step\n1"], ["a step needs a name"]),
        (["%%step trigger\n1"], ["reserved"]),
        (["%%step fetch --retries many\n1"], ["'fetch'", "--retries"]),
        (["%%setup logging\n1"], ["takes no name"]),
    ],
)
def test_a_bad_step_is_found_before_anything_runs(pauseflow: Pauseflow, cells: list[str], words: list[str]) -> None:
    notebook = write(pauseflow.folder / "in.ipynb", "open('ran', 'w').close()", *cells)
    ended = pauseflow("run", notebook, "out.ipynb")

    words = [word.replace("cell 2", "cell 3").replace("cell 1 ", "cell 2 ") for word in words]
    assert_refused(ended, *words)
    assert not (pauseflow.folder / "ran").exists()
    assert pauseflow.executions() == []


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-y", "{alpha: ["], ["-y", "YAML"]),
        (["-y", "just text"], ["-y", "mapping"]),
        (["-b", "%%%"], ["-b", "base64"]),
        (["-f", "missing.yaml"], ["missing.yaml"]),
        (["-p", "not a name", "1"], ["not a name", "identifier"]),
        (["-p", "alpha"], ["requires 2 arguments"]),
        (["--cwd", "nowhere"], ["nowhere"]),
        (["--execution-timeout", "soon"], ["soon"]),
        (["--detach", "--until-pause"], ["--detach"]),
        (["--colour"], ["--colour"]),
    ],
)
def test_a_flag_that_does_not_parse(pauseflow: Pauseflow, good: Path, flags: list[str], words: list[str]) -> None:
    assert_refused(pauseflow("run", good, "out.ipynb", *flags), *words)
    assert pauseflow.executions() == []


@pytest.mark.new_process
def test_an_unknown_command(pauseflow: Pauseflow) -> None:
    assert_refused(pauseflow("ruin"), "No such command 'ruin'")


@pytest.mark.parametrize(
    "command", [["show"], ["resume"], ["cancel"], ["retry"], ["outputs"], ["resume", "--data", "1"]]
)
def test_an_unknown_execution(pauseflow: Pauseflow, command: list[str]) -> None:
    pauseflow.create_store()
    assert_refused(pauseflow(command[0], "nobody", *command[1:]), "no execution 'nobody'", "pauseflow list")


def test_an_answer_to_what_does_not_wait(pauseflow: Pauseflow, good: Path) -> None:
    done = pauseflow("run", good, "out.ipynb", "--json").execution["id"]
    ended = pauseflow("resume", done)

    assert (ended.code, ended.stdout) == (2, "")
    assert f"execution {done} does not wait for an answer: it is completed" in ended.stderr
    assert f"`pauseflow show {done}` shows what happened" in ended.stderr


def test_a_cancel_of_what_has_ended_says_that_it_changes_nothing(pauseflow: Pauseflow, good: Path) -> None:
    done = pauseflow("run", good, "out.ipynb", "--json").execution["id"]
    ended = pauseflow("cancel", done)

    assert (ended.code, ended.stdout.startswith(f"{done}  completed")) == (1, True)
    assert f"execution {done} has already ended: it stays completed" in ended.stderr


def test_an_empty_file_is_called_empty(pauseflow: Pauseflow) -> None:
    (pauseflow.folder / "empty.ipynb").write_text("\n")

    assert_refused(pauseflow("run", "empty.ipynb"), "the file is empty: save the notebook again")


def test_a_second_cancel_is_no_failure(pauseflow: Pauseflow) -> None:
    waits = pauseflow.run_example("custom_timeout", "--until-pause").execution["id"]
    codes = [pauseflow("cancel", waits).code, pauseflow("cancel", waits).code]

    assert codes == [0, 0]


def test_an_answer_to_a_step_that_does_not_wait(pauseflow: Pauseflow) -> None:
    waits = pauseflow.run_example("custom_timeout", "--until-pause").execution["id"]

    assert_refused(
        pauseflow("resume", waits, "--step", "nosuch"),
        "does not wait for an answer in step 'nosuch', but in ",
        ": pass --step ",
    )


def test_data_that_is_no_json_answers_nothing(pauseflow: Pauseflow) -> None:
    waits = pauseflow.run_example("custom_timeout", "--until-pause").execution["id"]
    ended = pauseflow("resume", waits, "--data", "{yes")

    assert ended.code == 2
    assert "--data='{yes' is not JSON" in ended.stderr
    assert json.loads(pauseflow("show", waits, "--json").stdout)["state"] == "suspended"


def test_another_step_than_the_one_that_waits(pauseflow: Pauseflow) -> None:
    waits = pauseflow.run_example("custom_timeout", "--until-pause").execution["id"]
    ended = pauseflow("resume", waits, "--step", "read")

    assert ended.code == 2
    assert "'read'" in ended.stderr
    assert json.loads(pauseflow("show", waits, "--json").stdout)["state"] == "suspended"


def test_an_output_that_another_execution_writes(pauseflow: Pauseflow) -> None:
    first = pauseflow.run_example("custom_timeout", "--until-pause")
    before = first.output.read_bytes()
    second = pauseflow.run_example("custom_timeout", "--until-pause")

    assert second.code == 2
    assert json.loads(second.stdout)["error"]["type"] == "OutputInUse"
    assert f"belongs to execution {first.execution['id']}, which is suspended" in second.stderr
    assert first.output.read_bytes() == before
    assert len(pauseflow.executions()) == 1


def test_detached_with_nobody_to_run_it(pauseflow: Pauseflow, good: Path) -> None:
    ended = pauseflow("run", good, "out.ipynb", "--detach")

    assert ended.code == 1
    assert "no worker is alive in this store" in ended.stderr
    assert pauseflow.executions() == []


@pytest.mark.new_process
def test_a_bad_setting_is_named_with_its_origin(pauseflow: Pauseflow, good: Path) -> None:
    pauseflow.environment["PAUSEFLOW_LINKS"] = "closed"

    assert_refused(pauseflow("run", good, "out.ipynb"), "setting links='closed' (from environment)")


def test_a_bad_settings_file_is_named(pauseflow: Pauseflow, good: Path) -> None:
    (pauseflow.folder / "pauseflow.toml").write_text("prot = 1")

    assert_refused(pauseflow("run", good, "out.ipynb"), "setting prot=1", "pauseflow.toml")


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite:////dev/null/p.db", "postgresql://u:secret@127.0.0.1:1/x", "oracle://x"]
)
def test_a_database_that_cannot_be_used(pauseflow: Pauseflow, good: Path, url: str) -> None:
    pauseflow.environment["PAUSEFLOW_DB"] = url
    ended = pauseflow("run", good, "out.ipynb")

    assert ended.code in {1, 2}
    assert "Traceback" not in ended.stderr
    assert "cannot be used" in ended.stderr or "setting db=" in ended.stderr, ended.stderr
    assert "secret" not in ended.stderr


def test_a_notebook_of_another_language_has_no_steps(pauseflow: Pauseflow) -> None:
    notebook = write(pauseflow.folder / "in.ipynb", "%%step a\n1", kernel="bash", language="bash")

    assert pauseflow("run", notebook, "out.ipynb").code == 2
    assert pauseflow.executions() == []


def test_the_examples_say_which_service_is_missing(pauseflow: Pauseflow) -> None:
    """The parameter's default is an address where nobody answers."""
    ended = pauseflow.run_example("poll_external_job", service_url="http://127.0.0.1:9")

    assert ended.code == 1
    assert ended.execution["error"]["type"] == "URLError"
    assert example("poll_external_job").exists()
