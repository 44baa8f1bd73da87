"""Show plain sentences in a cell's output, as text and as HTML, with no traceback and no red."""

import html
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["make_markup", "say"]

_STYLE = "border-left: 3px solid var(--jp-brand-color1, #888); padding: 4px 10px; margin: 4px 0"


def say(
    shell: "InteractiveShell",
    *sentences: str,
    title: str = "",
    text: str = "",
    details: str = "",
    hint: str = "",
    is_small: bool = False,
) -> None:
    """Show sentences in the running cell: as a small line, or as a card with one paragraph each.

    Args:
        shell: The shell that runs the cell.
        sentences: What to say; they are shown word for word.
        title: A few words that stand out.
        text: Sentences below the title, which keep their lines.
        details: Text that keeps its lines and its blanks, such as JSON.
        hint: A small last line, in which what stands between backticks is code.
        is_small: Whether it is a small line.
    """
    markup = make_markup(*sentences, title=title, text=text, details=details, hint=hint)
    if is_small:
        markup = f"<small>{html.escape(' '.join(sentences))}</small>"
    plain = "\n".join([*sentences, *filter(None, (title, text, details, hint))])
    shell.display_pub.publish(data={"text/plain": plain, "text/html": markup})


def make_markup(*sentences: str, title: str = "", text: str = "", details: str = "", hint: str = "") -> str:
    """Write sentences as the HTML of a card."""
    parts = [f'<p style="margin: 2px 0">{html.escape(sentence)}</p>' for sentence in sentences]
    if title:
        parts.append(f'<p style="margin: 6px 0 2px"><strong>{html.escape(title)}</strong></p>')
    if text:
        parts.append(f'<p style="margin: 2px 0; white-space: pre-wrap">{html.escape(text)}</p>')
    if details:
        parts.append(f'<pre style="margin: 4px 0; white-space: pre-wrap">{html.escape(details)}</pre>')
    if hint:
        code = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(hint))
        parts.append(f'<small style="color: var(--jp-ui-font-color2, inherit)">{code}</small>')
    return f'<div class="pauseflow-card" style="{_STYLE}">{"".join(parts)}</div>'
