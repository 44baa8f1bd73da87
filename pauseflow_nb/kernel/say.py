"""Calm lines in a cell's output: text with the same text as HTML, no traceback, no red."""

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["markup_of", "say"]

_STYLE = "border-left: 3px solid var(--jp-brand-color1, #888); padding: 4px 10px; margin: 4px 0"


def say(shell: "InteractiveShell", *sentences: str, details: str = "", hint: str = "", is_small: bool = False) -> None:
    """Show sentences in the running cell: as a small line, or as a card with one paragraph each.

    Args:
        shell: The shell that runs the cell.
        sentences: What to say.
        details: Text that keeps its lines, such as JSON.
        hint: A small last line.
        is_small: Whether it is a small line.
    """
    markup = markup_of(*sentences, details=details, hint=hint)
    if is_small:
        markup = f"<small>{' '.join(map(_escaped, sentences))}</small>"
    text = "\n".join([*sentences, *filter(None, (details, hint))])
    shell.display_pub.publish(data={"text/plain": text, "text/html": markup})


def markup_of(*sentences: str, details: str = "", hint: str = "") -> str:
    """Write sentences as the HTML of a card."""
    paragraphs = "".join(f'<p style="margin: 2px 0">{_escaped(sentence)}</p>' for sentence in sentences)
    block = f'<pre style="margin: 4px 0; white-space: pre-wrap">{html.escape(details)}</pre>' if details else ""
    small = f"<small>{_escaped(hint)}</small>" if hint else ""
    return f'<div class="pauseflow-card" style="{_STYLE}">{paragraphs}{block}{small}</div>'


def _escaped(sentence: str) -> str:
    return html.escape(sentence).replace("`", "")
