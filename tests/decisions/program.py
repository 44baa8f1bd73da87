"""Load the program in docs/decisions.md that checks a notebook without pauseflow."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "decisions.md"


@cache
def load() -> dict[str, Any]:
    """The names that it defines."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "pauseflow_nb" not in source
    assert len(source.splitlines()) < 80
    namespace: dict[str, Any] = {"__name__": "verify_decisions"}
    exec(compile(source, "verify_decisions.py", "exec"), namespace)
    return namespace


def check(notebook: dict[str, Any], key: Any) -> list[str]:
    """What it finds in a notebook."""
    program = load()
    read_as_it_does = json.loads(json.dumps(notebook), parse_int=program["integer"])
    found: list[str] = program["check"](read_as_it_does, key)
    return found
