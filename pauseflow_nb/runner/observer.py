"""Define the reports of a segment: calls to an `Observer` while it runs, and a `SegmentEnd`."""

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
    #: Whether the cause is not the notebook but its environment: before its first cell, or because a cell could
    #: not get its variables from the storage. The answer can be used again.
    environment: bool = False
    #: What the kernel could not restore.
    losses: list[Loss] = field(default_factory=list)
    #: With `refused`: the errors of the notebook's validators about the answer. No cell ran, and the card waits again.
    errors: list[dict[str, JSON]] = field(default_factory=list)
    #: With `drifted` and `failed`: the checks of the fresh cells. After `drifted` no other cell ran, and the card
    #: waits again.
    checks: list[dict[str, JSON]] = field(default_factory=list)


class Observer(Protocol):
    """Receives events, in the thread that runs the segment.

    An exception from any of these methods aborts the segment and kills its kernel: an attempt that was fenced off must stop.
    """

    def on_kernel(self, pid: int) -> None:
        """Receive that a kernel is ready."""

    def on_cell(self, index: int, done: int) -> None:
        """Receive that a cell of any type has ended, and how many have."""

    def on_losses(self, losses: list[Loss]) -> None:
        """Receive what the kernel could not restore; if a cell needs one of them, the segment ends."""

    def on_step_start(self, step: str, run: int, attempt: int, cell: int) -> None:
        """Receive that a step is about to run."""

    def on_checkpoint(self, next_cell: int, outcome: Outcome, document: Document) -> None:
        """Receive that a step finished and the variables were saved; `document` is up to date."""

    def on_checks(
        self, checks: list[dict[str, JSON]], first_cell: int, saved: Outcome | None, document: Document
    ) -> None:
        """Receive the checks of fresh cells after an answer that counts; `saved` is the snapshot, if there is one."""

    def find_answer(self, question: PauseQuestion, cell: int) -> PauseAnswer | None:
        """Find the answer to a pause within a cell; called repeatedly until it returns one."""

    def deliver(self, message: MessageRequest) -> tuple[str, str] | None:
        """Send a message of a step; returns the recipients that it did not reach and the reason, or None."""

    def respond(self, response: dict[str, JSON]) -> bool:
        """Respond to the request that started the execution; return False if none waits or it has its response."""

    def find_secret(self, name: str) -> str:
        """Return the value of a secret.

        Raises:
            MissingSecret: If no provider has it.
            InvalidValue: If the name cannot be one.
        """

    def on_not_suspended(self, problem: str) -> None:
        """Receive that the segment continues, because its variables cannot be saved to suspend it."""

    def on_output(self, cell: int, output: NotebookNode) -> None:
        """Receive a new output of a cell; links in it are not masked."""

    def on_update(self, cell: int, output: NotebookNode) -> None:
        """Receive an output of a cell that was updated through its display id."""
