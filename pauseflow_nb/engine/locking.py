"""Lock the rows that an answer changes, always in the same order, so that transactions do not deadlock."""

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from pauseflow_nb.links import Claim
from pauseflow_nb.store import executions, keys, segments, suspensions
from pauseflow_nb.store.executions import Row


@dataclass(frozen=True)
class Rows:
    """The rows that a callback changes, locked in the transaction; None for a row that does not exist."""

    segment: Row | None
    execution: Row | None
    suspension: Row | None
    #: Whether the link was withdrawn since it was verified.
    is_withdrawn: bool


def lock_rows(connection: sa.Connection, claim: Claim) -> Rows:
    """Lock the rows of a claim: the segment, then the execution, then the suspension; waits for other transactions."""
    # What cannot be read in the first two must not prevent an answer.
    segment = segments.lock_plain(connection, claim.execution, claim.segment)
    execution = executions.lock_plain(connection, claim.execution)
    suspension = suspensions.lock(connection, claim)
    revocations = None if execution is None else execution.revocations
    return Rows(segment, execution, suspension, is_withdrawn(claim, revocations, keys.list_withdrawn(connection)))


def is_withdrawn(claim: Claim, revocations: int | None, withdrawn: Collection[int]) -> bool:
    """Whether the link of a claim was withdrawn since it was verified; a claim without a key does not come from a link.

    Args:
        claim: The claim.
        revocations: How often the links of its execution were revoked; None if that does not exist.
        withdrawn: Numbers of the withdrawn keys.
    """
    return claim.key is not None and (claim.key in withdrawn or revocations not in (None, claim.revocations))
