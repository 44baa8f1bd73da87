"""Identify the person or program that acts: by a link, by a login, or by an account of the operating system.

A `Who` is the text `by` of the audit trail, so it goes wherever that text goes; what else is known goes with it, and
`facts_of` reads that for a record.
"""

import os
import re
import sys
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal, Self

from pauseflow_nb.printable import printable

#: An unknown person or program that used a public link.
LINK = "link"

KnownBy = Literal["link", "login", "account"]

_USER = "user:"
#: Variable that names the caller → program that lets one person act with the account of another.
_SUBSTITUTES = {"SUDO_USER": "sudo", "DOAS_USER": "doas"}

_OTHERS = {
    LINK: "someone with the link",
    "clock": "the clock",
    "notebooks": "the end of its notebooks",
    "": "unknown",
}

#: Letters of other scripts that look like Latin letters.
_LOOKALIKES = str.maketrans("аеорсухіјѕԁһԛԝɡοαρνυικτӏ", "aeopcyxijsdhqwgoapvuiktl")
#: What `printable` writes instead of an invisible character.
_ESCAPED = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


class Who(str):
    """Who acts, as the audit trail names it: `"user:NAME"` or `"link"`.

    Args:
        by: The text.
        known_by: How the identity is known; None if that is not recorded.
        via: Of a person who acts with another's account: `"sudo by NAME"`. It gives no rights.
    """

    __slots__ = ("known_by", "via")

    known_by: KnownBy | None
    via: str | None

    def __new__(cls, by: str, known_by: KnownBy | None = None, via: str | None = None) -> Self:
        """Take the text and the facts about it."""
        made = super().__new__(cls, by)
        made.known_by = "link" if by == LINK else known_by
        made.via = via
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Who, (str(self), self.known_by, self.via)


def identify_user(name: str) -> Who:
    """Identify a person who has signed in."""
    return Who(_USER + _escape_invisible(name), "login")


def identify_account(environment: Mapping[str, str] = os.environ) -> Who:
    """Identify the account that runs this process, from the system; variables such as LOGNAME are not trusted.

    Args:
        environment: Names the caller of sudo or doas, which is recorded and gives no rights.
    """
    name = _read_account_name()
    callers = [
        (program, _escape_invisible(environment[each]))
        for each, program in _SUBSTITUTES.items()
        if environment.get(each)
    ]
    via = [f"{program} by {caller}" for program, caller in callers if caller != name]
    return Who(_USER + name, "account", via[0] if via else None)


def name_of(by: str) -> str | None:
    """Return the name of a person; None for a link, the clock and the like."""
    return by.removeprefix(_USER) if by.startswith(_USER) else None


def facts_of(by: str) -> dict[str, str]:
    """Return how a person is known, for a record: `known_by` and `via`, as far as they are recorded."""
    who = by if isinstance(by, Who) else Who(by)
    return {key: value for key, value in (("known_by", who.known_by), ("via", who.via)) if value is not None}


def list_people(by: str, via: str | None = None) -> frozenset[str]:
    """List the people that a name may stand for. Two names that have one in common count as one person.

    Names that only look different, in case, width, invisible characters or lookalike letters, are one; a caller of
    sudo is one with the account that sudo takes.
    """
    name = name_of(by)
    if name is None:
        return frozenset({by})
    caller = (by.via if isinstance(by, Who) else None) or via
    names = [name, *([caller.partition(" by ")[2]] if caller else [])]
    return frozenset(_USER + _normalize_name(each) for each in names)


def describe_actor(by: str, facts: Mapping[str, Any]) -> str:
    """Describe who acted, for people: `ann (login)`, `root (account, via sudo by bob)`, `someone with the link`."""
    name = name_of(by)
    if name is None:
        return _OTHERS.get(by, by)
    parts = [str(facts["known_by"])] if facts.get("known_by") else []
    parts += [f"via {facts['via']}"] if facts.get("via") else []
    return f"{name} ({', '.join(parts)})" if parts else name


def _read_account_name() -> str:
    if sys.platform == "win32":
        # `os.getlogin` asks Windows; `getpass` would ask the environment first.
        return _escape_invisible(os.getlogin())
    import pwd

    number = os.getuid()
    try:
        return _escape_invisible(pwd.getpwuid(number).pw_name)
    except KeyError:
        # In a container, the user id may have no name.
        return str(number)


def _escape_invisible(name: str) -> str:
    """Write a name with its invisible characters escaped, so that different names look different."""
    inner = printable(name)
    spaces = len(inner) - len(inner.rstrip(" "))
    return inner.rstrip(" ") + r"\x20" * spaces if inner.strip(" ") else "unknown"


def _normalize_name(name: str) -> str:
    text = unicodedata.normalize("NFKC", _ESCAPED.sub("", name)).casefold().translate(_LOOKALIKES)
    # Without control characters, characters of no width, and spaces.
    return "".join(each for each in text if unicodedata.category(each)[0] not in "CZ")


def name_trigger(trigger: Mapping[str, Any]) -> str:
    """Name the trigger that started an execution: `schedule 3f2a…` or `HTTP trigger 3f2a…`."""
    return f"{'HTTP trigger' if trigger['kind'] == 'http' else 'schedule'} {printable(trigger['id'])}"
