"""A run with a briefing: what the runner told this kernel, and what is answered at the end of a step."""

from dataclasses import replace
from typing import TYPE_CHECKING

from pauseflow_nb.cells import Header, header_of
from pauseflow_nb.errors import InvalidAnswer, InvalidStep, Unsaveable
from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.answers import Answers
from pauseflow_nb.kernel.bindings import Bindings
from pauseflow_nb.kernel.exports import RESUME_DATA
from pauseflow_nb.kernel.run import StepRun
from pauseflow_nb.kernel.say import say
from pauseflow_nb.kernel.sending import reminding
from pauseflow_nb.kernel.stops import Exited, Paused, Stop
from pauseflow_nb.protocol import SOURCE, Briefing, Failure, Loss, Message, Outcome, Ready, StepBriefing, Unsaved, Wake

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from pauseflow_nb.kernel.snapshot import Restored, Saved

__all__ = ["Headless", "failure_of"]

_FATES = {
    "left out": "not saved, and no later cell needs it",
    "replayed": "not saved, but made again by its statements",
    "lost": "not saved, and lost if this kernel ends",
}
_BOUND = (
    "kernel-bound: this execution keeps its kernel while it waits, because later cells need {}. If the kernel or its "
    "worker ends, the execution fails (kernel-lost). What a `%%setup` cell makes needs no kernel to wait for it."
)


def failure_of(error: BaseException, step: str | None = None) -> Failure:
    """Describe an error as others see it."""
    message = str(error)
    if isinstance(error, SystemExit):
        # Whoever writes it means the whole notebook, and its text is a bare number.
        message = f"sys.exit({message}) fails the step: `flow.exit()` ends the notebook as completed"
    return Failure(type(error).__name__, message, step=step)


class Headless:
    """One segment, seen from inside its kernel."""

    def __init__(
        self, shell: "InteractiveShell", bindings: Bindings, briefing: Briefing, *, before: "Headless | None" = None
    ) -> None:
        """Begin a segment; `before` is the one before it, if this kernel was kept."""
        self._shell, self._bindings = shell, bindings
        self.briefing = briefing
        #: Exports of the steps that have run, of earlier segments too.
        self.exports: dict[str, dict[str, JSON]] = {
            name: told.exports for name, told in briefing.steps.items() if told.runs or told.exports
        }
        self.answers: Answers = Answers(shell.user_ns) if before is None else before.answers
        self._restored: Restored | None = None
        #: What this kernel has to do without.
        self.losses: list[Loss] = [] if before is None else before.losses
        self._told: set[str] = set()

    def restore(self) -> None:
        """Bring the variables back and go on numbering; answers `Ready`."""
        from pauseflow_nb.kernel import snapshot  # lazy: needed only where something is saved

        # Before the first cell: what cells change of the environment from now on is saved with the variables.
        snapshot.note_start(self._shell)
        self._shell.execution_count = self.briefing.execution_count + 1
        if self.briefing.snapshot is None:
            self.send(Ready())
            return
        try:
            folder, force = self.briefing.snapshots, self.briefing.force
            execution = self.briefing.execution
            self._restored = snapshot.restore(
                self._shell,
                folder,
                self.briefing.snapshot,
                force=force,
                execution=execution,
                is_checked=self.briefing.is_checked,
            )
            self.answers.take_over()
            namespace, coming = self._shell.user_ns, self.briefing.coming
            losses = snapshot.weighed(self._restored.losses, coming, namespace)
            self._report(losses + snapshot.never_saved(self._restored, coming, namespace))
        except Exception as error:  # noqa: BLE001 (the runner must learn of whatever it was)
            self.send(Ready(failure=failure_of(error)))

    def begin_setup(self) -> None:
        """Note what is set before a `%%setup` cell: what it sets itself is not saved."""
        from pauseflow_nb.kernel.snapshot import surroundings  # lazy: see restore

        surroundings.begin_setup(self._shell)

    def end_setup(self) -> None:
        """Find what a `%%setup` cell has set, if one has just run."""
        from pauseflow_nb.kernel.snapshot import surroundings  # lazy: see restore

        surroundings.end_setup(self._shell)

    def settle_names(self) -> None:
        """Put saved values back over what the setups bound on the way; answers `Ready`."""
        try:
            self._bindings.close_setup()
            losses = []
            if self._restored is not None:
                losses = self._put_back(self._restored)
                # It holds all values, also of names that cells will rebind or delete.
                self._restored = None
            if self.briefing.goes_without or not any(loss.needed_by for loss in losses):
                self._receive_answer()
            self._report(losses)
        except InvalidAnswer as problem:
            self.send(Ready(refused=problem.errors))
        except Exception as error:  # noqa: BLE001 (see restore)
            self.send(Ready(failure=failure_of(error)))

    def told(self, step: str) -> tuple[StepBriefing, Wake | None]:
        """What a step that starts is told, and what caused the run if it is a rerun."""
        wake = self.briefing.wake
        is_rerun = wake is not None and wake.step == step and wake.then == "rerun"
        return self.briefing.steps.get(step, StepBriefing()), wake if is_rerun else None

    def end(self, run: StepRun) -> Stop | None:
        """Save a step that succeeded and answer how it ended.

        Raises:
            PauseflowError: If its variables cannot be saved.
        """
        kind = "exited" if run.exited else "suspended" if run.asked is not None else "finished"
        if kind == "suspended" and run.asked is not None:
            self.answers.ask(run.step, run.asked.form, self._bindings.remade)
        is_saved = kind == "suspended" or (kind == "finished" and self._checkpoints)
        is_strict = self.briefing.strict or (kind == "suspended" and self._ends_with_pause)
        saved = self._save(*self._cells_around(run), strict=is_strict) if is_saved else None
        if saved is not None:
            self._tell_unsaved(run, saved, is_pause=kind == "suspended")
        outcome = Outcome(
            kind,
            run.step,
            run.number,
            run.failed_attempts,
            exports=run.published(),
            notes=run.notes,
            suspension=reminding(run, run.asked.at_end()) if run.asked is not None and kind == "suspended" else None,
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
        """Save between two cells, because somebody outside asked for it; answers an `Outcome` without a step."""
        coming, passed = self._cells_at(next_cell)
        try:
            saved = self._save(coming, passed, strict=self.briefing.strict or self._ends_with_pause)
            self.send(Outcome("suspended", "", 0, snapshot=saved.ref, unsaved=saved.unsaved, notes=saved.notes))
        except Exception as error:  # noqa: BLE001 (the runner must learn of whatever it was)
            self.send(Outcome("failed", "", 0, failure=failure_of(error)))

    def fail(self, step: str, error: BaseException, run: StepRun | None = None) -> None:
        """Answer that a step failed; what it published and asked for is void."""
        number, ordinal = (run.number, run.failed_attempts) if run is not None else (1, 0)
        notes = run.notes if run is not None else []
        failure = failure_of(error, step)
        self.send(Outcome("failed", step, number, ordinal, notes=notes, losses=self.losses, failure=failure))

    def send(self, message: Message) -> None:
        """Put a message into the reply of the running cell, instead of one sent before."""
        # As text: inside a payload, IPython would turn NaN into the string "nan".
        payload = {"source": SOURCE, "json": message.to_json()}
        payloads = self._shell.payload_manager
        assert payloads is not None
        payloads.write_payload(payload, single=True)

    @property
    def _ends_with_pause(self) -> bool:
        # Then what this kernel alone has would be lost without a word.
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
                )
        except Unsaveable as problem:
            maker = problem.cell if problem.cell is not None else self._maker(problem.name, set(coming))
            raise Unsaveable(problem.name, problem.type_name, self._in_full(problem.reason), maker) from problem
        lost = self.answers.lost_schema(saved.unsaved)
        if lost is not None:
            told = self.answers.told(lost)
            raise Unsaveable(told.name, told.type_name, self._in_full(told.reason), told.cell)
        return replace(saved, unsaved=[self.answers.told(self._made(each, set(coming))) for each in saved.unsaved])

    def _in_full(self, reason: str) -> str:
        unkept = self.briefing.unkept
        return f"{reason}, and {unkept}" if unkept and not self.briefing.strict else reason

    def _made(self, unsaved: Unsaved, coming: set[str]) -> Unsaved:
        if unsaved.fate != "lost" or unsaved.cell is not None:
            return unsaved
        return replace(unsaved, cell=self._maker(unsaved.name, coming))

    def _maker(self, name: str, coming: set[str]) -> int | None:
        """Find the cell that bound a name last, be it a step."""
        from pauseflow_nb.kernel.snapshot.lineage import statements_of  # lazy: see restore

        cells = {**self.briefing.passed, **self.briefing.coming}
        ran = sorted((int(index) for index in cells if index not in coming), reverse=True)
        return next((i for i in ran if any(name in s.binds for s in statements_of(cells[str(i)]))), None)

    def _tell_unsaved(self, run: StepRun, saved: "Saved", *, is_pause: bool) -> None:
        """Say which variables are not in the snapshot, and what becomes of them; once each."""
        sentences = [f"{_FATES[each.fate]}: {each.name} ({each.type_name}), {each.reason}" for each in saved.unsaved]
        sentences += saved.notes
        for sentence in sentences:
            if sentence not in self._told:
                self._told.add(sentence)
                run.notes.append(sentence)
                say(self._shell, sentence, is_small=True)
        lost = [f"{each.name} ({each.type_name})" for each in saved.unsaved if each.fate == "lost"]
        if is_pause and lost:
            run.notes.append(_BOUND.format(", ".join(lost)))
            say(self._shell, run.notes[-1])

    def _receive_answer(self) -> None:
        wake = self.briefing.wake
        if wake is None or wake.kind != "suspend":
            return
        told = self.briefing.steps.get(wake.step, StepBriefing())
        # Of an answer by the clock the wake knows nothing but that it was the clock's.
        kept = told.exports.get(RESUME_DATA)
        envelope = wake.callback if wake.callback is not None else kept
        self.answers.receive(wake.step, envelope if isinstance(envelope, dict) else None)

    def _report(self, losses: list[Loss]) -> None:
        """Answer that the kernel is ready but for these; the runner decides whether cells may run without them."""
        named = [self.answers.as_named(loss, self.briefing) for loss in losses]
        self.losses = [*self.losses, *named]
        self.send(Ready(losses=named))

    def _put_back(self, restored: "Restored") -> list[Loss]:
        from pauseflow_nb.kernel import snapshot  # lazy: see restore

        just_bound = set(self._bindings.remade)
        losses = snapshot.put_back(self._shell, restored, just_bound)
        # A name that is in the snapshot was bound by another cell after its setup.
        self._bindings.remade = restored.remade | (just_bound - restored.values.keys())
        return snapshot.weighed(losses, self.briefing.coming, self._shell.user_ns)

    def _cells_around(self, run: StepRun) -> tuple[dict[str, str], dict[str, str]]:
        headers = {index: _header(source) for index, source in self.briefing.coming.items()}
        here = next((int(i) for i, h in headers.items() if h is not None and h.name == run.step), None)
        if here is None:
            return self.briefing.coming, self.briefing.passed
        is_rerun = run.asked is not None and run.asked.request.then == "rerun"
        return self._cells_at(here if is_rerun else here + 1)

    def _cells_at(self, next_cell: int) -> tuple[dict[str, str], dict[str, str]]:
        """Tell which cells may still run, and which plain ones have run, before this cell."""
        coming, passed = {}, dict(self.briefing.passed)
        for index, source in self.briefing.coming.items():
            header = _header(source)
            is_setup = header is not None and header.kind == "setup"
            # A setup runs again in the next kernel, so what it needs is needed.
            if int(index) >= next_cell or is_setup:
                coming[index] = source
            elif header is None:
                passed[index] = source
        return coming, passed


def _header(source: str) -> Header | None:
    try:
        return header_of(source)
    except InvalidStep:
        return None
