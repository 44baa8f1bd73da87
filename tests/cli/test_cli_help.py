"""What `pauseflow` says to somebody who does not know its commands yet."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from pauseflow_nb.cli import main
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings


def test_without_a_command_it_says_how_to_begin() -> None:
    ran = CliRunner().invoke(main, [])

    assert ran.exit_code == 0
    assert "pauseflow run NOTEBOOK.ipynb" in ran.stdout


@pytest.mark.parametrize("words", [[], ["trigger"], ["keys"]])
def test_the_help_lists_each_command_with_its_whole_first_sentence(words: list[str]) -> None:
    group: click.Command = main
    for word in words:
        assert isinstance(group, click.Group)
        group = group.commands[word]
    text = " ".join(CliRunner().invoke(main, [*words, "--help"]).stdout.split())

    assert isinstance(group, click.Group)
    for command in group.commands.values():
        assert command.help is not None
        first, _, _ = " ".join(command.help.split()).partition(". ")
        assert f"{command.name} {first.rstrip('.')}." in text


@pytest.mark.parametrize("line", ["Run notebooks:", "Answer:", "Examples:"])
def test_the_help_groups_the_commands_and_shows_examples(line: str) -> None:
    assert line in CliRunner().invoke(main, ["--help"]).stdout.splitlines()


def test_the_examples_of_the_help_can_be_parsed() -> None:
    lines = CliRunner().invoke(main, ["--help"]).stdout.partition("Examples:")[2].splitlines()
    examples = [line.split() for line in lines if line.strip().startswith("pauseflow ")]

    assert len(examples) >= 4
    for _, name, *words in examples:
        command = main.commands[name]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= known


def test_a_notebook_in_the_place_of_a_command_is_answered_with_the_command_that_runs_it() -> None:
    ran = CliRunner().invoke(main, ["my report.ipynb", "-p", "alpha", "1"])

    assert ran.exit_code == click.UsageError.exit_code
    assert "pauseflow run 'my report.ipynb' -p alpha 1" in ran.stderr


def test_a_word_for_the_state_of_all_is_answered_with_list() -> None:
    assert "Did you mean: pauseflow list\n" in CliRunner().invoke(main, ["status"]).stderr


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["run", "in.ipynb", "beta=[1, 2]"], "write a parameter as -p beta '[1, 2]'"),
        (["run", "in.ipynb", "alpha=1"], "'alpha=1' stands where OUT.ipynb does: write a parameter as -p alpha 1"),
        (["run", "in.ipynb", "-p", "alpha=0.6", "out.ipynb"], "two words: write -p alpha 0.6"),
        (["resume", "fc7e", '{"ok": true}'], "Write the answer as: --data JSON"),
        (["show", "my out.ipynb"], "is a notebook: `pauseflow list --search 'my out.ipynb'` shows its executions"),
    ],
)
def test_an_argument_in_the_wrong_place_is_answered_with_the_right_one(
    words: list[str], advice: str, tmp_path: Path
) -> None:
    Queue.open(Settings.load(flags={"data_dir": tmp_path})).close()
    ran = CliRunner().invoke(main, words, env={"PAUSEFLOW_DATA_DIR": str(tmp_path)})

    assert ran.exit_code == click.UsageError.exit_code
    assert advice in ran.stderr


def test_the_version_has_a_short_flag() -> None:
    assert CliRunner().invoke(main, ["-V"]).stdout == CliRunner().invoke(main, ["--version"]).stdout


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("approve", "pauseflow resume fc7e"),
        ("answer", "pauseflow resume fc7e"),
        ("reject", "pauseflow cancel fc7e"),
        ("stop", "pauseflow cancel fc7e"),
        ("status", "pauseflow show fc7e"),
        ("ls", "pauseflow list fc7e"),
        ("rerun", "pauseflow retry fc7e"),
        ("start", "pauseflow run fc7e"),
        ("help", "pauseflow --help fc7e"),
        ("version", "pauseflow --version fc7e"),
    ],
)
def test_a_word_that_others_use_is_answered_with_our_command(word: str, meant: str) -> None:
    ran = CliRunner().invoke(main, [word, "fc7e"])

    assert ran.exit_code == click.UsageError.exit_code
    assert f"{word!r} is not a command. Did you mean: {meant}" in ran.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["list"], "no executions yet: `pauseflow run NOTEBOOK.ipynb` starts one"),
        (["list", "--state", "failed"], "no execution matches"),
        (["trigger", "list"], "no triggers yet: `pauseflow trigger add NOTEBOOK.ipynb --http` adds one"),
    ],
)
def test_an_empty_list_says_so(words: list[str], sentence: str, tmp_path: Path) -> None:
    before_the_first_run = CliRunner().invoke(main, words, env={"JUPYTER_DATA_DIR": str(tmp_path)})
    folder = Path(tmp_path, "pauseflow")
    is_created = folder.exists()
    Queue.open(Settings.load(flags={"data_dir": folder})).close()
    ran = CliRunner().invoke(main, words, env={"JUPYTER_DATA_DIR": str(tmp_path)})

    assert (ran.exit_code, ran.stdout) == (0, f"{sentence}\n")
    assert (before_the_first_run.stdout, is_created) == (ran.stdout, False)


@pytest.mark.parametrize("words", [["list"], ["show", "fc7e"], ["cancel", "fc7e"], ["trigger", "list"], ["gc"]])
@pytest.mark.parametrize(
    ("flags", "variables", "named"),
    [
        (["--data-dir", "{}"], {}, "--data-dir"),
        ([], {"PAUSEFLOW_DATA_DIR": "{}"}, "PAUSEFLOW_DATA_DIR"),
        ([], {"PAUSEFLOW_DB": "sqlite:///{}/pauseflow.db"}, "PAUSEFLOW_DB"),
    ],
)
def test_a_command_that_reads_creates_no_store(
    words: list[str], flags: list[str], variables: dict[str, str], named: str, tmp_path: Path
) -> None:
    folder = tmp_path / "typo"
    environment = {name: value.format(folder) for name, value in variables.items()}
    ran = CliRunner().invoke(main, [*words, *(flag.format(folder) for flag in flags)], env=environment)

    assert ran.exit_code == (0 if words[-1] == "list" else 2)
    assert f"there is no store at {folder / 'pauseflow.db'}, which {named} names: correct it" in ran.stderr
    assert f"`pauseflow run NOTEBOOK.ipynb{f' --data-dir {folder}' if flags else ''}`" in ran.stderr
    assert not folder.exists()


def test_doctor_says_that_it_has_created_the_store(tmp_path: Path) -> None:
    arguments = ["doctor", "--data-dir", str(tmp_path / "new")]

    assert "there was no store: this command has created it" in CliRunner().invoke(main, arguments).stdout
    assert "there was no store" not in CliRunner().invoke(main, arguments).stdout


def test_verify_with_the_store_of_a_notebook_that_was_not_executed(tmp_path: Path) -> None:
    (tmp_path / "in.ipynb").write_text('{"cells": [], "metadata": {}}')
    ran = CliRunner().invoke(main, ["verify", str(tmp_path / "in.ipynb"), "--store"])

    assert ran.exit_code == click.UsageError.exit_code
    assert "verify takes the executed notebook" in ran.stderr


def test_a_path_as_database_is_answered_with_its_url(tmp_path: Path) -> None:
    ran = CliRunner().invoke(main, ["list"], env={"PAUSEFLOW_DB": f"{tmp_path}/x.db"})

    assert ran.exit_code == 2
    assert f"(from environment): must be a URL: for this file, write sqlite:///{tmp_path}/x.db" in ran.stderr


def test_a_parameter_without_a_value_is_shown_how_to_write_one() -> None:
    ran = CliRunner().invoke(main, ["run", "in.ipynb", "-p", "alpha"])

    assert ran.exit_code == click.UsageError.exit_code
    assert "Option '-p' requires 2 arguments. Write it as: -p NAME VALUE" in ran.stderr


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["resume"], "Missing argument 'ID'. `pauseflow list` shows the ids."),
        (["show"], "`pauseflow list` shows the ids."),
        (["trigger", "rotate"], "`pauseflow trigger list` shows the ids."),
        (["run"], "Pass the path of a notebook, such as report.ipynb."),
        (["import"], "Pass a ZIP, a folder or a file that you fetched from Pipedream."),
        (["keys"], "\nCommands:\n  list  "),
    ],
)
def test_a_missing_argument_is_answered_with_where_to_find_it(words: list[str], advice: str) -> None:
    ran = CliRunner().invoke(main, words)

    assert ran.exit_code == click.UsageError.exit_code
    assert advice in ran.stderr


def test_a_source_that_cannot_be_imported_is_a_mistake_of_the_command_line() -> None:
    ran = CliRunner().invoke(main, ["import", "nope.zip"])

    assert ran.exit_code == click.UsageError.exit_code
    assert "there is no such file or folder" in ran.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run x.ipynb --start-timeout soon", "'soon' is not a valid number"),
        ("run x.ipynb --start-timeout nan", "'nan' is not a valid number"),
        ("run x.ipynb --execution-timeout inf", "'inf' is not a valid number"),
        ("run x.ipynb --port http", "'http' is not a valid whole number"),
        ("list --limit 1.5", "'1.5' is not a valid whole number"),
    ],
)
def test_a_text_in_the_place_of_a_number_is_refused_in_plain_words(line: str, words: str) -> None:
    ran = CliRunner().invoke(main, line.split())

    assert ran.exit_code == click.UsageError.exit_code
    assert words in ran.stderr
    assert "range" not in ran.stderr
