"""Who may answer a suspension, and with what: the one place that decides it, for every door.

Links, the approval page, buttons, commands and the REST API all send a `Callback`; what this says
about it is what each of them tells its user.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pauseflow_nb import schemas
from pauseflow_nb.identity import LINK, name_of, people
from pauseflow_nb.json_values import JSON
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.views import approvals_of

__all__ = ["LINK", "Refusal", "comment_of", "refusal_of", "refusals_of_link", "reply_of", "who_may"]

_LONGEST_COMMENT = 2000
_MOST_ERRORS_SAID = 3


@dataclass(frozen=True)
class Refusal:
    """Why a callback settles nothing; the suspension stays open."""

    #: The HTTP status that says so: 403, 405 or 422.
    status: int
    error: str
    #: What is wrong with the data, `{"path", "message"}` each.
    errors: list[dict[str, JSON]] = field(default_factory=list)


def refusal_of(suspension: Row, created_by: str, action: str, by: str, envelope: Mapping[str, JSON]) -> Refusal | None:
    """Say why somebody must not settle an open suspension in this way; None if he may.

    Args:
        suspension: The suspension's row.
        created_by: Who started the execution.
        action: `"resume"` or `"cancel"`.
        by: Who asks: `"link"` or `"user:NAME"`.
        envelope: The request, as `$resume_data` would hold it.
    """
    if action == "resume" and suspension.kind == "notebook":
        return Refusal(409, f"step '{suspension.step}' waits for its notebooks: answer those, or cancel it")
    who = who_may(approvals_of(suspension), created_by, action, by)
    if who is not None:
        return Refusal(403, who)
    if envelope.get("method") == "GET" and (suspension.schema is not None or suspension.rules is not None):
        # Looking at a link must not answer a question that asks for more than a click.
        return Refusal(405, "no GET answers this question: send a POST")
    if action == "resume" and suspension.schema is not None:
        errors = schemas.errors_of(suspension.schema, schemas.in_form(suspension.schema, reply_of(envelope)))
        if errors:
            said = schemas.in_words(errors[:_MOST_ERRORS_SAID])
            return Refusal(422, f"the answer does not fit what is asked for: {said}", errors)
    return None


def who_may(approvals: Mapping[str, Any], created_by: str, action: str, by: str) -> str | None:
    """Say why this person may not do this; None if he may.

    Args:
        approvals: What `store.views.approvals_of` shows.
        created_by: Who started the execution.
        action: `"resume"` or `"cancel"`.
        by: Who asks: `"link"` or `"user:NAME"`.
    """
    approvers: list[str] | None = approvals["approvers"]
    if approvers is not None and name_of(by) not in approvers:
        names = ", ".join(approvers)
        return f"only {names} may answer, signed in" if by == LINK else f"{name_of(by)} may not answer, only {names}"
    if action == "resume" and not approvals["self_approval"]:
        if by == LINK:
            # Whoever started it has seen the links as well.
            return "whoever started this may not approve it, and a link does not tell who you are: sign in"
        if people(by) & people(created_by):
            return f"{name_of(by)} started this and may not approve it"
    return None


def refusals_of_link(suspension: Row, created_by: str) -> dict[str, str]:
    """Say what nobody may do here with nothing but a link, by action, and why."""
    approvals = approvals_of(suspension)
    why = {action: who_may(approvals, created_by, action, LINK) for action in ("resume", "cancel")}
    return {action: sentence for action, sentence in why.items() if sentence is not None}


def comment_of(envelope: Mapping[str, JSON]) -> str | None:
    """The comment in an answer: beside it, the text that it is, or what stands in its field `comment`."""
    body = reply_of(envelope)
    said = envelope.get("comment") or (body.get("comment") if isinstance(body, dict) else body)
    return said[:_LONGEST_COMMENT] if isinstance(said, str) and said.strip() else None


def reply_of(envelope: Mapping[str, JSON]) -> JSON:
    """The answer in an envelope, as the notebook takes it: the body, or the query where there is no body."""
    body = envelope.get("body")
    return (envelope.get("query") or {}) if body is None else body
