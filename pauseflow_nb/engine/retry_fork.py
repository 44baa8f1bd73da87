"""`retry` and `fork`: the transactions behind them. What they choose from is in `travel`."""

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pauseflow_nb.engine import checkpoints
from pauseflow_nb.engine.checkpoints import Checkpoint, Restart
from pauseflow_nb.engine.quota import require_room
from pauseflow_nb.errors import CannotRetry, OutputInUse, PauseflowError, StoreUnavailable, UnknownExecution
from pauseflow_nb.store import audit, executions, keys, segments, steps, suspensions, workers
from pauseflow_nb.store.database import named, now, reading
from pauseflow_nb.store.executions import FINAL, Row

if TYPE_CHECKING:
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.runner.document import Document
    from pauseflow_nb.runner.notebook import Frozen

__all__ = ["fork", "retry"]

#: Kinds of suspensions that a sibling can wait in as well: nothing but a row waits.
_COPIED = frozenset({"suspend", "rerun", "delay", "operator"})


@dataclass(frozen=True)
class _Edited:
    """An edited notebook, ready to take the place of the one that ran."""

    frozen: "Frozen"
    document: "Document"


@dataclass(frozen=True)
class _Retry:
    queue: "Queue"
    execution: str
    by: str
    from_step: str | None
    edited: _Edited | None
    force: bool
    attached_to: str | None

    def change(self, connection: sa.Connection) -> tuple[Restart, str | None]:
        segment = segments.latest(connection, self.execution)
        row = executions.lock(connection, self.execution)
        if segment is None or row is None:
            raise UnknownExecution(self.execution)
        self._require_end(row)
        self.queue.require_stored(row)
        point, again, because = self._choose(connection, row, segment)
        document = None
        first_cell = point.cell
        executions.reopen(connection, self.execution)
        executions.attach(connection, self.execution, self.attached_to)
        asks_again = segment.how == "suspended" or segment.bound is not None
        if self.from_step is not None or asks_again or point != checkpoints.here(connection, row, segment):
            steps.forget(connection, self.execution, first_cell)
        if self.edited is not None:
            document, first_cell = self._replace(connection, row, first_cell)
        if self.force:
            # Other versions may be met again at each pause; what is missing now is missing in this segment.
            forced = {"force": True, "goes_without": segment.n + 1}
            executions.set_state(connection, self.execution, "queued", options={**row.options, **forced})
        if (row.reason or {}).get("kind") == "environment":
            # Nothing ran without what was missing: the next segment finds out anew.
            segments.lost(connection, self.execution, segment.n, [])
        details: dict[str, Any] = {"cell": first_cell, "after": point.step}
        audit.note(connection, self.execution, "retried", self.by, segment=segment.n + 1, **details)
        executions.set_state(connection, self.execution, "queued", cells_done=first_cell)
        settling = self.queue.settling(connection)
        settling.next_segment(self.execution, segment.n + 1, first_cell, wake=point.wake, saved_by=point)
        return Restart(first_cell, point.step, again, because), document

    def _require_end(self, row: Row) -> None:
        allowed = FINAL if self.from_step is not None or self.edited is not None else {"failed"}
        # Nobody decided this: the step asks again.
        is_unanswered = row.state == "cancelled" and (row.reason or {}).get("kind") == "timeout"
        if row.state not in allowed and not is_unanswered:
            raise CannotRetry(self.execution, row.state)

    def _choose(
        self, connection: sa.Connection, row: Row, segment: Row
    ) -> tuple[Checkpoint, tuple[str, ...], str | None]:
        wanted = checkpoints.here(connection, row, segment)
        because: str | None = None
        if segment.bound is not None and self.from_step is None:
            names = ", ".join(each["name"] for each in segment.bound)
            because = f"the kernel that had {names} is gone"
        if self.from_step is not None or self.edited is not None:
            old = self.queue.stored(row)
            if self.from_step is not None:
                wanted = checkpoints.choose(connection, self.execution, old, self.from_step)
            if self.edited is not None:
                new = self.edited.document
                wanted, changed = checkpoints.edited(connection, self.execution, old, new, wanted)
                because = changed or because
        ran = {run.step: run for run in steps.history(connection, [self.execution]) if run.cell >= wanted.cell}
        left = ran if self.edited is None else checkpoints.cells_of(self.edited.document)
        return wanted, tuple(step for step in ran if step in left), because

    def _replace(self, connection: sa.Connection, row: Row, first_cell: int) -> tuple[str, int]:
        assert self.edited is not None
        document, first = checkpoints.merged(self.queue.stored(row), self.edited.document, first_cell)
        name = f"{self.execution}/edited-{secrets.token_hex(4)}.ipynb"
        self.queue.files.write(name, document.to_bytes())
        frozen = self.edited.frozen
        values = {"steps": frozen.steps, "cells_total": frozen.cells, "parameters": frozen.inputs}
        executions.set_state(connection, self.execution, "queued", document=name, **values)
        steps.move(connection, self.execution, checkpoints.cells_of(document))
        return row.document, first


def retry(
    queue: "Queue",
    execution: str,
    *,
    by: str,
    from_step: str | None = None,
    notebook: str | None = None,
    force: bool = False,
    attached_to: str | None = None,
) -> Restart:
    """See `Queue.retry`."""
    edited = None if notebook is None else _read(queue, execution, notebook)
    work = _Retry(queue, execution, by, from_step, edited, force, attached_to)
    try:
        restart, replaced = queue.change(work.change)
    except sa.exc.IntegrityError:
        with reading(queue.engine) as connection:
            row = executions.find(connection, execution)
            owner = None if row is None or row.output is None else executions.owner_of(connection, row.output)
        if owner is not None:
            raise OutputInUse(owner.output, owner.id, owner.state) from None
        raise StoreUnavailable(named(queue.engine), "another execution took the output a moment ago") from None
    if replaced is not None:
        queue.files.remove(replaced)
    return restart


def fork(
    queue: "Queue",
    execution: str,
    *,
    by: str,
    from_step: str | None = None,
    output: str | None = None,
    attached_to: str | None = None,
) -> str:
    """See `Queue.fork`."""
    from pauseflow_nb.runner.output_file import require_writable  # lazily: see _read

    require_writable(output)
    id_ = secrets.token_hex(6)
    with reading(queue.engine) as connection:
        row = executions.find(connection, execution)
        if row is None:
            raise UnknownExecution(execution)
    document = queue.stored(row)
    require_room(queue.files, queue.settings.quota, len(document.to_bytes()))
    work = _Fork(queue, row, id_, by, from_step, output or _beside(row.output, id_), attached_to)
    try:
        return work.run(document)
    except sa.exc.IntegrityError:
        queue.files.remove(id_)
        raise StoreUnavailable(named(queue.engine), "another execution took the output a moment ago") from None
    except PauseflowError:
        queue.files.remove(id_)
        raise


@dataclass(frozen=True)
class _Fork:
    queue: "Queue"
    source: Row
    id: str
    by: str
    from_step: str | None
    output: str | None
    attached_to: str | None

    def run(self, document: "Document") -> str:
        """Copy what is needed, then add the sibling in one transaction."""
        with reading(self.queue.engine) as connection:
            segment = segments.find(connection, self.source.id, self.source.segment)
            assert segment is not None
            point, waits = self._choose(connection, segment, document)
            past = [run for run in steps.history(connection, [self.source.id]) if self._is_past(run, point, waits)]
        points = {run.snapshot: run.digest for run in past if run.snapshot is not None}
        if point.snapshot is not None and point.digest is not None:
            points[point.snapshot] = point.digest
        adopted = checkpoints.adopt(self.queue.files, self.source.id, self.id, points)
        name = self._write(document, point, is_waiting=waits is not None)

        def insert(connection: sa.Connection) -> None:
            # Who signs holds a segment's row, so that keys are not withdrawn meanwhile.
            segments.lock(connection, self.source.id, self.source.segment)
            sign = keys.signer(connection).sign_manifest
            signed = {name: (ref.digest, sign(self.id, ref.digest)) for name, ref in adopted.items()}
            start = Checkpoint(point.cell)
            if point.snapshot is not None:
                start = Checkpoint(point.cell, point.snapshot, *signed[point.snapshot])
            owner = None if self.output is None else executions.owner_of(connection, self.output)
            if owner is not None:
                raise OutputInUse(owner.output, owner.id, owner.state)
            self._add(connection, name, point)
            steps.copy(connection, past, self.id, signed)
            segments.add(connection, self.id, 0, first_cell=point.cell, wake=point.wake, saved_by=start)
            if waits is not None:
                self._wait(connection, waits)
            elif self.attached_to is None:
                self.queue.jobs.enqueue(connection, self.id, 0, 0)

        self.queue.change(insert)
        if waits is not None:
            self._show(document)
        return self.id

    def _choose(self, connection: sa.Connection, segment: Row, document: "Document") -> tuple[Checkpoint, Row | None]:
        if self.from_step is not None:
            return checkpoints.choose(connection, self.source.id, document, self.from_step), None
        if self.source.state in {"completed", "cancelled"}:
            raise CannotRetry(self.source.id, self.source.state, needs_step=True)
        point = checkpoints.here(connection, self.source, segment)
        asked = suspensions.last_of(connection, self.source.id, segment.n)
        if segment.bound is not None:
            # It has what no sibling gets: that one makes it anew.
            return point, None
        if self.source.state in {"suspended", "waiting"} and asked is not None and asked.kind in _COPIED:
            return Checkpoint(segment.first_cell, segment.snapshot, segment.digest, segment.signature), asked
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
        cell_statuses.notebook_started(document, self.id)
        name = f"{self.id}/start-{secrets.token_hex(4)}.ipynb"
        self.queue.files.write(name, document.to_bytes())
        return name

    def _add(self, connection: sa.Connection, document: str, point: Checkpoint) -> None:
        kept = ("notebook", "parameters", "steps", "kernel", "interpreter", "cwd", "options", "cells_total")
        values = {key: getattr(self.source, key) for key in kept}
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
        told = {"source": self.source.id, "cell": point.cell}
        audit.note(connection, self.id, "forked", self.by, segment=0, **told)
        audit.note(connection, self.source.id, "forked", self.by, segment=self.source.segment, sibling=self.id)
        if self.attached_to is not None:
            workers.beat(connection, self.attached_to, "attached", None)

    def _wait(self, connection: sa.Connection, asked: Row) -> None:
        segments.close(connection, self.id, 0, "suspended")
        suspensions.copy(connection, asked, self.id)
        executions.set_state(connection, self.id, self.source.state, started_at=now(connection))

    def _show(self, document: "Document") -> None:
        from pauseflow_nb.engine.write_output import first_output

        with reading(self.queue.engine) as connection:
            row = executions.find(connection, self.id)
        if row is not None and row.output is not None:
            first_output(row, document)


def _read(queue: "Queue", execution: str, notebook: str) -> _Edited:
    """Freeze an edited notebook with the parameters that the execution was given."""
    # Lazily: only this needs the notebook's side of the house.
    from pauseflow_nb.runner.document import Document
    from pauseflow_nb.runner.notebook import freeze

    with reading(queue.engine) as connection:
        row = executions.find(connection, execution)
    if row is None:
        raise UnknownExecution(execution)
    given = queue.stored(row).metadata.get("papermill", {}).get("parameters", {})
    frozen = freeze(notebook, dict(given), kernel=row.kernel)
    return _Edited(frozen, Document.from_bytes(frozen.document))


def _beside(output: str | None, execution: str) -> str | None:
    """Name a sibling's output after that of its source."""
    if output is None:
        return None
    stem = output.removesuffix(".ipynb")
    return f"{stem}.fork-{execution}.ipynb"
