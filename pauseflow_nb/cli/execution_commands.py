"""Commands on executions that exist: list, show, resume, cancel, suspend, retry, fork, outputs."""

import sys
from typing import TYPE_CHECKING, Any

import click

from pauseflow_nb.cli.completion import complete_files, execution_argument
from pauseflow_nb.cli.options import (
    COMPLETED,
    STRANDED,
    exit_code,
    json_option,
    open_queue,
    print_execution,
    print_json,
    say,
    settings_options,
)
from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.json_values import read_json
from pauseflow_nb.printable import json_printable, printable
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from pauseflow_nb.execution import Execution

__all__ = ["cancel", "fork", "list_", "outputs", "resume", "retry", "show", "suspend"]


#: In characters, of what somebody typed.
_LONGEST_ECHO = 100
_STATES = ("queued", "running", "suspended", "waiting", "paused", "completed", "failed", "cancelled")


@click.command("list")
@click.option(
    "--state", type=click.Choice(_STATES), multiple=True, help="Only executions in this state; may be repeated."
)
@click.option("--search", help="Only executions whose notebook, output or id contains this text.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0)
@json_option
@settings_options
def list_(
    settings: Settings, *, state: tuple[str, ...], search: str | None, limit: int, offset: int, as_json: bool
) -> None:
    """List executions, newest first."""
    from pauseflow_nb.cli.terminal import table

    found = open_queue(settings).list(states=state or None, text=search, limit=limit, offset=offset, with_links=True)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each["id"],
            each["state"] + (" (kernel-bound)" if each["kernel_bound"] else ""),
            f"{each['cells']['done']}/{each['cells']['total']}",
            "cannot be shown" if "problem" in each else ", ".join(one["step"] or "-" for one in each["suspended"]),
            each["created_at"][:19].replace("T", " "),
            each["notebook"],
        )
        for each in found
    ]
    say(table([("ID", "STATE", "CELLS", "WAITS IN", "CREATED (UTC)", "NOTEBOOK"), *rows]))
    for each in found:
        if "problem" in each:
            say(f"{each['id']}: {printable(each['problem'])}", err=True)


@click.command()
@execution_argument
@click.option("--history", is_flag=True, help="Earlier runs of each step, and the audit trail, too.")
@click.option("--state", is_flag=True, help="The variables in its last checkpoint, too, the largest first.")
@json_option
@settings_options
def show(settings: Settings, *, execution: str, history: bool, state: bool, as_json: bool) -> None:
    """Show one execution: state, steps, what it waits for, with its links."""
    queue = open_queue(settings)
    found = queue.view(execution, history=history)
    if not state:
        print_execution(found, as_json=as_json)
        return
    reports = queue.variables(execution)
    if as_json:
        print_json(found | {"variables": [vars(report) for report in reports]})
        return
    from pauseflow_nb.cli.terminal import table
    from pauseflow_nb.kernel.snapshot import rows_of

    print_execution(found, as_json=False)
    say(f"\n{table(rows_of(reports))}" if reports else "\nno checkpoint yet, so no variables are saved")


@click.command()
@execution_argument
@click.option("--step", help="Which step to answer, if several wait.")
@click.option("--data", metavar="JSON", help="Value handed to the notebook as `steps.NAME.data`.")
@click.option("--wait", is_flag=True, help="Return when it has ended or waits again.")
@json_option
@settings_options
def resume(
    settings: Settings, *, execution: str, step: str | None, data: str | None, wait: bool, as_json: bool
) -> None:
    """Answer a suspended execution, so that it goes on."""
    found = _find(settings, execution)
    found.resume(step, _json_value("--data", data))
    _after_answer(found, wait=wait, as_json=as_json)


@click.command()
@execution_argument
@click.option("--reason", "text", help="Why, for the record.")
@click.option("--wait", is_flag=True, help="Return when its kernel is gone, too.")
@json_option
@settings_options
def cancel(settings: Settings, *, execution: str, text: str | None, wait: bool, as_json: bool) -> None:
    """Cancel an execution, in whatever state it is."""
    found = _find(settings, execution)
    found.cancel(text)
    _after_answer(found, wait=wait, as_json=as_json, code=COMPLETED)


@click.command()
@execution_argument
@click.option("--wait", is_flag=True, help="Return when it is suspended, or has ended before that.")
@json_option
@settings_options
def suspend(settings: Settings, *, execution: str, wait: bool, as_json: bool) -> None:
    """Suspend an execution from outside, before its next cell, until `pauseflow resume`."""
    found = _find(settings, execution)
    found.suspend()
    _after_answer(found, wait=wait, as_json=as_json, code=COMPLETED)


@click.command()
@execution_argument
@click.option("--from", "from_step", metavar="STEP", help="Run this step again, and all that follows.")
@click.option(
    "--with",
    "edited",
    metavar="EDITED.ipynb",
    shell_complete=complete_files,
    help="Go on with an edited notebook; changed cells run again.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Go on although other versions saved the variables, or some that are needed did not come back.",
)
@click.option("--wait", is_flag=True, help="Return when it has ended or waits again.")
@json_option
@settings_options
def retry(
    settings: Settings,
    *,
    execution: str,
    from_step: str | None,
    edited: str | None,
    force: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Let a failed execution go on from its last checkpoint; finished steps do not run again."""
    found = _find(settings, execution)
    restart = found.retry(from_step=from_step, notebook=edited, force=force)
    say(str(restart), err=True)
    _after_answer(found, wait=wait, as_json=as_json)


@click.command()
@execution_argument
@click.option("--from", "from_step", metavar="STEP", help="Begin with this step.")
@click.option("--output", metavar="OUT.ipynb", help="Output of the new one; the default is named after the old one's.")
@click.option("--wait", is_flag=True, help="Return when the new one has ended or waits.")
@json_option
@settings_options
def fork(
    settings: Settings, *, execution: str, from_step: str | None, output: str | None, wait: bool, as_json: bool
) -> None:
    """Start a sibling with the variables that an execution had at a step; one that waits is copied as it waits."""
    sibling = _find(settings, execution).fork(from_step=from_step, output=output)
    say(f"execution {sibling.id}", err=True)
    _after_answer(sibling, wait=wait, as_json=as_json)


@click.command()
@execution_argument
@json_option
@settings_options
def outputs(settings: Settings, *, execution: str, as_json: bool) -> None:  # noqa: ARG001  (a notebook is JSON)
    """Print the executed notebook as it stands."""
    sys.stdout.buffer.write(json_printable(open_queue(settings).document(execution).decode()).encode())


def _find(settings: Settings, execution: str) -> "Execution":
    from pauseflow_nb.execution import get_execution

    return get_execution(execution, settings=settings)


def _after_answer(found: "Execution", *, wait: bool, as_json: bool, code: int | None = None) -> None:
    if wait:
        if found.is_stranded():
            # This process ends at the pause, and so would a kernel that it kept.
            found.run_here(until_pause=True)
        found.wait(until_pause=True)
    elif found.is_stranded():
        say(STRANDED, err=True)
    view = found.to_dict()
    print_execution(view, as_json=as_json)
    sys.exit(exit_code(view["state"]) if wait and code is None else COMPLETED)


def _json_value(flag: str, text: str | None) -> Any:
    if text is None:
        return None
    try:
        return read_json(text)
    except ValueError as problem:
        raise InvalidValue(
            flag, text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]}…", str(problem)
        ) from None
