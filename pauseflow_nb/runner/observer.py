"""Define what a segment reports: calls to an `Observer` while it runs, and a `SegmentEnd`."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from nbformat import NotebookNode

from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import Failure, Loss, MessageRequest, Outcome, PauseAnswer, PauseQuestion
from pauseflow_nb.runner.document import Document


@dataclass(frozen=True)
class SegmentEnd:
    """How a segment ended.

    After `stopped` and `interrupted` nothing was saved: the segment must run again from its last checkpoint, which is
    `next_cell`, and cells that ran after the checkpoint run again.
    """

    kind: Literal[
        "completed", "suspended", "exited", "failed", "stopped", "interrupted", "refused", "drifted", "handed over"
    ]
    #: Index of the cell from which another segment, or another attempt at this one, continues.
    next_cell: int
    #: The outcome of the step that ended the segment, if one did.
    outcome: Outcome | None = None
    failure: Failure | None = None
    #: Whether the cause is not the notebook but what it runs in: before its first cell, or when a cell could not get its
    #: variables from the storage. The answer can be used again.
    environment: bool = False
    #: What the kernel could not restore.
    losses: list[Loss] = field(default_factory=list)
    #: With `refused`: the errors of the notebook's validators about the answer. No cell ran, and the card waits again.
    errors: list[dict[str, JSON]] = field(default_factory=list)
    #: With `drifted`: what the fresh cells found. No other cell ran, and the card waits again. With `failed`: why.
    checks: list[dict[str, JSON]] = field(default_factory=list)


class Observer(Protocol):
    """Receives what happens, in the thread that runs the segment.

    An exception from any of these methods aborts the segment and kills its kernel: an attempt that was fenced off must stop.
    """

    def on_kernel(self, pid: int) -> None:
        """A kernel is ready."""

    def on_cell(self, index: int, done: int) -> None:
        """A cell of any type has ended; `done` cells of the notebook have."""

    def on_losses(self, losses: list[Loss]) -> None:
        """The kernel could not restore these; if a cell needs one of them, the segment ends."""

    def on_step_start(self, step: str, run: int, attempt: int, cell: int) -> None:
        """A step is about to run."""

    def on_checkpoint(self, next_cell: int, outcome: Outcome, document: Document) -> None:
        """A step finished and the variables were saved; `document` is up to date."""

    def on_checks(
        self, checks: list[dict[str, JSON]], first_cell: int, saved: Outcome | None, document: Document
    ) -> None:
        """The fresh cells ran again after an answer, which stands; `saved` has the variables, if they could be saved."""

    def find_answer(self, question: PauseQuestion, cell: int) -> PauseAnswer | None:
        """Find the answer to a pause within a cell; called repeatedly until it returns one."""

    def deliver(self, message: MessageRequest) -> tuple[str, str] | None:
        """Send a message of a step; returns the recipients that it did not reach and the reason, or None."""

    def respond(self, response: dict[str, JSON]) -> bool:
        """Respond to the request that started the execution; returns whether it is the first response to one."""

    def find_secret(self, name: str) -> str:
        """Return the value of a secret.

        Raises:
            MissingSecret: If it is not there.
            InvalidValue: If the name cannot be one.
        """

    def on_not_suspended(self, problem: str) -> None:
        """The segment was to be suspended, but its variables cannot be saved; it continues."""

    def on_output(self, cell: int, output: NotebookNode) -> None:
        """A cell has a new output; links in it are not masked."""

    def on_update(self, cell: int, output: NotebookNode) -> None:
        """An earlier output of a cell was updated through its display id."""
