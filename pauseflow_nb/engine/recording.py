"""Record in the store what happens while an attempt runs: progress, steps, checkpoints, pauses."""

import logging
import time
from dataclasses import asdict

import sqlalchemy as sa
from nbformat import NotebookNode

from pauseflow_nb.engine.attempt_fence import Attempt, Fenced
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.decision_records import add_errors, record_checks
from pauseflow_nb.errors import NotDelivered, StoreUnavailable
from pauseflow_nb.json_values import JSON
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Loss, MessageRequest, Outcome, PauseAnswer, PauseQuestion
from pauseflow_nb.runner.document import Document
from pauseflow_nb.store import executions, segments, steps, suspensions, triggers
from pauseflow_nb.store.audit import add_line
from pauseflow_nb.store.database import format_time
from pauseflow_nb.user_secrets.providers import Providers

log = logging.getLogger(__name__)

_PROGRESS_SECONDS = 0.5


class Recording:
    """Observes one attempt."""

    def __init__(self, attempt: Attempt) -> None:
        """Take the attempt."""
        self._attempt, self._store, self._segment = attempt, attempt.queue, attempt.segment
        self._clock = Clock(attempt.queue)
        self._question: PauseQuestion | None = None
        self._progress_at = 0.0

    def on_kernel(self, pid: int) -> None:
        """Report it."""
        self._attempt.report_event("kernel", pid=pid, segment=self._segment.n)

    def on_cell(self, index: int, done: int) -> None:
        """Record the progress, at most twice a second."""
        self._attempt.report_event("cell", cell=index, done=done, total=self._attempt.execution.cells_total)
        moment = time.monotonic()
        if moment - self._progress_at > _PROGRESS_SECONDS:
            self._progress_at = moment
            self._attempt.change(lambda connection: self._progress(connection, done))

    def on_losses(self, losses: list[Loss]) -> None:
        """Record and report what the kernel could not restore, which may differ between attempts."""

        def change(connection: sa.Connection) -> None:
            self._attempt.require_current(connection)
            row = segments.find(connection, self._segment.execution, self._segment.n)
            known = [] if row is None else list(row.losses or [])
            added = [each for each in map(asdict, losses) if each not in known]
            segments.set_losses(connection, self._segment.execution, self._segment.n, known + added)
            texts: list[JSON] = [str(loss) for loss in losses]
            by = str(self._segment.worker)
            add_line(connection, self._segment.execution, "missed", by, segment=self._segment.n, losses=texts)

        self._attempt.change(change)
        for loss in losses:
            self._attempt.report_event("said", text=f"⚠ {loss}")

    def on_step_start(self, step: str, run: int, attempt: int, cell: int) -> None:
        """Record the start before the step does anything, so that an attempt after a crash knows of it."""

        def change(connection: sa.Connection) -> None:
            self._attempt.require_current(connection)
            steps.begin(connection, self._segment.execution, self._segment.n, step, run=run, cell=cell)

        self._attempt.change(change)
        self._attempt.report_event("step", step=step, run=run, attempt=attempt)

    def on_checkpoint(self, next_cell: int, outcome: Outcome, document: Document) -> None:
        """Record a finished step, which never runs again."""
        name = self._attempt.store_document(document)

        def change(connection: sa.Connection) -> None:
            self._attempt.require_current(connection)
            steps.end(connection, self._segment.execution, self._segment.n, outcome, next_cell - 1)
            suspensions.void_pauses(connection, self._segment.execution, self._segment.n, f"step:{outcome.step}")
            if outcome.snapshot is not None:
                self._attempt.checkpoint(connection, next_cell, outcome)
            stored = {} if name is None else {"document": name}
            executions.set_state(connection, self._segment.execution, "running", cells_done=next_cell, **stored)

        self._attempt.change(change)
        self._attempt.replace_document(name)

    def on_checks(
        self, checks: list[dict[str, JSON]], first_cell: int, saved: Outcome | None, document: Document
    ) -> None:
        """Record the checks of the fresh cells; if the variables are saved, other attempts do not run them again."""
        # Otherwise another attempt compares with the values in the notebook that was stored before.
        name = None if saved is None else self._attempt.store_document(document)

        def change(connection: sa.Connection) -> None:
            self._attempt.require_current(connection)
            record_checks(connection, self._segment.execution, checks)
            add_line(
                connection,
                self._segment.execution,
                "checked",
                str(self._segment.worker),
                segment=self._segment.n,
                checks=checks,
            )
            if saved is not None:
                self._attempt.checkpoint(connection, first_cell, saved)
                segments.note_checked(connection, self._segment)
            if name is not None:
                executions.set_state(connection, self._segment.execution, "running", document=name)

        self._attempt.change(change)
        self._attempt.replace_document(name)
        for check in checks:
            if check["is_drift"]:
                self._attempt.report_event(
                    "said", text=f"⚠ {check['name']} has changed since it was shown: {check['reason']}"
                )

    def find_answer(self, question: PauseQuestion, cell: int) -> PauseAnswer | None:
        """Open the suspension in the first call; look for an answer, also of the clock, in later calls."""
        claim = Claim(self._segment.execution, self._segment.n, question.step, question.ordinal, "")
        if question != self._question:
            is_open = self._attempt.change(lambda connection: self._ask(connection, claim, question, cell))
            self._question = question
            if is_open:
                self._attempt.report_event("suspended", view=self._store.view(claim.execution))
        try:
            row = self._clock.read_suspension(claim)
        except StoreUnavailable as problem:
            log.warning("could not look for an answer: %s", problem)
            return None
        if row is None or row.state == "void":
            raise Fenced
        if row.state == "open":
            return None
        self._attempt.report_event("queued", view=self._store.view(claim.execution))
        return PauseAnswer(row.action, row.envelope, row.settled_by or "", format_time(row.settled_at) or "")

    def _ask(self, connection: sa.Connection, claim: Claim, question: PauseQuestion, cell: int) -> bool:
        execution = self._attempt.require_current(connection)
        row = suspensions.find(connection, claim)
        by = f"step:{question.step}"
        if row is None:
            outcome = Outcome("suspended", question.step, question.run, question.ordinal, suspension=question.request)
            shown = self._attempt.note_shown(connection, outcome, cell)
            suspensions.add(connection, claim.execution, claim.segment, outcome, cell, shown=shown)
            add_line(connection, claim.execution, "paused", by, segment=claim.segment, step=question.step)
        elif row.state == "settled" and question.refusals:
            suspensions.reopen(connection, row, question.errors)
            suspensions.set_shown(connection, row, add_errors(row.shown, question.errors))
            problem = {"status": 422, "errors": question.errors}
            add_line(connection, claim.execution, "refused", by, segment=claim.segment, step=question.step, **problem)
        elif row.state != "open":
            return False
        executions.set_state(connection, execution.id, "paused")
        return True

    def deliver(self, message: MessageRequest) -> tuple[str, str] | None:
        """Send the message with this process's settings."""
        from pauseflow_nb.notifications import deliver  # lazily: few steps send messages

        try:
            deliver(self._store.settings, message)
        except NotDelivered as problem:
            return problem.to, problem.problem
        return None

    def respond(self, response: dict[str, JSON]) -> bool:
        """Store the response for the server that holds the request."""

        def change(connection: sa.Connection) -> bool:
            self._attempt.require_current(connection)
            return triggers.set_response(connection, self._segment.execution, response)

        return self._attempt.change(change)

    def find_secret(self, name: str) -> str:
        """Find the secret with the providers of this process."""
        return Providers(self._store.settings.secrets_dir).find(name)

    def on_not_suspended(self, problem: str) -> None:
        """Record the reason, and drop the request to suspend."""

        def change(connection: sa.Connection) -> None:
            self._attempt.require_current(connection)
            executions.ask_to_suspend(connection, self._segment.execution, None)
            by = str(self._segment.worker)
            add_line(connection, self._segment.execution, "not suspended", by, segment=self._segment.n, text=problem)

        self._attempt.change(change)
        self._attempt.report_event("said", text=f"it was not suspended: {problem}")

    def on_output(self, cell: int, output: NotebookNode) -> None:
        """Report it."""
        self._attempt.report_event("output", cell=cell, output=output)

    def on_update(self, cell: int, output: NotebookNode) -> None:
        """Report it."""
        self._attempt.report_event("updated", cell=cell, output=output)

    def _progress(self, connection: sa.Connection, done: int) -> None:
        if not segments.mark_seen(connection, self._segment):
            raise Fenced
        executions.set_progress(connection, self._segment.execution, done)
