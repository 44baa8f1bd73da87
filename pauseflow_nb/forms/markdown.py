"""Render the Markdown of a notebook as HTML that is safe to show.

Not for outputs, which are HTML or text: see `evidence`.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import nh3
from markupsafe import Markup

if TYPE_CHECKING:
    from mistune import Markdown

#: The page's own title is above the message, so `#` begins one level below it.
_LEVELS_DOWN = 1

_SANITISER = nh3.Cleaner(
    tags={
        *("p", "br", "hr", "strong", "em", "del", "code", "pre", "blockquote", "a"),
        *("ul", "ol", "li", "h2", "h3", "h4", "h5", "h6"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    },
    attributes={"a": {"href"}},
    url_schemes={"http", "https", "mailto"},
    link_rel="noopener noreferrer nofollow",
)


def as_html(text: str) -> Markup:
    """Render a message. HTML in it is shown as text, and line breaks are kept."""
    html = str(_markdown()(text.replace("\x00", "")))
    return Markup(_SANITISER.clean(html))  # noqa: S704 (sanitised)


@cache
def _markdown() -> "Markdown":
    # Lazily: only pages of suspensions with a message need it.
    import mistune

    class Renderer(mistune.HTMLRenderer):
        def heading(self, text: str, level: int, **attributes: Any) -> str:
            return super().heading(text, min(level + _LEVELS_DOWN, 6), **attributes)

    return mistune.create_markdown(
        renderer=Renderer(escape=True), hard_wrap=True, plugins=["table", "strikethrough", "url"]
    )
