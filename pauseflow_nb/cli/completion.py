"""Complete ids and files on the command line, and let a command take the beginning of an id."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from pauseflow_nb.errors import AmbiguousExecution

__all__ = ["complete_files", "execution_argument", "find_execution"]

C = TypeVar("C", bound=Callable[..., Any])

#: Characters of a whole id.
_WHOLE = 12
#: As many as a person reads through.
_MOST = 20


def find_execution(queue: Any, beginning: str) -> str:
    """Give the id that begins like this; a text that no id begins with stays, and its command says that it is unknown.

    Raises:
        AmbiguousExecution: If several do.
    """
    if not beginning or len(beginning) >= _WHOLE:
        return beginning
    found: list[str] = queue.find_beginning(beginning, _MOST)
    if len(found) > 1:
        raise AmbiguousExecution(beginning, found)
    return found[0] if found else beginning


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
