"""Complete ids and files on the command line."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

__all__ = ["complete_files", "execution_argument"]

C = TypeVar("C", bound=Callable[..., Any])

#: As many as a person reads through.
_MOST = 20


def complete_files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete the path of a file."""
    return [CompletionItem(incomplete, type="file")]


def _complete_ids(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """List executions whose id begins like this, the newest first, with their state and notebook."""
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.settings import Settings

    try:
        flags = {name: context.params.get(name) for name in ("data_dir", "db", "storage")}
        queue = Queue.open(Settings.load(flags=flags))
        views = [queue.view(id_, with_links=False) for id_ in queue.find_beginning(incomplete, _MOST)]
        return [CompletionItem(each["id"], help=f"{each['state']} {each['notebook']}") for each in views]
    except Exception:  # noqa: BLE001 (a shell that completes shows no error)
        return []


def execution_argument(command: C) -> C:
    """Add the argument ID: an execution's id, or the beginning of one that no other has."""
    return click.argument("execution", metavar="ID", shell_complete=_complete_ids)(command)
