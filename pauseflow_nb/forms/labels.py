"""Check the labels that an author gives to the buttons under a question."""

from collections.abc import Mapping

from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.printable import printable
from pauseflow_nb.protocol import button_labels

__all__ = ["check_labels"]

#: What an answer can do, and so what a button can.
ACTIONS = ("resume", "cancel")

#: In characters: a button is one line, also on a phone.
_LONGEST = 40


def check_labels(labels: object, *, kind: str = "suspend", has_schema: bool = False) -> dict[str, str]:
    """Check the labels that an author gives; empty if there are none.

    Raises:
        InvalidValue: Naming what is wrong with which.
    """
    if labels is None:
        return {}
    example = 'write labels={"resume": "Ship it", "cancel": "Stop"}'
    if not isinstance(labels, Mapping) or not labels:
        raise InvalidValue("labels", labels, f"must name the buttons: {example}")
    unknown = [key for key in labels if key not in ACTIONS]
    if unknown:
        raise InvalidValue("labels", labels, f"has the key {unknown[0]!r}, and there are only: {', '.join(ACTIONS)}")
    checked = {action: _check_label(action, labels[action]) for action in ACTIONS if action in labels}
    resume, cancel = button_labels(kind, has_schema=has_schema, own=checked).values()
    if resume.casefold() == cancel.casefold():
        raise InvalidValue("labels", labels, f"makes both buttons say {resume!r}, so nobody could tell them apart")
    return checked


def _check_label(action: str, label: object) -> str:
    if not isinstance(label, str) or not label.strip():
        raise InvalidValue(f"labels[{action!r}]", label, "must be text that is not empty")
    label = label.strip()
    if len(label) > _LONGEST:
        raise InvalidValue(
            f"labels[{action!r}]", label, f"must be at most {_LONGEST} characters: it stands on a button"
        )
    if printable(label) != label:
        raise InvalidValue(f"labels[{action!r}]", label, "must be one line without control characters")
    return label
