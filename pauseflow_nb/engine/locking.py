"""Lock the rows that an answer changes, always in the same order, so that transactions do not deadlock."""

from collections.abc import Sequence
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


def lock_rows(connection: sa.Connection, claims: Sequence[Claim], *, skip_locked: bool = False) -> list[Rows]:
    """Lock the rows of claims: all segments, then all executions, then all suspensions.

    Args:
        connection: The caller's transaction.
        claims: Claims for any number of executions.
        skip_locked: Whether to skip rows that another transaction has locked, instead of waiting.
    """
    names = [(claim.execution, claim.segment) for claim in claims]
    found = segments.lock_all(connection, names, skip_locked=skip_locked)
    rows = executions.lock_all(connection, [name for name, _ in names], skip_locked=skip_locked)
    open_ones = suspensions.lock_all(connection, claims, skip_locked=skip_locked)
    withdrawn = keys.list_withdrawn(connection)
    return [
        Rows(
            found.get((claim.execution, claim.segment)),
            row := rows.get(claim.execution),
            open_ones.get(suspensions.key_of(claim)),
            # A claim without a key is not of a link.
            claim.key is not None
            and (claim.key in withdrawn or (row is not None and row.revocations != claim.revocations)),
        )
        for claim in claims
    ]
