"""Say what an answer may do: its actions, their links, and the words on their buttons."""

from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["ACTIONS", "LINK_NAMES", "USUAL_ACTIONS", "allowed_links", "button_labels"]

#: What an answer may do, in the order of the buttons.
ACTIONS = ("resume", "send_back", "cancel")
#: What it may do unless the author says otherwise.
USUAL_ACTIONS = ("resume", "cancel")

#: The name of the link that does it; the approval page offers all that is allowed.
LINK_NAMES = {
    "resume": "resume_url",
    "cancel": "cancel_url",
    "send_back": "send_back_url",
    "approve": "approval_url",
}

_RESUME_LABELS = {
    "rerun": "Run again now",
    "delay": "Continue now",
    "operator": "Resume",
    "notebook": "Resume",
}


def button_labels(
    kind: str | None,
    *,
    has_schema: bool,
    own: Mapping[str, str] | None = None,
    allow: Collection[str] = USUAL_ACTIONS,
) -> dict[str, str]:
    """Say what the buttons of a question say: `{"resume", "cancel"}`, and `send_back` where that is allowed.

    Args:
        kind: Of the suspension; None: it is not known yet.
        has_schema: Whether an answer has fields: then a button that says Approve would say more than the fields.
        own: The author's words.
        allow: What an answer may do.
    """
    ours = {"resume": _RESUME_LABELS.get(kind or "", "Submit" if has_schema else "Approve"), "cancel": "Cancel the run"}
    ours |= {"send_back": "Send back"} if "send_back" in allow else {}
    return {**ours, **{key: each for key, each in (own or {}).items() if key in ours}}


def allowed_links(links: Mapping[str, Any], allow: Collection[str]) -> dict[str, Any]:
    """Leave out the links that do what an answer may not do."""
    names = {LINK_NAMES[action] for action in ("approve", *allow)}
    return {name: link for name, link in links.items() if name in names}
