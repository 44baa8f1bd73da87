"""The options of `papermill`, by the names that its users type."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["notebook_options", "papermill_options", "parameter_options"]

C = TypeVar("C", bound=Callable[..., Any])

_SECONDS = click.FloatRange(min=0, min_open=True)


def _all(*options: Callable[[Any], Any]) -> Callable[[C], C]:
    def decorate(command: C) -> C:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


#: Which notebook is read, and as what.
notebook_options = _all(
    click.option("-k", "--kernel", help="Kernel to use instead of the notebook's."),
    click.option("-l", "--language", help="Language to assume instead of the notebook's."),
)

#: Parameters in all their forms; `parameters.resolve_parameters` merges them.
parameter_options = _all(
    click.option("-p", "--parameters", "typed", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter."),
    click.option(
        "-r", "--parameters_raw", "raw", nargs=2, multiple=True, metavar="NAME TEXT", help="A parameter, as text."
    ),
    click.option("-f", "--parameters_file", "files", multiple=True, metavar="FILE", help="Parameters in YAML or JSON."),
    click.option("-y", "--parameters_yaml", "yaml", multiple=True, metavar="YAML", help="Parameters as a mapping."),
    click.option(
        "-b", "--parameters_base64", "base64_yaml", multiple=True, metavar="BASE64", help="The same, encoded."
    ),
    click.option("--inject-input-path", is_flag=True, help="Give the notebook PAPERMILL_INPUT_PATH."),
    click.option("--inject-output-path", is_flag=True, help="Give the notebook PAPERMILL_OUTPUT_PATH."),
    click.option("--inject-paths", is_flag=True, help="Give the notebook both."),
)

#: How it is run.
papermill_options = _all(
    click.option("--prepare-only/--prepare-execute", default=False, help="Only write OUT with parameters injected."),
    click.option("--report-mode/--no-report-mode", default=False, help="Hide the code of every cell."),
    click.option("--cwd", type=click.Path(exists=True, file_okay=False), help="Working directory of the kernel."),
    click.option(
        "--start-timeout", "--start_timeout", type=_SECONDS, default=60, show_default=True, metavar="SECONDS",
        help="For the kernel to start.",
    ),
    click.option("--execution-timeout", type=_SECONDS, metavar="SECONDS", help="For each cell."),
    click.option(
        "--autosave-cell-every", type=click.FloatRange(0), metavar="SECONDS",
        help="How often OUT is written while a cell runs; 0: never.  [default: 1]",
    ),
    click.option(
        "--request-save-on-cell-execute/--no-request-save-on-cell-execute", default=True,
        help="Write OUT as it goes, or only when it waits and at the end.",
    ),
    click.option("--progress-bar/--no-progress-bar", default=True, show_default=True),
    click.option("--log-output/--no-log-output", default=False, help="Print what the cells print."),
    click.option("--stdout-file", type=click.File("w", encoding="utf-8"), help="Where cells' standard output goes, too."),
    click.option("--stderr-file", type=click.File("w", encoding="utf-8"), help="Where cells' standard error goes, too."),
    click.option(
        "--log-level", type=click.Choice(["NOTSET", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]),
        help="What is logged on standard error.  [default: WARNING; with --quiet ERROR]",
    ),
)  # fmt: skip
