"""Judge callbacks ahead of the transaction that applies them: to check an answer against its schema may take seconds."""

import time
from collections.abc import Mapping

from pauseflow_nb.engine.authorization import Callback, Question, Verdict, judge
from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import SuspensionRequest
from pauseflow_nb.store import executions, suspensions
from pauseflow_nb.store.database import reading

__all__ = ["judge_callback", "judge_early"]


def judge_callback(store: OpenStore, claim: Claim, callback: Callback) -> Verdict | None:
    """Judge a callback to a suspension; None if it is not open."""
    with reading(store.engine) as connection:
        suspension = suspensions.find(connection, claim)
        execution = executions.find(connection, claim.execution)
    if suspension is None or execution is None or suspension.state != "open":
        return None
    return judge(Question.of(suspension, executions.find_starter(execution)), callback, store.checker)


def judge_early(
    store: OpenStore, claim: Claim, request: SuspensionRequest, known: Mapping[int, Verdict], *, seconds: float
) -> dict[int, Verdict]:
    """Judge the callbacks that came before their step had ended.

    Args:
        store: The store.
        claim: The suspension that the step is about to leave; its action does not matter.
        request: What the step asks.
        known: Verdicts of an earlier call.
        seconds: Time for all of them; what is not checked by then is refused.

    Returns:
        The verdict on each callback by its id, `known` included.
    """
    deadline = time.monotonic() + seconds
    with reading(store.engine) as connection:
        execution = executions.require(connection, claim.execution)
        question = Question.of_request(claim.execution, claim.step, request, executions.find_starter(execution))
        early = suspensions.list_early(connection, claim.execution, claim.segment)
    verdicts = dict(known)
    for one in early:
        if (one.step, one.ordinal) != (claim.step, claim.ordinal) or one.id in verdicts:
            continue
        with reading(store.engine) as connection:
            callback = Callback(one.action, suspensions.read_envelope(connection, one), one.by)
        verdicts[one.id] = judge(question, callback, store.checker, seconds=deadline - time.monotonic())
        if verdicts[one.id].refusal is None and request.approvals == 1:
            # It settles the suspension, and those after it are late.
            break
    return verdicts
