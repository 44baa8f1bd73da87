"""`flow.pause`: wait inside a step while the kernel lives.

The kernel asks the runner by the channel that `input()` uses: the question is JSON, and so is the
answer. A runner answers no other question, so `input()` itself goes on failing in a headless cell.
"""

import json
import sys
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pauseflow_nb.errors import Cancelled, InvalidAnswer, InvalidValue, PauseTimeout
from pauseflow_nb.kernel.answer_types import Form
from pauseflow_nb.kernel.control_flow import Paused
from pauseflow_nb.kernel.exports import RESUME_DATA, data_of
from pauseflow_nb.kernel.step_run import Asked, StepRun
from pauseflow_nb.kernel.test_mode import TestMode
from pauseflow_nb.protocol import ASKED, SOURCE, PauseAnswer, PauseQuestion, SuspensionRequest

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from pauseflow_nb.kernel.session import Session

__all__ = ["ask", "pause", "suspend_at_once"]

#: Ordinals of pauses: those of suspensions, one for each attempt, stay below.
_FIRST_ORDINAL = 1000

#: Export that holds what `suspend_flow_run` was answered, by key; under `_WAITING` the key of the one that waits.
_ANSWERS = "$answers"
_WAITING = "$waiting"


def pause(session: "Session", run: StepRun, request: SuspensionRequest, form: Form | None, *, call: str) -> Any:
    """Block until somebody answers; returns what the answer brought, as an instance where there is a form.

    Raises:
        PauseTimeout: If nobody did in time.
        Cancelled: If somebody cancelled.
    """
    run.pauses += 1
    if session.testmode is not None:
        return _by_hand(session.testmode, session.shell, run, request, form, call=call)
    # A retry after an error counts on elsewhere, so that an old answer never answers a new question.
    ordinal = _FIRST_ORDINAL * (run.failed_attempts + 1) + run.pauses
    question = PauseQuestion(run.step, run.number, ordinal, request)
    limit = session.time_limit()
    with limit.held() if limit is not None else nullcontext():
        while True:
            answer = PauseAnswer.from_json(ask(session.shell, "pause", question.to_json()))
            if answer.action == "timeout":
                raise PauseTimeout(run.step)
            if answer.action == "cancel":
                raise Cancelled(run.step, answer.by)
            envelope = answer.envelope or {}
            try:
                built = data_of(envelope) if form is None else form.build(form.answer_in(envelope))
            except InvalidAnswer as problem:
                question = replace(question, refusals=question.refusals + 1, errors=problem.errors)
                continue
            run.exports[RESUME_DATA] = envelope
            return built


def suspend_at_once(
    session: "Session", run: StepRun, request: SuspensionRequest, form: Form | None, *, key: str | None
) -> Any:
    """Stop the step here; in the run that its answer causes, return the answer instead.

    Answers are told apart by their key, or by their order, and kept among the step's exports from run to run.
    """
    answers = _answers_so_far(run)
    if key is None:
        key = f"#{run.suspends}"
        run.suspends += 1
    if key in answers:
        return data_of(answers[key]) if form is None else form.build(form.answer_in(answers[key]))
    run.exports[_ANSWERS] = {**answers, _WAITING: key}
    run.asked = Asked("suspend", request, form=form)
    _stop_calmly(session.shell)
    raise Paused(f"step {run.step!r} suspended at {datetime.now(UTC).isoformat()}")


def _answers_so_far(run: StepRun) -> dict[str, Any]:
    kept = run.briefing.exports.get(_ANSWERS)
    if run.wake is None or not isinstance(kept, dict):
        return {}
    answers: dict[str, Any] = dict(kept)
    waiting = answers.pop(_WAITING, None)
    if isinstance(waiting, str) and run.envelope is not None:
        answers[waiting] = run.envelope
    return answers


def ask(shell: "InteractiveShell", kind: str, question: str) -> str:
    """Ask the runner, and wait for its answer; both are JSON."""
    kernel: Any = getattr(shell, "kernel", None)
    if kernel is None:
        raise InvalidValue("flow", kind, "needs a kernel, and there is none here")
    text = json.dumps({"source": SOURCE, "kind": kind, "json": question})
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kernel.session.send(kernel.iopub_socket, ASKED, {"question": text}, parent=kernel.get_parent())
    # Our runner says that it answers no input, so that a cell's own `input()` fails at once; it answers this.
    allowed, kernel._allow_stdin = kernel._allow_stdin, True  # noqa: SLF001 (it has no public name)
    try:
        return str(kernel.raw_input(text))
    finally:
        kernel._allow_stdin = allowed  # noqa: SLF001 (see above)


def _by_hand(
    testmode: TestMode,
    shell: "InteractiveShell",
    run: StepRun,
    request: SuspensionRequest,
    form: Form | None,
    *,
    call: str,
) -> Any:
    answers = testmode.pause_answers.get(run.step, [])
    if run.pauses <= len(answers):
        envelope = answers[run.pauses - 1]
        if envelope is None:
            raise PauseTimeout(run.step)
        run.exports[RESUME_DATA] = envelope
        return data_of(envelope) if form is None else form.build(form.answer_in(envelope))
    run.asked = Asked(call, request, form=form)
    _stop_calmly(shell)
    raise Paused(f"step {run.step!r} asked to pause at {datetime.now(UTC).isoformat()}")


def _stop_calmly(shell: "InteractiveShell") -> None:
    """Let IPython show no traceback for the next `Paused`; a handler that the user has set is put back by it."""
    before = shell.custom_exceptions, shell.CustomTB

    def say_nothing(shell: Any, _kind: Any, _error: Any, _trace: Any, tb_offset: Any = None) -> None:  # noqa: ARG001
        shell.custom_exceptions, shell.CustomTB = before

    shell.set_custom_exc((Paused,), say_nothing)  # type: ignore[no-untyped-call]
