"""Keep the links of a step out of saved notebooks and snapshots.

`links.resume_url` returns a link. A print or an export of the whole mapping hides the links; as the last line of a
cell it shows nothing. Snapshots do not contain the addresses, neither of the mapping nor of links taken from it:
after a restore they say that they can no longer be used.
"""

import contextlib
import warnings
import weakref
from collections.abc import Iterable, Mapping
from typing import Any, Never, Self

from pauseflow_nb.actions import LINK_NAMES
from pauseflow_nb.errors import LinkSpent
from pauseflow_nb.protocol import Links

#: Replaces each link in an export of the whole mapping.
HIDDEN = "(hidden: take this link by its name)"

_ALWAYS_TRUE = "the links that a pause returns are always true; the next cell reads the answer from `steps.NAME.data`"

_issued: "list[weakref.ref[IssuedLinks]]" = []


class IssuedLink(str):
    """A link whose address is not saved in snapshots; `str(link)` is an ordinary text, which is saved."""

    __slots__ = ()

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        """Pickle the link without its address."""
        return spent_link, ()

    def __copy__(self) -> Self:
        """Return the link itself, as texts do."""
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        """Return the link itself, as texts do."""
        return self


class IssuedLinks(dict[str, str]):
    """`resume_url`, `cancel_url`, `approval_url` and perhaps `send_back_url` of one suspension, valid at once."""

    def __init__(
        self, links: Mapping[str, str] | Iterable[tuple[str, str]] = (), notes: list[str] | None = None
    ) -> None:
        """Take name → link, and the notes of the step, which also get the warning."""
        super().__init__({name: IssuedLink(link) for name, link in dict(links).items()})
        self._notes = [] if notes is None else notes
        _issued.append(weakref.ref(self, _issued.remove))

    def __getattr__(self, name: str) -> str:
        # AttributeError, not KeyError: IPython and copy look up names that do not exist.
        try:
            return self[name]
        except KeyError:
            raise AttributeError(self._describe_missing(name)) from None

    def __missing__(self, name: str) -> Never:
        raise KeyError(self._describe_missing(name))

    def __await__(self) -> Never:
        raise TypeError(
            "`await` is not needed here: the call returns links at once, and the step pauses after its last line"
        )

    def __bool__(self) -> bool:
        """Warn of `if flow.suspend():`, which asks for an answer that nobody has given yet."""
        warnings.warn(_ALWAYS_TRUE, stacklevel=2)
        self._notes.append(_ALWAYS_TRUE)
        return True

    def _describe_missing(self, name: str) -> str:
        return (
            f"there is no link {name!r}, only: {', '.join(self)}. The answer arrives later: "
            "the next cell reads it from `steps.NAME.data`"
        )

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        return f"<links, hidden here: {', '.join(self)}>"

    __str__ = __repr__

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        """Pickle without the addresses."""
        return spent_links, tuple(self)

    def __copy__(self) -> "IssuedLinks":
        """Copy the links with their addresses: a copy ends with this process."""
        return IssuedLinks(self)

    def __deepcopy__(self, _memo: object) -> "IssuedLinks":
        """Copy with the addresses."""
        return IssuedLinks(self)

    def _ipython_display_(self) -> None:
        """Show nothing as the last line of a cell: the card below shows more."""


class SpentLinks(IssuedLinks):
    """The links of an earlier pause, which raise `LinkSpent` when they are read."""

    def __getitem__(self, name: str) -> str:
        return self._refuse(name) if name in self else super().__getitem__(name)

    def __getattr__(self, name: str) -> str:
        return self._refuse(name) if name in self else super().__getattr__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Refuse a link; return the default for other names."""
        return self._refuse(name) if name in self else default

    def __repr__(self) -> str:
        return "<spent links: their pause is over; each `flow.suspend()` returns new ones>"

    __str__ = __repr__

    def __copy__(self) -> "SpentLinks":
        """Copy a link that can no longer be used."""
        return spent_links(*self)

    def __deepcopy__(self, _memo: object) -> "SpentLinks":
        """Copy a link that can no longer be used."""
        return spent_links(*self)

    def _ipython_display_(self) -> None:
        """Show that the links are spent."""
        print(self)  # noqa: T201 - what a cell shows

    @staticmethod
    def _refuse(name: str) -> Never:
        raise LinkSpent(name)


def spent_links(*names: str) -> SpentLinks:
    """Make the links that a snapshot restores for these names; pickles name this function in `reconstruct`."""
    return SpentLinks(dict.fromkeys(names, spent_link()))


def spent_link() -> str:
    """Make the link that a snapshot restores for one link; pickles name this function in `reconstruct`."""
    return f"({LinkSpent()})"


def spend() -> None:
    """Mark all links in this process as spent, because their pause is over and the kernel has continued."""
    for reference in tuple(_issued):
        links = reference()
        if links is not None:
            links.update(dict.fromkeys(links, spent_link()))
            # Subclasses made by a cell may have another layout; they also lose their addresses.
            with contextlib.suppress(TypeError):
                links.__class__ = SpentLinks


def links_for_test(step: str) -> Links:
    """Make links for test mode, whose host name `.invalid` never resolves (RFC 2606)."""
    return {name: f"https://test-link.invalid/pauseflow/{action}/{step}" for action, name in LINK_NAMES.items()}
