"""Check the labels that an author gives to the buttons under a question."""

from collections.abc import Collection, Mapping

from pauseflow_nb.actions import ACTIONS, USUAL_ACTIONS, button_labels
from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.printable import printable

#: In characters: a button is one line, also on a phone.
_LONGEST = 40


def check_labels(labels: object, *, has_schema: bool = False, allow: Collection[str] = USUAL_ACTIONS) -> dict[str, str]:
    """Check the labels that an author gives; empty if there are none.

    Args:
        labels: What the author gave.
        has_schema: Whether the answer has a form.
        allow: What an answer may do.

    Raises:
        InvalidValue: Naming what is wrong with which.
    """
    if labels is None:
        return {}
    example = 'write labels={"resume": "Ship it", "cancel": "Stop"}'
    if not isinstance(labels, Mapping) or not labels:
        raise InvalidValue("labels", labels, f"must name the buttons: {example}")
    usable = [action for action in ACTIONS if action in allow]
    unknown = [key for key in labels if key not in usable]
    if unknown:
        hint = f"; name it in `allow`: allow={(*allow, unknown[0])}" if unknown[0] in ACTIONS else ""
        raise InvalidValue(
            "labels", labels, f"has the key {unknown[0]!r}, and there are only: {', '.join(usable)}{hint}"
        )
    checked = {action: _check_label(action, labels[action]) for action in usable if action in labels}
    earlier: dict[str, str] = {}
    texts = button_labels("suspend", has_schema=has_schema, own=checked, allow=allow)
    for label in (texts[action] for action in allow):
        if (before := earlier.get(label.casefold())) is not None:
            raise InvalidValue("labels", labels, f"makes two buttons say {before!r}, so nobody could tell them apart")
        earlier[label.casefold()] = label
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
