"""The examples of the docs, as the cells and commands that a reader copies.

HTML comments before a block say what its reader does not see:

    <!-- not run: needs a Slack account -->           why it cannot run here
    <!-- program -->                                  Python that is no cell: it is compiled, and its imports are tried
    <!-- answer: {"approved": true} -->               what the cell's question is answered with, {} if nothing is said;
                                                      a rerun and a delay then end by this callback, else by the clock
    <!-- event: {"body": {"amount": 7}} -->           what `steps.trigger.event` is from here on
    <!-- before: CODE -->                             a cell that the reader does not see
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["BEFORE", "FIRST", "PAGES", "README", "TUTORIAL", "Block", "blocks", "read_blocks"]

_ROOT = Path(__file__).parents[1]
#: Every page whose blocks are checked.
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "notebooks/README.md",
    *sorted(path.relative_to(_ROOT).as_posix() for path in _ROOT.glob("docs/**/*.md")),
)
_PARTS = re.compile(
    r"^#+ (?P<heading>[^\n]+)$"
    r"|^ *<!-- (?P<word>[a-z ]+?)(?:: ?(?P<rest>.*?))?\s*-->$"
    r"|^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$"
    r"|^(?P<other>\S[^\n]*)$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    heading: str
    line: int
    language: str
    code: str
    #: What the comments directly before it say.
    comments: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_cell(self) -> bool:
        """Whether it is a cell of a notebook, and can run as one."""
        if self.page == "docs/design.md":  # it quotes lines of the source, which test_house.py compares
            return False
        return self.language in {"python", "javascript"} and not {"not run", "program"} & self.comments.keys()


def read_blocks(page: str) -> list[Block]:
    """Read all fenced blocks of a page."""
    return list(_read((_ROOT / page).read_text(encoding="utf-8"), page))


def _read(text: str, page: str) -> Iterator[Block]:
    heading, comments = "", dict[str, str]()
    for part in _PARTS.finditer(text):
        if part["heading"] is not None:
            heading, comments = part["heading"], {}
        elif part["word"] is not None:
            comments[part["word"]] = textwrap.dedent(part["rest"] or "").strip()
        elif part["code"] is not None:
            indent, line = part["indent"], text.count("\n", 0, part.start()) + 1
            code = re.sub(rf"^{indent}", "", part["code"], flags=re.MULTILINE)
            yield Block(page, heading, line, part["language"], code, comments)
            comments = {}
        else:
            comments = {}


#: What the examples in `docs/steps.md` use and do not define.
BEFORE = read_blocks("docs/steps.md")[0].comments["before"]

#: How the cells of the first example in `docs/steps.md` begin, and of the one in the README.
FIRST = ("from pauseflow_nb import flow, steps", "%%step ask\ntable", "%%step send")
README = ("from pauseflow_nb import flow, steps", "%%step ask\nimport random", "%%step report")
#: Likewise those of the tutorial.
TUTORIAL = ("from pauseflow_nb import flow, steps", "import random", "%%step approve", "%%step publish")


def blocks(page: str, *beginnings: str) -> list[str]:
    """Give the code of a page, as cells: the first block that begins with each of these."""
    found = [block.code for block in read_blocks(page) if block.language == "python"]
    return [next(block for block in found if block.startswith(beginning)) for beginning in beginnings]
