"""Check the arguments of `flow`'s calls; each error names the argument and the allowed values."""

from collections.abc import Collection, Mapping

from pauseflow_nb.actions import ACTIONS, USUAL_ACTIONS, button_labels
from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.printable import printable

#: Most characters of a label: a button is one line, also on a phone.
_LONGEST = 40


def check_choice(what: str, value: object, choices: tuple[str, ...]) -> None:
    """Check that an argument is one of a few words."""
    if value not in choices:
        raise InvalidValue(what, value, f"must be one of {', '.join(map(repr, choices))}")


def check_actions(what: str, value: object) -> list[str]:
    """Check the actions that a question allows; return them without duplicates, in the order of the buttons."""
    actions = list(value) if isinstance(value, (list, tuple, set, frozenset)) else []
    unknown = [action for action in actions if action not in ACTIONS]
    if not actions or unknown:
        raise InvalidValue(what, value, f"must be a list of some of {', '.join(map(repr, ACTIONS))}")
    if "resume" not in actions:
        raise InvalidValue(what, value, "must include 'resume': nobody could ever approve")
    return [action for action in ACTIONS if action in actions]


def check_count(what: str, value: object) -> int:
    """Check that an argument is a whole number, 1 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidValue(what, value, "must be a whole number, 1 or more")
    return value


def check_flag(what: str, value: object) -> bool:
    """Check that an argument is True or False."""
    if not isinstance(value, bool):
        raise InvalidValue(what, value, "must be True or False")
    return value


def check_names(what: str, value: object, needed: int) -> list[str] | None:
    """Check names of users, of which at least `needed` must differ; return each once, without `user:`."""
    if value is None:
        return None
    names = list(value) if isinstance(value, (list, tuple, set, frozenset)) else []
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise InvalidValue(what, value, "must be a list of users' names, or None")
    names = list(dict.fromkeys(name.strip().removeprefix("user:") for name in names))
    if len(names) < needed:
        raise InvalidValue(what, value, f"are fewer than approvals={needed}: nobody could ever continue")
    return names


def check_text(what: str, value: object) -> None:
    """Check that an argument is text or None."""
    if value is not None and not isinstance(value, str):
        raise InvalidValue(what, value, "must be text or None")


def check_labels(labels: object, *, has_schema: bool = False, allow: Collection[str] = USUAL_ACTIONS) -> dict[str, str]:
    """Check the author's labels; return an empty dict if there are none.

    Raises:
        InvalidValue: If a label cannot be used; names it and says why.
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
            raise InvalidValue(
                "labels", labels, f"makes two buttons say {before!r}, so people could not tell them apart"
            )
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
