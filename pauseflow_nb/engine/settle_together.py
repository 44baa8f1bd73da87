"""Settle answers that come at the same time in one transaction: a commit to the disk costs more than all else.

Each answer has the result that it would have alone. One that cannot be applied spoils no other, and two to the same
execution are applied one after the other, in the order in which they came.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pauseflow_nb.engine.authorization import Callback, Verdict, comment_of
from pauseflow_nb.engine.jobs import Jobs, NotReady
from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.engine.settling import Response, Rows, Settling, lock_rows, make_envelope
from pauseflow_nb.engine.waking import Waking, resume_all
from pauseflow_nb.errors import StorageFull, StoreUnavailable
from pauseflow_nb.links import Claim
from pauseflow_nb.store.database import now
from pauseflow_nb.store.suspensions import make_approval
from pauseflow_nb.store.views import approvals_of

__all__ = ["MOST_TOGETHER", "Answer", "settle_together"]

#: Answers of one transaction: more would make the first of them wait.
MOST_TOGETHER = 64


@dataclass(frozen=True)
class Answer:
    """A callback, and what was found about it."""

    claim: Claim
    callback: Callback
    #: None if there was no open suspension then.
    verdict: Verdict | None


def settle_together(store: OpenStore, answers: Sequence[Answer]) -> list[Response | Exception]:
    """Apply answers; what is returned is durable.

    Returns:
        What each sender gets: its response, or the error that it would have had alone.
    """
    results: dict[int, Response | Exception] = {}
    left = list(enumerate(answers))
    while left:
        # At most one answer to each execution: the next one must find what this one has written.
        first = {answer.claim.execution: (number, answer) for number, answer in reversed(left)}
        taken = sorted(first.values(), key=lambda pair: pair[0])
        found = _settle(store, [answer for _, answer in taken])
        results.update(zip((number for number, _ in taken), found, strict=True))
        left = [pair for pair in left if pair[0] not in results]
    return [results[number] for number in range(len(answers))]


def _settle(store: OpenStore, answers: Sequence[Answer]) -> list[Response | Exception]:
    try:
        return store.change(lambda connection: _apply_all(connection, store.jobs, answers))
    except (StoreUnavailable, StorageFull) as problem:
        return [problem] * len(answers)
    except Exception as problem:  # noqa: BLE001  (each sender gets the error that is his, whatever it is)
        if len(answers) == 1:
            return [problem]
        return [result for answer in answers for result in _settle(store, [answer])]


def _apply_all(connection: sa.Connection, jobs: Jobs, answers: Sequence[Answer]) -> list[Response | Exception]:
    settling = Settling(connection, jobs)
    rows = lock_rows(connection, [answer.claim for answer in answers])
    moment = now(connection)
    results: list[Response | Exception] = []
    wakings: list[Waking] = []
    for answer, each in zip(answers, rows, strict=True):
        waking = _find_waking(answer, each, moment)
        if waking is None:
            results.append(_apply(settling, answer, each, is_alone=len(answers) == 1))
            continue
        wakings.append(waking)
        body = {"execution": answer.claim.execution, "step": answer.claim.step, "state": "queued", "action": "resume"}
        results.append(Response(200, body))
    if wakings:
        resume_all(connection, jobs, wakings)
    return results


def _find_waking(answer: Answer, rows: Rows, moment: float) -> Waking | None:
    """Find what an answer does if it is the usual one: it alone resumes an open suspension. Otherwise None."""
    suspension, callback, verdict = rows.suspension, answer.callback, answer.verdict
    if suspension is None or rows.segment is None or rows.execution is None or rows.is_withdrawn:
        return None
    is_overdue = suspension.deadline is not None and suspension.deadline <= moment
    is_stale = callback.seen is not None and callback.seen != (suspension.shown or {}).get("digest")
    approvals = approvals_of(suspension)
    is_usual = (
        suspension.state == "open"
        and suspension.kind not in ("pause", "notebook")
        and not is_overdue
        and not is_stale
        and verdict is not None
        and verdict.refusal is None
        and callback.action == "resume"
        and approvals["needed"] == 1
        and not approvals["given"]
    )
    if not is_usual:
        return None
    by, envelope = callback.by, callback.envelope or make_envelope(None, callback.by)
    comment = comment_of(envelope)
    return Waking(
        suspension,
        rows.segment,
        rows.execution.attached_to,
        by,
        envelope,
        is_sent=True,
        approvals=[make_approval(by, comment, moment)],
        seen=callback.seen,
        comment=comment,
    )


def _apply(settling: Settling, answer: Answer, rows: Rows, *, is_alone: bool) -> Response | Exception:
    if is_alone:
        return settling.apply_to(rows, answer.callback, answer.verdict)
    try:
        with settling.connection.begin_nested():
            return settling.apply_to(rows, answer.callback, answer.verdict)
    except (NotReady, StoreUnavailable, StorageFull):
        raise
    except Exception as problem:  # noqa: BLE001  (as in _settle)
        return problem
