"""Provide the `pauseflow` command: each subcommand reads its arguments, calls one function and prints the result.

With `--json`, standard output has exactly one JSON value, and text for people goes to standard error.
Exit codes: 0 completed, 1 failed, 2 usage, 3 cancelled, 75 suspended or waiting, 130 stopped by Ctrl-C.
"""

import itertools
import os
import shlex
import sys
from typing import Any

import click

from pauseflow_nb.cli.doctor_command import doctor
from pauseflow_nb.cli.execution_commands import (
    cancel,
    fork,
    list_,
    open_,
    outputs,
    report,
    resume,
    retry,
    send_back,
    show,
    suspend,
)
from pauseflow_nb.cli.notebook_commands import import_, inspect
from pauseflow_nb.cli.options import print_errors
from pauseflow_nb.cli.process_commands import serve, worker
from pauseflow_nb.cli.run_command import run
from pauseflow_nb.cli.store_commands import gc, keys, revoke
from pauseflow_nb.cli.trigger_commands import trigger
from pauseflow_nb.cli.verify_command import verify
from pauseflow_nb.printable import clean_logs

__all__ = ["main"]


#: The commands as `pauseflow --help` lists them.
_SECTIONS = {
    "Run notebooks": (run, inspect, trigger, import_),
    "View executions": (list_, show, open_, outputs, verify, report),
    "Answer": (resume, send_back, cancel),
    "Stop and go back": (suspend, retry, fork),
    "Serve": (serve, worker),
    "Maintain the store": (doctor, gc, keys, revoke),
}

#: Words that other programs, and our own buttons, use for what these commands do.
_MEANT = {
    "answer": "resume",
    "approve": "resume",
    "continue": "resume",
    "execute": "run",
    "help": "--help",
    "kill": "cancel",
    "logs": "outputs",
    "ls": "list",
    "ps": "list",
    "reject": "cancel",
    "rerun": "retry",
    "schedule": "trigger",
    "server": "serve",
    "start": "run",
    "stop": "cancel",
    "submit": "run",
    "version": "--version",
    "wait": "show",
}

#: Words for the state of an execution, or of all executions if none is named.
_ASKS_FOR_STATE = ("info", "state", "status")

#: Argument that is missing → where to find its value.
_WHERE_TO_FIND = {
    "execution": "`pauseflow list` shows the ids.",
    "trigger_id": "`pauseflow trigger list` shows the ids.",
    "notebook": "Pass the path of a notebook, such as report.ipynb.",
    "source": "Pass a ZIP, a folder or a file that you fetched from Pipedream.",
}

_HOW_TO_BEGIN = """\
Run Jupyter notebooks that can pause and resume. To begin:

  pauseflow run NOTEBOOK.ipynb   run a notebook; where it pauses, links to answer are printed
  pauseflow list                 list executions: running, waiting and ended
  pauseflow doctor               check settings, kernels and the database
  pauseflow --help               list all commands
"""


class _Commands(click.Group):
    """All commands; an error in one of them is printed as a sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command on the command line."""
        # Not read from a parameter, because the error of a command line that cannot be parsed is printed as JSON, too.
        with print_errors(as_json="--json" in ctx.args):
            try:
                return super().invoke(ctx)
            except click.BadOptionUsage as problem:
                message = problem.message + self._describe_values(problem.option_name)
                raise click.BadOptionUsage(problem.option_name, message, problem.ctx) from None
            except click.MissingParameter as problem:
                message = _WHERE_TO_FIND.get(str(problem.param and problem.param.name), "")
                raise click.MissingParameter(message, problem.ctx, problem.param) from None

    def _describe_values(self, flag: str) -> str:
        """Write how an option is used that takes several values, as the end of a sentence; empty for others."""
        options = itertools.chain.from_iterable(command.params for command in self.commands.values())
        found = (each for each in options if isinstance(each, click.Option) and flag in each.opts and each.nargs > 1)
        return next((f" Write it as: {flag} {each.metavar}" for each in found), "")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names; if there is none, name the one that was probably meant."""
        if meant := ("show" if args[1:] else "list") if args[0] in _ASKS_FOR_STATE else _MEANT.get(args[0]):
            ctx.fail(f"{args[0]!r} is not a command. Did you mean: pauseflow {shlex.join([meant, *args[1:]])}")
        if args[0].lower().endswith(".ipynb") and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"{args[0]!r} is not a command. To run this notebook: pauseflow run {shlex.join(args)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the signature of click
        """List the commands by what one wants to do, each with its whole first sentence."""
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(str(each.name), each.get_short_help_str(limit=1000)) for each in commands])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - likewise
        """Show what is typed most."""
        with formatter.section("Examples"):
            formatter.write_dl(
                [
                    ("pauseflow run train.ipynb done.ipynb -p alpha 0.6", "run with a parameter, and wait for answers"),
                    ("pauseflow list --state suspended", "list what waits for an answer"),
                    (
                        "pauseflow resume fc7e --data '{\"ok\": true}' --wait",
                        "answer; the beginning of an id is enough",
                    ),
                    ("pauseflow retry fc7e --with corrected.ipynb", "continue after an error in a cell"),
                ]
            )


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "-V", "--version", package_name="pauseflow-nb")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Run Jupyter notebooks that can pause and resume."""
    _open_closed_streams()
    clean_logs()
    if ctx.invoked_subcommand is None:
        click.echo(_HOW_TO_BEGIN, nl=False)


def _open_closed_streams() -> None:
    """Open the null device in the place of each closed standard stream.

    Otherwise a file of ours, such as the database, takes the number of the closed stream, and processes that are
    started later write their output into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - open until the end


for _command in itertools.chain.from_iterable(_SECTIONS.values()):
    main.add_command(_command)
