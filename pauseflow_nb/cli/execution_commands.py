"""Define the commands on existing executions: list, show, resume, cancel, suspend, retry, fork, outputs, report, open."""

import os
import sys
import tempfile
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pauseflow_nb.cli.completion import complete_files, complete_open_steps, complete_steps, execution_argument
from pauseflow_nb.cli.options import (
    COMPLETED,
    FAILED,
    WholeNumberBetween,
    advise_answer,
    exit_code,
    format_flags,
    has_links,
    open_queue,
    print_execution,
    print_json,
    print_lines,
    read_or_nothing,
    store_options,
)
from pauseflow_nb.errors import AmbiguousSuspension, InvalidValue, NoServer, NotSuspended
from pauseflow_nb.json_values import NOTHING, read_json
from pauseflow_nb.printable import json_printable, printable, printable_lines
from pauseflow_nb.settings import Settings
from pauseflow_nb.suggestions import order_by_likeness

if TYPE_CHECKING:
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.execution import Execution

#: Characters of an invalid value that the error message repeats.
_LONGEST_ECHO = 100
_STATES = ("queued", "running", "suspended", "waiting", "paused", "completed", "failed", "cancelled")
_ENDED = _STATES[-3:]


@click.command("list")
@click.option(
    "--state", type=click.Choice(_STATES), multiple=True, help="List only executions in this state; may be repeated."
)
@click.option(
    "--search",
    help="List only executions whose notebook, output or id contains this text. A text of one or two "
    "characters is searched for in the newest 10,000 executions only.",
)
@click.option(
    "--limit", type=WholeNumberBetween(1, 10_000), default=50, show_default=True, help="Most executions to list."
)
@click.option("--offset", type=WholeNumberBetween(0), default=0, help="Number of executions to skip.")
@store_options
def list_(
    settings: Settings, *, state: tuple[str, ...], search: str | None, limit: int, offset: int, as_json: bool
) -> None:
    """List executions, newest first."""
    from pauseflow_nb.cli.terminal import format_table

    found = read_or_nothing(
        settings,
        lambda queue: queue.list(states=state or None, text=search, limit=limit, offset=offset, with_links=True),
    )
    if as_json:
        print_json(found)
        return
    if not found:
        is_filtered = bool(state or search or offset)
        print_lines(
            "no execution matches" if is_filtered else "no executions yet: `pauseflow run NOTEBOOK.ipynb` starts one"
        )
        return
    rows = [
        (
            each["id"],
            each["state"] + (" (kernel-bound)" if each["kernel_bound"] else ""),
            f"{each['cells']['done']}/{each['cells']['total']}",
            "cannot be shown" if "problem" in each else _describe_wait(each),
            each["created_at"][:19].replace("T", " "),
            each["notebook"],
        )
        for each in found
    ]
    print_lines(format_table([("ID", "STATE", "CELLS", "WAITS IN", "CREATED (UTC)", "NOTEBOOK"), *rows]))
    for each in found:
        if "problem" in each:
            print_lines(f"{each['id']}: {printable(each['problem'])}", err=True)


def _describe_wait(execution: dict[str, Any]) -> str:
    """Name the steps that wait, or say that no worker would run it now."""
    sentence = execution.get("no_worker")
    return (
        sentence.removeprefix("waits for ")
        if sentence
        else ", ".join(one["step"] or "-" for one in execution["suspended"])
    )


@click.command()
@execution_argument
@click.option("--history", is_flag=True, help="Also show earlier runs of each step and the audit trail.")
@click.option("--state", is_flag=True, help="Also show the variables in the last checkpoint, the largest first.")
@store_options
def show(settings: Settings, *, execution: str, history: bool, state: bool, as_json: bool) -> None:
    """Show one execution: its state, its steps, what it waits for, and the links."""
    queue = open_queue(settings)
    found = queue.view(execution, history=history, envelopes=as_json)
    reports = queue.variables(execution) if state else []
    if as_json:
        print_json(found | ({"variables": [vars(report) for report in reports]} if state else {}))
        return
    print_execution(found, as_json=False, flags=format_flags(settings))
    _warn_of_dead_links(queue, found)
    if not state:
        return
    from pauseflow_nb.cli.terminal import format_table
    from pauseflow_nb.kernel.snapshot import make_rows

    print_lines(
        f"\n{format_table(make_rows(reports))}"
        if reports
        else "\nno variables are saved, because there is no checkpoint yet"
    )


def _warn_of_dead_links(queue: "Queue", execution: Mapping[str, Any]) -> None:
    if has_links(execution) and queue.settings.public_url is None and queue.live_server_url() is None:
        answer = advise_answer(execution["id"], queue.settings)
        serve = f"start `pauseflow serve{format_flags(queue.settings)}`"
        print_lines(f"  nobody answers these links now: {serve}, or {answer}")


class _TakesAnswer(click.Command):
    """A command whose answer is an option; says so to who writes it as an argument."""

    allow_extra_args = True  # click then leaves them in the context, and raises no error

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments."""
        parsed = super().parse_args(ctx, args)
        if ctx.args and not ctx.resilient_parsing:
            ctx.fail(f"Got unexpected extra argument ({' '.join(ctx.args)}). Write the answer as: --data JSON")
        return parsed


@click.command(cls=_TakesAnswer)
@execution_argument
@click.option("--step", shell_complete=complete_open_steps, help="Step to answer; required if several wait.")
@click.option("--data", metavar="JSON", help="Answer, which the notebook reads as `steps.NAME.data`.")
@click.option("--shown", metavar="DIGEST", help="Refuse if the question has changed: its `shown` in `show --json`.")
@click.option("--wait", is_flag=True, help="Wait until the execution ends or waits again.")
@store_options
def resume(
    settings: Settings,
    *,
    execution: str,
    step: str | None,
    data: str | None,
    shown: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Answer and resume a suspended execution."""
    found = _find_execution(settings, execution)
    found.resume(step, NOTHING if data is None else _parse_json("--data", data), shown=shown)
    _finish(found, settings, wait=wait, as_json=as_json)


@click.command("send-back")
@execution_argument
@click.option("--comment", help="What should change; the step finds it in `flow.context`.")
@click.option("--step", help="Step to send back; required if several wait.")
@click.option("--shown", metavar="DIGEST", help="Refuse if the question has changed: its `shown` in `show --json`.")
@click.option("--wait", is_flag=True, help="Wait until the execution ends or waits again.")
@store_options
def send_back(
    settings: Settings,
    *,
    execution: str,
    comment: str | None,
    step: str | None,
    shown: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Send a question back: its step runs again with a comment."""
    found = _find_execution(settings, execution)
    found.send_back(comment, step=step, shown=shown)
    _finish(found, settings, wait=wait, as_json=as_json)


@click.command()
@execution_argument
@click.option("--reason", "text", help="Reason, for the record.")
@click.option("--wait", is_flag=True, help="Also wait until its kernel has ended.")
@store_options
def cancel(settings: Settings, *, execution: str, text: str | None, wait: bool, as_json: bool) -> None:
    """Cancel an execution, unless it has ended.

    Exit code 1: it had already completed or failed.
    """
    found = _find_execution(settings, execution)
    before = found.state
    found.cancel(text)
    if before in _ENDED:
        print_lines(f"execution {found.id} has already ended: it stays {before}", err=True)
    _finish(found, settings, wait=wait, as_json=as_json, code=COMPLETED if found.state == "cancelled" else FAILED)


@click.command()
@execution_argument
@click.option("--wait", is_flag=True, help="Wait until the execution is suspended, or ends before that.")
@store_options
def suspend(settings: Settings, *, execution: str, wait: bool, as_json: bool) -> None:
    """Suspend an execution before its next cell, until `pauseflow resume`."""
    found = _find_execution(settings, execution)
    found.suspend()
    _finish(found, settings, wait=wait, as_json=as_json, code=COMPLETED)


@click.command()
@execution_argument
@click.option(
    "--from",
    "from_step",
    metavar="STEP",
    shell_complete=complete_steps,
    help="Run this step and all cells below it again.",
)
@click.option(
    "--with",
    "edited",
    metavar="EDITED.ipynb",
    shell_complete=complete_files,
    help="Continue with an edited notebook; changed cells run again.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Continue even if other versions saved the variables, or some that later cells need cannot be restored.",
)
@click.option("--wait", is_flag=True, help="Wait until the execution ends or waits again.")
@store_options
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
    """Continue a failed execution from its last checkpoint; finished steps do not run again."""
    found = _find_execution(settings, execution)
    restart = found.retry(from_step=from_step, notebook=edited, force=force)
    print_lines(str(restart), err=True)
    _finish(found, settings, wait=wait, as_json=as_json)


@click.command()
@execution_argument
@click.option(
    "--from", "from_step", metavar="STEP", shell_complete=complete_steps, help="Step with which the fork begins."
)
@click.option(
    "--output", metavar="OUT.ipynb", help="Output of the fork; by default named after the output of the execution."
)
@click.option("--wait", is_flag=True, help="Wait until the fork ends or waits.")
@store_options
def fork(
    settings: Settings, *, execution: str, from_step: str | None, output: str | None, wait: bool, as_json: bool
) -> None:
    """Start a second execution with the variables of another, from one of its steps or from where it waits."""
    sibling = _find_execution(settings, execution).fork(from_step=from_step, output=output)
    print_lines(f"execution {sibling.id}", err=True)
    _finish(sibling, settings, wait=wait, as_json=as_json)


@click.command()
@execution_argument
@click.option(
    "-o",
    "--output",
    metavar="OUT.ipynb",
    shell_complete=complete_files,
    help="File to write or replace; otherwise the notebook is printed.",
)
@store_options
def outputs(settings: Settings, *, execution: str, output: str | None, as_json: bool) -> None:
    """Print the executed notebook in its current state, or write it to a file."""
    from pauseflow_nb.runner.output_file import write_whole

    text = json_printable(open_queue(settings).document(execution).decode())
    if output is None or output == "-":
        sys.stdout.buffer.write(text.encode())
        return
    written = write_whole(output, text)
    if as_json:
        print_json({"execution": execution, "output": written})
    else:
        print_lines(f"wrote {output}")


@click.command()
@execution_argument
@click.option(
    "-o",
    "--output",
    metavar="FILE.html",
    shell_complete=complete_files,
    help="File to write or replace; by default `report-ID.html`; `-` prints the page.",
)
@store_options
def report(settings: Settings, *, execution: str, output: str | None, as_json: bool) -> None:
    """Write one page with the decisions, the timeline and the outputs of an execution.

    The page loads nothing and holds no link that acts. It says first whether the notebook in the store is still what
    was signed.
    """
    from pauseflow_nb.runner.output_file import write_whole
    from pauseflow_nb.server.execution_report import make_report  # lazily: only this command writes pages

    file = output or f"report-{execution}.html"
    if file == "-" and as_json:
        raise click.UsageError("--json prints its value where `-o -` prints the page: name a file")
    made = make_report(open_queue(settings), execution)
    if file == "-":
        click.echo(made.html)
    else:
        written = write_whole(file, made.html)
    for problem in made.problems:
        print_lines(printable_lines(f"✗ {problem}", indent="  "), err=True)
    if as_json:
        print_json({"execution": execution, "report": written, "problems": made.problems})
    elif file != "-":
        print_lines(f"wrote {file}")


def _find_execution(settings: Settings, execution: str) -> "Execution":
    from pauseflow_nb.execution import get_execution

    return get_execution(execution, settings=settings)


def _finish(found: "Execution", settings: Settings, *, wait: bool, as_json: bool, code: int | None = None) -> None:
    if wait:
        if runs_here := found.may_run_here():
            # This process ends at the pause, and with it a kernel that it keeps.
            found.run_here(until_pause=True)
        elif found.is_stranded():
            print_lines(found.describe_stranded(format_flags(settings)), err=True)
        try:
            found.wait(until_pause=True)
        except KeyboardInterrupt:
            command = f"pauseflow show {found.id}{format_flags(settings)}"
            stops, waits = (
                f"execution {found.id} stops before its next cell",
                f"no longer waiting for execution {found.id}",
            )
            print_lines(f"\n{stops if runs_here else waits}: `{command}` shows its state", err=True)
            raise
    elif found.is_stranded():
        print_lines(found.describe_stranded(format_flags(settings)), err=True)
    view = found.to_dict()
    print_execution(view, as_json=as_json, flags=format_flags(settings))
    sys.exit(code if code is not None else exit_code(view["state"]) if wait else COMPLETED)


def _parse_json(flag: str, text: str) -> Any:
    try:
        return read_json(text)
    except ValueError as problem:
        raise InvalidValue(
            flag,
            text if len(text) <= _LONGEST_ECHO else f"{text[:_LONGEST_ECHO]}…",
            f'{problem}; an answer in JSON looks like this: {flag} \'{{"comment": "yes"}}\'',
        ) from None


@click.command("open")
@execution_argument
@click.option(
    "--step", shell_complete=complete_open_steps, help="Step whose question is opened; required if several wait."
)
@click.option(
    "--notebook", "wants_notebook", is_flag=True, help="Open the executed notebook, even if a question waits."
)
@click.option("--no-browser", is_flag=True, help="Print the address without opening it; --json does the same.")
@store_options
def open_(
    settings: Settings, *, execution: str, step: str | None, wants_notebook: bool, no_browser: bool, as_json: bool
) -> None:
    """Open the question of an execution in a browser; if there is none, open the executed notebook."""
    queue = open_queue(settings)
    view = queue.view(execution)
    question = None if wants_notebook else _find_question(view, step)
    url = _write_notebook_page(queue, execution) if question is None else _find_link(queue, question)
    if as_json:
        print_json({"execution": execution, "url": url})
        return
    print_lines(url)
    if not no_browser:
        webbrowser.open(url)


def _find_question(view: dict[str, Any], step: str | None) -> dict[str, Any] | None:
    """Find the question to open; None if there is none and no step was named."""
    questions = [each for each in view["suspended"] if each["approval_url"]]
    found = [each for each in questions if step in (None, each["step"], ".".join(each["path"]))]
    if step is not None and not found:
        waiting = order_by_likeness(step, (".".join(each["path"]) for each in questions))
        raise NotSuspended(view["id"], view["state"], step, waiting)
    if len(found) > 1:
        raise AmbiguousSuspension(view["id"], [".".join(each["path"]) for each in found])
    return found[0] if found else None


def _find_link(queue: "Queue", question: dict[str, Any]) -> str:
    if queue.settings.public_url is None and queue.live_server_url() is None:
        raise NoServer
    return str(question["approval_url"])


def _write_notebook_page(queue: "Queue", execution: str) -> str:
    """Write the notebook as an HTML file, which stays after this process."""
    import nbformat
    from nbconvert import HTMLExporter  # takes long to import, and only this function needs it

    from pauseflow_nb.runner.document import Document

    document = Document.from_bytes(queue.document(execution)).for_people()
    notebook = nbformat.reads(document.decode(), as_version=4)
    html, _ = HTMLExporter().from_notebook_node(notebook, {"metadata": {"name": execution}})  # type: ignore[no-untyped-call]
    handle, path = tempfile.mkstemp(prefix=f"pauseflow-{execution}-", suffix=".html")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(html)
    return Path(path).as_uri()
