"""Define `pauseflow inspect`, which lists the parameters of a notebook, and `pauseflow import`, which makes notebooks."""

from typing import Any

import click

from pauseflow_nb.cli.completion import complete_files
from pauseflow_nb.cli.options import json_option, print_json, print_lines
from pauseflow_nb.cli.papermill_options import notebook_options
from pauseflow_nb.printable import printable


@click.command()
@click.argument("notebook", metavar="IN.ipynb", shell_complete=complete_files)
@notebook_options
@json_option
def inspect(*, notebook: str, kernel: str | None, language: str | None, as_json: bool) -> None:
    """List the parameters of a notebook with their types, defaults and comments, and its steps."""
    from pauseflow_nb.runner.notebook import inspect_file

    found = inspect_file(notebook, kernel=kernel, language=language)
    if as_json:
        print_json({"parameters": found.parameters, "steps": found.steps})
    else:
        print_lines(f"Parameters inferred for notebook '{notebook}':")
        for line in (
            map(_format_parameter, found.parameters) if found.parameters else [_describe_missing(found.has_cell)]
        ):
            print_lines(line)
        if found.steps:
            print_lines(f"Steps: {', '.join(found.steps)}")


def _describe_missing(has_cell: bool) -> str:
    if has_cell:
        return "\n  Can't infer anything about this notebook's parameters. It may not have any parameter defined."
    return "\n  No cell tagged 'parameters': the notebook runs as it is, and parameters go into a cell above all others"


def _format_parameter(parameter: dict[str, Any]) -> str:
    parameter = {name: printable(value) for name, value in parameter.items()}
    kind = "Unknown type" if parameter["inferred_type_name"] == "None" else parameter["inferred_type_name"]
    definition = f"  {parameter['name']}: {kind} (default {parameter['default']})"
    if len(definition) > 30 and parameter["help"]:
        return f"{definition}\n{'':<34}{parameter['help']}"
    return f"{definition:<34}{parameter['help']}".rstrip()


@click.command("import")
@click.argument("source", type=click.Path())
@click.option("-o", "--output", metavar="FOLDER", help="Folder to write; by default named after the source.")
@json_option
def import_(*, source: str, output: str | None, as_json: bool) -> None:
    """Turn Pipedream workflows into notebooks.

    SOURCE is a project's export (ZIP), the JSON of the REST API, `workflow.yaml` of GitHub Sync, or a folder with it.
    Each workflow becomes a notebook in a folder of its own; README.md beside them has the commands, and what is left
    to do by hand.
    """
    from pauseflow_nb.pipedream.write_project import import_workflows  # lazily: other commands need none of it

    report = import_workflows(source, output)
    if as_json:
        print_json(report.to_dict())
        return
    for made in report.made:
        count = len(made.steps)
        print_lines(printable(f"{report.folder / made.path}: {count} step{'' if count == 1 else 's'}"))
        for sentence in made.to_do:
            print_lines(printable(f"  to do by hand: {sentence}"))
        for sentence in made.notes:
            print_lines(printable(f"  changed: {sentence}"))
        for name, version in made.npm.items():
            print_lines(printable(f"  npm package: {name} {version}"))
        if made.unused:
            print_lines(printable(f"  kept in its metadata, without effect: {', '.join(made.unused)}"))
    for path, reason in report.left_out.items():
        print_lines(printable(f"not imported: {path}: {reason}"))
    print_lines(printable(f"Read {report.folder / 'README.md'} for the commands."))
