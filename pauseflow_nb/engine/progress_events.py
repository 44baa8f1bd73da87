"""Define the events that a process emits while it runs segments, for a progress bar or a log."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True)
class Event:
    """An event of an execution.

    Kinds, and what stands in `data`:

        kernel      `pid`, `segment`               a kernel is ready
        step        `step`, `run`, `attempt`       a step begins
        cell        `cell`, `done`, `total`        a cell was passed
        output      `cell`, `output`               a cell showed something; links in it are not masked
        updated     `cell`, `output`               what a cell had shown became something else, by its display id
        said        `text`                         something the user should know
        suspended   `view`                         it waits
        queued      `view`                         it was woken, or another attempt is about to begin
        ended       `view`                         it is completed, failed or cancelled
    """

    kind: Literal["kernel", "step", "cell", "output", "updated", "said", "suspended", "queued", "ended"]
    execution: str
    data: Mapping[str, Any] = field(default_factory=dict)


#: Called in the thread that runs the segment.
Events: TypeAlias = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Ignore an event."""
