"""The links that a step gets, which must not end up in a saved notebook by accident.

Who takes one by name (`links.resume_url`) wants it. Who prints or exports the whole mapping gets it
with the links hidden; as the last line of a cell it shows nothing.
"""

from pauseflow_nb.protocol import Links

__all__ = ["HIDDEN", "IssuedLinks", "links_for_test"]

#: Stands for each link in an export of the whole mapping.
HIDDEN = "(hidden: take this link by its name)"


class IssuedLinks(dict[str, str]):
    """`resume_url`, `cancel_url` and `approval_url` of one suspension, valid at once."""

    def __getattr__(self, name: str) -> str:
        # AttributeError, not KeyError: IPython and copy ask for names that are not there.
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no link {name!r}, only: {', '.join(self)}") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def __repr__(self) -> str:
        return f"<links, hidden here: {', '.join(self)}>"

    __str__ = __repr__

    def _ipython_display_(self) -> None:
        """Show nothing: as the last line of a cell it says what the card below says better."""


def links_for_test(step: str) -> Links:
    """Make links that say that they are only for a test; `.invalid` never resolves (RFC 2606)."""
    names = {"resume_url": "resume", "cancel_url": "cancel", "approval_url": "approve"}
    return {name: f"https://test-link.invalid/pauseflow/{action}/{step}" for name, action in names.items()}
