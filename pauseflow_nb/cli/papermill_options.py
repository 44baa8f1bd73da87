"""Define the options of `papermill`, with the names that they have there."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pauseflow_nb.cli.options import NumberBetween

C = TypeVar("C", bound=Callable[..., Any])

_SECONDS = NumberBetween(min=0, min_open=True)


def _all(*options: Callable[[Any], Any]) -> Callable[[C], C]:
    def decorate(command: C) -> C:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


#: Options for the kernel and the language of the notebook.
notebook_options = _all(
    click.option("-k", "--kernel", help="Name of the kernel to use instead of the one in the notebook."),
    click.option("-l", "--language", help="Language of the parameters, instead of the one in the notebook."),
)

#: Options for parameters in all forms; `parameters.resolve_parameters` merges them.
parameter_values = _all(
    click.option(
        "-p",
        "--parameters",
        "typed",
        nargs=2,
        multiple=True,
        metavar="NAME VALUE",
        help="Set a parameter; numbers, True, False and None are recognised.",
    ),
    click.option(
        "-r", "--parameters_raw", "raw", nargs=2, multiple=True, metavar="NAME TEXT", help="Set a parameter to text."
    ),
    click.option(
        "-f",
        "--parameters_file",
        "files",
        multiple=True,
        metavar="FILE",
        help="Read parameters from a file in YAML or JSON.",
    ),
    click.option(
        "-y", "--parameters_yaml", "yaml", multiple=True, metavar="YAML", help="Set parameters from a YAML mapping."
    ),
    click.option(
        "-b",
        "--parameters_base64",
        "base64_yaml",
        multiple=True,
        metavar="BASE64",
        help="Set parameters from a YAML mapping encoded as base64.",
    ),
)

#: The same, and those that name the paths of a run.
parameter_options = _all(
    parameter_values,
    click.option("--inject-input-path", is_flag=True, help="Set the parameter PAPERMILL_INPUT_PATH."),
    click.option("--inject-output-path", is_flag=True, help="Set the parameter PAPERMILL_OUTPUT_PATH."),
    click.option("--inject-paths", is_flag=True, help="Set both of these parameters."),
)

#: Options for running the notebook.
papermill_options = _all(
    click.option("--prepare-only/--prepare-execute", default=False, help="Write OUT with the parameters injected, without running it."),
    click.option("--report-mode/--no-report-mode", default=False, help="Hide the code of every cell."),
    click.option("--cwd", type=click.Path(exists=True, file_okay=False), help="Working directory of the kernel."),
    click.option(
        "--start-timeout", "--start_timeout", type=_SECONDS, default=60, show_default=True, metavar="SECONDS",
        help="Time limit for the kernel to start.",
    ),
    click.option("--execution-timeout", type=_SECONDS, metavar="SECONDS", help="Time limit for each cell."),
    click.option(
        "--autosave-cell-every", type=NumberBetween(0), metavar="SECONDS",
        help="Interval at which OUT is written while a cell runs; 0: never.  [default: 1]",
    ),
    click.option(
        "--request-save-on-cell-execute/--no-request-save-on-cell-execute", default=True,
        help="Write OUT after each cell, or only when the notebook waits and at its end.",
    ),
    click.option("--progress-bar/--no-progress-bar", default=True, show_default=True, help="Show a progress bar on a terminal."),
    click.option("--log-output/--no-log-output", default=False, help="Print the output of the cells on standard error."),
    click.option("--stdout-file", type=click.File("w", encoding="utf-8"), help="File that also gets the standard output of the cells."),
    click.option("--stderr-file", type=click.File("w", encoding="utf-8"), help="File that also gets the standard error of the cells."),
    click.option(
        "--log-level", type=click.Choice(["NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
        help="Level of the log on standard error.  [default: WARNING; with --quiet ERROR]",
    ),
)  # fmt: skip
