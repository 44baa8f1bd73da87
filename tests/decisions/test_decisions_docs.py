"""The program in docs/decisions.md, which uses nothing of ours, finds the same as `pauseflow verify`."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from decisions import test_decisions_verification as changes

PAGE = Path(__file__).parents[2] / "docs" / "decisions.md"

CHANGES = [
    value
    for name, value in vars(changes).items()
    if name.startswith(("change_", "remove_", "add_", "move_", "cut_", "put_", "sign_", "swap_", "strip"))
]


@pytest.fixture(scope="module")
def check() -> Callable[..., list[str]]:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert "pauseflow_nb" not in program
    assert len(program.splitlines()) < 70
    namespace: dict[str, Any] = {"__name__": "verify_decisions"}
    exec(compile(program, "verify_decisions.py", "exec"), namespace)
    found: Callable[..., list[str]] = namespace["check"]
    return found


def test_it_finds_nothing_where_nothing_was_changed(check: Callable[..., list[str]]) -> None:
    assert check(changes.recorded(), changes.PUBLIC[0]) == []


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_it_finds_every_change(check: Callable[..., list[str]], change: Callable[[dict[str, Any]], None]) -> None:
    notebook = changes.recorded()
    change(notebook)

    assert check(notebook, changes.PUBLIC[0])
