"""Define the actions that an answer can take, the names of their links, and the labels of their buttons."""

from collections.abc import Collection, Mapping
from typing import Any

#: The actions that an answer can take, in the order of the buttons.
ACTIONS = ("resume", "send_back", "cancel")
#: The actions that a question allows by default.
USUAL_ACTIONS = ("resume", "cancel")

#: Action → name of its link. The approval page offers all actions that the question allows.
LINK_NAMES = {"resume": "resume_url", "cancel": "cancel_url", "send_back": "send_back_url", "approve": "approval_url"}

_RESUME_LABELS = {
    "rerun": "Run again now",
    "delay": "Continue now",
    "operator": "Resume",
    "notebook": "Resume",
}

#: Default label of a button → the decision in one word or two.
_DONE_BY = {"Approve": "Approved", "Submit": "Submitted", "Send back": "Sent back", "Cancel the run": "Cancelled"}
#: Kind of a suspension that asks nobody → the same, when it is resumed.
_RESUMED = {"rerun": "Run again", "delay": "Continued", "notebook": "Continued", "operator": "Resumed"}
#: Action, or state of an execution that has ended → the same, for a button that has the author's label.
_DONE = {
    "cancel": "Cancelled",
    "send_back": "Sent back",
    "timeout": "Timed out",
    "failed": "Failed",
    "completed": "Completed",
}


def button_labels(
    kind: str | None,
    *,
    has_schema: bool,
    own: Mapping[str, str] | None = None,
    allow: Collection[str] = USUAL_ACTIONS,
) -> dict[str, str]:
    """Return action → label for the buttons of a question: `resume`, `cancel`, and `send_back` if it is allowed.

    Args:
        kind: Kind of the suspension; None if it is not known yet.
        has_schema: Whether an answer has fields. The button then says Submit: the fields may hold a refusal.
        own: The author's labels, which replace the default ones.
        allow: The actions that the question allows.
    """
    ours = {"resume": _RESUME_LABELS.get(kind or "", "Submit" if has_schema else "Approve"), "cancel": "Cancel the run"}
    ours |= {"send_back": "Send back"} if "send_back" in allow else {}
    return {**ours, **{key: each for key, each in (own or {}).items() if key in ours}}


def name_decision(
    kind: str | None,
    action: str,
    *,
    by: str = "",
    has_schema: bool = False,
    own: Mapping[str, str] | None = None,
) -> str:
    """Name what was decided, in the words that every page, card and command uses: `Approved`, `Answered with “Yes”`.

    Args:
        kind: Kind of the suspension; None if it is not known.
        action: One of `ACTIONS`, `"approve"` for one approval of several, `"timeout"`, or the state of an execution
            that has ended.
        by: The person or program that decided.
        has_schema: See `button_labels`.
        own: See `button_labels`; labels of buttons that were not shown are allowed.
    """
    if action in ("resume", "approve", "timeout") and kind in _RESUMED:
        return _RESUMED[kind]
    if by == "clock" and action == "resume":
        return _DONE["timeout"]
    action = "resume" if action == "approve" else action
    label = button_labels(kind, has_schema=has_schema, own=own, allow=ACTIONS).get(action)
    if label is None or label in _DONE_BY:
        return _DONE_BY.get(label or "") or _DONE.get(action, action.capitalize())
    # Not `Approved`: a person who pressed `No` has approved nothing.
    return f"{_DONE.get(action, 'Answered')} with “{label}”"


def allowed_links(links: Mapping[str, Any], allow: Collection[str]) -> dict[str, Any]:
    """Return only the links whose actions the question allows."""
    names = {LINK_NAMES[action] for action in ("approve", *allow)}
    return {name: link for name, link in links.items() if name in names}
