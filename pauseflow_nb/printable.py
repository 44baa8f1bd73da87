r"""Make texts from outside safe to show in a terminal or a log: escape control characters.

What would move the cursor, set a colour, hide text or reverse it is written as `\x1b`: nothing is lost, and an attempt
shows.
"""

import logging
import re
from typing import Literal

# Controls of ASCII and Latin-1 (with ESC, BEL, CR, and the one-character forms of CSI and OSC); marks that turn the
# direction of text around or have no width; separators of lines; halves of characters; tags.
_UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e007f"
)
_IN_A_LINE = re.compile(f"[\x00-\x1f\x7f-\x9f{_UNSEEN}]")
_IN_TEXT = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_UNSEEN}]")
#: JSON itself escapes the characters below the space.
_IN_JSON = re.compile(f"[\x7f-\x9f{_UNSEEN}]")
#: Sequences that set colours and styles: the only ones that a traceback needs.
_COLOUR = re.compile("(\x1b\\[[0-9;:]*m)")
_SPLIT = re.compile("\r\n|\n|\r")
#: Attribute that marks a log record as cleaned.
CLEANED = "cleaned_by_pauseflow"


def printable(text: object) -> str:
    """Return a text as one line."""
    return _IN_A_LINE.sub(_escape_character, str(text))


def printable_lines(text: object, *, indent: str = "", colours: Literal["shown", "kept", "dropped"] = "shown") -> str:
    """Return a text with its lines and tabs.

    Args:
        text: The text.
        indent: Put before every line but the first, so that no line of the text looks like one of ours.
        colours: What to do with sequences that set colours: escape them like all others; or `"kept"` on a terminal and
            `"dropped"` elsewhere, as tracebacks need it.
    """
    return f"\n{indent}".join(_line(line, colours) for line in _SPLIT.split(str(text)))


def json_printable(text: str) -> str:
    """Escape control characters in JSON text; its value stays the same."""
    return _IN_JSON.sub(lambda found: _as_json(found[0]), text)


def clean_logs(*loggers: logging.Logger) -> None:
    """Clean what the handlers of these loggers and of the root logger write; a second call changes nothing."""
    handlers = [handler for logger in (*loggers, logging.getLogger()) for handler in logger.handlers]
    # It writes warnings where logging is not configured.
    for handler in (*handlers, logging.lastResort):
        if handler is not None and _clean not in handler.filters:
            handler.addFilter(_clean)


def _clean(record: logging.LogRecord) -> bool:
    # All handlers have this filter and get the same record: the second one would indent it again.
    if getattr(record, CLEANED, False):
        return True
    setattr(record, CLEANED, True)
    is_ours = record.name.startswith("pauseflow_nb")
    message = record.getMessage()
    cleaned = printable_lines(message, indent="    " if is_ours else "", colours="kept")
    if cleaned != message:
        record.msg, record.args = cleaned, None
    if record.exc_info and not record.exc_text:
        record.exc_text = printable_lines(logging.Formatter().formatException(record.exc_info))
    return True


def _line(line: str, colours: str) -> str:
    if colours == "shown":
        return _IN_TEXT.sub(_escape_character, line)
    parts = _COLOUR.split(line)
    text = "".join(
        (part if colours == "kept" else "") if at % 2 else _IN_TEXT.sub(_escape_character, part)
        for at, part in enumerate(parts)
    )
    # So that no colour continues in our own text.
    return f"{text}\x1b[0m" if colours == "kept" and len(parts) > 1 else text


def _escape_character(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _as_json(character: str) -> str:
    # In UTF-16, with two escapes for a surrogate pair.
    halves = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(halves[at : at + 2]):04x}" for at in range(0, len(halves), 2))
