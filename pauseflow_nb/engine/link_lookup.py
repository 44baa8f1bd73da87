"""Look up the suspensions of links, with one read for all requests that arrive at the same time."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pauseflow_nb.engine.authorization import Question
from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.errors import LinkWithdrawn, PauseflowError, StoreUnavailable
from pauseflow_nb.links import Claim, Signer
from pauseflow_nb.store import executions, keys, suspensions
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import Row


@dataclass(frozen=True)
class Token:
    """The token of a link and the action in its path."""

    text: str
    action: str


@dataclass(frozen=True)
class LinkTarget:
    """The claim of a valid link, and the question that it answers."""

    claim: Claim
    #: The question; None if no suspension is open.
    question: Question | None


def read_link_targets(store: OpenStore, tokens: Sequence[Token]) -> list[LinkTarget | Exception]:
    """Verify the tokens of links, and read the question of each.

    Returns:
        For each token its target, or an error: UnknownLink, LinkWithdrawn.
    """
    try:
        with reading(store.engine) as connection:
            return _read(connection, keys.read_signer(connection), tokens)
    except StoreUnavailable:
        raise
    except Exception as problem:  # noqa: BLE001  (whatever is wrong with a row is wrong with that row alone)
        if len(tokens) == 1:
            return [problem]
        return [found for token in tokens for found in read_link_targets(store, [token])]


def _read(connection: sa.Connection, signer: Signer, tokens: Sequence[Token]) -> list[LinkTarget | Exception]:
    read = [_claim(signer, token) for token in tokens]
    claims = [claim for claim in read if isinstance(claim, Claim)]
    if not claims:
        return [claim for claim in read if isinstance(claim, Exception)]
    found = iter(suspensions.find_questions(connection, claims))
    return [claim if isinstance(claim, Exception) else _find_target(claim, *next(found)) for claim in read]


def _find_target(claim: Claim, starter: Row | None, question: Row | None) -> LinkTarget | Exception:
    if starter is not None and starter.revocations != claim.revocations:
        return LinkWithdrawn()
    if starter is None or question is None:
        return LinkTarget(claim, None)
    return LinkTarget(claim, Question.of(question, executions.find_starter(starter)))


def _claim(signer: Signer, token: Token) -> Claim | Exception:
    try:
        return signer.read(token.text, token.action)
    except PauseflowError as problem:
        return problem
