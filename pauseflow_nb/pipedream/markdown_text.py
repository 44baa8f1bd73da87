"""Write texts from outside into Markdown, so that they stay the texts that they are."""

import json
import re

from pauseflow_nb.printable import printable, printable_lines

_LONGEST = 300


def one_line(text: object) -> str:
    """Make one line of a text, without what a terminal would act on; at most 300 characters."""
    line = printable(" ".join(str(text).split()))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def plain(text: object) -> str:
    """Write a text so that Markdown finds nothing in it: no link, no HTML, no heading."""
    return re.sub(r"([\\`*\[\]<>|&]|(?<!\w)_|_(?!\w)|^[#+-])", r"\\\1", one_line(text))


def code_span(text: object) -> str:
    """Write a text as code within a line."""
    line = one_line(text)
    fence = "`" * (_find_longest_run(line, 1) + 1)
    space = " " if line[:1] == "`" or line[-1:] == "`" else ""
    return f"{fence}{space}{line}{space}{fence}"


def code_block(text: object, language: str = "") -> str:
    """Write a text as a block of code; what is not text, as JSON."""
    content = text if isinstance(text, str) else json.dumps(text, indent=2, ensure_ascii=False, default=repr)
    fence = "`" * (_find_longest_run(content, 3) + 1)
    return f"{fence}{language}\n{printable_lines(content.rstrip())}\n{fence}"


def _find_longest_run(text: str, shortest: int) -> int:
    """Return the length of the longest run of backticks that has at least so many; one less if there is none."""
    return max((len(run) for run in re.findall("`+", text) if len(run) >= shortest), default=shortest - 1)
