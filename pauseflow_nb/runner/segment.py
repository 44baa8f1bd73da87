"""Run one segment of a notebook in one kernel, cell by cell.

This module knows neither database nor engine: its input is the briefing, it reports to an `Observer` while cells run,
and its result is the document and a `SegmentEnd`.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace

from nbformat import NotebookNode

from pauseflow_nb.cells import Header, find_steps
from pauseflow_nb.errors import KernelDied, KernelUnavailable, NotRestored
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import (
    Briefing,
    Failure,
    Loss,
    Outcome,
    Ready,
    StepBriefing,
    Wake,
)
from pauseflow_nb.runner import cards, cell_statuses, fresh_cells, notices
from pauseflow_nb.runner.between_cells import BetweenCells
from pauseflow_nb.runner.client import CellTimeout, KernelClient, Reply
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.kernel_messages import brief_new_kernel, brief_same_kernel, read_outcome
from pauseflow_nb.runner.kernels.source import Supply, find_libraries
from pauseflow_nb.runner.kernels.spec import find_spec
from pauseflow_nb.runner.observer import Observer, SegmentEnd
from pauseflow_nb.runner.output_file import OutputFile
from pauseflow_nb.runner.questions import ASK_AGAIN_SECONDS, Questions
from pauseflow_nb.runner.recorder import Recorder

#: A tag that changes how a cell is run, as in nbclient.
RAISES_EXCEPTION = "raises-exception"

_NO_INPUT = (
    "the cell calls `input()`, which a headless run cannot answer: use a parameter (`-p NAME VALUE`), or ask with "
    "`flow.suspend(schema=str)` in a step"
)


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
    client: KernelClient | None = None,
    keep: Callable[[KernelClient], None] | None = None,
    may_run: Callable[[int], bool] = lambda _cell: True,
) -> SegmentEnd:
    """Run the cells from `briefing.first_cell` on, until the notebook ends, pauses, fails or is stopped.

    Args:
        document: Filled as cells run; it is up to date at every moment, also when this raises.
        briefing: The briefing for the kernel. A kernel of another language gets no briefing and has no steps.
        kernel: Name of the kernelspec.
        cwd: Working directory of the kernel.
        observer: Receives events.
        control: Through it, other threads stop this segment.
        env: Environment variables for the kernel, in addition to those of this process.
        start_timeout: Seconds until the kernel must be ready.
        cell_timeout: Seconds that a cell may run; after that it is interrupted, and the notebook fails.
        output: Where the document is written while cells run, if anywhere. A disk that becomes full meanwhile
            stops nothing: call `output.save(document)` once the end is recorded, and that raises.
        supply: Where the kernel comes from; None: a new process.
        client: The connection to the kernel in which the segment before this one ended, with its variables; None: the
            segment gets a new kernel.
        keep: Called with the connection if the notebook waits and can continue in this kernel only; with `briefing.may_keep`.
        may_run: Whether a cell may run on this machine; before one that may not, the segment ends as `handed over`.

    Raises:
        KernelUnavailable: If the kernel does not start, or cannot run steps.
        KernelDied: If its process ends by itself.
        StorageFull: If the output cannot be written before anything ran.
    """
    segment = _Segment(document, briefing, observer, control, cell_timeout=cell_timeout, output=output, may_run=may_run)
    segment.prepare()
    is_new = client is None
    if client is None:
        spec = find_spec(kernel)
        sources = (cell.source for cell in document.cells if cell.cell_type == "code")
        process = (supply or Supply("cold")).take(spec, cwd=cwd, env=env, libraries=find_libraries(sources))
        client = KernelClient(process, segment.recorder.receive)
    else:
        client.redirect(segment.recorder.receive)
    control.attach(client.kernel)
    stays_alive = False
    try:
        if is_new:
            client.wait_until_ready(start_timeout)
        observer.on_kernel(client.kernel.pid)
        segment.describe(client.language_info)
        end = segment.start(client, is_new=is_new) if client.kernel.spec.is_python else None
        if end is None:
            control.note_cells_run()
            end = segment.run_cells(client)
        if control.request not in {"interrupt", "kill"}:
            stays_alive = keep is not None and _needs_kernel(end, needed_before=not is_new)
            if not stays_alive:
                client.shut_down()
    except (KernelDied, KernelUnavailable) as problem:
        segment.note_kernel_lost()
        if control.request not in {"interrupt", "kill"}:
            raise
        end = SegmentEnd("interrupted", segment.checkpoint, failure=Failure("KeyboardInterrupt", str(problem)))
    finally:
        control.detach()
        if not stays_alive:
            client.kill()
        segment.recorder.join()
    if stays_alive and keep is not None:
        keep(client)
    segment.save()
    return replace(end, losses=segment.losses)


def _needs_kernel(end: SegmentEnd, *, needed_before: bool) -> bool:
    """Whether the notebook waits, and could continue in no other kernel."""
    # A segment whose answer does not count waits as it did before.
    return (
        needed_before if end.kind in ("refused", "drifted") else end.outcome is not None and end.outcome.is_kernel_bound
    )


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
        may_run: Callable[[int], bool],
    ) -> None:
        self.document = document
        self.recorder = Recorder(document, observer.on_output, observer.on_update)
        #: Index of the cell from which another attempt continues.
        self.checkpoint = briefing.first_cell
        #: What the kernel could not restore.
        self.losses: list[Loss] = []
        self._briefing = briefing
        self._observer = observer
        self._control = control
        self._cell_timeout = cell_timeout
        self._output, self._may_run = output, may_run
        self._headers: dict[int, Header] = {}
        self._may_pause = any("%%step" in cell.source for cell in document.cells)
        self._running: int | None = None
        self._client: KernelClient | None = None
        self._questions = Questions(document, self.recorder, observer, segment=briefing.segment)
        self._card: tuple[int, NotebookNode] | None = None

    def prepare(self) -> None:
        """Prepare the document: add the decision to the card, and remove the outputs of an earlier attempt below it."""
        document, briefing = self.document, self._briefing
        wake = briefing.wake
        if wake is not None:
            self._card = cards.copy_card(document, wake.step)
        document.hide(link for step in briefing.steps.values() for links in step.links for link in links.values())
        if wake is not None:
            cards.write_decision(document, wake.step, self._decision(wake))
        cards.reset(document, briefing.first_cell)
        self.recorder.load_earlier()
        cell_statuses.note_notebook_started(document, briefing.execution)
        if self._output is not None:
            self._output.save(document)

    def _decision(self, wake: Wake) -> cards.Decision:
        # If the clock has answered, only the exports hold the answer.
        exported = self._briefing.steps.get(wake.step, StepBriefing()).exports.get("$resume_data")
        envelope = exported if wake.callback is None and wake.kind == "suspend" else wake.callback
        return cards.describe_decision(wake, envelope if isinstance(envelope, dict) else None)

    def describe(self, language_info: Mapping[str, object]) -> None:
        """Note in the document which language its kernel speaks, as front ends do."""
        if language_info and self.document.metadata.get("language_info") != language_info:
            self.document.metadata["language_info"] = NotebookNode(language_info)
            self.document.changed()

    def start(self, client: KernelClient, *, is_new: bool) -> SegmentEnd | None:
        """Brief the kernel, and restore the variables in a new one; returns an end if no cell can run."""
        self._client = client
        sources = [(index, cell.source) for index, cell in enumerate(self.document.cells) if cell.cell_type == "code"]
        self._headers = find_steps(sources)
        passed = range(self._briefing.first_cell)
        setups = [index for index in passed if index in self._headers and self._headers[index].kind == "setup"]
        answers = (
            brief_new_kernel(client, self._briefing, self.document, setups, self._tick)
            if is_new
            else brief_same_kernel(client, self._briefing, self.document, self._tick)
        )
        return next(filter(None, map(self._judge_ready, answers)), None)

    def _judge_ready(self, ready: Ready) -> SegmentEnd | None:
        if ready.failure is not None:
            return self._end_before_cells(ready.failure)
        if ready.refused:
            return self._refuse_answer(ready.refused)
        return self._note_losses(ready.losses)

    def _note_losses(self, losses: list[Loss]) -> SegmentEnd | None:
        """Note what could not be restored; return an end if a cell needs it."""
        if not losses:
            return None
        self.losses += losses
        self._observer.on_losses(losses)
        notices.write_losses(self.document, self._briefing.first_cell, self.losses)
        needed = [str(loss) for loss in self.losses if loss.needed_by]
        if not needed or self._briefing.goes_without:
            return None
        return self._end_before_cells(Failure("NotRestored", str(NotRestored(self._briefing.execution, needed))))

    def run_cells(self, client: KernelClient) -> SegmentEnd:
        """Run the remaining cells of the notebook."""
        self._client = client
        between = BetweenCells(client, self.document, self._observer, self._briefing.segment, self._tick)
        end = self._check_again(client)
        if end is not None:
            return end
        for index in range(self._briefing.first_cell, len(self.document.cells)):
            if self._control.request:
                return self._stop()
            by = self._control.take_suspend()
            end = None if by is None else between.suspend(index, by)
            if end is None and not self._may_run(index):
                end = between.hand_over(index, self.checkpoint)
            if end is not None:
                return end
            end = self._run_cell(client, index)
            if end is None or end.kind in {"suspended", "exited"}:
                self._observer.on_cell(index, index + 1)
            if end is not None:
                return end
        return self._complete()

    def _check_again(self, client: KernelClient) -> SegmentEnd | None:
        """Run the fresh cells again after an answer; return an end if shown values have changed."""
        briefing = self._briefing
        unread: list[Reply] = []

        def wait(client: KernelClient, request: str) -> Reply:
            reply = self._wait(client, request)
            unread.extend([reply] if reply.is_storage_failure else [])
            return reply

        # Their outputs are dropped: the document has those of the first time.
        checks = fresh_cells.check_again(self.document, briefing, self._headers, client, wait)
        if self._control.request:
            return self._stop()
        if unread:
            # The shown values may be unchanged: nothing is known about them.
            return self._end_before_cells(Failure(unread[0].ename, self.document.masked(unread[0].evalue)))
        found = [check.facts for check in checks]
        # Sending back decides nothing yet: the question is asked again about the current values.
        is_sent_back = briefing.wake is not None and briefing.wake.sent_back is not None
        verdict = "go" if is_sent_back else fresh_cells.find_verdict(checks)
        fresh_cells.show_checks(self.document, checks, counts_as_shown=verdict != "fail")
        if verdict == "fail":
            failure = fresh_cells.fail(self.document, briefing.first_cell, checks)
            return SegmentEnd("failed", self.checkpoint, None, failure, checks=found)
        if verdict == "ask":
            drifts = [check.facts for check in checks if check.is_drift]
            self._restore_card(fresh_cells.list_errors(drifts), drifts)
            return SegmentEnd("drifted", self.checkpoint, checks=found)
        if checks:
            saved = fresh_cells.save_variables(client, briefing, self.document, self._tick)
            self._observer.on_checks(found, briefing.first_cell, saved, self.document)
        return None

    def _complete(self) -> SegmentEnd:
        """End the notebook; it has failed if a thread showed an error after its cell had ended."""
        self.recorder.join()
        for index in range(self._briefing.first_cell, len(self.document.cells)):
            cell = self.document.cells[index]
            may_fail = cell.cell_type != "code" or RAISES_EXCEPTION in cell.metadata.get("tags", [])
            failure = None if may_fail else self.document.find_shown_error(index)
            if failure is not None:
                cell_statuses.note_ended(self.document, index, "failed", has_error=True)
                cell_statuses.close(self.document)
                return SegmentEnd("failed", self.checkpoint, None, failure)
        cell_statuses.close(self.document)
        return SegmentEnd("completed", len(self.document.cells))

    def note_kernel_lost(self) -> None:
        """Note that the kernel has ended; its messages until then are in the document."""
        self.recorder.join()
        if self._running is not None:
            cell_statuses.note_ended(self.document, self._running, "interrupted", has_error=True)
        self.save()

    def save(self) -> None:
        """Write the output. Errors are ignored here: what just happened must be recorded first."""
        if self._output is not None:
            with contextlib.suppress(OSError):
                self._output.save(self.document)

    def _run_cell(self, client: KernelClient, index: int) -> SegmentEnd | None:
        cell = self.document.cells[index]
        tags = cell.metadata.get("tags", [])
        if cell.cell_type != "code" or not cell.source.strip():
            cell_statuses.note_started(self.document, index)
            cell_statuses.note_ended(self.document, index, "completed")
            return None
        if cell_statuses.NOT_RUN & set(tags):
            cell_statuses.note_ended(self.document, index, "not run")
            return None
        header = self._headers.get(index)
        step = header.name if header is not None and header.kind == "step" else None
        if step is not None:
            step_briefing = self._briefing.steps.get(step, StepBriefing())
            self._observer.on_step_start(step, step_briefing.runs + 1, step_briefing.interrupted + 1, index)
        cell_statuses.note_started(self.document, index)
        self._running = index
        reply = self._execute(client, index)
        self._running = None
        self.recorder.join()
        if header is not None and header.kind == "fresh":
            reply = fresh_cells.take_value(self.document, index, header, reply)
        if reply.execution_count is not None:
            cell.execution_count = reply.execution_count
        return self._judge(index, step, reply, may_fail=RAISES_EXCEPTION in tags)

    def _execute(self, client: KernelClient, index: int) -> Reply:
        cell = self.document.cells[index]
        request = client.send(cell.source, cell_id=cell.get("id"))
        self.recorder.expect(request, index)
        reply = self._wait(client, request)
        self.recorder.note_time(index, "shell.execute_reply", {"header": reply.header})
        for content in self.recorder.widgets.take_updates():
            client.send_widget_update(content)
        return reply

    def _wait(self, client: KernelClient, request: str) -> Reply:
        with contextlib.suppress(CellTimeout):
            return client.wait(request, tick=self._tick, timeout_seconds=self._cell_timeout)
        # Another control: the time limit is the same, but the segment itself is not stopped.
        control = Control()
        control.attach(client.kernel)
        control.note_cells_run()
        control.interrupt()
        with contextlib.suppress(KernelDied):
            client.wait(request, tick=self._tick)
        control.detach()
        return Reply("timeout", "TimeoutError", f"the cell ran longer than {self._cell_timeout:g} s")

    def _judge(self, index: int, step: str | None, reply: Reply, *, may_fail: bool) -> SegmentEnd | None:
        outcome = read_outcome(reply, self.document)
        if reply.status == "timeout" or (outcome is None and reply.status != "ok"):
            failure = self._make_failure(reply, index, step)
        elif outcome is not None and outcome.kind == "failed":
            reported = outcome.failure or Failure(reply.ename, reply.evalue)
            failure = replace(reported, message=self.document.masked(reported.message), cell=index, step=step)
            outcome = replace(outcome, failure=failure)
        elif (shown := self.document.find_shown_error(index)) is not None:
            # As in papermill, a cell that shows an error has failed, also if it raises none.
            failure = replace(shown, step=step)
            outcome = None if outcome is None else Outcome("failed", outcome.step, outcome.run, failure=failure)
        elif any(payload.get("source") == "ask_exit" for payload in reply.payload):
            failure = Failure(
                "SystemExit", "the cell ended its kernel; `flow.exit()` in a step ends a notebook", index, step
            )
        else:
            return self._end_cell(index, outcome)
        if failure.type == "StdinNotImplementedError":
            # The message of ipykernel speaks of frontends.
            failure = replace(failure, message=_NO_INPUT)
            outcome = None if outcome is None else replace(outcome, failure=failure)
        if self._control.request in {"interrupt", "kill"}:
            cell_statuses.note_ended(self.document, index, "interrupted", has_error=True)
            return SegmentEnd("interrupted", self.checkpoint, outcome, failure)
        if may_fail and reply.status != "timeout" and not reply.is_storage_failure:
            # As in papermill, an expected error is not a failure.
            cell_statuses.note_ended(self.document, index, "completed")
            return None
        cell_statuses.note_ended(self.document, index, "failed", has_error=True)
        cell_statuses.close(self.document)
        if reply.is_storage_failure:
            return SegmentEnd("failed", self.checkpoint, outcome, failure, environment=True)
        if step is None and failure.type == "SystemExit" and failure.message in {"", "0", "None"}:
            # As in papermill, an exit with status 0 completes the notebook.
            return SegmentEnd("completed", index + 1)
        return SegmentEnd("failed", self.checkpoint, outcome, failure)

    def _end_cell(self, index: int, outcome: Outcome | None) -> SegmentEnd | None:
        if outcome is None:
            cell_statuses.note_ended(self.document, index, "completed")
            return None
        if outcome.kind == "suspended" and outcome.suspension is not None:
            cell_statuses.note_ended(self.document, index, "suspended")
            place = cards.Place(outcome.step, outcome.run, self._briefing.segment, outcome.ordinal)
            cards.write_card(self.document, index, place, outcome.suspension, outcome.unsaved)
            return SegmentEnd("suspended", index if outcome.suspension.then == "rerun" else index + 1, outcome)
        cell_statuses.note_ended(self.document, index, "completed")
        if outcome.kind == "exited":
            cell_statuses.close(self.document)
            return SegmentEnd("exited", index + 1, outcome)
        self.checkpoint = index + 1
        self._observer.on_checkpoint(self.checkpoint, outcome, self.document)
        self.save()
        return None

    def _stop(self) -> SegmentEnd:
        return SegmentEnd("stopped" if self._control.request == "stop" else "interrupted", self.checkpoint)

    def _refuse_answer(self, errors: list[dict[str, JSON]]) -> SegmentEnd:
        self._restore_card(errors)
        return SegmentEnd("refused", self.checkpoint, errors=errors)

    def _restore_card(self, errors: list[dict[str, JSON]], drift: list[dict[str, JSON]] | None = None) -> None:
        if self._card is not None and self._briefing.wake is not None:
            cards.restore_card(self.document, *self._card, self._decision(self._briefing.wake), errors, drift=drift)

    def _end_before_cells(self, failure: Failure) -> SegmentEnd:
        if self._control.request in {"interrupt", "kill"}:
            return SegmentEnd("interrupted", self.checkpoint, failure=failure)
        cell_statuses.close(self.document)
        return SegmentEnd("failed", self.checkpoint, None, failure, environment=True)

    def _make_failure(self, reply: Reply, cell: int, step: str | None) -> Failure:
        return Failure(reply.ename, self.document.masked(reply.evalue), cell, step)

    def _tick(self) -> float | None:
        due = None if self._output is None else self._output.save_when_due(self.document)
        if self._may_pause and self._running is not None and self.document.digest_ahead(self._running):
            due = 0.0
        if self._client is None or self._client.question is None:
            return due
        self._questions.answer(self._client, self._client.question, self._running)
        return ASK_AGAIN_SECONDS if due is None else min(due, ASK_AGAIN_SECONDS)
