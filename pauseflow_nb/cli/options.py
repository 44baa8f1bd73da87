"""What the commands share: exit codes, the flags of the store, and how errors and results are printed."""

import functools
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from pauseflow_nb import errors
from pauseflow_nb.cli.completion import find_execution
from pauseflow_nb.json_values import json_text
from pauseflow_nb.printable import json_printable, printable_lines
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from pauseflow_nb.engine.queue import Queue

__all__ = [
    "COMPLETED",
    "FAILED",
    "LEFT",
    "STRANDED",
    "exit_code",
    "flags_of",
    "json_option",
    "open_queue",
    "print_execution",
    "print_json",
    "say",
    "sentences",
    "settings_options",
    "store_flags",
]

P = ParamSpec("P")
R = TypeVar("R")

COMPLETED, FAILED, USAGE, CANCELLED, WAITS, LEFT = 0, 1, 2, 3, 75, 130

STRANDED = "nothing will wake this: run `pauseflow serve`"

#: What the caller got wrong, as opposed to what went wrong.
_USAGE_ERRORS = (
    errors.AmbiguousExecution,
    errors.AmbiguousSuspension,
    errors.CannotRetry,
    errors.CannotSuspend,
    errors.InvalidAnswer,
    errors.InvalidDuration,
    errors.InvalidNotebook,
    errors.InvalidParameter,
    errors.InvalidSetting,
    errors.InvalidStep,
    errors.InvalidValue,
    errors.KernelUnavailable,
    errors.NotAllowed,
    errors.NotebookNotFound,
    errors.NotSuspended,
    errors.OutputInUse,
    errors.UnknownExecution,
    errors.UnknownKey,
)


@contextmanager
def sentences(*, as_json: bool) -> Iterator[None]:
    """Turn our errors into one sentence on standard error and the exit code that fits.

    Args:
        as_json: Print `{"error": {"type", "message"}}` on standard output as well: the one JSON value is expected there.
    """
    try:
        yield
    except errors.PauseflowError as problem:
        if as_json:
            _print_error(type(problem).__name__, str(problem))
        say(f"pauseflow: {printable_lines(problem, indent='  ')}", err=True)
        sys.exit(USAGE if isinstance(problem, _USAGE_ERRORS) else FAILED)
    except click.ClickException as problem:
        problem.message = printable_lines(problem.message, indent="  ")  # type: ignore[misc]  # it is the message that click prints
        if as_json and isinstance(problem, click.UsageError):
            _print_error("UsageError", problem.format_message())
        raise
    except BrokenPipeError:
        sys.exit(FAILED)


def _print_error(kind: str, sentence: str) -> None:
    print_json({"error": {"type": kind, "message": sentence}})


def store_flags(command: Callable[P, R]) -> Callable[P, R]:
    """Add the flags that say which store."""
    for flag in (
        click.option("--storage", metavar="URL", help="Files, as an fsspec URL.  [PAUSEFLOW_STORAGE]"),
        click.option("--db", metavar="URL", help="Database, as an SQLAlchemy URL.  [PAUSEFLOW_DB]"),
        click.option("--data-dir", metavar="DIR", help="Folder of the store.  [PAUSEFLOW_DATA_DIR]"),
    ):
        command = flag(command)
    return command


def settings_options(command: Callable[P, R]) -> Callable[..., R]:
    """Add the flags of the store, and hand the command a `Settings`."""

    @store_flags
    @functools.wraps(command)
    def with_settings(*args: P.args, **kwargs: P.kwargs) -> R:
        flags = {name: kwargs.pop(name, None) for name in ("data_dir", "db", "storage")}
        more = {
            name: kwargs.pop(name) for name in ("port", "public_url", "links", "workers", "max_body") if name in kwargs
        }
        notebook = kwargs.get("notebook")
        beside = Path(notebook).parent if isinstance(notebook, str) and "://" not in notebook else None
        settings = Settings.load(flags={**flags, **more}, beside=beside)
        if isinstance(beginning := kwargs.get("execution"), str):
            kwargs["execution"] = find_execution(open_queue(settings), beginning)
        kwargs["settings"] = settings
        return command(*args, **kwargs)

    return with_settings


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value on standard output.")


def flags_of(settings: Settings) -> str:
    """Write the flags that said which store, for a command that is advised; empty: the environment says it."""
    given = [name for name in ("data_dir", "db", "storage") if settings.origin(name) == "flag"]
    # A URL may hold a password; who typed it knows it.
    return "".join(f" --{name.replace('_', '-')} {shlex.quote(settings.shown(name))}" for name in given)


def open_queue(settings: Settings) -> "Queue":
    """Open the store."""
    from pauseflow_nb.engine.queue import Queue  # SQLAlchemy: only commands that open the store pay for it

    return Queue.open(settings)


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print lines for a person; what a terminal would act on, of whatever comes from outside, is written out."""
    click.echo(printable_lines(text), err=err, nl=nl)


def print_json(value: Any) -> None:
    """Print the one JSON value of a command."""
    click.echo(json_printable(json_text(value, indent=2)))


def print_execution(view: dict[str, Any], *, as_json: bool) -> None:
    """Print an execution for a program or for a person."""
    from pauseflow_nb.cli.terminal import describe

    if as_json:
        print_json(view)
    else:
        say(describe(view))


def exit_code(state: str) -> int:
    """Exit code for the state in which a command leaves an execution."""
    return {"completed": COMPLETED, "failed": FAILED, "cancelled": CANCELLED}.get(state, WAITS)
