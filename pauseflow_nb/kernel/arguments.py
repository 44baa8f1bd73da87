"""Check the arguments of `flow`'s calls; each error names the argument and says what it may be."""

from pauseflow_nb.actions import ACTIONS
from pauseflow_nb.errors import InvalidValue


def check_choice(what: str, value: object, choices: tuple[str, ...]) -> None:
    """Check one of a few words."""
    if value not in choices:
        raise InvalidValue(what, value, f"must be one of {', '.join(map(repr, choices))}")


def checked_actions(what: str, value: object) -> list[str]:
    """Check what an answer may do; the actions come back each once, in the order of the buttons."""
    actions = list(value) if isinstance(value, (list, tuple, set, frozenset)) else []
    unknown = [action for action in actions if action not in ACTIONS]
    if not actions or unknown:
        raise InvalidValue(what, value, f"must be a list of some of {', '.join(map(repr, ACTIONS))}")
    if "resume" not in actions:
        raise InvalidValue(what, value, "must include 'resume': nobody could ever approve")
    return [action for action in ACTIONS if action in actions]


def checked_count(what: str, value: object) -> int:
    """Check a count of 1 or more."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidValue(what, value, "must be a whole number, 1 or more")
    return value


def checked_flag(what: str, value: object) -> bool:
    """Check True or False."""
    if not isinstance(value, bool):
        raise InvalidValue(what, value, "must be True or False")
    return value


def checked_names(what: str, value: object, needed: int) -> list[str] | None:
    """Check names of users, of whom at least so many are needed; they come back each once, without `user:`."""
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
    """Check text or None."""
    if value is not None and not isinstance(value, str):
        raise InvalidValue(what, value, "must be text or None")
