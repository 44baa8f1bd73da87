"""What kind a cell is, read from its first line: `%%step NAME [options]`, `%%setup`, or neither.

Both sides of the kernel boundary read the same line: the runner to know the notebook's steps before
anything runs, the kernel to turn the line into code. So it is read here, once.
"""

import argparse
import keyword
import re
import shlex
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NoReturn

from pauseflow_nb.durations import duration
from pauseflow_nb.errors import InvalidDuration, InvalidStep

__all__ = ["Header", "StepOptions", "header_of", "steps_of"]

#: `steps.trigger` is Pipedream's name for what started the workflow.
RESERVED = frozenset({"trigger"})

_HEADER = re.compile(r"%%(step|setup)(?=\s|$)([^\n]*)")
#: One below nothing but comments: IPython would say that it knows no such magic, when the cell's turn comes.
_LATE_HEADER = re.compile(r"(?:[ \t]*#[^\n]*\n\s*)+%%(step|setup)(?=\s|$)[ \t]*(\S*)")


@dataclass(frozen=True)
class StepOptions:
    """What stands behind the name in `%%step NAME`."""

    #: The longest that the step may run; time in `flow.pause` does not count.
    timeout: timedelta | None = None
    #: How often a step that raised is tried again in the same kernel.
    retries: int = 0
    #: The wait before the first retry.
    retry_delay: timedelta = field(default=timedelta())
    #: What the wait is multiplied by before each further retry.
    backoff: float = 1.0


@dataclass(frozen=True)
class Header:
    """The first line of a step or setup cell."""

    #: `"step"` or `"setup"`.
    kind: str
    #: The step's name; empty for a setup cell.
    name: str = ""
    options: StepOptions = StepOptions()


def header_of(source: str, *, cell: int | None = None) -> Header | None:
    """Read a cell's first line; None for a plain cell.

    Args:
        source: The cell's source. The header must be its first line that is not blank.
        cell: Index of the cell, for the error.

    Raises:
        InvalidStep: If the line is a `%%step` or `%%setup` that cannot be read.
    """
    source = source.lstrip()
    late = _LATE_HEADER.match(source)
    if late is not None:
        raise InvalidStep(late[2], f"`%%{late[1]}` must stand in the first line of its cell, above all comments", cell)
    match = _HEADER.match(source)
    if match is None:
        return None
    kind, rest = match[1], match[2].strip()
    try:
        words = shlex.split(rest)
    except ValueError as problem:
        raise InvalidStep(rest, f"the line cannot be read: {problem}", cell) from None
    if kind == "setup":
        if words:
            raise InvalidStep(rest, "%%setup takes no name and no options", cell)
        return Header("setup")
    if not words or words[0].startswith("-"):
        raise InvalidStep(rest, "a step needs a name: write `%%step NAME`", cell)
    # As Python reads it: `steps.NAME` is normalised before anything looks it up.
    name = unicodedata.normalize("NFKC", words[0])
    _check_name(name, cell)
    return Header("step", name, _options(name, words[1:], cell))


def steps_of(sources: Iterable[tuple[int, str]]) -> dict[int, Header]:
    """Find the steps and setups of a notebook and check their names against each other.

    Args:
        sources: Index and source of each code cell, in order.

    Returns:
        Cell index → header, for step and setup cells only.

    Raises:
        InvalidStep: For a line that cannot be read, or a name that two cells share.
    """
    headers: dict[int, Header] = {}
    first: dict[str, int] = {}
    for cell, source in sources:
        header = header_of(source, cell=cell)
        if header is None:
            continue
        headers[cell] = header
        if header.kind == "step":
            if header.name in first:
                raise InvalidStep(header.name, f"cell {first[header.name] + 1} has this name already", cell)
            first[header.name] = cell
    return headers


def _check_name(name: str, cell: int | None) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InvalidStep(name, "a name must be a Python identifier, such as `approve_model`", cell)
    if name in RESERVED or (name.startswith("__") and name.endswith("__")):
        raise InvalidStep(name, "this name is reserved", cell)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _options(name: str, words: list[str], cell: int | None) -> StepOptions:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--timeout")
    parser.add_argument("--retries", type=int, default=0)
    parser.add_argument("--retry-delay")
    parser.add_argument("--backoff", type=float, default=1.0)
    try:
        given = parser.parse_args(words)
        if given.retries < 0 or not 1 <= given.backoff <= 1000:
            raise ValueError("--retries must be 0 or more, --backoff between 1 and 1000")
        return StepOptions(
            timeout=None if given.timeout is None else duration(given.timeout, what="--timeout"),
            retries=given.retries,
            retry_delay=timedelta() if given.retry_delay is None else duration(given.retry_delay, what="--retry-delay"),
            backoff=given.backoff,
        )
    except (ValueError, InvalidDuration) as problem:
        raise InvalidStep(name, str(problem), cell) from None
