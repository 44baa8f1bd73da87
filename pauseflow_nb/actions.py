"""Say what an answer may do: its actions, their links, and the words on their buttons."""

from collections.abc import Collection, Mapping
from typing import Any

#: What an answer may do, in the order of the buttons.
ACTIONS = ("resume", "send_back", "cancel")
#: What it may do unless the author says otherwise.
USUAL_ACTIONS = ("resume", "cancel")

#: The name of the link that does it; the approval page offers all that is allowed.
LINK_NAMES = {"resume": "resume_url", "cancel": "cancel_url", "send_back": "send_back_url", "approve": "approval_url"}

_RESUME_LABELS = {
    "rerun": "Run again now",
    "delay": "Continue now",
    "operator": "Resume",
    "notebook": "Resume",
}

#: What was done by a button, by its label; and what was done to a suspension that asks nobody, by its kind.
_DONE_BY = {"Approve": "Approved", "Submit": "Submitted", "Send back": "Sent back", "Cancel the run": "Cancelled"}
_RESUMED = {"rerun": "Run again", "delay": "Continued", "notebook": "Continued", "operator": "Resumed"}
#: What was done if the button says something else.
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
        kind: Of the suspension; None: it is not known.
        action: One of `ACTIONS`, `"approve"` for one approval of several, `"timeout"`, or the state of an execution
            that has ended.
        by: Who or what decided.
        has_schema: See `button_labels`.
        own: See `button_labels`; all its labels may be here, too.
    """
    if action in ("resume", "approve", "timeout") and kind in _RESUMED:
        return _RESUMED[kind]
    if by == "clock" and action == "resume":
        return _DONE["timeout"]
    action = "resume" if action == "approve" else action
    label = button_labels(kind, has_schema=has_schema, own=own, allow=ACTIONS).get(action)
    if label is None or label in _DONE_BY:
        return _DONE_BY.get(label or "") or _DONE.get(action, action.capitalize())
    # Who presses No has approved nothing.
    return f"{_DONE.get(action, 'Answered')} with “{label}”"


def allowed_links(links: Mapping[str, Any], allow: Collection[str]) -> dict[str, Any]:
    """Leave out the links that do what an answer may not do."""
    names = {LINK_NAMES[action] for action in ("approve", *allow)}
    return {name: link for name, link in links.items() if name in names}
