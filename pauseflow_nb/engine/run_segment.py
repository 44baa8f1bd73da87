"""Claim a segment, run it in a kernel and record its end, for workers and for attached runs."""

import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from pauseflow_nb.engine.attempt_end import Ending
from pauseflow_nb.engine.attempt_fence import Attempt, Fenced, GivenUp
from pauseflow_nb.engine.briefing import make_briefing
from pauseflow_nb.engine.decision_records import enter_records, forget_waiting, list_shown_cells
from pauseflow_nb.engine.finish_notebook import finish_notebook
from pauseflow_nb.engine.newest_notebook import find_newest
from pauseflow_nb.engine.ownership import Watch, detach
from pauseflow_nb.engine.progress_events import Events, ignore
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.recording import Recording
from pauseflow_nb.engine.secret_checks import find_secrets
from pauseflow_nb.engine.snapshot_cache import CacheTrimmer
from pauseflow_nb.engine.traces import send_trace
from pauseflow_nb.engine.write_output import PatientOutput, is_first, open_output, start_output
from pauseflow_nb.errors import (
    InvalidNotebook,
    KernelDied,
    KernelNotReady,
    KernelUnavailable,
    PauseflowError,
    SnapshotDamaged,
    StorageFull,
    StoreUnavailable,
)
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import Briefing, Failure, StepBriefing
from pauseflow_nb.queues import QueuePlan
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.kernels.keeper import Keeper
from pauseflow_nb.runner.observer import SegmentEnd
from pauseflow_nb.runner.segment import run_segment
from pauseflow_nb.store import executions, keys, segments, steps, suspensions, triggers
from pauseflow_nb.store.audit import add_line, find_last
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import FINAL, Row
from pauseflow_nb.user_secrets.providers import Providers

log = logging.getLogger(__name__)

#: Most crashes of a segment in a row without a checkpoint in between.
MOST_CRASHES = 3


@dataclass(frozen=True)
class _Claimed:
    execution: Row
    segment: Row
    steps: dict[str, StepBriefing]
    #: Whether its snapshot, if it has one, was signed by this store.
    is_signed: bool


class Segments:
    """Runs segments in this process.

    Args:
        queue: The store.
        process: Id of this process among the workers.
        on_event: Called with what happens.
        run: Runs one segment in a kernel.
        keeper: Keeps the kernels of kernel-bound executions; None: a step that needs its kernel fails.
        serves: The queues whose cells this process may run; None: all.
    """

    def __init__(
        self,
        queue: Queue,
        process: str,
        *,
        on_event: Events = ignore,
        run: Callable[..., SegmentEnd] = run_segment,
        keeper: Keeper | None = None,
        serves: frozenset[str] | None = None,
    ) -> None:
        self._queue, self._process, self._serves = queue, process, serves
        self._on_event, self._run_segment = on_event, run
        self._keeper = keeper
        self._cache = CacheTrimmer(queue)
        self.watch = Watch(queue)
        #: Set it when the process is to end now: nothing waits for the store any longer.
        self.must_end = threading.Event()

    def run(self, execution: str, n: int, control: Control, *, job: int | None = None) -> str:
        """Run a segment until it has ended, was released, or another process has taken it over.

        After the death of a kernel, another one continues from the last checkpoint, until that happens too often.

        Args:
            execution: Id of the execution.
            n: Number of the segment.
            control: Stops the run from another thread.
            job: Number of its job; None for an attached run, which needs no job.

        Returns:
            `"ended"`, `"released"`, `"fenced"`, or `"nothing"` if there was nothing to do.

        Raises:
            StoreUnavailable: If the store could not be written for a minute; this process still owns the segment.
            GivenUp: If it could not be written, and the process is to end; this process still owns the segment.
        """
        lost: Document | None = None
        while True:
            claimed = self._queue.change(lambda connection: self._claim(connection, execution, n, job))
            if claimed is None:
                return "nothing"
            if claimed.segment.crashes >= MOST_CRASHES:
                return self._give_up(claimed, lost)
            where = {"execution": execution, "segment": n, "attempt": claimed.segment.attempt}
            log.info("began segment %s of execution %s", n, execution, extra=where)
            how, lost = self._attempt(claimed, control)
            log.info("segment %s of execution %s: %s", n, execution, how, extra={**where, "how": how})
            if how != "crashed":
                if how == "ended":
                    send_trace(self._queue.engine, execution)
                self._cache.trim()
                return how

    def look_after_kernels(self) -> list[Row]:
        """End kept kernels that no execution needs, and fail executions whose kept kernel has ended.

        Returns:
            The executions attached to this process that have not ended: `id`, `state`, `segment`.

        Raises:
            StoreUnavailable: If the store cannot be used; nothing was ended.
        """
        if self._keeper is None:
            return []
        alive, dead = self._keeper.look_after()
        # Executions that run now may not be recorded as waiting yet.
        running = {segment.execution for segment, _ in self.watch.list_running()}
        with reading(self._queue.engine) as connection:
            own = executions.list_unended(connection, self._process)
        self._keeper.let_go(set(alive) - running - {row.id for row in own})
        for execution in dead:
            detach(self._queue, execution, process=self._process)
        return [row for row in own if row.id not in dead]

    def leave(self) -> None:
        """Leave all executions attached to this process to the workers, and end its kept kernels."""
        if self._keeper is not None:
            self._keeper.close()
        with reading(self._queue.engine) as connection:
            left = executions.list_attached(connection, self._process)
        for execution in left:
            detach(self._queue, execution, process=self._process)

    def pass_on(self, execution: str, n: int, job: int) -> None:
        """Leave a segment to another process: one that has not begun, or whose end this process could not record.

        Raises:
            StoreUnavailable, StorageFull: If the store cannot be written; nothing was changed.
            GivenUp: Likewise, if the process is to end.
        """
        with reading(self._queue.engine) as connection:
            begun, row = segments.find(connection, execution, n), executions.find_plain(connection, execution)
        if begun is not None and row is not None and (begun.state, begun.worker) == ("running", self._process):
            Ending(self._make_attempt(row, begun)).release(new_job=True)
            return

        self.queue_again(execution, n, job)

    def queue_again(self, execution: str, n: int, job: int) -> None:
        """Give a segment that this process was to run a new job instead of this one, unless it needs none.

        The segment may be `running`: the process that ran it has died, and this one has received its job.

        Raises:
            StoreUnavailable, StorageFull: If the store cannot be written; nothing was changed.
        """

        def change(connection: sa.Connection) -> None:
            segment, row = segments.lock(connection, execution, n), executions.lock_plain(connection, execution)
            if segment is not None and row is not None and _needs_job(row, segment, job):
                self._queue_again(connection, segment)

        self._queue.change(change)

    def _queue_again(self, connection: sa.Connection, segment: Row) -> None:
        segments.pass_on(connection, segment)
        executions.set_state(connection, segment.execution, "queued")
        self._queue.jobs.enqueue(connection, segment.execution, segment.n, segment.job + 1)

    def give_up(self, execution: str, n: int, problem: Exception) -> bool:
        """Fail an execution whose segment cannot be run because of damaged rows, without reading these.

        Returns:
            False if that could not be recorded.
        """

        def change(connection: sa.Connection) -> None:
            segments.lock_latest_number(connection, execution)
            row = executions.lock_plain(connection, execution)
            if row is None or row.state in FINAL:
                return
            failure = Failure(type(problem).__name__, str(problem))
            reason: dict[str, JSON] = {"kind": "error", "by": self._process, "text": failure.message}
            segments.close(connection, execution, n, "failed")
            error = asdict(failure)
            executions.end(
                connection, execution, "failed", by=self._process, reason=reason, error=error, record_after=0.0
            )

        try:
            self._queue.change(change)
        except PauseflowError as why:
            log.warning("could not give %s up: %s", execution, why, extra={"execution": execution})
            return False
        return True

    def _claim(self, connection: sa.Connection, execution: str, n: int, job: int | None) -> _Claimed | None:
        segment = segments.lock(connection, execution, n)
        row = executions.lock(connection, execution)
        if segment is None or row is None:
            return None
        if job is None:
            if row.attached_to != self._process or segment.state != "queued" or row.state in FINAL:
                return None
        elif not _needs_job(row, segment, job):
            return None
        elif not self._may_run(row, segment.first_cell):
            # The process that ran it has died at the first cell of another queue.
            self._queue_again(connection, segment)
            return None
        claimed = segments.claim(connection, segment, self._process)
        steps.interrupt(connection, execution, n, claimed.first_cell)
        started = row.started_at or claimed.attempt_at
        executions.set_state(connection, execution, "running", started_at=started)
        add_line(connection, execution, "running", self._process, segment=n, attempt=claimed.attempt)
        row = executions.find(connection, execution)
        assert row is not None
        # Here, while the row is locked: a withdrawal of keys signs the snapshots again.
        is_signed = claimed.snapshot is None or keys.read_signer(connection).is_manifest_signed(
            execution, claimed.digest, claimed.signature or ""
        )
        return _Claimed(row, claimed, steps.brief_steps(connection, execution), is_signed)

    def _give_up(self, claimed: _Claimed, lost: Document | None) -> str:
        """Fail a segment that crashed too often; `lost` is the notebook of the last crash, if this process ran it."""
        ending = Ending(self._make_attempt(claimed.execution, claimed.segment))
        with reading(self._queue.engine) as connection:
            last = find_last(connection, claimed.execution.id, "crashed")
        how = ending.fail(
            "crashed", _make_crash_failure(claimed, None if last is None else last["details"].get("text"))
        )
        finish_notebook(self._queue, claimed.execution.id, lost)
        return how

    def _make_attempt(self, execution: Row, segment: Row) -> Attempt:
        return Attempt(self._queue, execution, segment, self._on_event, must_end=self.must_end.is_set)

    def _attempt(self, claimed: _Claimed, control: Control) -> tuple[str, Document | None]:
        attempt = self._make_attempt(claimed.execution, claimed.segment)
        document = None
        try:
            document = attempt.notebook = attempt.patiently(partial(self._read_notebook, claimed))
            briefing = attempt.patiently(partial(self._briefing, claimed, document))
            self._require_place(claimed)
        except PauseflowError as problem:
            if document is not None and claimed.execution.output is not None and is_first(claimed.segment):
                # Otherwise the output of an earlier execution would look like a user's edit of ours.
                start_output(claimed.execution, document)
            return Ending(attempt).fail("environment", Failure(type(problem).__name__, str(problem))), None
        output = open_output(claimed.execution, claimed.segment, self._on_event, check=attempt.require_output)
        every = claimed.execution.options.get("autosave_cell_every")
        if output is not None and every is not None:
            output.every_seconds = every
        # An attached run has one control for all its segments, and this request may be for the previous one.
        control.take_suspend()
        if claimed.execution.suspend_by is not None:
            control.suspend_at_boundary(claimed.execution.suspend_by)
        with self.watch.over(claimed.segment, control):
            how = self._in_kernel(claimed, attempt, briefing, document, output=output, control=control)
        if how == "fenced":
            log.info("attempt %s at %s/%s was fenced off", *_names(claimed), extra={"execution": claimed.execution.id})
            finish_notebook(self._queue, claimed.execution.id, document)
        elif output is not None:
            output.retry_save(document)
        return how, document

    def _in_kernel(
        self,
        claimed: _Claimed,
        attempt: Attempt,
        briefing: Briefing,
        document: Document,
        *,
        output: PatientOutput | None,
        control: Control,
    ) -> str:
        options = claimed.execution.options
        ending = Ending(attempt)
        client = None
        # Otherwise an immediate retry would continue in the kernel of the failed attempt.
        if claimed.segment.bound is not None:
            client = None if self._keeper is None else self._keeper.take(claimed.execution.id)
            if client is None:
                return ending.lost()
        try:
            with self.watch.in_kernel(claimed.segment):
                end = self._run_segment(
                    document,
                    briefing,
                    kernel=claimed.execution.kernel,
                    cwd=claimed.execution.cwd,
                    observer=Recording(attempt),
                    control=control,
                    start_timeout=options.get("start_timeout") or 60,
                    cell_timeout=options.get("execution_timeout"),
                    output=output,
                    client=client,
                    keep=None if self._keeper is None else partial(self._keeper.keep, claimed.execution.id),
                    may_run=partial(self._may_run, claimed.execution),
                )
            return ending.end(_with_output(end, output), document, output)
        except Fenced:
            return "fenced"
        except (KernelDied, KernelNotReady) as problem:
            log.warning("%s", problem, extra={"execution": claimed.execution.id})
            released = ending.crashed(str(problem))
            return "crashed" if released == "released" else released
        except (KernelUnavailable, InvalidNotebook) as problem:
            return ending.fail("environment", Failure(type(problem).__name__, str(problem)))
        except (StoreUnavailable, StorageFull, GivenUp):
            raise
        except Exception as problem:
            # A bug of ours. The job must not end with this error, or the row would say `running` for ever.
            log.exception("could not run %s", claimed.execution.id, extra={"execution": claimed.execution.id})
            return ending.fail("error", Failure(type(problem).__name__, str(problem)))

    def _may_run(self, execution: Row, cell: int) -> bool:
        return self._serves is None or QueuePlan.parse(execution.queues).find(cell) in self._serves

    def _read_notebook(self, claimed: _Claimed) -> Document:
        """Read the notebook, add the decision records made since, and digest its cells."""
        execution, engine = claimed.execution, self._queue.engine
        with reading(engine) as connection:
            suspension = suspensions.find_last(connection, execution.id)
        stored = self._queue.read_document(execution)
        document = find_newest(engine, execution, stored, suspension=suspension, segment=claimed.segment)
        with reading(engine) as connection:
            enter_records(connection, execution.id, document)
            forget_waiting(document)
            if suspension is not None and (suspension.shown or {}).get("document") == execution.document:
                # Otherwise a later attempt or an edit has changed cells that were shown.
                document.set_digests(list_shown_cells(connection, suspension))
        return document

    def _briefing(self, claimed: _Claimed, document: Document) -> Briefing:
        segment = claimed.segment
        if not claimed.is_signed:
            raise SnapshotDamaged(segment.snapshot, "this store did not sign it, so it is not loaded")
        with reading(self._queue.engine) as connection:
            start = triggers.find_start(connection, segment.execution)
        providers = Providers(self._queue.settings.secrets_dir)
        is_full = self._queue.settings.snapshot_check == "full"
        return make_briefing(
            claimed.execution,
            segment,
            claimed.steps,
            document,
            start=start,
            snapshots=self._queue.files.folder(segment.execution),
            links=self._queue.link_maker(),
            is_checked=is_full or self._queue.files.is_shared,
            may_defer=not is_full,
            unkept=self._find_reason_to_end_kernel(segment),
            secrets=find_secrets(claimed.execution, segment, document, providers),
        )

    def _find_reason_to_end_kernel(self, segment: Row) -> str | None:
        """Return why a pause may not keep the kernel of a segment; None if it may."""
        if self._keeper is None:
            return "its kernel cannot wait instead: this command ends at the pause"
        if segment.bound is not None or self._keeper.has_room():
            return None
        return f"its kernel cannot wait instead: {self._keeper.most} are kept already, see the setting `kept_kernels`"

    def _require_place(self, claimed: _Claimed) -> None:
        execution = claimed.execution
        if not Path(execution.cwd).is_dir():
            raise KernelUnavailable(execution.kernel, f"its working directory {execution.cwd} does not exist")
        if execution.interpreter and not Path(execution.interpreter).exists():
            raise KernelUnavailable(execution.kernel, f"its interpreter {execution.interpreter} does not exist")


def _needs_job(execution: Row, segment: Row, job: int) -> bool:
    """Whether a job is the one that is to run a segment, which may be `running` if the process that had it has died."""
    has_ended = segment.state == "ended" or execution.state in FINAL
    return not has_ended and execution.attached_to is None and bool(segment.job == job)


def _with_output(end: SegmentEnd, output: PatientOutput | None) -> SegmentEnd:
    """Fail an execution whose output could not be written; `retry` then only writes it."""
    if output is None or output.problem is None or end.kind not in ("completed", "exited"):
        return end
    failure = Failure(type(output.problem).__name__, str(output.problem))
    return SegmentEnd("failed", end.next_cell, None, failure, environment=True)


def _make_crash_failure(claimed: _Claimed, last: str | None) -> Failure:
    running = [step for step, briefing in claimed.steps.items() if briefing.interrupted]
    text = f"the kernel or its worker ended {claimed.segment.crashes} times in a row before a step was finished"
    text += f"; the last time: {last}" if last else ""
    return Failure("KernelDied", text, step=running[-1] if running else None)


def _names(claimed: _Claimed) -> tuple[int, str, int]:
    return claimed.segment.attempt, claimed.execution.id, claimed.segment.n
