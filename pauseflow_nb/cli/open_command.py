"""Define `pauseflow open`, which shows an execution in a browser."""

import os
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pauseflow_nb.cli.completion import complete_open_steps, execution_argument
from pauseflow_nb.cli.options import open_queue, print_json, say, store_options
from pauseflow_nb.errors import AmbiguousSuspension, NoServer, NotSuspended
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from pauseflow_nb.engine.queue import Queue


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
    url = _write_page(queue, execution) if question is None else _find_link(queue, question)
    if as_json:
        print_json({"execution": execution, "url": url})
        return
    say(url)
    if not no_browser:
        webbrowser.open(url)


def _find_question(view: dict[str, Any], step: str | None) -> dict[str, Any] | None:
    """Find the question to open; None if there is none and no step was named."""
    questions = [each for each in view["suspended"] if each["approval_url"]]
    found = [each for each in questions if step in (None, each["step"], ".".join(each["path"]))]
    if step is not None and not found:
        raise NotSuspended(view["id"], view["state"], step)
    if len(found) > 1:
        raise AmbiguousSuspension(view["id"], [".".join(each["path"]) for each in found])
    return found[0] if found else None


def _find_link(queue: "Queue", question: dict[str, Any]) -> str:
    if queue.settings.public_url is None and queue.live_server_url() is None:
        raise NoServer
    return str(question["approval_url"])


def _write_page(queue: "Queue", execution: str) -> str:
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
