"""Which names a setup bound last."""

from typing import Any

import pytest


def remade(kernel: Any, *cells: str) -> set[str]:
    for cell in cells:
        assert kernel.run(cell).ok
    names: set[str] = kernel.session.bindings.remade
    return names


def test_without_a_setup_there_are_none(kernel: Any) -> None:
    assert remade(kernel, "x = 1") == set()


def test_a_setup_binds_by_its_text_and_by_what_it_calls(kernel: Any) -> None:
    before = "def make():\n    global made\n    made = object()\n"

    assert remade(kernel, before, "%%setup\nimport os\nfrom math import *\nmake()\n_quiet = 1") >= {
        "os",
        "pi",
        "made",
        "_quiet",
    }


def test_names_that_were_there_before_are_not_the_setups(kernel: Any) -> None:
    assert remade(kernel, "x = 1\nimport os", "%%setup\ny = x") == {"y"}


def test_an_import_of_what_is_there_is_the_setups(kernel: Any) -> None:
    assert remade(kernel, "import os", "%%setup\nimport os") == {"os"}


def test_names_of_the_shell_are_nobodys(kernel: Any) -> None:
    assert remade(kernel, "1", "%%setup\n2") == set()


@pytest.mark.parametrize(
    "cell",
    [
        "x = 2",
        "x = 1",
        "%%step a\nx = 2",
        "del x",
        "for x in [5]: pass",
        "%%step a\ndef handler(pd):\n    global x; x = 3",
    ],
)
def test_another_cell_that_binds_a_name_takes_it_over(kernel: Any, cell: str) -> None:
    assert remade(kernel, "%%setup\nx = 1; y = 1", cell) == {"y"}


@pytest.mark.parametrize("cell", ["x.append(1)", "x = x", "if False:\n    x = 5", "def f():\n    x = 1"])
def test_a_cell_that_leaves_the_object_leaves_it_to_the_setup(kernel: Any, cell: str) -> None:
    assert remade(kernel, "%%setup\nx = []", cell) == {"x"}


def test_a_setup_that_runs_again_takes_its_names_back(kernel: Any) -> None:
    assert remade(kernel, "%%setup\nx = 1", "x = 2", "%%setup\nx = 1") == {"x"}


def test_a_setup_that_runs_another_notebook_keeps_what_it_binds_afterwards(kernel: Any, tmp_path: Any) -> None:
    (tmp_path / "other.ipy").write_text("inner = 1\n")

    assert remade(kernel, f"%%setup\n%run {tmp_path / 'other.ipy'}\nafter = 2\n") == {"inner", "after"}


def test_a_silent_setup_counts_and_other_silent_code_does_not(kernel: Any) -> None:
    kernel.run("%%setup\nx = []", silent=True)
    kernel.run("1")
    kernel.run("x = 2; y = 3", silent=True)

    assert kernel.session.bindings.remade == {"x"}
