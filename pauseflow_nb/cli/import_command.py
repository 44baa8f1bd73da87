"""Define `pauseflow import`, which makes notebooks of Pipedream workflows."""

import click

from pauseflow_nb.cli.options import json_option, print_json, say
from pauseflow_nb.printable import printable


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
        say(printable(f"{report.folder / made.path}: {count} step{'' if count == 1 else 's'}"))
        for sentence in made.to_do:
            say(printable(f"  to do by hand: {sentence}"))
        for sentence in made.notes:
            say(printable(f"  changed: {sentence}"))
        for name, version in made.npm.items():
            say(printable(f"  npm package: {name} {version}"))
        if made.unused:
            say(printable(f"  kept in its metadata, without effect: {', '.join(made.unused)}"))
    for path, reason in report.left_out.items():
        say(printable(f"not imported: {path}: {reason}"))
    say(printable(f"Read {report.folder / 'README.md'} for the commands."))
