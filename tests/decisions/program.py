"""Load the program in docs/decisions.md that checks a notebook without pauseflow."""

import json
import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import rfc8785
from nbformat.warnings import DuplicateCellId

PAGE = Path(__file__).parents[2] / "docs" / "decisions.md"


@cache
def load() -> dict[str, Any]:
    """The names that it defines."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "pauseflow_nb" not in source
    code = [line for line in source.splitlines() if line.strip()]
    assert len(code) < 50, "an auditor reads it in a few minutes"
    namespace: dict[str, Any] = {"__name__": "verify_decisions"}
    exec(compile(source, "verify_decisions.py", "exec"), namespace)
    return namespace


def check(notebook: dict[str, Any], key: Any) -> list[str]:
    """What it finds in a notebook, or why it refuses to look."""
    with warnings.catch_warnings():
        # It says so itself, too.
        warnings.simplefilter("ignore", DuplicateCellId)
        try:
            found: list[str] = load()["check"](json.dumps(notebook), key)
        except (SystemExit, rfc8785.CanonicalizationError) as refused:
            return [str(refused)]
    return found
