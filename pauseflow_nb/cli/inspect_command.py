"""`pauseflow inspect`: which parameters a notebook takes; papermill's `--help-notebook`."""

import sys
from typing import Any

import click

from pauseflow_nb.cli.completion import complete_files
from pauseflow_nb.cli.options import json_option, print_json, say
from pauseflow_nb.cli.papermill_options import notebook_options
from pauseflow_nb.printable import printable

__all__ = ["inspect"]


@click.command()
@click.argument("notebook", metavar="IN.ipynb", shell_complete=complete_files)
@notebook_options
@json_option
def inspect(*, notebook: str, kernel: str | None, language: str | None, as_json: bool) -> None:
    """List a notebook's parameters with their types, defaults and comments, and its steps."""
    from pauseflow_nb.runner.notebook import inspected

    found = inspected(notebook, kernel=kernel, language=language)
    if as_json:
        print_json({"parameters": found.parameters, "steps": found.steps})
    else:
        say(f"Parameters inferred for notebook '{notebook}':")
        for line in map(_line, found.parameters) if found.parameters else [_none(found.has_cell)]:
            say(line)
        if found.steps:
            say(f"Steps: {', '.join(found.steps)}")
    # As papermill has it.
    sys.exit(0 if found.has_cell else 1)


def _none(has_cell: bool) -> str:
    if has_cell:
        return "\n  Can't infer anything about this notebook's parameters. It may not have any parameter defined."
    return "\n  No cell tagged 'parameters'"


def _line(parameter: dict[str, Any]) -> str:
    parameter = {name: printable(value) for name, value in parameter.items()}
    kind = "Unknown type" if parameter["inferred_type_name"] == "None" else parameter["inferred_type_name"]
    definition = f"  {parameter['name']}: {kind} (default {parameter['default']})"
    if len(definition) > 30 and parameter["help"]:
        return f"{definition}\n{'':<34}{parameter['help']}"
    return f"{definition:<34}{parameter['help']}".rstrip()
