"""What `pauseflow` says to somebody who does not know its commands yet."""

import click
import pytest
from click.testing import CliRunner

from pauseflow_nb.cli import main


def test_without_a_command_it_says_how_to_begin() -> None:
    ran = CliRunner().invoke(main, [])

    assert ran.exit_code == 0
    assert "pauseflow run NOTEBOOK.ipynb" in ran.stdout


def test_the_help_lists_each_command_with_its_whole_first_sentence() -> None:
    text = " ".join(CliRunner().invoke(main, ["--help"]).stdout.split())

    for command in main.commands.values():
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
