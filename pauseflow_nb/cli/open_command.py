"""`pauseflow open`: show an execution in a browser."""

import os
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pauseflow_nb.cli.completion import execution_argument
from pauseflow_nb.cli.options import json_option, open_queue, print_json, say, settings_options
from pauseflow_nb.errors import AmbiguousSuspension, NoServer, NotSuspended
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from pauseflow_nb.engine.queue import Queue

__all__ = ["open_"]


@click.command("open")
@execution_argument
@click.option("--step", help="Which question to open, if several wait.")
@click.option("--notebook", "wants_notebook", is_flag=True, help="The executed notebook, although it waits.")
@click.option("--no-browser", is_flag=True, help="Only print its address; so does --json.")
@json_option
@settings_options
def open_(
    settings: Settings, *, execution: str, step: str | None, wants_notebook: bool, no_browser: bool, as_json: bool
) -> None:
    """Open in a browser what an execution asks; if it asks nothing, the executed notebook as a page."""
    queue = open_queue(settings)
    view = queue.view(execution)
    asked = None if wants_notebook else _asked(view, step)
    url = _page(queue, execution) if asked is None else _link(queue, asked)
    if as_json:
        print_json({"execution": execution, "url": url})
        return
    say(url)
    if not no_browser:
        webbrowser.open(url)


def _asked(view: dict[str, Any], step: str | None) -> dict[str, Any] | None:
    """Find the question to open; None if there is none, and none was named."""
    asked = [each for each in view["suspended"] if each["approval_url"]]
    found = [each for each in asked if step in (None, each["step"], ".".join(each["path"]))]
    if step is not None and not found:
        raise NotSuspended(view["id"], view["state"], step)
    if len(found) > 1:
        raise AmbiguousSuspension(view["id"], [".".join(each["path"]) for each in found])
    return found[0] if found else None


def _link(queue: "Queue", asked: dict[str, Any]) -> str:
    if queue.settings.public_url is None and queue.live_server_url() is None:
        raise NoServer
    return str(asked["approval_url"])


def _page(queue: "Queue", execution: str) -> str:
    """Write the notebook as a page of its own, which stays after this process."""
    import nbformat
    from nbconvert import HTMLExporter  # heavy, and only this needs it

    from pauseflow_nb.runner.document import Document

    document = Document.from_bytes(queue.document(execution)).for_people()
    notebook = nbformat.reads(document.decode(), as_version=4)
    html, _ = HTMLExporter().from_notebook_node(notebook, {"metadata": {"name": execution}})  # type: ignore[no-untyped-call]
    handle, path = tempfile.mkstemp(prefix=f"pauseflow-{execution}-", suffix=".html")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(html)
    return Path(path).as_uri()
