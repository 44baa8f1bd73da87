"""Handle kernel-bound executions, which keep their kernel while they wait, for variables that cannot be saved.

Such an execution is attached to the process that keeps the kernel, as with `pauseflow run`, so that no other process
begins its next segment. When that process leaves it or dies, the execution fails with an error that names the lost
variables.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.errors import KernelLost
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import Failure, Unsaved
from pauseflow_nb.store import executions, segments, steps, suspensions
from pauseflow_nb.store.executions import Row

#: The kind of a reason.
KERNEL_LOST = "kernel-lost"


def merge_kernel_variables(
    lost: Iterable[Unsaved], before: list[dict[str, JSON]] | None
) -> list[dict[str, JSON]] | None:
    """Return the variables that bind an execution to its kernel, for the segment's row; None if there are none."""
    # A kernel knows only the steps of its own segment: the step that made a variable was known when it was first
    # reported.
    made: dict[Any, Any] = {each["name"]: each["cell"] for each in before or []}
    variables = [asdict(unsaved) for unsaved in lost]
    for each in variables:
        cells = [cell for cell in (each["cell"], made.get(each["name"])) if cell is not None]
        each["cell"] = max(cells, default=None)
    return variables or None


def find_first_cell(variables: Iterable[dict[str, Any]]) -> int:
    """Return the first cell that made one of the variables; 0 if that is unknown for one of them."""
    return min((each["cell"] or 0 for each in variables), default=0)


def explain_loss(connection: sa.Connection, execution: str, kernel_variables: list[dict[str, Any]]) -> Failure:
    """Make the error for a lost kernel, which says what to do."""
    first = find_first_cell(kernel_variables)
    runs = sorted(steps.list_runs(connection, [execution]), key=lambda run: int(run.cell))
    step = next((run.step for run in runs if run.cell >= first), None)
    unsaved = [Unsaved.from_dict(each) for each in kernel_variables]
    variables = [f"{each.name} ({each.type_name}{_describe_maker(each)}; {each.reason})" for each in unsaved]
    return Failure("KernelLost", str(KernelLost(execution, variables, step)))


def lose(connection: sa.Connection, segment: Row, row: Row, by: str) -> None:
    """Fail an execution whose kept kernel has ended; the caller holds both rows, and the execution has not ended."""
    failure = explain_loss(connection, row.id, segment.bound)
    if segment.state != "ended":
        segments.end(connection, segment, "failed")
    steps.fail(connection, row.id, segment.n, failure)
    suspensions.void(connection, row.id, by)
    reason: dict[str, JSON] = {"kind": KERNEL_LOST, "by": by, "text": failure.message}
    executions.end(connection, row.id, "failed", by=by, reason=reason, error=asdict(failure), record_after=0.0)


def _describe_maker(unsaved: Unsaved) -> str:
    return "" if unsaved.cell is None else f", made in cell {unsaved.cell + 1}"
