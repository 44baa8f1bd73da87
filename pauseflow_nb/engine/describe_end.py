"""Describe how an execution ended, for its notebook and its decision record."""

from typing import TYPE_CHECKING, Protocol

from pauseflow_nb.actions import name_decision
from pauseflow_nb.identity import describe_actor
from pauseflow_nb.json_values import JSON
from pauseflow_nb.store.database import format_time
from pauseflow_nb.store.executions import Row

if TYPE_CHECKING:
    from pauseflow_nb.runner.cards import Decision


class HasEnded(Protocol):
    """An execution that has ended, or is about to."""

    @property
    def state(self) -> str:
        """Its final state."""

    @property
    def reason(self) -> dict[str, JSON] | None:
        """Why: `{kind, by, text}`."""

    @property
    def ended_at(self) -> float | None:
        """When, in seconds since 1970."""


def describe_end(row: Row | HasEnded) -> str:
    """Describe how an execution ended, and who or what ended it."""
    reason = row.reason or {}
    return f"{name_decision(None, _describe_action(row), by=str(reason.get('by') or ''))} by {_describe_person(row)}."


def describe_ending_decision(row: Row | HasEnded, suspension: Row | None) -> "Decision":
    """Describe the decision that ended an execution, for the card of the question."""
    from pauseflow_nb.runner.cards import Decision  # lazily: a server that ends nothing needs no notebooks

    reason = row.reason or {}
    action = _describe_action(row)
    return Decision(
        _describe_person(row),
        action,
        by=str(reason.get("by") or ""),
        known_by=str(reason.get("known_by") or ""),
        at=format_time(row.ended_at) or "",
        comment=str(reason.get("text") or "") if action == "cancel" else "",
        approvals=None if suspension is None else suspension.given,
    )


def _describe_action(row: Row | HasEnded) -> str:
    is_timeout = (row.reason or {}).get("kind") == "timeout"
    return "timeout" if is_timeout else {"cancelled": "cancel"}.get(row.state, row.state)


def _describe_person(row: Row | HasEnded) -> str:
    from pauseflow_nb.runner.card_text import format_moment  # lazily: see above

    reason = row.reason or {}
    who = describe_actor(str(reason["by"]), reason) if reason.get("by") else "nobody known"
    text = f": {reason['text']}" if reason.get("text") else ""
    return f"{who}{format_moment(format_time(row.ended_at) or '')}{text}"
