"""Provide the `pauseflow` command: each subcommand reads its arguments, calls one function and prints the result.

With `--json`, standard output has exactly one JSON value, and text for people goes to standard error.
Exit codes: 0 completed, 1 failed, 2 usage, 3 cancelled, 75 suspended or waiting, 130 stopped by Ctrl-C.
"""

from typing import Any

import click

from pauseflow_nb.cli.doctor_command import doctor
from pauseflow_nb.cli.execution_commands import cancel, fork, list_, outputs, resume, retry, show, suspend
from pauseflow_nb.cli.gc_command import gc
from pauseflow_nb.cli.import_command import import_
from pauseflow_nb.cli.inspect_command import inspect
from pauseflow_nb.cli.key_commands import keys, revoke
from pauseflow_nb.cli.open_command import open_
from pauseflow_nb.cli.options import print_errors
from pauseflow_nb.cli.process_commands import serve, worker
from pauseflow_nb.cli.run_command import run
from pauseflow_nb.cli.trigger_commands import trigger
from pauseflow_nb.cli.verify_command import verify
from pauseflow_nb.printable import clean_logs

__all__ = ["main"]


class _Commands(click.Group):
    """All commands; an error in one of them is printed as a sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command on the command line."""
        # Not read from a parameter, because the error of a command line that cannot be parsed is printed as JSON, too.
        with print_errors(as_json="--json" in ctx.args):
            return super().invoke(ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pauseflow-nb")
def main() -> None:
    """Run Jupyter notebooks that can pause and resume."""
    clean_logs()


for _command in (
    run, list_, show, resume, cancel, suspend, retry, fork, outputs, open_, inspect, import_, serve, worker, gc, doctor, keys, revoke, verify, trigger
):  # fmt: skip
    main.add_command(_command)
