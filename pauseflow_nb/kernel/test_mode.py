"""Run steps by hand, in test mode: they stop without a traceback, nothing is stored, and no clock runs.

What a real run keeps in the store is kept here for as long as the kernel lives, in the same shapes: a step that starts
gets a `StepBriefing` and a `Wake`, wherever they come from. So whatever answers a suspension only calls `approve`,
`approve_form`, `cancel` or `clock`: the `%pauseflow` magic and the buttons do nothing else.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pauseflow_nb.cells import Header
from pauseflow_nb.errors import InvalidAnswer, InvalidStep
from pauseflow_nb.json_values import JSON, NOTHING, dump_json
from pauseflow_nb.kernel.answer_types import Form
from pauseflow_nb.kernel.answers_by_hand import describe_answers, make_clock_envelope, make_envelope, name_answer
from pauseflow_nb.kernel.attribute_dict import RESUME_DATA, Record, as_records
from pauseflow_nb.kernel.context import InputsByHand, build_context, trigger_by_hand
from pauseflow_nb.kernel.control_flow import Exited, Paused, Stop
from pauseflow_nb.kernel.display import Card, render_card, show_sentences
from pauseflow_nb.kernel.issued_links import links_for_test
from pauseflow_nb.kernel.pausing import pause_by_hand
from pauseflow_nb.kernel.question_card import FOR_REAL, STOPPED, Ending, write_question
from pauseflow_nb.kernel.secret import find_by_hand
from pauseflow_nb.kernel.step_run import PlannedSuspension, StepRun
from pauseflow_nb.kernel.timeout import TimeLimit
from pauseflow_nb.protocol import FreshValue, MessageRequest, StepBriefing, SuspensionRequest, Wake, waiting_state

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from pauseflow_nb.forms.codec import Entries


@dataclass(frozen=True)
class Waiting:
    """A suspension that is open in this kernel."""

    run: StepRun
    plan: PlannedSuspension
    #: Called once with its ending.
    when_settled: list[Callable[[Ending], None]] = field(default_factory=list, compare=False)

    def settle(self, ending: Ending) -> None:
        """Call the listeners."""
        listeners, self.when_settled[:] = list(self.when_settled), []
        for listen in listeners:
            listen(ending)


@dataclass
class TestMode:
    """The state of the steps that were run by hand in this kernel."""

    __test__ = False  # pytest would collect it because of its name

    shell: "InteractiveShell"
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    #: Exports of the steps that ended, by step.
    exports: dict[str, dict[str, JSON]] = field(default_factory=dict)
    #: Step → answer as an instance of its model.
    answers: dict[str, Any] = field(default_factory=dict)
    waiting: Waiting | None = None
    #: The step that was answered and has to run again before those below it.
    due: str | None = None
    #: The step at which the flow was cancelled.
    cancelled: str | None = None
    #: The wake for the next run of its step.
    wake: Wake | None = None
    #: Answers to the calls of `flow.pause` in the step, in order; None for one that timed out.
    pause_answers: dict[str, list[dict[str, JSON] | None]] = field(default_factory=dict)
    #: The last value of each fresh cell.
    fresh_values: dict[str, FreshValue] = field(default_factory=dict)
    #: The sample event of `steps.trigger`, if `%pauseflow trigger` has set one.
    sample: JSON = NOTHING
    #: Step that did not run → the card that says why.
    refused: list[tuple[str, Card]] = field(default_factory=list)
    #: Number of ended runs of the step that `wake` names.
    _runs: int = 0

    def refusal(self, step: str) -> str | None:
        """Return why this step must not run now; the step that waits, and those before it, always may."""
        if self.cancelled is not None:
            return (
                f"The flow was cancelled in step '{self.cancelled}', so '{step}' did not run. "
                "`%pauseflow reset` starts over."
            )
        waiting = self.waiting
        before = waiting.run.step if waiting is not None else self.due
        if before is None or not self._is_later(step, before):
            return None
        if waiting is None:
            return (
                f"Step '{before}' was answered and has to run again, so '{step}' did not run. "
                f"Run the cell of '{before}' first; `%pauseflow reset` starts over."
            )
        return (
            f"Step '{waiting.run.step}' is {waiting_state(waiting.plan.request.kind)} (`flow.{waiting.plan.call}()`), so '{step}' did not run. "
            "`%pauseflow approve [JSON]` continues, `%pauseflow cancel` ends the flow, `%pauseflow reset` starts over."
        )

    def take_value(self, header: Header, value: Any) -> None:
        """Show what a headless run would compare, and how the value differs from that of the previous run."""
        from pauseflow_nb.kernel.fresh_value import describe_by_hand, describe_value  # lazy: few have such a cell

        new = describe_value(header.name, value)
        old, self.fresh_values[header.name] = self.fresh_values.get(header.name), new
        show_sentences(self.shell, describe_by_hand(header, old, new), is_small=True)

    def renew_refusals(self) -> None:
        """Update the cards of steps that did not run, after the state of the flow has changed."""
        shown, self.refused = self.refused, []
        for step, card in shown:
            why = self.refusal(step)
            if why is not None:
                self.refused.append((step, card))
            sentence = why or f"Step '{step}' can run now: run its cell."
            card.show(sentence, render_card(sentence))

    @property
    def inputs(self) -> Record:
        """Return the notebook's own variables, which its parameters cell has set."""
        return InputsByHand(self.shell.user_ns)

    @property
    def trigger(self) -> Record:
        """Return the sample event, or the parameters as the event."""
        event = self.inputs if self.sample is NOTHING else as_records(self.sample)
        return trigger_by_hand(event, notebook=_find_notebook(), started_at=self.started_at)

    def set_sample(self, event: JSON) -> str:
        """Set `steps.trigger.event` to this value; return a sentence that confirms it."""
        self.sample = event
        return "`steps.trigger.event` is this sample, until another one is set."

    def describe_sample(self) -> str:
        """Describe the value of `steps.trigger.event`."""
        if self.sample is NOTHING:
            return "`steps.trigger.event` holds the parameters; `%pauseflow trigger JSON` sets a sample event."
        return f"`steps.trigger.event` is this sample:\n{dump_json(self.sample, indent=2)}"

    def start_over(self) -> "TestMode":
        """Forget everything but the sample event, and update the cards, because the flow starts over."""
        self.close("The flow was reset.")
        return TestMode(self.shell, sample=self.sample)

    def context(self, run: StepRun) -> Record:
        """Build what `flow.context` shows during a run."""
        notebook = _find_notebook()
        return build_context(run, execution="test", notebook=notebook, started_at=self.started_at, is_test=True)

    def find_secret(self, name: str) -> str:
        """Find the secret in this process."""
        return find_by_hand(name)

    def begin_setup(self) -> None:
        """Do nothing: nothing is saved in test mode."""

    def end_setup(self) -> None:
        """Do nothing: nothing is saved in test mode."""

    def fails_step(self, run: StepRun, *, is_magic: bool, is_retried: bool) -> bool:  # noqa: ARG002 - as in `Mode`
        """Whether an error that was shown fails the step: only if the whole step is one cell magic."""
        return is_magic

    def pause(self, run: StepRun, request: SuspensionRequest, form: Form | None, limit: TimeLimit | None) -> Any:
        """Stop the step if the pause has no answer yet; otherwise return the answer."""
        del limit
        return pause_by_hand(self.shell, run, request, form, self.pause_answers.get(run.step, []))

    def deliver(self, message: MessageRequest) -> None:
        """Send a message with this kernel's own settings."""
        from pauseflow_nb.notifications import deliver  # lazily: few steps send messages
        from pauseflow_nb.settings import Settings

        deliver(Settings.load(), message)

    def respond(self, response: dict[str, JSON]) -> bool:
        """Show the response that would be sent."""
        show_sentences(self.shell, f"A request that started this would get: {dump_json(response)}", is_small=True)
        return True

    def brief(self, step: str) -> tuple[StepBriefing, Wake | None]:
        """Return a new briefing for a step that starts, or the one of its rerun."""
        wake = self.wake if self.wake is not None and self.wake.step == step else None
        runs = self._runs if wake is not None else 0
        # Enough links for a step with many retries.
        briefing = StepBriefing(runs, exports=self.exports.get(step, {}), links=[links_for_test(step)] * 1000)
        if self.waiting is not None and self.waiting.run.step == step:
            self.drop(f"Step '{step}' was run again.")
        if self.due == step:
            self.due = None
        if wake is not None:
            self.wake = None
        return briefing, wake

    def end(self, run: StepRun) -> Stop | None:
        """Record a step that succeeded, and stop the notebook if the step asked to pause or to end it."""
        self.exports[run.step] = run.all_exports()
        if run.suspension is None or run.suspension.request.kind != "pause":
            self.pause_answers.pop(run.step, None)
        if run.exited:
            why = f": {run.exit_reason}" if run.exit_reason else "."
            sentence = f"`flow.exit()` ends the workflow in step '{run.step}'{why}"
            return Stop(Exited(sentence), sentence, render_card(sentence))
        if run.suspension is None:
            return None
        self.drop(f"Step '{run.step}' waits now.")
        self.waiting = Waiting(run, run.suspension)
        call, request = run.suspension.call, run.suspension.request
        return Stop(
            Paused(f"{STOPPED.format(call=call)}. {FOR_REAL}"),
            *write_question(run.step, call, request, describe_answers(run, run.suspension)),
        )

    def fail(self, step: str, error: BaseException, run: StepRun | None) -> None:  # noqa: ARG002 - as in `Mode`
        """Record a step that failed: the next run has the briefing of this one."""
        if run is None:
            return
        self.pause_answers.pop(run.step, None)
        if run.wake is not None:
            self.wake, self._runs = run.wake, run.number - 1

    def describe(self) -> str:
        """Describe the state of the flow."""
        return f"test mode: {self._state()}"

    def _state(self) -> str:
        if self.cancelled is not None:
            return f"cancelled in step {self.cancelled!r}"
        if self.waiting is not None:
            state = waiting_state(self.waiting.plan.request.kind)
            return f"step {self.waiting.run.step!r} is {state} (flow.{self.waiting.plan.call}())"
        if self.due is not None:
            return f"step {self.due!r} was answered and has to run again"
        return "nothing waits"

    def approve(self, body: JSON = NOTHING) -> str:
        """Answer the open suspension as a request with this body would.

        Returns:
            What to do next.

        Raises:
            InvalidStep: If no step waits.
            InvalidAnswer: If the body does not fit the schema; the step keeps waiting.
        """
        form = self._open().plan.form
        if form is None:
            return self._approve(body)
        return self._approve(form.as_body({} if body is NOTHING else body))

    def approve_form(self, entries: "Entries") -> str:
        """Answer the open suspension with the contents of its form, read as a server reads them.

        Returns:
            What to do next.

        Raises:
            InvalidStep: If no step waits.
            InvalidAnswer: With every error; `input` names the control beside which it is shown.
        """
        from pauseflow_nb.forms.codec import comment_in, read_answer  # lazily: it is needed only for forms

        form = self._open().plan.form
        if form is not None:
            return self._approve(form.read(entries), comment_in(entries))
        reading, comment = read_answer(None, entries)
        if reading.problems:
            raise InvalidAnswer(reading.place(reading.problems))
        return self._approve(NOTHING if reading.value is None and not reading.is_null else reading.value, comment)

    def _approve(self, body: JSON, comment: str | None = None) -> str:
        waiting = self._open()
        run, request, form = waiting.run, waiting.plan.request, waiting.plan.form
        answer = None if form is None else form.judge(body)
        self.answers.pop(run.step, None)
        if form is not None:
            self.answers[run.step] = answer
        envelope = make_envelope(run.step, body) | ({} if comment is None else {"comment": comment})
        self.exports.setdefault(run.step, {})[RESUME_DATA] = envelope
        self.waiting = None
        headline = name_answer(request, "resume")
        if request.kind == "pause":
            self.due = run.step
            self.pause_answers.setdefault(run.step, []).append(envelope)
            sentence = f"Step '{run.step}' is answered: run its cell again, and `flow.{waiting.plan.call}()` returns."
            return self._settle(waiting, "again", headline, sentence, body, comment=comment)
        if request.then == "rerun":
            self._wake(waiting, envelope, "user")
            sentence = f"Step '{run.step}' is called back: run its cell again, it will be run {run.number + 1}."
            return self._settle(waiting, "again", headline, sentence, body, comment=comment)
        sentence = f"Step '{run.step}' is approved: continue with the next cell."
        return self._settle(waiting, "approved", headline, sentence, body, comment=comment)

    def clock(self) -> str:
        """End the open suspension as if nobody had answered in time.

        Raises:
            InvalidStep: If no step waits.
        """
        waiting = self._open()
        run, request = waiting.run, waiting.plan.request
        if request.kind == "pause":
            self.waiting, self.due = None, run.step
            self.pause_answers.setdefault(run.step, []).append(None)
            sentence = f"Run the cell of step '{run.step}' again: `flow.{waiting.plan.call}()` raises `PauseTimeout`."
            return self._settle(waiting, "again", "Timed out", sentence)
        if request.kind == "suspend" and request.on_timeout != "resume":
            self.cancelled, self.waiting = run.step, None
            ends = "fails" if request.on_timeout == "fail" else "is cancelled"
            sentence = (
                f"Nobody answered in time, so the flow {ends} in step '{run.step}'. `%pauseflow reset` starts over."
            )
            return self._settle(waiting, "cancelled", "Timed out", sentence)
        self.waiting = None
        self.answers.pop(run.step, None)
        if request.kind == "suspend":
            form = waiting.plan.form
            if form is not None and request.default is not None:
                self.answers[run.step] = form.build(request.default)
            self.exports.setdefault(run.step, {})[RESUME_DATA] = make_clock_envelope(request.default)
        headline = "Timed out" if request.kind == "suspend" else "Skipped by you"
        if request.then == "rerun":
            self._wake(waiting, None, "clock")
            sentence = f"Run the cell of step '{run.step}' again: it will be run {run.number + 1}."
            return self._settle(
                waiting, "again", name_answer(request, "resume") if request.kind == "rerun" else headline, sentence
            )
        sentence = f"Step '{run.step}' need not wait: continue with the next cell."
        return self._settle(
            waiting, "approved", headline, sentence, NOTHING if request.default is None else request.default
        )

    def drop(self, sentence: str) -> None:
        """Forget the open suspension, if there is one, because another event has ended it."""
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            self._settle(waiting, "dropped", "Not answered", sentence)

    def close(self, sentence: str) -> None:
        """Forget everything and update the cards, because the flow starts over."""
        self.cancelled = self.due = None
        self.drop(sentence)
        self.renew_refusals()

    def cancel(self, comment: str | None = None) -> str:
        """Cancel the flow at the open suspension; steps refuse to run until a reset.

        Raises:
            InvalidStep: If no step waits.
        """
        waiting = self._open()
        step = waiting.run.step
        self.cancelled, self.waiting = step, None
        sentence = f"The flow is cancelled in step '{step}'. `%pauseflow reset` starts over."
        return self._settle(
            waiting, "cancelled", name_answer(waiting.plan.request, "cancel"), sentence, comment=comment
        )

    def send_back(self, comment: str | None = None) -> str:
        """Send the open question back, so that its step has to run again with the comment.

        Raises:
            InvalidStep: If no step waits, or the question does not allow it.
        """
        waiting = self._open()
        run, request = waiting.run, waiting.plan.request
        if "send_back" not in request.allow:
            raise InvalidStep(
                run.step, "its question cannot be sent back: write allow=['resume', 'send_back', 'cancel']"
            )
        text = (comment or "").strip() or None
        moment = datetime.now(UTC).isoformat()
        self.waiting = None
        self.answers.pop(run.step, None)
        sent_back: dict[str, JSON] = {"by": "user", "known_by": "account", "at": moment, "comment": text, "data": None}
        self._wake(waiting, None, "user", sent_back)
        sentence = f"Step '{run.step}' is sent back: run its cell again, it will be run {run.number + 1}."
        return self._settle(waiting, "again", name_answer(request, "send_back"), sentence, comment=text)

    def _settle(
        self,
        waiting: Waiting,
        how: str,
        headline: str,
        sentence: str,
        answer: JSON = NOTHING,
        *,
        comment: str | None = None,
    ) -> str:
        waiting.settle(Ending(how, headline, sentence, answer, comment))
        self.renew_refusals()
        return sentence

    def _wake(
        self,
        waiting: Waiting,
        envelope: dict[str, JSON] | None,
        by: str,
        sent_back: dict[str, JSON] | None = None,
    ) -> None:
        run, request = waiting.run, waiting.plan.request
        self.wake = Wake(
            run.step,
            request.kind,
            then="rerun",
            callback=envelope,
            context=request.context,
            suspend_data=request.data,
            max_retries=request.max_retries,
            by=by,
            at=datetime.now(UTC).isoformat(),
            sent_back=sent_back,
        )
        self._runs = run.number
        self.due = run.step

    def _is_later(self, step: str, other: str) -> bool:
        # By the order in which the steps first ran: a kernel does not know their order in the notebook.
        order = list(self.exports)
        return step != other and (step not in order or other not in order or order.index(step) > order.index(other))

    def _open(self) -> Waiting:
        if self.waiting is None:
            raise InvalidStep("", "no step waits in this kernel")
        return self.waiting


def _find_notebook() -> str | None:
    # Set by Jupyter Server; other front ends do not tell a kernel which notebook it serves.
    return os.environ.get("JPY_SESSION_NAME")
