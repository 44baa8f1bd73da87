"""What a browser without JavaScript sends from a page: the successful controls of its form."""

from html.parser import HTMLParser
from typing import Any

__all__ = ["PageForm"]


class PageForm(HTMLParser):
    """Reads the form of a page."""

    def __init__(self, html: str) -> None:
        """Read a page."""
        super().__init__()
        #: Name → texts, as they are sent if nobody touches anything.
        self.entries: dict[str, list[str]] = {}
        #: Names of what is marked as wrong; of a group, the names begin with its id.
        self.invalid: set[str] = set()
        #: (action, label, is disabled)
        self.buttons: list[tuple[str, str, bool]] = []
        self._select: tuple[str, list[tuple[str, bool]]] | None = None
        self._area: str | None = None
        self._text = ""
        self._groups: list[bool] = []
        self._button: tuple[str, bool] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        attrs: dict[str, Any] = {key: "" if value is None else value for key, value in attributes}
        name = attrs.get("name")
        if attrs.get("aria-invalid") == "true":
            self.invalid.add(attrs.get("id", ""))
        if tag == "select":
            self._select = (attrs["name"], [])
        elif tag == "option" and self._select is not None:
            self._select[1].append((attrs["value"], "selected" in attrs))
        elif tag == "textarea":
            self._area, self._text = attrs["name"], ""
        elif tag == "button":
            self._button, self._text = (attrs["value"], "disabled" in attrs), ""
        elif tag == "input" and name is not None:
            kind = attrs.get("type", "text")
            if kind not in ("checkbox", "radio") or "checked" in attrs:
                self.entries.setdefault(name, []).append(attrs.get("value", ""))

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "select" and self._select is not None:
            name, options = self._select
            chosen = [value for value, is_selected in options if is_selected] or [value for value, _ in options[:1]]
            self.entries.setdefault(name, []).extend(chosen[:1])
            self._select = None
        elif tag == "textarea" and self._area is not None:
            # Browsers drop one line break at the beginning.
            self.entries.setdefault(self._area, []).append(self._text.removeprefix("\n").replace("\n", "\r\n"))
            self._area = None
        elif tag == "button" and self._button is not None:
            self.buttons.append((self._button[0], self._text.strip(), self._button[1]))
            self._button = None
