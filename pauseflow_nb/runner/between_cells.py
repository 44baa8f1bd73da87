"""Save a kernel's variables between two cells, to suspend the notebook or hand it over to another queue."""

from dataclasses import dataclass, replace

from pauseflow_nb.cells import find_steps
from pauseflow_nb.errors import CannotHandOver
from pauseflow_nb.protocol import Failure, Outcome, SuspensionRequest
from pauseflow_nb.runner import cards, cell_statuses
from pauseflow_nb.runner.client import KernelClient, Tick
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.kernel_messages import read_outcome, suspend_kernel
from pauseflow_nb.runner.observer import Observer, SegmentEnd


@dataclass(frozen=True)
class BetweenCells:
    """Ends a segment between two cells."""

    client: KernelClient
    document: Document
    observer: Observer
    #: Number of the segment.
    segment: int
    #: Called while the kernel saves.
    tick: Tick

    def suspend(self, index: int, by: str) -> SegmentEnd | None:
        """Suspend the notebook before a cell; None if its variables cannot be saved, so that it continues."""
        if not self.client.kernel.spec.is_python:
            language = self.client.kernel.spec.language
            self.observer.on_not_suspended(f"the variables of a {language} kernel cannot be saved")
            return None
        outcome, problem = self._save(index)
        if outcome is None:
            self.observer.on_not_suspended(problem)
            return None
        request = SuspensionRequest("operator", on_timeout="cancel", title=f"Suspended by {by.removeprefix('user:')}")
        ran = [at for at in range(index) if cell_statuses.status_of(self.document.cells[at]) != "not run"]
        shows = [at for at in ran if self.document.cells[at].cell_type == "code"]
        if shows:
            place = cards.Place("", outcome.run, self.segment, outcome.ordinal)
            cards.write_card(self.document, shows[-1], place, request, outcome.unsaved, notes=outcome.notes)
        return SegmentEnd("suspended", index, replace(outcome, suspension=request))

    def hand_over(self, index: int, checkpoint: int) -> SegmentEnd:
        """Hand the notebook over to workers of another queue; it fails if a variable that they need cannot be saved.

        Args:
            index: Index of the cell.
            checkpoint: Index of the cell from which another attempt continues.
        """
        outcome, problem = self._save(index)
        lost = [] if outcome is None else [str(each) for each in outcome.lost]
        if outcome is not None and not lost:
            return SegmentEnd("handed over", index, replace(outcome, kind="finished"))
        cells = enumerate(self.document.cells)
        coming = find_steps((at, cell.source) for at, cell in cells if at >= index and cell.cell_type == "code")
        step = next((header.name for header in coming.values() if header.kind == "step"), "")
        why = Failure("CannotHandOver", str(CannotHandOver(step, lost or [problem])), index, step)
        cell_statuses.close(self.document)
        return SegmentEnd("failed", checkpoint, None, why)

    def _save(self, index: int) -> tuple[Outcome | None, str]:
        """Save the variables; return the outcome, or None and the reason."""
        reply = suspend_kernel(self.client, index, self.tick)
        outcome = read_outcome(reply, self.document)
        if outcome is not None and outcome.snapshot is not None:
            return outcome, ""
        failure = outcome.failure if outcome is not None else None
        return None, self.document.masked(reply.evalue) if failure is None else f"{failure.type}: {failure.message}"
