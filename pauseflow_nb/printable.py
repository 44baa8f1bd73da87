r"""Make texts from outside safe for a terminal or a log: nothing in them moves the cursor, colours, hides or turns around.

What a terminal would act on is written out, as `\x1b`, so that nothing is lost and an attempt can be seen.
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
#: JSON has its own escape for what comes before the space.
_IN_JSON = re.compile(f"[\x7f-\x9f{_UNSEEN}]")
#: Colours and the like: the only sequences that a traceback needs.
_COLOUR = re.compile("(\x1b\\[[0-9;:]*m)")
_SPLIT = re.compile("\r\n|\n|\r")
#: The attribute of a log record that has been cleaned.
CLEANED = "cleaned_by_pauseflow"


def printable(text: object) -> str:
    """Make one line of a text."""
    return _IN_A_LINE.sub(_written_out, str(text))


def printable_lines(text: object, *, indent: str = "", colours: Literal["shown", "kept", "dropped"] = "shown") -> str:
    """Keep the lines and tabs of a text.

    Args:
        text: The text.
        indent: Put before every line but the first, so that no line of the text can pass for one of ours.
        colours: What becomes of sequences that set colours: written out like all others; or `"kept"` on a terminal and
            `"dropped"` elsewhere, as tracebacks need it.
    """
    return f"\n{indent}".join(_line(line, colours) for line in _SPLIT.split(str(text)))


def json_printable(text: str) -> str:
    """Escape inside of JSON text what a terminal would act on; the value stays the same."""
    return _IN_JSON.sub(lambda found: _as_json(found[0]), text)


def clean_logs(*loggers: logging.Logger) -> None:
    """Clean what the handlers of these loggers write, and those of the root logger. Doing it twice is doing it once."""
    handlers = [handler for logger in (*loggers, logging.getLogger()) for handler in logger.handlers]
    # What writes warnings where nobody has configured anything.
    for handler in (*handlers, logging.lastResort):
        if handler is not None and _clean not in handler.filters:
            handler.addFilter(_clean)


def _clean(record: logging.LogRecord) -> bool:
    # Every handler has this filter and all of them get the same record: the second would indent it again.
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
        return _IN_TEXT.sub(_written_out, line)
    parts = _COLOUR.split(line)
    text = "".join(
        (part if colours == "kept" else "") if at % 2 else _IN_TEXT.sub(_written_out, part)
        for at, part in enumerate(parts)
    )
    # No colour reaches into what we say after it.
    return f"{text}\x1b[0m" if colours == "kept" and len(parts) > 1 else text


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _as_json(character: str) -> str:
    # As UTF-16 writes it, in two halves where it takes two.
    halves = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(halves[at : at + 2]):04x}" for at in range(0, len(halves), 2))
