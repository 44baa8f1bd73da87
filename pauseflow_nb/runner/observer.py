"""What a segment tells whoever runs it: while it runs, to an `Observer`, and how it ended, as a `SegmentEnd`."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from nbformat import NotebookNode

from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import Failure, Loss, MessageRequest, Outcome, PauseAnswer, PauseQuestion
from pauseflow_nb.runner.document import Document

__all__ = ["Observer", "SegmentEnd"]


@dataclass(frozen=True)
class SegmentEnd:
    """How a segment ended.

    `stopped` and `interrupted` are no pauses: nothing was saved at that point. The segment is to be
    run again from its last checkpoint, which is `next_cell`; cells that ran since run again.
    """

    kind: Literal["completed", "suspended", "exited", "failed", "stopped", "interrupted", "refused"]
    #: Index of the cell from which another segment, or another attempt at this one, goes on.
    next_cell: int
    #: What the kernel told of the step that ended the segment, if one did.
    outcome: Outcome | None = None
    failure: Failure | None = None
    #: Whether the segment failed before its first cell: nothing of the notebook ran, its answer is not used up.
    environment: bool = False
    #: What the kernel could not bring back.
    losses: list[Loss] = field(default_factory=list)
    #: With `refused`: what the notebook's own validators have against the answer. Nothing ran, and the card is back.
    errors: list[dict[str, JSON]] = field(default_factory=list)


class Observer(Protocol):
    """Is told what happens, in the thread that runs the segment.

    An exception from any of these aborts the segment and kills its kernel: what was fenced off must
    do no more.
    """

    def on_kernel(self, pid: int) -> None:
        """A kernel is ready."""

    def on_cell(self, index: int, done: int) -> None:
        """A cell of any type was passed; `done` cells of the notebook are behind us."""

    def on_losses(self, losses: list[Loss]) -> None:
        """The kernel could not bring these back; if a cell needs one of them, the segment ends with that."""

    def on_step_start(self, step: str, run: int, attempt: int, cell: int) -> None:
        """A step is about to run."""

    def on_checkpoint(self, next_cell: int, outcome: Outcome, document: Document) -> None:
        """A step finished and was saved; `document` is up to date."""

    def find_answer(self, question: PauseQuestion, cell: int) -> PauseAnswer | None:
        """A step waits within its cell; asked again and again until there is an answer."""

    def deliver(self, message: MessageRequest) -> tuple[str, str] | None:
        """A step sends a message to people: returns whom it did not reach, and why; None if all is well."""

    def on_not_suspended(self, problem: str) -> None:
        """Somebody asked that the segment be suspended, and its variables cannot be saved; it goes on."""

    def on_output(self, cell: int, output: NotebookNode) -> None:
        """A cell showed something, as it came: links in it are not masked."""

    def on_update(self, cell: int, output: NotebookNode) -> None:
        """What a cell had shown became something else, by its display id."""
