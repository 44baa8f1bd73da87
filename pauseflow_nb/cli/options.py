"""Share exit codes, the flags of the store, and the printing of errors and results among the commands."""

import functools
import math
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from pauseflow_nb import errors
from pauseflow_nb.json_values import dump_json
from pauseflow_nb.printable import json_printable, printable_lines
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from pauseflow_nb.engine.queue import Queue


class CommandGroup(click.Group):
    """A command with commands of its own, whose help has the whole first sentence of each."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the signature of click
        """List them in the order in which they are defined."""
        with formatter.section("Commands"):
            listed = [(name, each.get_short_help_str(limit=1000)) for name, each in self.commands.items()]
            formatter.write_dl(listed)


class NumberBetween(click.FloatRange):
    """A finite number within limits. Errors use its name; click's own is "float range"."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert a text; refuse `nan` and `inf`, which Python reads as numbers."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)
        return number


class WholeNumberBetween(click.IntRange):
    """A whole number within limits."""

    name = "whole number"


P = ParamSpec("P")
R = TypeVar("R")

COMPLETED, FAILED, USAGE, CANCELLED, WAITS, LEFT = 0, 1, 2, 3, 75, 130


#: Errors that the user of the command made; all others are failures.
_USAGE_ERRORS = (
    errors.AmbiguousExecution,
    errors.AmbiguousSuspension,
    errors.CannotRetry,
    errors.CannotSuspend,
    errors.InvalidAnswer,
    errors.InvalidDuration,
    errors.InvalidImport,
    errors.InvalidNotebook,
    errors.InvalidParameter,
    errors.InvalidSchedule,
    errors.InvalidSetting,
    errors.InvalidStep,
    errors.InvalidValue,
    errors.KernelUnavailable,
    errors.NoStore,
    errors.NotAllowed,
    errors.NotebookNotFound,
    errors.NotSuspended,
    errors.QuestionChanged,
    errors.OutputInUse,
    errors.UnknownExecution,
    errors.UnknownKey,
    errors.UnknownTrigger,
)


@contextmanager
def print_errors(*, as_json: bool) -> Iterator[None]:
    """Print our errors as one sentence on standard error, and exit with the matching code.

    Args:
        as_json: Print `{"error": {"type", "message"}}` on standard output, too.
    """
    try:
        yield
    except errors.PauseflowError as problem:
        if as_json:
            _print_error(type(problem).__name__, str(problem))
        print_lines(f"pauseflow: {printable_lines(problem, indent='  ')}", err=True)
        sys.exit(USAGE if isinstance(problem, _USAGE_ERRORS) else FAILED)
    except click.ClickException as problem:
        # A group that is called without a command carries its help as the message.
        indent = "" if problem.message.startswith("Usage: ") else "  "
        problem.message = printable_lines(problem.message, indent=indent)  # type: ignore[misc]  # click prints this attribute
        if as_json and isinstance(problem, click.UsageError):
            _print_error("UsageError", problem.format_message())
        raise
    except BrokenPipeError:
        sys.exit(FAILED)
    except KeyboardInterrupt:
        print_lines("\npauseflow: stopped by Ctrl-C", err=True)
        sys.exit(LEFT)


def _print_error(kind: str, sentence: str) -> None:
    print_json({"error": {"type": kind, "message": sentence}})


#: Characters of a whole id.
_ID_LENGTH = 12
#: As many as a person reads through.
_MOST_IDS = 20

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value on standard output.")


def store_flags(command: Callable[P, R]) -> Callable[P, R]:
    """Add the flags that name the store."""
    for flag in (
        click.option("--storage", metavar="URL", help="fsspec URL of the file storage.  [PAUSEFLOW_STORAGE]"),
        click.option("--db", metavar="URL", help="SQLAlchemy URL of the database.  [PAUSEFLOW_DB]"),
        click.option("--data-dir", metavar="DIR", help="Data directory of the store.  [PAUSEFLOW_DATA_DIR]"),
    ):
        command = flag(command)
    return command


def store_options(command: Callable[P, R]) -> Callable[..., R]:
    """Add `--json` and the flags of the store to a command, and pass it the `Settings`."""

    @json_option
    @store_flags
    @functools.wraps(command)
    def with_settings(*args: P.args, **kwargs: P.kwargs) -> R:
        flags = {name: kwargs.pop(name, None) for name in ("data_dir", "db", "storage")}
        more_flags = {
            name: kwargs.pop(name)
            for name in ("port", "public_url", "links", "workers", "queues", "max_body")
            if name in kwargs
        }
        notebook = kwargs.get("notebook")
        beside = Path(notebook).parent if isinstance(notebook, str) and "://" not in notebook else None
        settings = Settings.load(flags={**flags, **more_flags}, beside=beside)
        kwargs["settings"] = settings
        if isinstance(beginning := kwargs.get("execution"), str):
            kwargs["execution"] = find_execution(open_queue(settings), beginning)
        return command(*args, **kwargs)

    return with_settings


def find_execution(queue: Any, beginning: str) -> str:
    """Find the id with this beginning; a text that no id begins with is returned as it is.

    Raises:
        AmbiguousExecution: If several do.
    """
    if beginning.endswith(".ipynb"):
        raise click.UsageError(
            f"ID is the id of an execution, and {beginning} is a notebook: "
            f"`pauseflow list --search {shlex.quote(Path(beginning).name)}` shows its executions"
        )
    if not beginning or len(beginning) >= _ID_LENGTH:
        return beginning
    found: list[str] = queue.find_beginning(beginning, _MOST_IDS)
    if len(found) > 1:
        raise errors.AmbiguousExecution(beginning, found)
    return found[0] if found else beginning


def format_flags(settings: Settings) -> str:
    """Write the flags that named the store, for a command that is advised; empty if the environment names it."""
    named = [name for name in ("data_dir", "db", "storage") if settings.origin(name) == "flag"]
    # A URL may hold a password; the person who typed it knows it.
    return "".join(f" --{name.replace('_', '-')} {shlex.quote(settings.shown(name))}" for name in named)


def has_links(view: Mapping[str, Any]) -> bool:
    """Whether an execution, as `Queue.view` shows it, waits for an answer that its links take."""
    return any(suspension.get("resume_url") for suspension in view["suspended"])


def advise_answer(execution: str, settings: Settings) -> str:
    """Write the command that answers without a server, which the links need."""
    return f"answer with `pauseflow resume {execution} --wait{format_flags(settings)}`"


def open_queue(settings: Settings, *, creates: bool = False) -> "Queue":
    """Open the store; only commands that start something create it, so that a mistyped setting is noticed.

    Raises:
        NoStore: If there is none.
    """
    from pauseflow_nb.engine.queue import Queue  # imports SQLAlchemy, which only commands that open the store need

    try:
        return Queue.open(settings, creates=creates)
    except errors.NoStore as problem:
        raise errors.NoStore(problem.place, problem.source, format_flags(settings)) from None


def read_or_nothing(settings: Settings, read: "Callable[[Queue], list[R]]") -> list[R]:
    """Read a list from the store; it is empty if there is none, which is said if a setting names its place."""
    try:
        return read(open_queue(settings))
    except errors.NoStore as problem:
        if problem.source is not None:
            print_lines(f"pauseflow: {problem}", err=True)
        return []


def print_lines(text: str, *, err: bool = False) -> None:
    """Print lines for people; control characters, which a terminal would act on, are written out."""
    _echo(printable_lines(text), err=err)


def print_json(value: Any) -> None:
    """Print the one JSON value of a command."""
    _echo(json_printable(dump_json(value, indent=2)))


def _echo(text: str, *, err: bool = False) -> None:
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise click.ClickException(f"the output cannot be written: {problem.strerror}") from None


def print_execution(view: dict[str, Any], *, as_json: bool, flags: str = "") -> None:
    """Print an execution for a program or for a person; `flags` as in `describe`."""
    from pauseflow_nb.cli.terminal import describe

    if as_json:
        print_json(view)
    else:
        print_lines(describe(view, flags=flags))


def exit_code(state: str) -> int:
    """Return the exit code for the final state of an execution."""
    return {"completed": COMPLETED, "failed": FAILED, "cancelled": CANCELLED}.get(state, WAITS)
