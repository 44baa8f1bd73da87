"""The program in docs/decisions.md, which uses nothing of ours, finds the same as `pauseflow verify`."""

from collections.abc import Callable
from typing import Any

import pytest
from decisions import changes
from decisions.program import check

CHANGES = [
    value
    for name, value in vars(changes).items()
    if name.startswith(("change_", "remove_", "add_", "move_", "cut_", "put_", "sign_", "swap_", "strip"))
]


def test_it_finds_nothing_where_nothing_was_changed() -> None:
    assert check(changes.recorded(), changes.PUBLIC[0]) == []


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_it_finds_every_change(change: Callable[[dict[str, Any]], None]) -> None:
    notebook = changes.recorded()
    change(notebook)

    assert check(notebook, changes.PUBLIC[0])
