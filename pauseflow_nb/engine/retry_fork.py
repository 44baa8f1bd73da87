"""Continue an execution from an earlier checkpoint (retry), or start a sibling from one (fork)."""

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pauseflow_nb.engine import checkpoints
from pauseflow_nb.engine.checkpoints import Checkpoint, Restart
from pauseflow_nb.engine.decision_records import sign_waiting, withdraw_decisions
from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.engine.settling import Settling
from pauseflow_nb.engine.start_checks import (
    explain_conflict,
    require_allowance,
    require_free_output,
    require_room,
    resolve_output,
)
from pauseflow_nb.errors import CannotRetry, PauseflowError, StoreUnavailable
from pauseflow_nb.queues import QueuePlan
from pauseflow_nb.store import audit, decisions, executions, keys, segments, steps, suspensions, triggers, workers
from pauseflow_nb.store.database import now, reading
from pauseflow_nb.store.executions import FINAL, Row
from pauseflow_nb.store.segments import NewSegment

if TYPE_CHECKING:
    from pauseflow_nb.runner.document import Document
    from pauseflow_nb.runner.notebook import Frozen

#: Kinds of suspensions that a sibling can wait in, too, because only a row waits.
_COPIED = frozenset({"suspend", "rerun", "delay", "operator"})


@dataclass(frozen=True)
class _Edited:
    """An edited notebook, ready to replace the one that ran."""

    frozen: "Frozen"
    document: "Document"


@dataclass(frozen=True)
class _Retry:
    store: OpenStore
    execution: str
    by: str
    from_step: str | None
    edited: _Edited | None
    force: bool
    attached_to: str | None

    def change(self, connection: sa.Connection) -> tuple[Restart, str | None]:
        segment, row = segments.lock_with_execution(connection, self.execution)
        self._require_end(row)
        self.store.require_document(row)
        point, again, because = self._choose(connection, row, segment)
        document = None
        first_cell = point.cell
        executions.reopen(connection, self.execution)
        executions.attach(connection, self.execution, self.attached_to)
        asks_again = segment.how == "suspended" or segment.bound is not None
        if self.from_step is not None or asks_again or point != checkpoints.find_current(connection, row, segment):
            steps.forget(connection, self.execution, first_cell)
        if self.edited is not None:
            document, first_cell = self._replace(connection, row, first_cell)
        if self.force:
            # Other versions may occur at each later pause; missing variables matter only in this segment.
            forced = {"force": True, "goes_without": segment.n + 1}
            executions.set_state(connection, self.execution, "queued", options={**row.options, **forced})
        if (row.reason or {}).get("kind") == "environment":
            # No cell ran without the missing variables: the next segment checks again.
            segments.set_losses(connection, self.execution, segment.n, [])
        details: dict[str, Any] = {"cell": first_cell, "after": point.step}
        audit.add_line(connection, self.execution, "retried", self.by, segment=segment.n + 1, **details)
        executions.set_state(connection, self.execution, "queued", cells_done=first_cell)
        settling = Settling(connection, self.store.jobs)
        settling.queue_segment(NewSegment(self.execution, segment.n + 1, first_cell, point.wake, point))
        return Restart(first_cell, point.step, again, because), document

    def _require_end(self, row: Row) -> None:
        allowed = FINAL if self.from_step is not None or self.edited is not None else {"failed"}
        # It was not answered, so the step asks again.
        is_unanswered = row.state == "cancelled" and (row.reason or {}).get("kind") == "timeout"
        if row.state not in allowed and not is_unanswered:
            raise CannotRetry(self.execution, row.state)

    def _choose(
        self, connection: sa.Connection, row: Row, segment: Row
    ) -> tuple[Checkpoint, tuple[str, ...], str | None]:
        chosen = checkpoints.find_current(connection, row, segment)
        because: str | None = None
        if segment.bound is not None and self.from_step is None:
            names = ", ".join(each["name"] for each in segment.bound)
            because = f"the kernel that had {names} has ended"
        if self.from_step is not None or self.edited is not None:
            old = self.store.read_document(row)
            if self.from_step is not None:
                chosen = checkpoints.find_before_step(connection, self.execution, old, self.from_step)
            if self.edited is not None:
                new = self.edited.document
                chosen, changed = checkpoints.find_before_edit(connection, self.execution, old, new, chosen)
                because = changed or because
        ran = {run.step: run for run in steps.list_runs(connection, [self.execution]) if run.cell >= chosen.cell}
        left = ran if self.edited is None else checkpoints.find_step_cells(self.edited.document)
        return chosen, tuple(step for step in ran if step in left), because

    def _replace(self, connection: sa.Connection, row: Row, first_cell: int) -> tuple[str, int]:
        assert self.edited is not None
        document, first = checkpoints.merge_outputs(self.store.read_document(row), self.edited.document, first_cell)
        name = f"{self.execution}/edited-{secrets.token_hex(4)}.ipynb"
        self.store.files.write(name, document.to_bytes())
        frozen = self.edited.frozen
        values = {
            "steps": frozen.steps,
            "cells_total": frozen.cells,
            "parameters": frozen.inputs,
            "queues": frozen.queues.stored,
        }
        executions.set_state(connection, self.execution, "queued", document=name, **values)
        # The cells from there on have lost their outputs.
        past = [run for run in steps.list_runs(connection, [self.execution]) if run.cell < first_cell]
        withdraw_decisions(connection, self.execution, {(run.step, run.run) for run in past}, document)
        steps.move(connection, self.execution, checkpoints.find_step_cells(document))
        return row.document, first


def retry(
    store: OpenStore,
    execution: str,
    *,
    by: str,
    from_step: str | None = None,
    notebook: str | None = None,
    force: bool = False,
    attached_to: str | None = None,
) -> Restart:
    """Continue an execution that has ended from a checkpoint, without running again what finished before it.

    An answer that was not used because the next segment did not start is used now. A step that failed because nobody
    answered in time runs and asks again.

    Args:
        store: The store.
        execution: Its id. Without `from_step` and `notebook` it must have failed.
        by: The person who requests it.
        from_step: The first step to run again; otherwise it continues from its last checkpoint.
        notebook: Path of an edited notebook that replaces the one that ran. If a cell before the checkpoint was
            changed, it continues from the last checkpoint before that cell.
        force: Whether a snapshot of other versions may be restored from now on, and the next segment may continue
            without variables that could not be restored.
        attached_to: The process that will run it; None: any worker.

    Returns:
        The place where it continues; nothing has run yet.

    Raises:
        UnknownExecution: If there is none.
        CannotRetry: If the execution's state does not allow it.
        NotebookGone: If its stored notebook was removed; nothing was changed.
        InvalidStep: If there is no such step, or the execution has not reached it.
        OutputInUse: If another execution writes its output now.
        AllowanceReached: If its user, or its queue, has as many executions as it may.
        PauseflowError: If the edited notebook cannot be run.
    """
    with reading(store.engine) as connection:
        known = executions.require(connection, execution)
    if known.parent is None:
        require_allowance(store, known.created_by, QueuePlan.parse(known.queues).home)
    edited = None if notebook is None else _read(store, execution, notebook)
    work = _Retry(store, execution, by, from_step, edited, force, attached_to)
    try:
        restart, replaced = store.change(work.change)
    except sa.exc.IntegrityError:
        with reading(store.engine) as connection:
            row = executions.find(connection, execution)
        raise explain_conflict(store, None if row is None else row.output) from None
    if replaced is not None:
        store.files.remove(replaced)
    return restart


def fork(
    store: OpenStore,
    execution: str,
    *,
    by: str,
    from_step: str | None = None,
    output: str | None = None,
    attached_to: str | None = None,
) -> str:
    """Start a sibling from a checkpoint: the same notebook and variables, and an output and links of its own.

    Args:
        store: The store.
        execution: Id of the source, in any state; it is not changed.
        by: The person who requests it.
        from_step: The step that the sibling begins with. None: the last checkpoint; if the execution waits, the
            sibling waits for an answer to the same question.
        output: Its output; the default is named after the source's output.
        attached_to: The process that will run it; None: any worker.

    Returns:
        The sibling's id.

    Raises:
        UnknownExecution: If there is none.
        CannotRetry: If it has ended, has not failed, and no step was named.
        InvalidStep: If there is no such step, or the execution has not reached it.
        InvalidParameter: If the output cannot be written.
        OutputInUse: If another execution that has not ended owns the output.
        AllowanceReached: If the user, or the queue, has as many executions as it may.
        QuotaReached: If the storage holds as much as it may.
        DiskNearlyFull: If its disk has too little room.
    """
    from pauseflow_nb.runner.output_file import require_writable  # lazily: as in _read

    output = resolve_output(output)
    require_writable(output)
    id_ = secrets.token_hex(6)
    with reading(store.engine) as connection:
        row = executions.require(connection, execution)
    document = store.read_document(row)
    require_allowance(store, by, QueuePlan.parse(row.queues).home)
    require_room(store, len(document.to_bytes()))
    work = _Fork(store, row, id_, by, from_step, output or _name_sibling_output(row.output, id_), attached_to)
    try:
        return work.run(document)
    except sa.exc.IntegrityError:
        store.files.remove(id_)
        raise explain_conflict(store, work.output) from None
    except StoreUnavailable:
        # The store may have added the sibling before it stopped answering. Otherwise `gc` removes the files.
        raise
    except PauseflowError:
        store.files.remove(id_)
        raise


@dataclass(frozen=True)
class _Fork:
    store: OpenStore
    source: Row
    id: str
    by: str
    from_step: str | None
    output: str | None
    attached_to: str | None

    def run(self, document: "Document") -> str:
        """Copy the files that the sibling needs, then add the sibling in one transaction."""
        with reading(self.store.engine) as connection:
            segment = segments.find(connection, self.source.id, self.source.segment)
            assert segment is not None
            point, waits = self._choose(connection, segment, document)
            past = [run for run in steps.list_runs(connection, [self.source.id]) if self._is_past(run, point, waits)]
        points = {run.snapshot: run.digest for run in past if run.snapshot is not None}
        if point.snapshot is not None and point.digest is not None:
            points[point.snapshot] = point.digest
        adopted = checkpoints.copy_snapshots(self.store.files, self.source.id, self.id, points)
        if waits is not None:
            with reading(self.store.engine) as connection:
                sign_waiting(connection, self.id, document, source=self.source.id)
        name = self._write(document, point, is_waiting=waits is not None)

        def insert(connection: sa.Connection) -> None:
            # The row of a segment must be locked while signing, so that keys are not withdrawn meanwhile.
            segments.lock(connection, self.source.id, self.source.segment)
            sign = keys.read_signer(connection).sign_manifest
            signed = {name: (ref.digest, sign(self.id, ref.digest)) for name, ref in adopted.items()}
            start = Checkpoint(point.cell)
            if point.snapshot is not None:
                start = Checkpoint(point.cell, point.snapshot, *signed[point.snapshot])
            require_free_output(connection, self.output)
            self._add(connection, name, point)
            triggers.copy_start(connection, self.source.id, self.id)
            steps.copy(connection, past, self.id, signed)
            decisions.copy(connection, self.source.id, self.id)
            if waits is None:
                withdraw_decisions(connection, self.id, {(run.step, run.run) for run in past}, document)
            segments.add_all(connection, [NewSegment(self.id, 0, point.cell, point.wake, start)])
            if waits is not None:
                self._wait(connection, waits)
            elif self.attached_to is None:
                self.store.jobs.enqueue(connection, self.id, 0, 0)

        self.store.change(insert)
        if waits is not None:
            self._show(document)
        return self.id

    def _choose(self, connection: sa.Connection, segment: Row, document: "Document") -> tuple[Checkpoint, Row | None]:
        if self.from_step is not None:
            return checkpoints.find_before_step(connection, self.source.id, document, self.from_step), None
        if self.source.state in {"completed", "cancelled"}:
            raise CannotRetry(self.source.id, self.source.state, needs_step=True)
        point = checkpoints.find_current(connection, self.source, segment)
        last = suspensions.find_last(connection, self.source.id, segment.n)
        if segment.bound is not None:
            # It has entries that a sibling does not inherit but makes anew.
            return point, None
        if self.source.state in {"suspended", "waiting"} and last is not None and last.kind in _COPIED:
            return Checkpoint(segment.first_cell, segment.snapshot, segment.digest, segment.signature), last
        return point, None

    def _is_past(self, run: Row, point: Checkpoint, waits: Row | None) -> bool:
        if waits is not None and (run.step, run.run) == (waits.step, waits.run):
            return True
        is_earlier_run = point.wake is not None and point.wake.then == "rerun" and run.step == point.wake.step
        return (run.cell < point.cell or is_earlier_run or waits is not None) and run.state in steps.ENDED

    def _write(self, document: "Document", point: Checkpoint, *, is_waiting: bool) -> str:
        from pauseflow_nb.runner import cell_statuses

        if not is_waiting:
            cell_statuses.reset(document, point.cell)
        cell_statuses.note_notebook_started(document, self.id)
        name = f"{self.id}/start-{secrets.token_hex(4)}.ipynb"
        self.store.files.write(name, document.to_bytes())
        return name

    def _add(self, connection: sa.Connection, document: str, point: Checkpoint) -> None:
        columns = (
            "notebook",
            "parameters",
            "steps",
            "kernel",
            "interpreter",
            "cwd",
            "options",
            "cells_total",
            "queues",
        )
        values = {key: getattr(self.source, key) for key in columns}
        values["options"] = {name: value for name, value in self.source.options.items() if name != "goes_without"}
        executions.add(
            connection,
            self.id,
            by=self.by,
            document=document,
            output=self.output,
            attached_to=self.attached_to,
            **values,
        )
        executions.set_state(connection, self.id, "queued", cells_done=point.cell)
        origin = {"source": self.source.id, "cell": point.cell}
        audit.add_line(connection, self.id, "forked", self.by, segment=0, **origin)
        audit.add_line(connection, self.source.id, "forked", self.by, segment=self.source.segment, sibling=self.id)
        if self.attached_to is not None:
            workers.beat(connection, self.attached_to, "attached", None)

    def _wait(self, connection: sa.Connection, suspension: Row) -> None:
        segments.close(connection, self.id, 0, "suspended")
        suspensions.copy(connection, suspension, self.id)
        executions.set_state(connection, self.id, self.source.state, started_at=now(connection))

    def _show(self, document: "Document") -> None:
        from pauseflow_nb.engine.write_output import start_output

        with reading(self.store.engine) as connection:
            row = executions.find(connection, self.id)
        if row is not None and row.output is not None:
            start_output(row, document)


def _read(store: OpenStore, execution: str, notebook: str) -> _Edited:
    """Freeze an edited notebook with the parameters of the execution."""
    # Lazily: only this needs notebooks.
    from pauseflow_nb.runner.document import Document
    from pauseflow_nb.runner.notebook import freeze

    with reading(store.engine) as connection:
        row = executions.require(connection, execution)
    parameters = store.read_document(row).metadata.get("papermill", {}).get("parameters", {})
    frozen = freeze(notebook, dict(parameters), kernel=row.kernel, queue=QueuePlan.parse(row.queues).home)
    return _Edited(frozen, Document.from_bytes(frozen.document))


def _name_sibling_output(output: str | None, execution: str) -> str | None:
    """Derive the name of a sibling's output from the source's output."""
    if output is None:
        return None
    stem = output.removesuffix(".ipynb")
    return f"{stem}.fork-{execution}.ipynb"
