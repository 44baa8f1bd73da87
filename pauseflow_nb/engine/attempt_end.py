"""Record the end of an attempt and its consequences in one transaction."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, replace

import sqlalchemy as sa

from pauseflow_nb.decisions.statement import WAITS
from pauseflow_nb.engine import children
from pauseflow_nb.engine.attempt_fence import Attempt, Fenced
from pauseflow_nb.engine.authorization import NotJudged, Verdict, judge_early
from pauseflow_nb.engine.decision_records import (
    add_drift,
    add_errors,
    record_checks,
    record_reopening,
    seal,
    sign_waiting,
)
from pauseflow_nb.engine.finish_notebook import finish_notebook
from pauseflow_nb.engine.kernel_bound import KERNEL_LOST, explain_loss
from pauseflow_nb.engine.newest_notebook import ENDS_OUTSIDE_CELLS
from pauseflow_nb.engine.settling import RECORD_AFTER, Settling, make_cancel_reason
from pauseflow_nb.engine.write_output import PatientOutput
from pauseflow_nb.errors import PauseflowError
from pauseflow_nb.forms.schema import join_errors
from pauseflow_nb.json_values import JSON
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Failure, waiting_state
from pauseflow_nb.runner.cards import Decision, close_document
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.fresh_cells import list_shown
from pauseflow_nb.runner.masking import Mask
from pauseflow_nb.runner.observer import SegmentEnd
from pauseflow_nb.store import executions, segments, steps, suspensions, workers
from pauseflow_nb.store.audit import add_line

#: Seconds for checking all answers that arrived before the step ended.
_EARLY_SECONDS = 10.0
#: Kinds of ends that also end the execution.
_FINAL = frozenset({"completed", "exited", "failed"})


class Ending:
    """Records the end of one attempt; each method returns `"ended"`, `"released"` or `"fenced"`."""

    def __init__(self, attempt: Attempt) -> None:
        """Take the attempt."""
        self._attempt, self._store, self._segment = attempt, attempt.queue, attempt.segment
        self._children: list[children.Child] = []
        self._verdicts: dict[int, Verdict] = {}
        #: Name of the notebook that this attempt has stored at its end; None if it could not be stored.
        self._stored: str | None = None
        #: Whether the execution has ended and its notebook or output must still be written.
        self._is_unwritten = False

    def end(self, end: SegmentEnd, document: Document, output: PatientOutput | None = None) -> str:
        """Record the end of the attempt.

        Args:
            end: How it ended.
            document: The notebook at the end of the attempt.
            output: The user's output, if there is one.

        Returns:
            `"ended"`, `"released"` if the segment is queued again, or `"fenced"` if the attempt no longer counts.
        """
        if end.kind in ("stopped", "interrupted"):
            return self.release(new_job=True)
        end = self._with_children(end, document)
        self._seal(end, document)
        self._stored = self._attempt.store_document(document, patiently=end.kind not in _FINAL)
        if end.kind == "suspended":
            # Outside of the transaction, during which no other process can write to SQLite.
            document.digest_cells(end.next_cell + 1)
        done = end.next_cell if end.kind not in ("failed", "refused", "drifted") else None
        record = {
            "completed": self._completed,
            "exited": self._exited,
            "suspended": self._suspended,
            "failed": self._failed,
            "refused": self._refused,
            "drifted": self._drifted,
            "handed over": self._handed_over,
        }[end.kind]

        def change(connection: sa.Connection) -> None:
            row = self._attempt.require_current(connection)
            stored = {} if self._stored is None else {"document": self._stored}
            executions.set_state(
                connection, row.id, row.state, cells_done=row.cells_done if done is None else done, **stored
            )
            record(connection, end)

        try:
            is_signed = end.kind in {*_FINAL, "refused", "drifted"} or WAITS in document.metadata.get("pauseflow", {})
            if output is not None and is_signed:
                # Before the end is recorded: if this process died in between, no other would complete it.
                output.save(document)
            self._is_unwritten = self._stored is None or (output is not None and output.problem is not None)
            self._change_judged(change, end)
        except Fenced:
            if not self._attempt.is_stored(self._stored):
                if self._stored is not None:
                    self._store.files.remove(self._stored)
                return "fenced"
            # The first attempt to record the end succeeded, but the store stopped answering.
        self._attempt.replace_document(self._stored)
        if end.kind in _FINAL and self._is_unwritten:
            finish_notebook(self._store, self._segment.execution, document)
        return "released" if end.kind == "handed over" else "ended"

    def _seal(self, end: SegmentEnd, document: Document) -> None:
        """Sign the contents of the notebook; if the execution ends without a kernel, `finish_notebook` does that."""
        state = {"completed": "completed", "exited": "completed", "failed": "failed"}.get(end.kind)
        if end.environment:
            return

        def change(connection: sa.Connection) -> None:
            self._attempt.require_current(connection)
            if end.kind == "suspended":
                sign_waiting(connection, self._segment.execution, document)
            if end.kind in ("refused", "drifted"):
                self._sign_reopening(connection, end, document)
            if state is None:
                return
            if end.checks:
                record_checks(connection, self._segment.execution, end.checks)
            seal(connection, self._segment.execution, state, document)

        with contextlib.suppress(Fenced):
            self._attempt.change(change)

    def _sign_reopening(self, connection: sa.Connection, end: SegmentEnd, document: Document) -> None:
        suspension = suspensions.find_last(connection, self._segment.execution)
        if suspension is None or suspension.action != "resume":
            return
        if end.kind == "refused":
            record_reopening(connection, suspension, add_errors(suspension.shown, end.errors) or {}, document)
        else:
            shown = add_drift(suspension, end.checks, list_shown(document, end.next_cell))
            record_reopening(connection, suspension, shown, document, end.checks)

    def crashed(self, problem: str) -> str:
        """Record that the kernel died or did not become ready: the segment runs again from its last checkpoint."""
        return self.release(crashed=Mask().text(problem))

    def release(self, *, crashed: str | None = None, new_job: bool = False) -> str:
        """Return the segment to the queue; `crashed` says how its kernel died, if that is the reason."""

        def change(connection: sa.Connection) -> None:
            row = self._attempt.require_current(connection)
            is_job = new_job and row.attached_to is None
            segments.release(connection, self._segment, crashed=crashed is not None, new_job=is_job)
            steps.interrupt(connection, row.id, self._segment.n, self._first_cell(connection))
            executions.set_state(connection, row.id, "queued")
            what, details = ("released", {}) if crashed is None else ("crashed", {"text": crashed})
            add_line(connection, row.id, what, str(self._segment.worker), segment=self._segment.n, **details)
            if is_job:
                self._store.jobs.enqueue(connection, row.id, self._segment.n, self._segment.job + 1)

        try:
            self._attempt.change(change)
        except Fenced:
            if not self._attempt.is_released():
                return "fenced"
            # As above: the first attempt to record it succeeded.
        return "released"

    def lost(self) -> str:
        """Record that the kernel in which the execution had to continue has ended."""

        def change(connection: sa.Connection) -> None:
            self._attempt.require_current(connection)
            failure = explain_loss(connection, self._segment.execution, self._segment.bound)
            self._end_failed(connection, KERNEL_LOST, failure)

        try:
            self._attempt.change(change)
        except Fenced:
            return "fenced"
        return "ended"

    def fail(self, kind: str, failure: Failure) -> str:
        """Record that the attempt could not run: `environment`, or `crashed` too often."""

        def change(connection: sa.Connection) -> None:
            self._attempt.require_current(connection)
            self._end_failed(connection, kind, failure)

        try:
            self._attempt.change(change)
        except Fenced:
            return "fenced"
        return "ended"

    def _completed(self, connection: sa.Connection, _end: SegmentEnd) -> None:
        segments.end(connection, self._segment, "completed")
        self._close(connection)
        by = str(self._segment.worker)
        executions.end(connection, self._segment.execution, "completed", by=by, record_after=self._record_after)

    def _exited(self, connection: sa.Connection, end: SegmentEnd) -> None:
        assert end.outcome is not None
        steps.end(connection, self._segment.execution, self._segment.n, end.outcome, end.next_cell - 1)
        segments.end(connection, self._segment, "exited")
        self._close(connection)
        by = f"step:{end.outcome.step}"
        reason: dict[str, JSON] = {"kind": "exit", "by": by, "text": end.outcome.exit_reason}
        execution, after = self._segment.execution, self._record_after
        executions.end(connection, execution, "completed", by=by, reason=reason, record_after=after)

    def _suspended(self, connection: sa.Connection, end: SegmentEnd) -> None:
        outcome = end.outcome
        assert outcome is not None
        assert outcome.suspension is not None
        execution, n = self._segment.execution, self._segment.n
        cell = end.next_cell if outcome.suspension.then == "rerun" else end.next_cell - 1
        suspensions.void_pauses(connection, execution, n, f"step:{outcome.step}")
        if outcome.step:
            steps.end(connection, execution, n, outcome, cell)
        kernel_variables = self._attempt.checkpoint(connection, end.next_cell, outcome)
        segments.end(connection, self._segment, "suspended")
        shown = self._attempt.note_shown(connection, outcome, cell, document=self._stored)
        suspension = suspensions.add(connection, execution, n, outcome, cell, shown=shown)
        state = waiting_state(suspension.kind)
        row = executions.find(connection, execution)
        by = f"step:{suspension.step}" if suspension.step or row is None else row.suspend_by or "unknown"
        executions.set_state(connection, execution, state, **({} if suspension.step else {"suspend_by": None}))
        add_line(connection, execution, state, by, segment=n, step=suspension.step, kind=suspension.kind)
        self._attach(connection, is_kernel_bound=kernel_variables is not None)
        if self._children and row is not None:
            children.start_children(self._store, connection, row, suspension, self._children)
        Settling(connection, self._store.jobs).apply_early(execution, n, suspension, self._verdicts)

    def _handed_over(self, connection: sa.Connection, end: SegmentEnd) -> None:
        """Continue the segment in the queue of the next cell, from the checkpoint that was made for it."""
        outcome, execution = end.outcome, self._segment.execution
        assert outcome is not None
        suspensions.void_pauses(connection, execution, self._segment.n, str(self._segment.worker))
        self._attempt.checkpoint(connection, end.next_cell, outcome, needs_no_kernel=True)
        segments.release(connection, self._segment, new_job=True)
        executions.set_state(connection, execution, "queued")
        if self._segment.bound is not None:
            # All variables could be saved, so the kept kernel is no longer needed.
            executions.attach(connection, execution, None)
        queue = executions.find_queues(connection, [(execution, self._segment.n)]).get((execution, self._segment.n))
        by = str(self._segment.worker)
        add_line(connection, execution, "handed over", by, segment=self._segment.n, cell=end.next_cell, queue=queue)
        self._store.jobs.enqueue(connection, execution, self._segment.n, self._segment.job + 1)

    def _with_children(self, end: SegmentEnd, document: Document) -> SegmentEnd:
        """Prepare the notebooks that a step wants to run; if one of them cannot be run, the step fails."""
        suspension = end.outcome.suspension if end.outcome is not None else None
        if end.kind != "suspended" or end.outcome is None or suspension is None or not suspension.children:
            return end
        try:
            self._children = children.prepare(self._store, self._attempt.execution, suspension.children)
        except PauseflowError as problem:
            step = end.outcome.step
            failure = Failure(type(problem).__name__, str(problem), end.next_cell - 1, step)
            close_document(
                document, step, Decision(f"step {step}: {failure.type}: {failure.message}", "failed", f"step:{step}")
            )
            return SegmentEnd("failed", end.next_cell - 1, None, failure)
        request = children.name_ids(suspension, self._children)
        return replace(end, outcome=replace(end.outcome, suspension=request))

    def _failed(self, connection: sa.Connection, end: SegmentEnd) -> None:
        failure = end.failure or Failure("RuntimeError", "the segment failed without saying why")
        if end.outcome is not None and end.outcome.kind == "failed":
            cell = failure.cell if failure.cell is not None else end.next_cell
            steps.end(connection, self._segment.execution, self._segment.n, end.outcome, cell)
        self._end_failed(connection, "environment" if end.environment else "drift" if end.checks else "error", failure)

    def _refused(self, connection: sa.Connection, end: SegmentEnd) -> None:
        """Open the suspension again, because the notebook refused the answer."""
        suspension = suspensions.find_last(connection, self._segment.execution)
        if suspension is None or suspension.action != "resume":
            # A default of the clock: it would be refused again.
            failure = Failure(
                "InvalidAnswer", join_errors(end.errors), step=None if suspension is None else suspension.step
            )
            self._end_failed(connection, "error", failure)
            return
        segments.end(connection, self._segment, "refused")
        Settling(connection, self._store.jobs).ask_again(suspension, end.errors)

    def _drifted(self, connection: sa.Connection, end: SegmentEnd) -> None:
        """Open the suspension again, because the values that were shown have changed."""
        suspension = suspensions.find_last(connection, self._segment.execution)
        assert suspension is not None, "an answer has woken the segment"
        segments.end(connection, self._segment, "refused")
        fresh = [] if self._attempt.notebook is None else list_shown(self._attempt.notebook, end.next_cell)
        Settling(connection, self._store.jobs).ask_about_drift(suspension, end.checks, fresh)

    def _end_failed(self, connection: sa.Connection, kind: str, failure: Failure) -> None:
        execution = self._segment.execution
        if failure.type == "Cancelled" and (by := self._who_cancelled(connection, failure.step)) is not None:
            segments.end(connection, self._segment, "cancelled")
            self._close(connection, failure)
            reason = make_cancel_reason(by, None)
            executions.end(connection, execution, "cancelled", by=by, reason=reason, record_after=self._record_after)
            return
        segments.end(connection, self._segment, "failed")
        self._close(connection, failure)
        by = f"step:{failure.step}" if failure.step else str(self._segment.worker)
        reason = {"kind": kind, "by": by, "text": failure.message}
        due = 0.0 if kind in ENDS_OUTSIDE_CELLS and not self._is_unwritten else self._record_after
        executions.end(connection, execution, "failed", by=by, reason=reason, error=asdict(failure), record_after=due)

    @property
    def _record_after(self) -> float | None:
        """Return the seconds after which others may write the notebook; None if this process has written it."""
        return RECORD_AFTER if self._is_unwritten else None

    def _who_cancelled(self, connection: sa.Connection, step: str | None) -> str | None:
        """Return who cancelled the last `flow.pause` of a step; None if nobody did."""
        suspension = suspensions.find_last(connection, self._segment.execution, self._segment.n)
        is_it = suspension is not None and (suspension.kind, suspension.step, suspension.action) == (
            "pause",
            step,
            "cancel",
        )
        return suspension.settled_by if is_it and suspension is not None else None

    def _close(self, connection: sa.Connection, failure: Failure | None = None) -> None:
        """Close runs without an outcome and callbacks without a suspension at the end of a segment."""
        steps.fail(connection, self._segment.execution, self._segment.n, failure)
        suspensions.void_pauses(connection, self._segment.execution, self._segment.n, str(self._segment.worker))
        Settling(connection, self._store.jobs).apply_early(self._segment.execution, self._segment.n, None)

    def _attach(self, connection: sa.Connection, *, is_kernel_bound: bool) -> None:
        """Attach a waiting execution to the process that keeps its kernel, or to none if no kernel is kept."""
        execution, process = self._segment.execution, str(self._segment.worker)
        if is_kernel_bound:
            executions.attach(connection, execution, process)
        elif self._segment.bound is not None and workers.is_worker(connection, process):
            executions.attach(connection, execution, None)

    def _first_cell(self, connection: sa.Connection) -> int:
        row = segments.find(connection, self._segment.execution, self._segment.n)
        return 0 if row is None else int(row.first_cell)

    def _change_judged(self, change: Callable[[sa.Connection], None], end: SegmentEnd) -> None:
        """Make the change that ends a segment; judge early callbacks before it, and again if more have arrived."""
        deadline = time.monotonic() + _EARLY_SECONDS
        while True:
            try:
                self._attempt.change(change)
            except NotJudged:
                assert end.outcome is not None
                assert end.outcome.suspension is not None
                claim = Claim(self._segment.execution, self._segment.n, end.outcome.step, end.outcome.ordinal, "")
                self._verdicts = judge_early(
                    self._store, claim, end.outcome.suspension, self._verdicts, seconds=deadline - time.monotonic()
                )
            else:
                return
