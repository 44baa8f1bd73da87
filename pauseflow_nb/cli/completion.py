"""Complete ids, steps and files on the command line."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

C = TypeVar("C", bound=Callable[..., Any])

#: As many as a person reads through.
_MOST = 20


def complete_files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Let the shell complete the path of a file."""
    return [CompletionItem(incomplete, type="file")]


def _complete_ids(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """List executions whose id begins like this, the newest first, with their state and notebook."""
    return [
        CompletionItem(each["id"], help=f"{each['state']} {each['notebook']}")
        for each in _read_executions(context, incomplete, _MOST)
    ]


def complete_steps(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """List the steps that have begun in the execution that is named."""
    steps = [(name, step["state"]) for view in _read_named(context) for name, step in view["steps"].items()]
    return [CompletionItem(name, help=state) for name, state in steps if name.startswith(incomplete)]


def complete_open_steps(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """List the steps that wait in the execution that is named, also those of its nested executions."""
    waiting = [(each["address"], each["title"]) for view in _read_named(context) for each in view["suspended"]]
    return [CompletionItem(name, help=title) for name, title in waiting if name and name.startswith(incomplete)]


def _read_named(context: click.Context) -> list[dict[str, Any]]:
    # While the option has no value, click leaves the arguments before it unread.
    named = context.params.get("execution") or next(iter(context.args), None)
    found = _read_executions(context, named, 2) if named else []
    return found if len(found) == 1 else []


def _read_executions(context: click.Context, beginning: str, limit: int) -> list[dict[str, Any]]:
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.settings import Settings

    try:
        flags = {name: context.params.get(name) for name in ("data_dir", "db", "storage")}
        queue = Queue.open(Settings.load(flags=flags), creates=False)
        return [queue.view(id_, with_links=False) for id_ in queue.find_beginning(beginning, limit)]
    except Exception:  # noqa: BLE001 (a shell that completes shows no error)
        return []


def execution_argument(command: C) -> C:
    """Add the argument ID: an execution's id, or the beginning of one that no other has."""
    return click.argument("execution", metavar="ID", shell_complete=_complete_ids)(command)
