"""Runs one segment of a notebook in one kernel, cell by cell, and tells how it ended.

It knows neither database nor engine: what it is told stands in the briefing, what happens it tells
an `Observer`, and what remains is the document.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace

from nbformat import NotebookNode

from pauseflow_nb.cells import Header, steps_of
from pauseflow_nb.errors import KernelDied, KernelUnavailable, NotRestored
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import (
    Briefing,
    Failure,
    Loss,
    MessageRequest,
    Outcome,
    PauseQuestion,
    StepBriefing,
    SuspensionRequest,
    Wake,
)
from pauseflow_nb.runner import cards, kernels, notices, statuses
from pauseflow_nb.runner.client import CellTimeout, KernelClient, Reply
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.document import Document, is_exit_with_0
from pauseflow_nb.runner.observer import Observer, SegmentEnd
from pauseflow_nb.runner.output import OutputFile
from pauseflow_nb.runner.recorder import Recorder
from pauseflow_nb.runner.replies import asked_of, outcome_of, ready_of
from pauseflow_nb.runner.supply import Supply, libraries_of

__all__ = ["Control", "Observer", "SegmentEnd", "run_segment"]

#: Tags that change how a cell is run: ours, and nbclient's.
NOT_RUN = {"interactive-only", "skip-execution"}
RAISES_EXCEPTION = "raises-exception"

#: Seconds between two looks for the answer to `flow.pause`.
_LOOK_SECONDS = 0.15

_NOBODY_TO_ASK = (
    "the cell asks for input, and nobody sits at a headless run: use a parameter (`-p NAME VALUE`), or ask with "
    "`flow.suspend(schema=str)` in a step"
)
# Imports and calls as expressions: the user's namespace keeps no name of ours.
# The second line: a kernel that says more than we can take in at once drops what is beyond its 1000th
# message; from here on it keeps it. On its own thread, because sockets belong to one.
_LOAD = """\
__import__('pauseflow_nb.kernel.step', fromlist=['load']).load(get_ipython(), bind_names=False)
(lambda told: told.schedule(lambda: told.socket.set_hwm(0)))(get_ipython().kernel.iopub_thread)
"""
_BEGIN = "get_ipython().pauseflow.begin({!r})"
_GO_ON = "get_ipython().pauseflow.go_on({!r})"
_SUSPEND = "get_ipython().pauseflow.suspend({!r})"
_SETTLE = "get_ipython().pauseflow.settle_names()"


def run_segment(
    document: Document,
    briefing: Briefing,
    *,
    kernel: str,
    cwd: str,
    observer: Observer,
    control: Control,
    env: Mapping[str, str] | None = None,
    start_timeout: float = 60,
    cell_timeout: float | None = None,
    output: OutputFile | None = None,
    supply: Supply | None = None,
    kept: KernelClient | None = None,
    keep: Callable[[KernelClient], None] | None = None,
) -> SegmentEnd:
    """Run the cells from `briefing.first_cell` on, until the notebook ends, pauses, fails or is stopped.

    Args:
        document: Filled as cells run, and true at every moment, also when this raises.
        briefing: What the kernel is told. Kernels of other languages are told nothing and have no steps.
        kernel: Name of the kernelspec.
        cwd: Working directory of the kernel.
        observer: Is told what happens.
        control: How others stop this segment.
        env: Environment variables for the kernel, beside those of this process.
        start_timeout: Seconds until the kernel must be ready.
        cell_timeout: Seconds that a cell may run; it is interrupted then, and the notebook fails.
        output: Where the document is written as it goes, if anywhere. A disk that gets full on the way
            stops nothing: call `output.save(document)` once the end is recorded, and it is told then.
        supply: Where the kernel comes from; None: a new process.
        kept: The kernel in which the segment before this one ended, with its variables.
        keep: Takes the kernel if the notebook waits and can go on in this one only; with `briefing.may_keep`.

    Raises:
        KernelUnavailable: If the kernel does not start, or cannot run steps.
        KernelDied: If its process ends by itself.
        StorageFull: If the output cannot be written before anything ran.
    """
    segment = _Segment(document, briefing, observer, control, cell_timeout=cell_timeout, output=output)
    segment.prepare()
    if kept is None:
        spec = kernels.find(kernel)
        sources = (cell.source for cell in document.cells if cell.cell_type == "code")
        process = (supply or Supply("cold")).take(spec, cwd=cwd, env=env, libraries=libraries_of(sources))
        client = KernelClient(process, segment.recorder.receive)
    else:
        client = kept
        client.listen(segment.recorder.receive)
    control.attach(client.kernel)
    is_kept = False
    try:
        if kept is None:
            client.wait_until_ready(start_timeout)
        observer.on_kernel(client.kernel.pid)
        segment.describe(client.language_info)
        end = segment.start(client, is_new=kept is None) if client.kernel.spec.is_python else None
        if end is None:
            control.cells_run()
            end = segment.run_cells(client)
        if control.request not in {"interrupt", "kill"}:
            is_kept = keep is not None and _needs_kernel(end, was_kept=kept is not None)
            if not is_kept:
                client.shut_down()
    except (KernelDied, KernelUnavailable) as problem:
        segment.lost()
        if control.request not in {"interrupt", "kill"}:
            raise
        end = SegmentEnd("interrupted", segment.checkpoint, failure=Failure("KeyboardInterrupt", str(problem)))
    finally:
        control.detach()
        if not is_kept:
            client.kill()
        segment.recorder.join()
    if is_kept and keep is not None:
        keep(client)
    segment.save()
    return replace(end, losses=segment.losses)


def _needs_kernel(end: SegmentEnd, *, was_kept: bool) -> bool:
    """Whether the notebook waits, and could go on in no other kernel."""
    # One that refused its answer waits as it did before.
    return was_kept if end.kind == "refused" else end.outcome is not None and end.outcome.is_kernel_bound


class _Segment:
    """The state of one segment while it runs."""

    def __init__(
        self,
        document: Document,
        briefing: Briefing,
        observer: Observer,
        control: Control,
        *,
        cell_timeout: float | None,
        output: OutputFile | None,
    ) -> None:
        self.document = document
        self.recorder = Recorder(document, observer.on_output, observer.on_update)
        #: The cell to go on from if this attempt is lost.
        self.checkpoint = briefing.first_cell
        #: What the kernel could not bring back.
        self.losses: list[Loss] = []
        self._briefing = briefing
        self._observer = observer
        self._control = control
        self._cell_timeout = cell_timeout
        self._output = output
        self._headers: dict[int, Header] = {}
        self._running: int | None = None
        self._client: KernelClient | None = None
        self._question: PauseQuestion | None = None
        self._card: tuple[int, NotebookNode] | None = None

    def prepare(self) -> None:
        """Make the document ready: the decision in the card's place, nothing of an earlier attempt below it."""
        document, briefing = self.document, self._briefing
        wake = briefing.wake
        if wake is not None:
            self._card = cards.copy_of_card(document, wake.step)
        document.hide(link for step in briefing.steps.values() for links in step.links for link in links.values())
        if wake is not None:
            cards.put_decision(document, wake.step, self._decision(wake))
        cards.reset(document, briefing.first_cell)
        self.recorder.go_on()
        statuses.notebook_started(document, briefing.execution)
        if self._output is not None:
            self._output.save(document)

    def _decision(self, wake: Wake) -> cards.Decision:
        # What the clock gives in nobody's stead stands with the exports only.
        kept = self._briefing.steps.get(wake.step, StepBriefing()).exports.get("$resume_data")
        envelope = kept if wake.callback is None and wake.kind == "suspend" else wake.callback
        return cards.decision_of(wake, envelope if isinstance(envelope, dict) else None)

    def describe(self, language_info: Mapping[str, object]) -> None:
        """Note in the document which language its kernel speaks, as front ends do."""
        if language_info and self.document.metadata.get("language_info") != language_info:
            self.document.metadata["language_info"] = NotebookNode(language_info)
            self.document.changed()

    def start(self, client: KernelClient, *, is_new: bool) -> SegmentEnd | None:
        """Brief the kernel; a new one loads our side first and brings the namespace back. An end if that fails."""
        sources = [(index, cell.source) for index, cell in enumerate(self.document.cells) if cell.cell_type == "code"]
        self._headers = steps_of(sources)
        return self._settle(client, _GO_ON.format(self._briefing.to_json())) if not is_new else self._begin(client)

    def _begin(self, client: KernelClient) -> SegmentEnd | None:
        self._load(client)
        ready, failure = ready_of(client.run(_BEGIN.format(self._briefing.to_json())))
        if failure is not None:
            return self._unstarted(failure)
        if (end := self._without(ready.losses)) is not None:
            return end
        for index in range(self._briefing.first_cell):
            if index in self._headers and self._headers[index].kind == "setup":
                # It belongs to no cell now: what it showed when it ran in its place stays there.
                reply = client.run(self.document.cells[index].source)
                if reply.status != "ok":
                    return self._unstarted(self._failure(reply, index, None))
        return self._settle(client, _SETTLE)

    def _settle(self, client: KernelClient, code: str) -> SegmentEnd | None:
        ready, failure = ready_of(client.run(code))
        if failure is not None:
            return self._unstarted(failure)
        if ready.refused:
            return self._refused(ready.refused)
        return self._without(ready.losses)

    def _without(self, losses: list[Loss]) -> SegmentEnd | None:
        """Note what did not come back; an end if a cell needs it, which then must not run without it."""
        if not losses:
            return None
        self.losses += losses
        self._observer.on_losses(losses)
        notices.put_losses(self.document, self._briefing.first_cell, self.losses)
        needed = [str(loss) for loss in self.losses if loss.needed_by]
        if not needed or self._briefing.goes_without:
            return None
        return self._unstarted(Failure("NotRestored", str(NotRestored(self._briefing.execution, needed))))

    def run_cells(self, client: KernelClient) -> SegmentEnd:
        """Run what remains of the notebook."""
        self._client = client
        for index in range(self._briefing.first_cell, len(self.document.cells)):
            if self._control.request:
                return self._stopped()
            by = self._control.take_suspend()
            end = None if by is None else self._suspended_from_outside(client, index, by)
            if end is not None:
                return end
            end = self._run_cell(client, index)
            if end is None or end.kind in {"suspended", "exited"}:
                self._observer.on_cell(index, index + 1)
            if end is not None:
                return end
        return self._late_error() or self._completed()

    def _completed(self) -> SegmentEnd:
        statuses.close(self.document)
        return SegmentEnd("completed", len(self.document.cells))

    def _late_error(self) -> SegmentEnd | None:
        """Find an error that a thread has shown after its cell had ended."""
        self.recorder.join()
        for index in range(self._briefing.first_cell, len(self.document.cells)):
            cell = self.document.cells[index]
            may_fail = cell.cell_type != "code" or RAISES_EXCEPTION in cell.metadata.get("tags", [])
            failure = None if may_fail else self._shown_error(index)
            if failure is not None:
                statuses.ended(self.document, index, "failed", has_error=True)
                statuses.close(self.document)
                return SegmentEnd("failed", self.checkpoint, None, failure)
        return None

    def lost(self) -> None:
        """Note that the kernel is gone; what it said until then is in the document."""
        self.recorder.join()
        if self._running is not None:
            statuses.ended(self.document, self._running, "interrupted", has_error=True)
        self.save()

    def save(self) -> None:
        """Write the output. A failure is not told of: what just happened must be recorded first."""
        if self._output is not None:
            with contextlib.suppress(OSError):
                self._output.save(self.document)

    def _load(self, client: KernelClient) -> None:
        reply = client.run(_LOAD)
        if reply.status == "ok":
            return
        spec = client.kernel.spec
        problem = f"its interpreter {spec.interpreter} cannot load pauseflow_nb ({reply.ename}: {reply.evalue}); "
        remedy = f"install it there with `{spec.interpreter} -m pip install pauseflow-nb`"
        raise KernelUnavailable(spec.name, problem + remedy)

    def _run_cell(self, client: KernelClient, index: int) -> SegmentEnd | None:
        cell = self.document.cells[index]
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code" or not cell.source.strip():
            statuses.started(self.document, index)
            statuses.ended(self.document, index, "completed")
            return None
        if NOT_RUN & set(tags):
            statuses.ended(self.document, index, "not run")
            return None
        header = self._headers.get(index)
        step = header.name if header is not None and header.kind == "step" else None
        if step is not None:
            briefed = self._briefing.steps.get(step, StepBriefing())
            self._observer.on_step_start(step, briefed.runs + 1, briefed.interrupted + 1, index)
        statuses.started(self.document, index)
        self._running = index
        reply = self._executed(client, index)
        self._running = None
        self.recorder.join()
        if reply.execution_count is not None:
            cell.execution_count = reply.execution_count
        return self._judge(index, step, reply, may_fail=RAISES_EXCEPTION in tags)

    def _executed(self, client: KernelClient, index: int) -> Reply:
        cell = self.document.cells[index]
        request = client.send(cell.source, cell_id=cell.get("id"))
        self.recorder.expect(request, index)
        try:
            reply = client.wait(request, tick=self._tick, timeout_seconds=self._cell_timeout)
        except CellTimeout:
            reply = self._timed_out(client, request)
        self.recorder.time(index, "shell.execute_reply", {"header": reply.header})
        for told in self.recorder.widgets.untold():
            client.tell_widget(told)
        return reply

    def _timed_out(self, client: KernelClient, request: str) -> Reply:
        # A control of its own: the grace is the same, but nobody asked us to stop.
        control = Control()
        control.attach(client.kernel)
        control.cells_run()
        control.interrupt()
        with contextlib.suppress(KernelDied):
            client.wait(request, tick=self._tick)
        control.detach()
        return Reply("timeout", "TimeoutError", f"the cell ran longer than {self._cell_timeout:g} s")

    def _judge(self, index: int, step: str | None, reply: Reply, *, may_fail: bool) -> SegmentEnd | None:
        outcome = outcome_of(reply)
        if reply.status == "timeout" or (outcome is None and reply.status != "ok"):
            failure = self._failure(reply, index, step)
        elif outcome is not None and outcome.kind == "failed":
            told = outcome.failure or Failure(reply.ename, reply.evalue)
            failure = replace(told, message=self.document.masked(told.message), cell=index, step=step)
            outcome = replace(outcome, failure=failure)
        elif (shown := self._shown_error(index)) is not None:
            # As papermill has it: who shows an error and raises none has failed, too.
            failure = replace(shown, step=step)
            outcome = None if outcome is None else Outcome("failed", outcome.step, outcome.run, failure=failure)
        elif any(payload.get("source") == "ask_exit" for payload in reply.payload):
            failure = Failure(
                "SystemExit", "the cell ended its kernel; `flow.exit()` in a step ends a notebook", index, step
            )
        else:
            return self._passed(index, outcome)
        if failure.type == "StdinNotImplementedError":
            # Its own words are about frontends.
            failure = replace(failure, message=_NOBODY_TO_ASK)
            outcome = None if outcome is None else replace(outcome, failure=failure)
        if self._control.request in {"interrupt", "kill"}:
            statuses.ended(self.document, index, "interrupted", has_error=True)
            return SegmentEnd("interrupted", self.checkpoint, outcome, failure)
        if may_fail and reply.status != "timeout":
            # As papermill has it: an error that was expected is no failure.
            statuses.ended(self.document, index, "completed")
            return None
        statuses.ended(self.document, index, "failed", has_error=True)
        statuses.close(self.document)
        if step is None and failure.type == "SystemExit" and failure.message in {"", "0", "None"}:
            # As papermill has it: a program that exits with 0 has done what it wanted.
            return SegmentEnd("completed", index + 1)
        return SegmentEnd("failed", self.checkpoint, outcome, failure)

    def _shown_error(self, index: int) -> Failure | None:
        """Find an error among a cell's outputs; a program that exits with 0 has done what it wanted."""
        for output in self.document.cells[index].outputs:
            if output.output_type == "error" and not is_exit_with_0(output):
                return Failure(output.ename, str(self.document.masked(output.evalue)), index)
        return None

    def _passed(self, index: int, outcome: Outcome | None) -> SegmentEnd | None:
        if outcome is None:
            statuses.ended(self.document, index, "completed")
            return None
        if outcome.kind == "suspended" and outcome.suspension is not None:
            statuses.ended(self.document, index, "suspended")
            place = cards.Place(outcome.step, outcome.run, self._briefing.segment, outcome.ordinal)
            cards.put_card(self.document, index, place, outcome.suspension, outcome.unsaved)
            return SegmentEnd("suspended", index if outcome.suspension.then == "rerun" else index + 1, outcome)
        statuses.ended(self.document, index, "completed")
        if outcome.kind == "exited":
            statuses.close(self.document)
            return SegmentEnd("exited", index + 1, outcome)
        self.checkpoint = index + 1
        self._observer.on_checkpoint(self.checkpoint, outcome, self.document)
        self.save()
        return None

    def _suspended_from_outside(self, client: KernelClient, index: int, by: str) -> SegmentEnd | None:
        if not client.kernel.spec.is_python:
            self._observer.on_not_suspended(f"the variables of a {client.kernel.spec.language} kernel cannot be saved")
            return None
        reply = client.run(_SUSPEND.format(index))
        outcome = outcome_of(reply)
        if outcome is None or outcome.snapshot is None:
            failure = outcome.failure if outcome is not None else None
            problem = reply.evalue if failure is None else f"{failure.type}: {failure.message}"
            self._observer.on_not_suspended(problem)
            return None
        asked = SuspensionRequest("operator", on_timeout="cancel", title=f"Suspended by {by.removeprefix('user:')}")
        ran = [at for at in range(index) if statuses.status_of(self.document.cells[at]) != "not run"]
        shows = [at for at in ran if self.document.cells[at].cell_type == "code"]
        if shows:
            place = cards.Place("", segment=self._briefing.segment)
            cards.put_card(self.document, shows[-1], place, asked, outcome.unsaved, notes=outcome.notes)
        return SegmentEnd("suspended", index, replace(outcome, suspension=asked))

    def _stopped(self) -> SegmentEnd:
        return SegmentEnd("stopped" if self._control.request == "stop" else "interrupted", self.checkpoint)

    def _refused(self, errors: list[dict[str, JSON]]) -> SegmentEnd:
        if self._card is not None and self._briefing.wake is not None:
            cards.put_back(self.document, *self._card, self._decision(self._briefing.wake), errors)
        return SegmentEnd("refused", self.checkpoint, errors=errors)

    def _unstarted(self, failure: Failure) -> SegmentEnd:
        if self._control.request in {"interrupt", "kill"}:
            return SegmentEnd("interrupted", self.checkpoint, failure=failure)
        statuses.close(self.document)
        return SegmentEnd("failed", self.checkpoint, None, failure, environment=True)

    def _failure(self, reply: Reply, cell: int, step: str | None) -> Failure:
        return Failure(reply.ename, self.document.masked(reply.evalue), cell, step)

    def _tick(self) -> float | None:
        due = None if self._output is None else self._output.save_when_due(self.document)
        if self._client is None or self._client.question is None or self._running is None:
            return due
        self._attend(self._client, self._client.question, self._running)
        return _LOOK_SECONDS if due is None else min(due, _LOOK_SECONDS)

    def _attend(self, client: KernelClient, text: str, cell: int) -> None:
        """Answer what the running cell asks, as soon as there is an answer."""
        kind, asked = asked_of(text)
        if kind == "message":
            client.answer(json.dumps(self._observer.deliver(MessageRequest.from_json(asked))))
        elif kind == "errors":
            if self.recorder.asked == text:
                self.recorder.join()
                is_failed = self._shown_error(cell) is not None
                if json.loads(asked)["is_retried"]:
                    self.recorder.demote_errors(cell)
                client.answer(json.dumps(is_failed))
        elif kind == "pause":
            # Until then the card would stand above what was shown before it.
            if self.recorder.asked == text:
                self._wait(client, PauseQuestion.from_json(asked), cell)
        else:
            client.answer(None)

    def _wait(self, client: KernelClient, question: PauseQuestion, cell: int) -> None:
        """Look for an answer to `flow.pause`; the card that says what it waits for stands there meanwhile."""
        if self._question != question:
            self._question = question
            self.recorder.join()
            if question.refusals:
                cards.refuse(self.document, question.step, question.errors)
            else:
                place = cards.Place(question.step, question.run, self._briefing.segment, question.ordinal)
                cards.put_card(self.document, cell, place, question.request)
        answer = self._observer.answer_to(question, cell)
        if answer is None:
            return
        self._question = None
        cards.put_decision(self.document, question.step, cards.decision_of_pause(answer))
        statuses.goes_on(self.document, cell)
        client.answer(answer.to_json())
