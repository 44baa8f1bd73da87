"""Find the checkpoint from which a retry continues or a fork begins.

Each finished step has left a checkpoint: a snapshot, and the index of the next cell. The cells before it must be
those that ran, so edited cells are found before anything runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pauseflow_nb.cells import find_steps
from pauseflow_nb.engine.kernel_bound import find_first_cell
from pauseflow_nb.errors import InvalidStep
from pauseflow_nb.protocol import SnapshotRef, Wake
from pauseflow_nb.store import segments, steps, suspensions
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.files import Files

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from pauseflow_nb.runner.document import Document


@dataclass(frozen=True)
class Checkpoint:
    """A place from which an execution can continue."""

    #: Index of the first cell to run.
    cell: int = 0
    snapshot: str | None = None
    digest: str | None = None
    signature: str | None = None
    #: The step that made it; None for the beginning.
    step: str | None = None
    #: The answer for the first cells, or an answer that the notebook does not show yet.
    wake: Wake | None = None


@dataclass(frozen=True)
class Restart:
    """The place where a retry continues, known before anything runs."""

    #: Index of the first cell to run.
    first_cell: int
    #: The step after which it continues; None for the beginning of the notebook.
    after: str | None
    #: Steps that have run and will run again, in the order of the notebook.
    again: tuple[str, ...] = ()
    #: Why it continues earlier than requested; None if it does not.
    because: str | None = None

    def __str__(self) -> str:
        # A rerun begins with the variables of the previous run.
        after = "after the last run of" if self.after in self.again else "after"
        where = f"{after} step '{self.after}'" if self.after else "from the beginning"
        again = f"; these steps run again: {', '.join(self.again)}" if self.again else ""
        because = f"{self.because}, so it " if self.because else "it "
        return f"{because}continues {where}, at cell {self.first_cell + 1}{again}"


def find_current(connection: sa.Connection, execution: Row, segment: Row) -> Checkpoint:
    """Find the place where an execution would continue: its last checkpoint, with an answer that was not used yet.

    An execution that was not answered asks again, from the checkpoint before the step, because the variables saved
    at the question were already changed by the step. One whose kernel was lost begins before the cell that made the
    variables of that kernel.
    """
    if segment.bound is not None:
        return _find_before(connection, execution.id, find_first_cell(segment.bound))
    if segment.how == "suspended":
        last = suspensions.find_last(connection, execution.id, segment.n)
        if last is not None and last.kind != "operator":
            return _find_before(connection, execution.id, last.cell)
    left = [row for row in steps.list_runs(connection, [execution.id]) if row.snapshot == segment.snapshot]
    step = left[-1].step if segment.snapshot is not None and left else None
    is_woken = segment.wake is not None and segment.first_cell == segment.start_cell and segment.how != "suspended"
    wake = Wake.from_dict(segment.wake) if is_woken else None
    return Checkpoint(segment.first_cell, segment.snapshot, segment.digest, segment.signature, step, wake)


def find_before_step(connection: sa.Connection, execution: str, document: "Document", step: str) -> Checkpoint:
    """Find the checkpoint from which a named step runs again.

    Raises:
        InvalidStep: If the notebook has no such step, or the execution has not reached it.
    """
    cells = find_step_cells(document)
    if step not in cells:
        raise InvalidStep(step, f"the notebook has no such step, only: {', '.join(cells) or 'none'}")
    runs = {row.step: row for row in steps.list_runs(connection, [execution])}
    points = {name: _find_after(connection, row) for name, row in runs.items()}
    earlier = [name for name, cell in cells.items() if cell < cells[step]]
    waiting = [name for name in earlier if name not in points or points[name] is None]
    if step not in runs and waiting:
        raise InvalidStep(step, f"the execution has not reached it: step '{waiting[0]}' has not ended")
    return _find_before(connection, execution, cells[step])


def find_before_edit(
    connection: sa.Connection, execution: str, old: "Document", new: "Document", current: Checkpoint
) -> tuple[Checkpoint, str | None]:
    """Find the last checkpoint, at most the current one, with no edited cell before it.

    Returns:
        The checkpoint, and why it is not the current one; None if it is.
    """
    same = _count_same_cells(old, new)
    if _count_code_before(old, current.cell) <= same:
        return current, None
    found = [point for row in _list_last_runs(connection, execution) if (point := _find_after(connection, row))]
    allowed = [p for p in found if p.snapshot and p.cell < current.cell and _count_code_before(old, p.cell) <= same]
    changed = [index for index, _ in _list_code_cells(old)][same]
    return (allowed[-1] if allowed else Checkpoint()), f"cell {changed + 1} was edited after it ran"


def merge_outputs(old: "Document", new: "Document", first_cell: int) -> tuple["Document", int]:
    """Copy the outputs of the cells before a checkpoint into an edited notebook.

    Returns:
        The edited notebook, and the index of its first cell to run.
    """
    from nbformat import NotebookNode

    from pauseflow_nb.runner import cell_statuses

    passed = [index for index, _ in _list_code_cells(old) if index < first_cell]
    matched = [index for index, _ in _list_code_cells(new)][: len(passed)]
    for before, after in zip(passed, matched, strict=True):
        source, target = old.cells[before], new.cells[after]
        target.outputs, target.execution_count = source.outputs, source.execution_count
        for key in ("papermill", "pauseflow"):
            if key in source.metadata:
                target.metadata[key] = source.metadata[key]
        new.changed(after)
    first = matched[-1] + 1 if matched else 0
    for index in set(range(first)) - set(matched):
        cell_statuses.note_ended(new, index, "completed")
    for key in ("pauseflow", "widgets"):
        if key in old.metadata:
            new.metadata[key] = old.metadata[key]
    started = old.metadata.get("papermill", {}).get("start_time")
    new.metadata.setdefault("papermill", NotebookNode())["start_time"] = started
    new.changed()
    return new, first


def copy_snapshots(files: Files, source: str, target: str, points: Mapping[str, str]) -> dict[str, SnapshotRef]:
    """Copy snapshots from one execution's folder into another's.

    Raises:
        SnapshotDamaged: If a part of one is missing.
    """
    # Lazily: it loads modules of the kernel, and few executions are forked.
    from pauseflow_nb.kernel.snapshot.storage.copy_snapshot import adopt as copy

    old, new = files.folder(source), files.folder(target)
    return {name: copy(old, new, SnapshotRef(name, digest), execution=target) for name, digest in points.items()}


def _list_last_runs(connection: sa.Connection, execution: str) -> list[Row]:
    """List the last run of each step, in the order of the notebook."""
    return list({row.step: row for row in steps.list_runs(connection, [execution])}.values())


def _find_before(connection: sa.Connection, execution: str, cell: int) -> Checkpoint:
    """Find the last checkpoint before a cell; the beginning if there is none."""
    left = [_find_after(connection, run) for run in _list_last_runs(connection, execution) if run.cell < cell]
    found = [point for point in left if point is not None and point.snapshot is not None]
    return found[-1] if found else Checkpoint()


def _find_after(connection: sa.Connection, run: Row) -> Checkpoint | None:
    """Return the checkpoint of a run; None if it has no snapshot, or the notebook did not continue after it."""
    if run.state == "finished":
        return Checkpoint(run.cell + 1, run.snapshot, run.digest, run.signature, run.step)
    woken = segments.find_woken_after(connection, run.execution, run.segment) if run.state == "suspended" else None
    wake = None if woken is None else Wake.from_dict(woken.wake)
    if wake is None or wake.step != run.step or wake.then == "rerun":
        return None
    # The snapshot was made at the pause: no snapshot has what the fresh cells have bound since.
    wake = replace(wake, is_checked=False)
    return Checkpoint(run.cell + 1, run.snapshot, run.digest, run.signature, run.step, wake)


def find_step_cells(document: "Document") -> dict[str, int]:
    """Return step → index of its cell."""
    headers = find_steps((index, cell.source) for index, cell in enumerate(document.cells) if cell.cell_type == "code")
    return {header.name: index for index, header in headers.items() if header.kind == "step"}


def _list_code_cells(document: "Document") -> list[tuple[int, "NotebookNode"]]:
    cells = enumerate(document.cells)
    return [(index, cell) for index, cell in cells if cell.cell_type == "code" and cell.source.strip()]


def _count_code_before(document: "Document", index: int) -> int:
    return sum(at < index for at, _ in _list_code_cells(document))


def _count_same_cells(old: "Document", new: "Document") -> int:
    pairs = zip(_list_code_cells(old), _list_code_cells(new), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0][1].source == pair[1][1].source, pairs))
