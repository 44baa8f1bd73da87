"""The command line: reads arguments, calls one function, prints what came of it.

People's text goes to standard error; with `--json` standard output carries exactly one JSON value.
Exit codes: 0 completed, 1 failed, 2 usage, 3 cancelled, 75 suspended or waiting, 130 left by Ctrl-C.
"""

from typing import Any

import click

from pauseflow_nb.cli.doctor_command import doctor
from pauseflow_nb.cli.execution_commands import cancel, fork, list_, outputs, resume, retry, show, suspend
from pauseflow_nb.cli.gc_command import gc
from pauseflow_nb.cli.inspect_command import inspect
from pauseflow_nb.cli.key_commands import keys, revoke
from pauseflow_nb.cli.open_command import open_
from pauseflow_nb.cli.options import sentences
from pauseflow_nb.cli.process_commands import serve, worker
from pauseflow_nb.cli.run_command import run
from pauseflow_nb.printable import clean_logs

__all__ = ["main"]


class _Commands(click.Group):
    """All commands; what goes wrong in one of them is told in a sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        # Not a parameter: a command line that cannot be parsed wants its error as JSON, too.
        with sentences(as_json="--json" in ctx.args):
            return super().invoke(ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pauseflow-nb")
def main() -> None:
    """Run Jupyter notebooks that pause like workflows."""
    clean_logs()


for _command in (
    run, list_, show, resume, cancel, suspend, retry, fork, outputs, open_, inspect, serve, worker, gc, doctor, keys, revoke
):  # fmt: skip
    main.add_command(_command)
