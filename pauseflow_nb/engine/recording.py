"""Write into the store what one attempt at a segment achieves. Every write is fenced: a later attempt keeps it out."""

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TypeVar

import sqlalchemy as sa
from nbformat import NotebookNode

from pauseflow_nb.engine import children
from pauseflow_nb.engine.authorization import NotJudged, Verdict
from pauseflow_nb.engine.kernel_bound import KERNEL_LOST, bound_by, failure_of
from pauseflow_nb.engine.progress_events import Event, Events
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.settling import reason_for
from pauseflow_nb.errors import NotDelivered, PauseflowError, StorageFull, StoreUnavailable
from pauseflow_nb.forms.schema import in_words
from pauseflow_nb.json_values import JSON
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Failure, Loss, MessageRequest, Outcome, PauseAnswer, PauseQuestion
from pauseflow_nb.runner.cards import Decision, close_document
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.masking import Mask
from pauseflow_nb.runner.segment import SegmentEnd
from pauseflow_nb.store import executions, keys, segments, steps, suspensions, workers
from pauseflow_nb.store.audit import note
from pauseflow_nb.store.executions import FINAL, Row
from pauseflow_nb.store.views import iso

__all__ = ["Fenced", "Recording"]

log = logging.getLogger(__name__)

#: How long a store that cannot be written is waited for before the attempt is given up.
PATIENCE_SECONDS = 60.0
_PROGRESS_SECONDS = 0.5
#: For checking all the answers that came before a step had ended.
_EARLY_SECONDS = 10.0

T = TypeVar("T")


class Fenced(Exception):
    """Another attempt has taken over, or the execution has ended: what we know no longer counts."""


class Recording:
    """The observer of one attempt, and the one who records its end."""

    def __init__(self, queue: Queue, execution: Row, segment: Row, on_event: Events) -> None:
        self._queue = queue
        self._execution, self._segment = execution, segment
        self._on_event = on_event
        self._stored = execution.document
        self._question: PauseQuestion | None = None
        self._children: list[children.Child] = []
        self._verdicts: dict[int, Verdict] = {}
        self._progress_at = 0.0

    # What the runner tells

    def on_kernel(self, pid: int) -> None:
        """Tell the watcher."""
        self._tell("kernel", pid=pid, segment=self._segment.n)

    def on_cell(self, index: int, done: int) -> None:
        """Count; not more often than anybody looks."""
        self._tell("cell", cell=index, done=done, total=self._execution.cells_total)
        moment = time.monotonic()
        if moment - self._progress_at > _PROGRESS_SECONDS:
            self._progress_at = moment
            self._change(lambda connection: self._progress(connection, done))

    def on_losses(self, losses: list[Loss]) -> None:
        """Note what the kernel could not bring back, and say so: an attempt before this one may have missed other things."""

        def change(connection: sa.Connection) -> None:
            self._still_mine(connection)
            row = segments.find(connection, self._segment.execution, self._segment.n)
            known = [] if row is None else list(row.losses or [])
            added = [each for each in map(asdict, losses) if each not in known]
            segments.lost(connection, self._segment.execution, self._segment.n, known + added)
            texts: list[JSON] = [str(loss) for loss in losses]
            by = str(self._segment.worker)
            note(connection, self._segment.execution, "missed", by, segment=self._segment.n, losses=texts)

        self._change(change)
        for loss in losses:
            self._tell("said", text=f"⚠ {loss}")

    def on_step_start(self, step: str, run: int, attempt: int, cell: int) -> None:
        """Note it before the step does anything: after a crash its next attempt knows of this one."""

        def change(connection: sa.Connection) -> None:
            self._still_mine(connection)
            steps.begin(connection, self._segment.execution, self._segment.n, step, run=run, cell=cell)

        self._change(change)
        self._tell("step", step=step, run=run, attempt=attempt)

    def on_checkpoint(self, next_cell: int, outcome: Outcome, document: Document) -> None:
        """Record a finished step: from here on it is never run again."""
        name = self._store(document)

        def change(connection: sa.Connection) -> None:
            self._still_mine(connection)
            steps.end(connection, self._segment.execution, self._segment.n, outcome, next_cell - 1)
            suspensions.void_pauses(connection, self._segment.execution, self._segment.n, f"step:{outcome.step}")
            if outcome.snapshot is not None:
                self._checkpoint(connection, next_cell, outcome)
            executions.set_state(connection, self._segment.execution, "running", document=name, cells_done=next_cell)

        self._change(change)
        self._supersede(name)

    def find_answer(self, question: PauseQuestion, cell: int) -> PauseAnswer | None:
        """Ask, the first time; then look whether somebody, or the clock, has answered."""
        claim = Claim(self._segment.execution, self._segment.n, question.step, question.ordinal, "")
        if question != self._question:
            is_open = self._change(lambda connection: self._ask(connection, claim, question, cell))
            self._question = question
            if is_open:
                self._tell("suspended", view=self._queue.view(claim.execution))
        try:
            row = self._queue.suspension(claim)
        except StoreUnavailable as problem:
            log.warning("could not look for an answer: %s", problem)
            return None
        if row is None or row.state == "void":
            raise Fenced
        if row.state == "open":
            return None
        self._tell("queued", view=self._queue.view(claim.execution))
        return PauseAnswer(row.action, row.envelope, row.settled_by or "", iso(row.settled_at) or "")

    def _ask(self, connection: sa.Connection, claim: Claim, question: PauseQuestion, cell: int) -> bool:
        execution = self._still_mine(connection)
        row = suspensions.find(connection, claim)
        by = f"step:{question.step}"
        if row is None:
            asked = Outcome("suspended", question.step, question.run, question.ordinal, suspension=question.request)
            suspensions.add(connection, claim.execution, claim.segment, asked, cell)
            note(connection, claim.execution, "paused", by, segment=claim.segment, step=question.step)
        elif row.state == "settled" and question.refusals:
            suspensions.reopen(connection, row, question.errors)
            told = {"status": 422, "errors": question.errors}
            note(connection, claim.execution, "refused", by, segment=claim.segment, step=question.step, **told)
        elif row.state != "open":
            return False
        executions.set_state(connection, execution.id, "paused")
        return True

    def deliver(self, message: MessageRequest) -> tuple[str, str] | None:
        """Send it with our settings."""
        from pauseflow_nb.notifications import deliver  # lazily: few steps send any

        try:
            deliver(self._queue.settings, message)
        except NotDelivered as problem:
            return problem.to, problem.problem
        return None

    def on_not_suspended(self, problem: str) -> None:
        """Say so, and forget that somebody asked."""

        def change(connection: sa.Connection) -> None:
            self._still_mine(connection)
            executions.ask_to_suspend(connection, self._segment.execution, None)
            by = str(self._segment.worker)
            note(connection, self._segment.execution, "not suspended", by, segment=self._segment.n, text=problem)

        self._change(change)
        self._tell("said", text=f"it was not suspended: {problem}")

    def on_output(self, cell: int, output: NotebookNode) -> None:
        """Tell the watcher."""
        self._tell("output", cell=cell, output=output)

    def on_update(self, cell: int, output: NotebookNode) -> None:
        """Tell the watcher."""
        self._tell("updated", cell=cell, output=output)

    # How the attempt ended

    def end(self, end: SegmentEnd, document: Document) -> str:
        """Record the end of the attempt.

        Returns:
            `"ended"`, `"released"` if the segment is queued again, or `"fenced"` if the attempt did not count.
        """
        if end.kind in ("stopped", "interrupted"):
            return self.release(new_job=True)
        end = self._with_children(end, document)
        name = self._store(document)
        done = end.next_cell if end.kind not in ("failed", "refused") else None
        record = {
            "completed": self._completed,
            "exited": self._exited,
            "suspended": self._suspended,
            "failed": self._failed,
            "refused": self._refused,
        }[end.kind]

        def change(connection: sa.Connection) -> None:
            row = self._still_mine(connection)
            values = {"document": name, "cells_done": row.cells_done if done is None else done}
            executions.set_state(connection, row.id, row.state, **values)
            record(connection, end)

        try:
            self._change_judged(change, end)
        except Fenced:
            self._queue.files.remove(name)
            return "fenced"
        self._supersede(name)
        return "ended"

    def crashed(self, problem: str) -> str:
        """Record that the kernel died, or did not become ready: the segment is run again from its last checkpoint."""
        return self.release(crashed=Mask().text(problem))

    def release(self, *, crashed: str | None = None, new_job: bool = False) -> str:
        """Give the segment back to the queue; `crashed` says how its kernel ended, if that is why."""

        def change(connection: sa.Connection) -> None:
            row = self._still_mine(connection)
            is_job = new_job and row.attached_to is None
            segments.release(connection, self._segment, crashed=crashed is not None, new_job=is_job)
            steps.interrupt(connection, row.id, self._segment.n, self._first_cell(connection))
            executions.set_state(connection, row.id, "queued")
            what, said = ("released", {}) if crashed is None else ("crashed", {"text": crashed})
            note(connection, row.id, what, str(self._segment.worker), segment=self._segment.n, **said)
            if is_job:
                self._queue.jobs.enqueue(connection, row.id, self._segment.n, self._segment.job + 1)

        try:
            self._change(change)
        except Fenced:
            return "fenced"
        return "released"

    def lost(self) -> str:
        """Record that the kernel in which it had to go on is gone."""

        def change(connection: sa.Connection) -> None:
            self._still_mine(connection)
            failure = failure_of(connection, self._segment.execution, self._segment.bound)
            self._end_failed(connection, KERNEL_LOST, failure)

        try:
            self._change(change)
        except Fenced:
            return "fenced"
        return "ended"

    def fail(self, kind: str, failure: Failure) -> str:
        """Record that the attempt could not run: `environment`, or `crashed` once too often."""

        def change(connection: sa.Connection) -> None:
            self._still_mine(connection)
            self._end_failed(connection, kind, failure)

        try:
            self._change(change)
        except Fenced:
            return "fenced"
        return "ended"

    def _completed(self, connection: sa.Connection, _end: SegmentEnd) -> None:
        segments.end(connection, self._segment, "completed")
        self._close(connection)
        executions.end(connection, self._segment.execution, "completed", by=str(self._segment.worker))

    def _exited(self, connection: sa.Connection, end: SegmentEnd) -> None:
        assert end.outcome is not None
        steps.end(connection, self._segment.execution, self._segment.n, end.outcome, end.next_cell - 1)
        segments.end(connection, self._segment, "exited")
        self._close(connection)
        by = f"step:{end.outcome.step}"
        reason: dict[str, JSON] = {"kind": "exit", "by": by, "text": end.outcome.exit_reason}
        executions.end(connection, self._segment.execution, "completed", by=by, reason=reason)

    def _suspended(self, connection: sa.Connection, end: SegmentEnd) -> None:
        outcome = end.outcome
        assert outcome is not None
        assert outcome.suspension is not None
        execution, n = self._segment.execution, self._segment.n
        cell = end.next_cell if outcome.suspension.then == "rerun" else end.next_cell - 1
        suspensions.void_pauses(connection, execution, n, f"step:{outcome.step}")
        if outcome.step:
            steps.end(connection, execution, n, outcome, cell)
        bound = self._checkpoint(connection, end.next_cell, outcome)
        segments.end(connection, self._segment, "suspended")
        asked = suspensions.add(connection, execution, n, outcome, cell)
        state = "waiting" if asked.kind in ("rerun", "delay") else "suspended"
        row = executions.find(connection, execution)
        by = f"step:{asked.step}" if asked.step or row is None else row.suspend_by or "unknown"
        executions.set_state(connection, execution, state, **({} if asked.step else {"suspend_by": None}))
        note(connection, execution, state, by, segment=n, step=asked.step, kind=asked.kind)
        self._attach(connection, is_bound=bound is not None)
        if self._children and row is not None:
            children.start_children(self._queue, connection, row, asked, self._children)
        self._queue.settling(connection).kept(execution, n, asked, self._verdicts)

    def _with_children(self, end: SegmentEnd, document: Document) -> SegmentEnd:
        """Prepare the notebooks that a step wants to run; if one of them cannot be run, the step fails."""
        asked = end.outcome.suspension if end.outcome is not None else None
        if end.kind != "suspended" or end.outcome is None or asked is None or not asked.children:
            return end
        try:
            self._children = children.prepare(self._queue, self._execution, asked.children)
        except PauseflowError as problem:
            step = end.outcome.step
            failure = Failure(type(problem).__name__, str(problem), end.next_cell - 1, step)
            close_document(
                document, step, Decision(f"Failed: {failure.type}: {failure.message}", "fail", f"step:{step}")
            )
            return SegmentEnd("failed", end.next_cell - 1, None, failure)
        request = children.with_ids(asked, self._children)
        return replace(end, outcome=replace(end.outcome, suspension=request))

    def _failed(self, connection: sa.Connection, end: SegmentEnd) -> None:
        failure = end.failure or Failure("RuntimeError", "the segment failed without saying why")
        if end.outcome is not None and end.outcome.kind == "failed":
            cell = failure.cell if failure.cell is not None else end.next_cell
            steps.end(connection, self._segment.execution, self._segment.n, end.outcome, cell)
        self._end_failed(connection, "environment" if end.environment else "error", failure)

    def _refused(self, connection: sa.Connection, end: SegmentEnd) -> None:
        """Open the suspension again: the notebook does not take the answer."""
        asked = suspensions.last_of(connection, self._segment.execution)
        if asked is None or asked.action != "resume":
            # The clock's: it would say the same again.
            failure = Failure("InvalidAnswer", in_words(end.errors), step=None if asked is None else asked.step)
            self._end_failed(connection, "error", failure)
            return
        segments.end(connection, self._segment, "refused")
        self._queue.settling(connection).refused(asked, end.errors)

    def _end_failed(self, connection: sa.Connection, kind: str, failure: Failure) -> None:
        execution = self._segment.execution
        if failure.type == "Cancelled" and (by := self._who_cancelled(connection, failure.step)) is not None:
            segments.end(connection, self._segment, "cancelled")
            self._close(connection, failure)
            executions.end(connection, execution, "cancelled", by=by, reason=reason_for(by, None))
            return
        segments.end(connection, self._segment, "failed")
        self._close(connection, failure)
        by = f"step:{failure.step}" if failure.step else str(self._segment.worker)
        reason: dict[str, JSON] = {"kind": kind, "by": by, "text": failure.message}
        due = 0.0 if kind in ("environment", "crashed", KERNEL_LOST) else None
        executions.end(connection, execution, "failed", by=by, reason=reason, error=asdict(failure), record_after=due)

    def _who_cancelled(self, connection: sa.Connection, step: str | None) -> str | None:
        """Tell who cancelled at the last `flow.pause` of a step; None if nobody did."""
        asked = suspensions.last_of(connection, self._segment.execution, self._segment.n)
        is_it = asked is not None and (asked.kind, asked.step, asked.action) == ("pause", step, "cancel")
        return asked.settled_by if is_it and asked is not None else None

    def _close(self, connection: sa.Connection, failure: Failure | None = None) -> None:
        """Settle what the end of a segment leaves open: runs without an outcome, callbacks without a suspension."""
        steps.fail(connection, self._segment.execution, self._segment.n, failure)
        suspensions.void_pauses(connection, self._segment.execution, self._segment.n, str(self._segment.worker))
        self._queue.settling(connection).kept(self._segment.execution, self._segment.n, None)

    # Within one change

    def _still_mine(self, connection: sa.Connection) -> Row:
        """Lock the segment, then the execution."""
        segment = segments.lock(connection, self._segment.execution, self._segment.n)
        row = executions.lock(connection, self._segment.execution)
        if segment is None or row is None or row.state in FINAL:
            raise Fenced
        if (segment.attempt, segment.state) != (self._segment.attempt, "running"):
            raise Fenced
        return row

    def _progress(self, connection: sa.Connection, done: int) -> None:
        if not segments.seen(connection, self._segment):
            raise Fenced
        executions.progress(connection, self._segment.execution, done)

    def _attach(self, connection: sa.Connection, *, is_bound: bool) -> None:
        """Give an execution that waits to the process which keeps its kernel, and back to all if it keeps none."""
        execution, process = self._segment.execution, str(self._segment.worker)
        if is_bound:
            executions.attach(connection, execution, process)
        elif self._segment.bound is not None and workers.is_worker(connection, process):
            executions.attach(connection, execution, None)

    def _checkpoint(self, connection: sa.Connection, next_cell: int, outcome: Outcome) -> list[dict[str, JSON]] | None:
        """Move on; returns what binds the execution to its kernel from there on."""
        assert outcome.snapshot is not None, "what is to go on later was saved"
        signature = keys.signer(connection).sign_manifest(self._segment.execution, outcome.snapshot.digest)
        saved = outcome.snapshot
        # Of a kernel that was not kept the step has said what its checkpoint lacks; after a crash it goes on without.
        is_bound = outcome.is_kernel_bound or self._segment.bound is not None
        bound = bound_by(outcome.lost, self._segment.bound) if is_bound else None
        segments.checkpoint(
            connection, self._segment, first_cell=next_cell, snapshot=saved, signature=signature, bound=bound
        )
        name = (self._segment.execution, outcome.step, outcome.run)
        steps.checkpoint(connection, *name, snapshot=saved, signature=signature)
        return bound

    def _first_cell(self, connection: sa.Connection) -> int:
        row = segments.find(connection, self._segment.execution, self._segment.n)
        return 0 if row is None else int(row.first_cell)

    def _change_judged(self, change: Callable[[sa.Connection], None], end: SegmentEnd) -> None:
        """Make the change that ends a segment; what came early is judged outside it, and so is what came since."""
        deadline = time.monotonic() + _EARLY_SECONDS
        while True:
            try:
                self._change(change)
            except NotJudged:
                assert end.outcome is not None
                assert end.outcome.suspension is not None
                claim = Claim(self._segment.execution, self._segment.n, end.outcome.step, end.outcome.ordinal, "")
                self._verdicts = self._queue.judge_early(
                    claim, end.outcome.suspension, self._verdicts, seconds=deadline - time.monotonic()
                )
            else:
                return

    def _change(self, change: Callable[[sa.Connection], T]) -> T:
        """Make a change; a store that cannot be written now is waited for."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        has_said = False
        while True:
            try:
                return self._queue.change(change)
            except (StoreUnavailable, StorageFull) as problem:
                if time.monotonic() > deadline:
                    raise
                if not has_said:
                    log.info("could not record, trying again: %s", problem)
                    self._tell("said", text=f"{problem}; trying again for {PATIENCE_SECONDS:g} s")
                has_said = True
                time.sleep(1)

    # Files

    def _store(self, document: Document) -> str:
        """Write the document under a name of its own; on a full disk the one before goes on to count."""
        name = f"{self._segment.execution}/{self._segment.n}-{self._segment.attempt}-{secrets.token_hex(4)}.ipynb"
        try:
            self._queue.files.write(name, document.to_bytes())
        except (StorageFull, StoreUnavailable) as problem:
            # Losing outputs of cells is better than running a finished step twice.
            log.warning("the notebook was not stored: %s", problem, extra={"execution": self._segment.execution})
            self._tell("said", text=f"the notebook was not stored: {problem}")
            return str(self._stored)
        return name

    def _supersede(self, name: str) -> None:
        before, self._stored = self._stored, name
        if before != name:
            self._queue.files.remove(before)

    def _tell(self, kind: str, **data: object) -> None:
        self._on_event(Event(kind, self._segment.execution, data))  # type: ignore[arg-type]
