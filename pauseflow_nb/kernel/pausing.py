"""Wait within a step: `flow.pause` with the kernel alive, `suspend_flow_run` by running the step again.

A pause asks the runner by the channel that `input()` uses: the question is JSON, and so is the
answer. A runner answers no other question, so `input()` itself still fails in a headless cell.
"""

import json
import sys
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pauseflow_nb.errors import Cancelled, InvalidAnswer, InvalidValue, PauseTimeout
from pauseflow_nb.identity import describe_actor
from pauseflow_nb.json_values import JSON
from pauseflow_nb.kernel.answer_types import Form
from pauseflow_nb.kernel.attribute_dict import RESUME_DATA, select_data
from pauseflow_nb.kernel.control_flow import Paused
from pauseflow_nb.kernel.step_run import PlannedSuspension, StepRun
from pauseflow_nb.kernel.timeout import TimeLimit
from pauseflow_nb.protocol import ASKED, SOURCE, PauseAnswer, PauseQuestion, SuspensionRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from IPython.core.interactiveshell import InteractiveShell

#: First ordinal of pauses; suspensions, one for each attempt, have lower ones.
_FIRST_ORDINAL = 1000

#: Export that holds the answers to `suspend_flow_run`, by key; under `_WAITING` the key of the one that waits.
_ANSWERS = "$answers"
_WAITING = "$waiting"


def pause_execution(
    shell: "InteractiveShell", run: StepRun, request: SuspensionRequest, form: Form | None, limit: TimeLimit | None
) -> Any:
    """Block until the pause is answered; return the answer's data, as an instance if there is a form.

    Raises:
        PauseTimeout: If nobody answered in time.
        Cancelled: If a person or program cancelled.
    """
    run.pauses += 1
    # Attempts after an error use other numbers, so that an old answer never answers a new question.
    ordinal = _FIRST_ORDINAL * (run.failed_attempts + 1) + run.pauses
    question = PauseQuestion(run.step, run.number, ordinal, request)
    with limit.paused() if limit is not None else nullcontext():
        while True:
            answer = PauseAnswer.from_json(ask_runner(shell, "pause", question.to_json()))
            if answer.action == "timeout":
                raise PauseTimeout(run.step)
            if answer.action == "cancel":
                raise Cancelled(run.step, answer.by, describe_actor(answer.by, {}))
            envelope = answer.envelope or {}
            try:
                data = select_data(envelope) if form is None else form.build(form.extract_answer(envelope))
            except InvalidAnswer as problem:
                question = replace(question, refusals=question.refusals + 1, errors=problem.errors)
                continue
            run.exports[RESUME_DATA] = envelope
            return data


def pause_by_hand(
    shell: "InteractiveShell",
    run: StepRun,
    request: SuspensionRequest,
    form: Form | None,
    answers: "Sequence[dict[str, JSON] | None]",
) -> Any:
    """Return the answer to a pause in test mode, or stop the step until it is answered.

    Args:
        shell: The shell.
        run: The step.
        request: The question of the pause.
        form: The form of its `schema=`.
        answers: Answers to the pauses of this step so far, in their order; None for one that timed out.
    """
    run.pauses += 1
    if run.pauses > len(answers):
        raise _make_stop(shell, run, PlannedSuspension("pause", request, form=form), "asked to pause")
    envelope = answers[run.pauses - 1]
    if envelope is None:
        raise PauseTimeout(run.step)
    run.exports[RESUME_DATA] = envelope
    return select_data(envelope) if form is None else form.build(form.extract_answer(envelope))


def suspend_at_once(
    shell: "InteractiveShell", run: StepRun, request: SuspensionRequest, form: Form | None, *, key: str | None
) -> Any:
    """Stop the step at once; when it runs again after the answer, return the answer.

    Answers are identified by their key, or by their order, and stored among the step's exports from run to run.
    """
    answers = _find_answers(run)
    if key is None:
        key = f"#{run.suspends}"
        run.suspends += 1
    if key in answers:
        return select_data(answers[key]) if form is None else form.build(form.extract_answer(answers[key]))
    run.exports[_ANSWERS] = {**answers, _WAITING: key}
    raise _make_stop(shell, run, PlannedSuspension("suspend", request, form=form), "suspended")


def ask_runner(shell: "InteractiveShell", kind: str, question: str) -> str:
    """Send the runner a question and wait for its answer; both are JSON."""
    kernel: Any = getattr(shell, "kernel", None)
    if kernel is None:
        raise InvalidValue("flow", kind, "needs a kernel, and there is none here")
    text = json.dumps({"source": SOURCE, "kind": kind, "json": question})
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kernel.session.send(kernel.iopub_socket, ASKED, {"question": text}, parent=kernel.get_parent())
    # Our runner declares that it answers no input, so that a cell's own `input()` fails at once; it does answer this.
    allowed, kernel._allow_stdin = kernel._allow_stdin, True  # noqa: SLF001 (it has no public name)
    try:
        return str(kernel.raw_input(text))
    finally:
        kernel._allow_stdin = allowed  # noqa: SLF001 (see above)


def _find_answers(run: StepRun) -> dict[str, Any]:
    stored = run.briefing.exports.get(_ANSWERS)
    if run.wake is None or not isinstance(stored, dict):
        return {}
    answers: dict[str, Any] = dict(stored)
    waiting = answers.pop(_WAITING, None)
    if isinstance(waiting, str) and run.envelope is not None:
        answers[waiting] = run.envelope
    return answers


def _make_stop(shell: "InteractiveShell", run: StepRun, suspension: PlannedSuspension, what: str) -> Paused:
    """Make the error that ends the step, and let IPython show no traceback for it; a handler of the user's is kept."""
    run.suspension = suspension
    before = shell.custom_exceptions, shell.CustomTB

    def show_nothing(shell: Any, _kind: Any, _error: Any, _trace: Any, tb_offset: Any = None) -> None:  # noqa: ARG001
        shell.custom_exceptions, shell.CustomTB = before

    shell.set_custom_exc((Paused,), show_nothing)  # type: ignore[no-untyped-call]
    return Paused(f"step {run.step!r} {what} at {datetime.now(UTC).isoformat()}")
