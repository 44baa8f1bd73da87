"""Find the newest version of an execution's notebook, which may be its output if it could not be stored."""

import contextlib
import logging
from dataclasses import dataclass

import sqlalchemy as sa

from pauseflow_nb.engine.decision_records import is_sealed, list_shown_cells
from pauseflow_nb.engine.kernel_bound import KERNEL_LOST
from pauseflow_nb.engine.write_output import read_output
from pauseflow_nb.errors import InvalidNotebook
from pauseflow_nb.runner import cell_statuses
from pauseflow_nb.runner.cards import Place, find_question
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.notices import complete_cells
from pauseflow_nb.store import decisions
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import FINAL, Row

log = logging.getLogger(__name__)

#: Kinds of reasons for which an execution fails although no cell failed.
ENDS_OUTSIDE_CELLS = frozenset({"environment", "crashed", KERNEL_LOST})


def find_newest(
    engine: sa.Engine, row: Row, document: Document, *, suspension: Row | None, segment: Row | None
) -> Document:
    """Return the notebook from the output if it has progress that the stored notebook lacks.

    If neither has it, the stored notebook gets the status of each cell that has run.

    Args:
        engine: The database.
        row: The execution.
        document: Its notebook, as last stored.
        suspension: Its last suspension, if there is one.
        segment: Its newest segment.
    """
    if segment is None:
        return document
    progress = _Progress(row, suspension, segment)
    if progress.is_missing_in(document):
        with contextlib.suppress(InvalidNotebook):
            output = read_output(row)
            if output is not None and _is_same_program(document, output) and not progress.is_missing_in(output):
                with reading(engine) as connection:
                    if progress.is_authentic(connection, output):
                        log.warning("took the notebook of %s from its output", row.id, extra={"execution": row.id})
                        return output
    complete_cells(document, progress.done, progress.failed)
    return document


def _is_same_program(one: Document, other: Document) -> bool:
    """Whether two notebooks have the same code: a user may have edited the output."""

    def read(document: Document) -> list[tuple[object, ...]]:
        return [(cell.get("id"), cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in document.cells]

    return read(one) == read(other)


@dataclass(frozen=True)
class _Progress:
    """The progress of an execution, according to the store."""

    row: Row
    suspension: Row | None
    segment: Row

    @property
    def done(self) -> int:
        """Return how many cells have succeeded."""
        if self._is_waiting or self.row.state == "completed":
            return int(self.row.cells_done)
        return int(self.segment.first_cell) if self.failed is None else self.failed

    @property
    def failed(self) -> int | None:
        """Return the index of the cell that failed, or None."""
        if self.row.state != "failed" or not self._is_ended_by_cell:
            return None
        cell = (self.row.error or {}).get("cell")
        return None if cell is None else int(cell)

    @property
    def _is_ended_by_cell(self) -> bool:
        if self.row.state not in FINAL or self.segment.how not in ("completed", "exited", "failed"):
            return False
        return (self.row.reason or {}).get("kind") not in ENDS_OUTSIDE_CELLS

    @property
    def _is_waiting(self) -> bool:
        """Whether the newest segment ended with the last suspension."""
        found = self.suspension
        return found is not None and found.kind != "pause" and found.segment == self.segment.n

    @property
    def _question(self) -> Row | None:
        """Return the suspension after which no cell has run."""
        has_run = self.segment.attempt > 1 or (self.segment.attempt == 1 and self.row.state in FINAL)
        return self.suspension if self._is_waiting or not has_run else None

    def is_missing_in(self, document: Document) -> bool:
        """Whether a notebook lacks some of this progress."""
        failed, question = self.failed, self._question
        return bool(
            cell_statuses.list_missing(document, self.done)
            or (failed is not None and cell_statuses.status_of(document.cells[failed]) != "failed")
            or (self._is_ended_by_cell and not cell_statuses.is_closed(document))
            or (question is not None and not find_question(document, _place(question)))
        )

    def is_authentic(self, connection: sa.Connection, document: Document) -> bool:
        """Whether the cells of a notebook match the digests in the store, or nothing was signed."""
        if self._is_ended_by_cell:
            return is_sealed(connection, self.row.id, self.row.state, document)
        question = self._question
        if question is not None and "cells" in (question.shown or {}):
            cells = list_shown_cells(connection, question)
            return document.digest_cells(len(cells)) == cells
        return not decisions.list_all(connection, self.row.id)


def _place(suspension: Row) -> Place:
    """Return the place of its card: a fork keeps the card of its source."""
    own = {name: getattr(suspension, name) for name in ("step", "run", "segment", "ordinal")}
    return Place(**((suspension.shown or {}).get("suspension") or own))
