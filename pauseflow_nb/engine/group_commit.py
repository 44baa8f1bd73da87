"""Settle answers that arrive at the same time in one transaction, because the commit is the most expensive part.

Only usual answers share a transaction: those that resume an open suspension alone and whose rows no other
transaction has locked. Every other answer is applied alone, so that it neither fails nor delays the others.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pauseflow_nb.engine.authorization import Callback, Verdict, shorten_comment
from pauseflow_nb.engine.jobs import Jobs
from pauseflow_nb.engine.locking import is_withdrawn
from pauseflow_nb.engine.next_segments import Settlement, resume_all
from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.engine.settling import Response, Settling, make_envelope
from pauseflow_nb.errors import StorageFull, StoreUnavailable
from pauseflow_nb.json_values import NOTHING
from pauseflow_nb.links import Claim
from pauseflow_nb.store import keys, suspensions
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.suspensions import make_approval
from pauseflow_nb.store.views import view_approvals

#: Most answers in one transaction: more would delay the first of them.
MOST_TOGETHER = 64

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """A callback with its verdict."""

    claim: Claim
    callback: Callback
    #: None if there was no open suspension when it was judged.
    verdict: Verdict | None

    @property
    def may_resume(self) -> bool:
        """Whether it can probably resume its execution; the transaction checks that again."""
        return self.callback.action == "resume" and self.verdict is not None and self.verdict.refusal is None


class NeedsOwnTransaction(Exception):
    """The answer has changed nothing yet, and must be applied in its own transaction: see `settle_alone`."""


def settle_alone(store: OpenStore, answer: Answer) -> Response:
    """Apply one answer of any kind; its effect is durable when this returns.

    Raises:
        LinkWithdrawn: If its link was withdrawn since it was verified.
        NotJudged: If there is an open suspension now, and no verdict.
    """
    return store.change(
        lambda connection: Settling(connection, store.jobs).apply(answer.claim, answer.callback, answer.verdict)
    )


def settle_together(store: OpenStore, answers: Sequence[Answer]) -> list[Response | Exception]:
    """Apply the usual answers in one transaction; their effects are durable when this returns.

    Returns:
        For each answer its response; NeedsOwnTransaction if it must be applied alone; or the error of the store.
    """
    # At most one answer to each execution: the next one must see the changes of this one.
    first = {answer.claim.execution: answer for answer in reversed(answers)}
    chosen = list(first.values())
    try:
        settled = store.change(lambda connection: _apply_all(connection, store.jobs, chosen))
    except (StoreUnavailable, StorageFull) as problem:
        return [problem] * len(answers)
    except Exception as problem:  # noqa: BLE001  (whatever it is, it is about one of them, which gets it when alone)
        log.debug("settled %s answers one by one: %s", len(chosen), problem)
        settled = set()
    return [_respond(answer) if id(answer) in settled else NeedsOwnTransaction() for answer in answers]


def _apply_all(connection: sa.Connection, jobs: Jobs, answers: Sequence[Answer]) -> set[int]:
    """Apply the usual answers; return the `id` of each that was applied."""
    rows = suspensions.lock_where_free(connection, [answer.claim for answer in answers])
    locked = [(answer, row) for answer, row in zip(answers, rows, strict=True) if row is not None]
    has_withdrawn_keys = any(row.has_withdrawn_keys for _, row in locked)
    withdrawn = keys.list_withdrawn(connection) if has_withdrawn_keys else set()
    usual = [(answer, row) for answer, row in locked if _is_usual(answer, row, withdrawn)]
    if usual:
        moment = usual[0][1].now
        resume_all(connection, jobs, [_make_settlement(answer, row, moment) for answer, row in usual], moment)
    return {id(answer) for answer, _ in usual}


def _respond(answer: Answer) -> Response:
    body = {"execution": answer.claim.execution, "step": answer.claim.step, "state": "queued", "action": "resume"}
    return Response(200, {**body})


def _is_usual(answer: Answer, suspension: Row, withdrawn: Collection[int]) -> bool:
    """Whether an answer alone resumes an open suspension, which the caller has locked."""
    seen = answer.callback.seen
    is_overdue = suspension.deadline is not None and suspension.deadline <= suspension.now
    is_stale = seen is not None and seen != (suspension.shown or {}).get("digest")
    approvals = view_approvals(suspension.rules, suspension.given)
    return (
        answer.may_resume
        and not is_withdrawn(answer.claim, suspension.revocations, withdrawn)
        and suspension.kind not in ("pause", "notebook")
        and not is_overdue
        and not is_stale
        and approvals["needed"] == 1
        and not approvals["given"]
    )


def _make_settlement(answer: Answer, row: Row, moment: float) -> Settlement:
    callback = answer.callback
    by, envelope = callback.by, callback.envelope or make_envelope(NOTHING, callback.by)
    comment = shorten_comment(envelope)
    # One row for all three: see `lock_where_free`.
    return Settlement(
        row,
        row,
        row,
        by,
        envelope,
        is_sent=True,
        approvals=[make_approval(by, comment, moment)],
        seen=callback.seen,
        comment=comment,
    )
