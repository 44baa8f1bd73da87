"""The examples of the docs, as the cells that a reader copies."""

import re
from pathlib import Path

__all__ = ["BEFORE", "FIRST", "README", "blocks"]

_ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)

#: What the examples use and do not define.
BEFORE = """
from pydantic import BaseModel, Field

def load_table():
    return [1, 2]

def tell_somebody(url):
    pass

def send(table):
    print("sent", table)
"""

#: How the cells of the first example in `docs/steps.md` begin, and of the one in the README.
FIRST = ("from pauseflow_nb import flow, steps", "%%step ask\ntable", "%%step send")
README = ("from pauseflow_nb import flow, steps", "%%step ask\nimport random", "%%step report")


def blocks(page: str, *beginnings: str) -> list[str]:
    """Give the code of a page, as cells: the first block that begins with each of these."""
    found = _BLOCK.findall((_ROOT / page).read_text(encoding="utf-8"))
    return [next(block for block in found if block.startswith(beginning)) for beginning in beginnings]
