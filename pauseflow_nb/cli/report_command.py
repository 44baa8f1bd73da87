"""Define `pauseflow report`, which writes one page about an execution for people who were not there."""

from pathlib import Path

import click

from pauseflow_nb.cli.completion import complete_files, execution_argument
from pauseflow_nb.cli.options import open_queue, print_json, say, store_options
from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.printable import printable_lines
from pauseflow_nb.settings import Settings


@click.command()
@execution_argument
@click.option(
    "-o",
    "--output",
    metavar="FILE.html",
    shell_complete=complete_files,
    help="File to write; by default `report-ID.html`; `-` prints the page.",
)
@store_options
def report(settings: Settings, *, execution: str, output: str | None, as_json: bool) -> None:
    """Write one page with the decisions, the timeline and the outputs of an execution.

    The page loads nothing and holds no link that acts. It says first whether the notebook in the store is still what
    was signed.
    """
    from pauseflow_nb.server.execution_report import make_report  # lazily: only this command writes pages

    file = output or f"report-{execution}.html"
    if file == "-" and as_json:
        raise click.UsageError("--json prints its value where `-o -` prints the page: name a file")
    made = make_report(open_queue(settings), execution)
    if file == "-":
        click.echo(made.html)
    else:
        _write(made.html, Path(file))
    for problem in made.problems:
        say(printable_lines(f"✗ {problem}", indent="  "), err=True)
    if as_json:
        print_json({"execution": execution, "report": str(Path(file).absolute()), "problems": made.problems})
    elif file != "-":
        say(f"wrote {file}")


def _write(html: str, file: Path) -> None:
    try:
        file.write_text(html, encoding="utf-8")
    except OSError as problem:
        raise InvalidValue("--output", str(file), f"cannot be written: {problem.strerror}") from None
