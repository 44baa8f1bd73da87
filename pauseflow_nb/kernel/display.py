"""Show plain sentences in a cell's output, as text and as HTML, with no traceback and no red."""

import html
import re
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_STYLE = "border-left: 3px solid var(--jp-brand-color1, #888); padding: 4px 10px; margin: 4px 0"


class Card:
    """An output that can be changed after it was shown, even after its cell has ended."""

    def __init__(self, shell: "InteractiveShell", metadata: dict[str, Any] | None = None) -> None:
        """Take the metadata of the output; nothing is shown yet."""
        self._shell, self._metadata = shell, metadata or {}
        self._display_id = uuid.uuid4().hex
        self._is_shown = False

    def show(self, plain: str, markup: str, *, metadata: dict[str, Any] | None = None, **others: Any) -> None:
        """Show text and HTML, or replace what was shown before.

        Args:
            plain: The text.
            markup: The same as HTML.
            metadata: Replaces the previous metadata.
            others: The same in other forms, by MIME type with `_` for `/`.
        """
        self._metadata = metadata or self._metadata
        more = {name.replace("_", "/", 1): value for name, value in others.items()}
        self._shell.display_pub.publish(
            data={"text/plain": plain, "text/html": markup, **more},
            metadata=self._metadata,
            transient={"display_id": self._display_id},
            update=self._is_shown,
        )
        self._is_shown = True


def show_sentences(shell: "InteractiveShell", *sentences: str, is_small: bool = False) -> None:
    """Show sentences in the running cell: as a small line, or as a card with one paragraph each."""
    markup = f"<small>{html.escape(' '.join(sentences))}</small>" if is_small else render_card(*sentences)
    shell.display_pub.publish(data={"text/plain": "\n".join(sentences), "text/html": markup})


def render_card(*sentences: str, markup: str = "") -> str:
    """Write a card as HTML: one paragraph for each sentence, then the markup unchanged."""
    paragraphs = [f'<p style="margin: 2px 0">{render_sentence(sentence)}</p>' for sentence in sentences]
    return f'<div class="pauseflow-card" style="{_STYLE}">{"".join(paragraphs)}{markup}</div>'


def render_sentence(sentence: str) -> str:
    """Write a sentence as HTML, with text between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(sentence))
