"""Run the steps of an execution: begin with the runner's briefing, and end each step with an outcome."""

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pauseflow_nb.cells import Header, read_header, runs_again
from pauseflow_nb.errors import InvalidAnswer, InvalidStep, MissingSecret, NotDelivered, Unsaveable
from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.answer_types import Form
from pauseflow_nb.kernel.attribute_dict import RESUME_DATA, Record, as_records
from pauseflow_nb.kernel.context import build_context
from pauseflow_nb.kernel.control_flow import Exited, Paused, Stop
from pauseflow_nb.kernel.display import show_sentences
from pauseflow_nb.kernel.pausing import ask_runner, pause_execution
from pauseflow_nb.kernel.resume_data import Answers
from pauseflow_nb.kernel.secret import fetch_secrets, read_found, resolve_references
from pauseflow_nb.kernel.sending import add_reminder
from pauseflow_nb.kernel.setup_names import Bindings
from pauseflow_nb.kernel.step_run import StepRun
from pauseflow_nb.kernel.timeout import TimeLimit
from pauseflow_nb.protocol import (
    SOURCE,
    Briefing,
    Failure,
    Loss,
    Message,
    MessageRequest,
    Outcome,
    Ready,
    StepBriefing,
    SuspensionRequest,
    Unsaved,
    Wake,
)

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from pauseflow_nb.kernel.snapshot import Restored, Saved
    from pauseflow_nb.kernel.snapshot.deferred import Deferred

_FATES = {
    "left out": "not saved, and no later cell needs it",
    "replayed": "not saved, but made again by its statements",
    "lost": "not saved, and lost if this kernel ends",
}
_KERNEL_BOUND = (
    "kernel-bound: this execution keeps its kernel while it waits, because later cells need {}. If the kernel or its "
    "worker ends, the execution fails (kernel-lost). What a `%%setup` cell makes needs no kernel to wait for it."
)


def _describe_failure(error: BaseException, step: str | None = None) -> Failure:
    """Describe an error for the outcome."""
    message = str(error)
    if isinstance(error, SystemExit):
        # The author wants to end the whole notebook, and the text of the error is a bare number.
        message = f"sys.exit({message}) fails the step: `flow.exit()` ends the notebook as completed"
    return Failure(type(error).__name__, message, step=step)


class ExecutionMode:
    """One segment of an execution, seen from inside its kernel."""

    def __init__(
        self,
        shell: "InteractiveShell",
        bindings: Bindings,
        briefing: Briefing,
        *,
        previous: "ExecutionMode | None" = None,
    ) -> None:
        """Begin a segment; `previous` is the segment before it if this kernel ran it."""
        self._shell, self._bindings = shell, bindings
        self.briefing = briefing
        #: Exports of the steps that have run, of earlier segments too.
        self.exports: dict[str, dict[str, JSON]] = {
            name: step.exports for name, step in briefing.steps.items() if step.runs or step.exports
        }
        self.answers: Answers = Answers(shell.user_ns) if previous is None else previous.answers
        self._restored: Restored | None = None
        #: Variables that are restored when code mentions them.
        self.deferred: Deferred | None = None if previous is None else previous.deferred
        #: What could not be restored.
        self.losses: list[Loss] = [] if previous is None else previous.losses
        self._reported: set[str] = set()

    def restore(self) -> None:
        """Restore the variables and the execution count; the reply is a `Ready`."""
        from pauseflow_nb.kernel import snapshot  # lazy: needed only where something is saved

        # Before the first cell: changes of the environment from now on are saved with the variables.
        snapshot.note_start(self._shell)
        self._shell.execution_count = self.briefing.execution_count + 1
        try:
            fetch_secrets(self.briefing.secrets)
            if self.briefing.snapshot is None:
                self.send(Ready())
                return
            folder, force = self.briefing.snapshots, self.briefing.force
            execution = self.briefing.execution
            self._restored = snapshot.restore(
                self._shell,
                folder,
                self.briefing.snapshot,
                force=force,
                execution=execution,
                is_checked=self.briefing.is_checked,
                coming=self.briefing.coming if self.briefing.may_defer else None,
            )
            self.deferred = self._restored.deferred
            self.answers.take_from_variables()
            namespace, coming = self._shell.user_ns, self.briefing.coming
            losses = snapshot.weigh_losses(self._restored.losses, coming, namespace)
            self._send_ready(losses + snapshot.find_never_saved(self._restored, coming, namespace))
        except Exception as error:  # noqa: BLE001 (the runner must learn of any error)
            self.send(Ready(failure=_describe_failure(error)))

    def begin_setup(self) -> None:
        """Note the settings before a `%%setup` cell: what the cell itself sets is not saved."""
        from pauseflow_nb.kernel.snapshot.process_state import capture  # lazy: see restore

        capture.begin_setup(self._shell)

    def end_setup(self) -> None:
        """Find the settings that a `%%setup` cell has changed, if one has just run."""
        from pauseflow_nb.kernel.snapshot.process_state import capture  # lazy: see restore

        capture.end_setup(self._shell)

    def settle_names(self) -> None:
        """Restore the saved values of names that the setups have bound; the reply is a `Ready`."""
        try:
            self._bindings.close_setup()
            losses = []
            if self._restored is not None:
                losses = self._restore_after_setups(self._restored)
                # It would keep all values alive, also of names that cells rebind or delete.
                self._restored = None
            if self.briefing.goes_without or not any(loss.needed_by for loss in losses):
                self._receive_answer()
            self._send_ready(losses)
        except InvalidAnswer as problem:
            self.send(Ready(refused=problem.errors))
        except Exception as error:  # noqa: BLE001 (see restore)
            self.send(Ready(failure=_describe_failure(error)))

    def brief(self, step: str) -> tuple[StepBriefing, Wake | None]:
        """Return the briefing of a step that starts, and the wake if it is a rerun."""
        wake = self.briefing.wake
        is_rerun = wake is not None and wake.step == step and wake.then == "rerun"
        return self.briefing.steps.get(step, StepBriefing()), wake if is_rerun else None

    def end(self, run: StepRun) -> Stop | None:
        """Save a step that succeeded and send its outcome.

        Raises:
            PauseflowError: If its variables cannot be saved.
        """
        planned = None if run.exited else run.suspension
        kind = "exited" if run.exited else "suspended" if planned is not None else "finished"
        if planned is not None:
            self.answers.expect(run.step, planned.form, self._bindings.remade)
        is_saved = kind == "suspended" or (kind == "finished" and self._checkpoints)
        is_strict = self.briefing.strict or (kind == "suspended" and self._ends_with_pause)
        saved = self._save(*self._find_cells(run), strict=is_strict) if is_saved else None
        if saved is not None:
            self._report_unsaved(run, saved, is_pause=kind == "suspended")
        outcome = Outcome(
            kind,
            run.step,
            run.number,
            run.failed_attempts,
            exports=run.all_exports(),
            notes=run.notes,
            suspension=None if planned is None else add_reminder(run, planned.request_at_end()),
            exit_reason=run.exit_reason,
            snapshot=saved.ref if saved is not None else None,
            unsaved=saved.unsaved if saved is not None else [],
            losses=self.losses,
        )
        self.send(outcome)
        self.exports[run.step] = outcome.exports
        if kind == "finished":
            return None
        return Stop((Exited if run.exited else Paused)(f"step {run.step!r} {kind}"))

    def suspend(self, next_cell: int) -> None:
        """Save between two cells, as requested from outside; the reply is an `Outcome` without a step."""
        coming, passed = self._split_cells(next_cell)
        try:
            saved = self._save(coming, passed, strict=self.briefing.strict or self._ends_with_pause)
            self.send(Outcome("suspended", "", 0, snapshot=saved.ref, unsaved=saved.unsaved, notes=saved.notes))
        except Exception as error:  # noqa: BLE001 (the runner must learn of any error)
            self.send(Outcome("failed", "", 0, failure=_describe_failure(error)))

    def fail(self, step: str, error: BaseException, run: StepRun | None = None) -> None:
        """Send the outcome of a step that failed, without its exports and its suspension."""
        number, ordinal = (run.number, run.failed_attempts) if run is not None else (1, 0)
        notes = run.notes if run is not None else []
        failure = _describe_failure(error, step)
        self.send(Outcome("failed", step, number, ordinal, notes=notes, losses=self.losses, failure=failure))

    def send(self, message: Message) -> None:
        """Put a message into the reply of the running cell, in place of an earlier message."""
        # As text: inside a payload, IPython would turn NaN into the string "nan".
        payload = {"source": SOURCE, "json": message.to_json()}
        payloads = self._shell.payload_manager
        assert payloads is not None
        payloads.write_payload(payload, single=True)

    @property
    def inputs(self) -> Record:
        """The notebook's parameters."""
        inputs: Record = as_records(resolve_references(self.briefing.inputs))
        return inputs

    @property
    def trigger(self) -> Record:
        """What started the execution; without a trigger, the event is the parameters."""
        trigger: Record = as_records({"event": self.inputs, **self.briefing.trigger})
        return trigger

    def context(self, run: StepRun) -> Record:
        """Build what `flow.context` shows during a run."""
        briefing = self.briefing
        return build_context(
            run,
            execution=briefing.execution,
            notebook=briefing.notebook,
            started_at=briefing.started_at,
            is_test=False,
        )

    def describe(self) -> str:
        """Name the segment and the execution that run."""
        return f"execution {self.briefing.execution}, segment {self.briefing.segment}"

    def refusal(self, step: str) -> str | None:  # noqa: ARG002 - the runner decides which cells run
        """Refuse no step."""
        return None

    def take_value(self, header: Header, value: Any) -> None:
        """Send the parts of a fresh cell's value that are compared."""
        from pauseflow_nb.kernel.fresh_value import describe_value  # lazy: few notebooks have such a cell

        self.send(describe_value(header.name, value))

    def fails_step(self, run: StepRun, *, is_magic: bool, is_retried: bool) -> bool:
        """Ask the runner whether the cell's outputs still show an error, which then counts as raised.

        Args:
            run: The step.
            is_magic: Whether the step's code is one cell magic.
            is_retried: Whether another attempt follows: the runner then turns the errors into text, so that the cell
                does not count as failed.
        """
        if getattr(self._shell, "kernel", None) is None:
            return is_magic
        question = {"attempt": run.failed_attempts, "is_retried": is_retried}
        return bool(json.loads(ask_runner(self._shell, "errors", json.dumps(question))))

    def pause(self, run: StepRun, request: SuspensionRequest, form: Form | None, limit: TimeLimit | None) -> Any:
        """Ask the question through the runner, and block until it is answered."""
        return pause_execution(self._shell, run, request, form, limit)

    def deliver(self, message: MessageRequest) -> None:
        """Send a message through the runner."""
        problem = json.loads(ask_runner(self._shell, "message", message.to_json()))
        if problem is not None:
            raise NotDelivered(*problem)

    def respond(self, response: dict[str, JSON]) -> bool:
        """Store the response through the runner; the server sends it."""
        return bool(json.loads(ask_runner(self._shell, "respond", json.dumps(response))))

    def find_secret(self, name: str) -> str:
        """Fetch the secret through the runner, whose process has the providers."""
        if threading.current_thread() is not threading.main_thread():
            raise MissingSecret(
                name, "it can be fetched only in the main thread: call `flow.secret` before the thread starts"
            )
        return read_found(name, ask_runner(self._shell, "secret", json.dumps(name)))

    @property
    def _ends_with_pause(self) -> bool:
        # Variables that only this kernel has would then be lost silently.
        return not self.briefing.may_keep

    @property
    def _checkpoints(self) -> bool:
        return self.briefing.checkpoint == "step"

    def _save(self, coming: dict[str, str], passed: dict[str, str], *, strict: bool) -> "Saved":
        from pauseflow_nb.kernel import snapshot  # lazy: see restore

        try:
            with self.answers.among_variables():
                saved = snapshot.save(
                    self._shell,
                    self.briefing.snapshots,
                    remade=set(self._bindings.remade),
                    coming=coming,
                    passed=passed,
                    strict=strict,
                    execution=self.briefing.execution,
                    is_checked=self.briefing.is_checked,
                    deferred=self.deferred,
                )
        except Unsaveable as problem:
            maker = problem.cell if problem.cell is not None else self._find_maker(problem.name, set(coming))
            raise Unsaveable(problem.name, problem.type_name, self._complete(problem.reason), maker) from problem
        lost = self.answers.find_lost_schema(saved.unsaved)
        if lost is not None:
            raise Unsaveable(lost.name, lost.type_name, self._complete(lost.reason), lost.cell)
        unsaved = [self.answers.rename_unsaved(self._add_maker(each, set(coming))) for each in saved.unsaved]
        return replace(saved, unsaved=unsaved)

    def _complete(self, reason: str) -> str:
        unkept = self.briefing.unkept
        return f"{reason} ({unkept})" if unkept and not self.briefing.strict else reason

    def _add_maker(self, unsaved: Unsaved, coming: set[str]) -> Unsaved:
        if unsaved.fate != "lost" or unsaved.cell is not None:
            return unsaved
        return replace(unsaved, cell=self._find_maker(unsaved.name, coming))

    def _find_maker(self, name: str, coming: set[str]) -> int | None:
        """Find the cell that bound a name last, whether it is a step or not."""
        from pauseflow_nb.kernel.snapshot.recovery.dependencies import parse_statements  # lazy: see restore

        cells = {**self.briefing.passed, **self.briefing.coming}
        ran = sorted((int(index) for index in cells if index not in coming), reverse=True)
        return next((i for i in ran if any(name in s.binds for s in parse_statements(cells[str(i)]))), None)

    def _report_unsaved(self, run: StepRun, saved: "Saved", *, is_pause: bool) -> None:
        """Report once which variables are not in the snapshot, and what that means for each."""
        sentences = [f"{_FATES[each.fate]}: {each.name} ({each.type_name}), {each.reason}" for each in saved.unsaved]
        sentences += saved.notes
        for sentence in sentences:
            if sentence not in self._reported:
                self._reported.add(sentence)
                run.notes.append(sentence)
                show_sentences(self._shell, sentence, is_small=True)
        lost = [f"{each.name} ({each.type_name})" for each in saved.unsaved if each.fate == "lost"]
        if is_pause and lost:
            run.notes.append(_KERNEL_BOUND.format(", ".join(lost)))
            show_sentences(self._shell, run.notes[-1])

    def _receive_answer(self) -> None:
        wake = self.briefing.wake
        if wake is None or wake.kind != "suspend":
            return
        if wake.sent_back is not None:
            self.answers.receive(wake.step, None)
            return
        # The wake does not hold the default answer of a timeout; the step's exports do.
        exported = self.briefing.steps.get(wake.step, StepBriefing()).exports.get(RESUME_DATA)
        envelope = wake.callback if wake.callback is not None else exported
        self.answers.receive(wake.step, envelope if isinstance(envelope, dict) else None)

    def _send_ready(self, losses: list[Loss]) -> None:
        """Report that the kernel is ready, with its losses; the runner decides whether cells may run without them."""
        named = [self.answers.rename_loss(loss, self.briefing) for loss in losses]
        self.losses = [*self.losses, *named]
        self.send(Ready(losses=named))

    def _restore_after_setups(self, restored: "Restored") -> list[Loss]:
        from pauseflow_nb.kernel import snapshot  # lazy: see restore

        just_bound = set(self._bindings.remade)
        losses = snapshot.restore_after_setups(self._shell, restored, just_bound)
        # A setup's name that is in the snapshot was bound by another cell afterwards.
        self._bindings.remade = restored.remade | (just_bound - restored.values.keys())
        return snapshot.weigh_losses(losses, self.briefing.coming, self._shell.user_ns)

    def _find_cells(self, run: StepRun) -> tuple[dict[str, str], dict[str, str]]:
        headers = {index: _header(source) for index, source in self.briefing.coming.items()}
        index = next((int(i) for i, h in headers.items() if h is not None and h.name == run.step), None)
        if index is None:
            return self.briefing.coming, self.briefing.passed
        is_rerun = run.suspension is not None and run.suspension.request.may_run_again
        return self._split_cells(index if is_rerun else index + 1)

    def _split_cells(self, next_cell: int) -> tuple[dict[str, str], dict[str, str]]:
        """Return the cells that may still run, and the plain cells that have run, before the next cell."""
        coming, passed = {}, dict(self.briefing.passed)
        for index, source in self.briefing.coming.items():
            header = _header(source)
            # Setups and fresh cells run again in the next segment, so variables that they use are needed.
            if int(index) >= next_cell or runs_again(header):
                coming[index] = source
            elif header is None:
                passed[index] = source
        return coming, passed


def _header(source: str) -> Header | None:
    try:
        return read_header(source)
    except InvalidStep:
        return None
