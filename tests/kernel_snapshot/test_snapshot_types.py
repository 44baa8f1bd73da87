"""Every type of the table: made in one kernel, checked in another."""

import itertools
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from kernel_snapshot.conftest import Kernels, Nurseries, cell
from kernel_snapshot.test_snapshot_contract import FROZEN
from kernel_snapshot.type_results import Results, is_installed
from kernel_snapshot.type_rows import LEFT_OUT, REFUSED, REPLAYED, ROWS, Row

from pauseflow_nb.kernel.snapshot import reconstruct
from pauseflow_nb.kernel.snapshot.pickling import memo_table, memory_access
from pauseflow_nb.kernel.snapshot.pickling.memory_access import VARIABLE
from pauseflow_nb.kernel.snapshot.storage import mapping

GROUPS = sorted({row.group for row in ROWS})


# One test for each group: its rows are made in one kernel and checked in another, and who asks for one row has all of them.
@pytest.mark.parametrize("group", GROUPS)
def test_types_come_back_and_their_pickles_hold_only_frozen_names(group: str, results: Results) -> None:
    check_group(group, results)
    names = results.find_names(group)

    ours = {(module, name) for module, name in names if module.startswith(("pauseflow_nb", "cloudpickle"))}
    assert ours <= {(reconstruct.__name__, name) for name in FROZEN}
    assert names


def check_group(group: str, results: Results) -> None:
    """Check all rows of a group whose libraries are installed."""
    rows = [row for row in ROWS if row.group == group and is_installed(row)]
    if not rows:
        pytest.skip("its libraries are not installed")
    wrong = {}
    for row in rows:
        try:
            check(row, results.of(row))
        except AssertionError as problem:
            wrong[row.what] = str(problem)
    assert wrong == {}


def check(row: Row, result: Any) -> None:
    """Check what came of a row."""
    assert result["made"] is None, result["made"]
    unsaved, unrestored = result["saved"]["unsaved"], result["restored"]["unrestored"]
    if row.outcome == REPLAYED:
        fates = {unsaved[name]["fate"] for name in _names(row) if name in unsaved}
        assert fates == {"replayed"}
        assert result["checked"] is None, result["checked"]
    elif row.outcome == LEFT_OUT:
        assert {unsaved[name]["fate"] for name in _names(row) if name in unsaved} == {"left out"}
        assert all(row.check in unsaved[name]["reason"] for name in _names(row) if name in unsaved)
    elif row.outcome == REFUSED:
        reasons = [unsaved[name]["reason"] for name in _names(row) if name in unsaved]
        assert any(row.check in reason for reason in reasons) or not row.check, (reasons, list(unsaved))
    else:
        lost = {name: (unsaved | unrestored)[name]["reason"] for name in _names(row) if name in unsaved | unrestored}
        assert not lost
        assert result["checked"] is None, result["checked"]


def _names(row: Row) -> list[str]:
    # Variables are named by their row's letter and a number.
    words = "".join(c if c.isalnum() else " " for c in row.make).split()
    return [
        word
        for word, _ in itertools.groupby(words)
        if word[0] in "abcdefghijklmnopqrstuvwxyzCSXLY" and word[1:].isdigit()
    ]


@pytest.fixture(scope="module")
def plain_results(tmp_path_factory: pytest.TempPathFactory, nurseries: Nurseries) -> Results:
    """The same, where nothing may look into memory."""
    return Results(tmp_path_factory.mktemp("plain"), nurseries, {VARIABLE: "plain"})


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_types_come_back_without_looking_into_memory(group: str, plain_results: Results) -> None:
    check_group(group, plain_results)


@pytest.mark.thorough
def test_the_switch_leaves_only_public_functions(kernels: Kernels, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads by address would end the kernel on a Python whose objects look different: none of it is called."""
    monkeypatch.setenv(VARIABLE, "plain")
    forbid = """
import ctypes
from pauseflow_nb.kernel.snapshot.storage import mapping
from pauseflow_nb.kernel.snapshot import reconstruct
from pauseflow_nb.kernel.snapshot.pickling import memo_table
from pauseflow_nb.kernel.snapshot.storage import dirty_pages
def forbidden(*_, **__): raise AssertionError("looked into memory")
memo_table.MemoTable.__init__ = mapping._read_address = mapping._lay_over = forbidden
dirty_pages.Touched.watch = dirty_pages.Touched.written = dirty_pages.Touched.written_since_mapped = forbidden
"""
    make = "import numpy as np\na = np.arange(300_000.); b = a[5:]; c = [[i] for i in range(5000)]; d = c[7]"
    save = {"do": "save", "folder": kernels.folder}

    *made, _, saved = kernels.run(cell(forbid), cell(make), save, save)
    restore = {"do": "restore", "folder": kernels.folder, "ref": saved["ref"]}
    _, restored, checked = kernels.run(
        cell(forbid), restore, cell("a[5] = 1.5; assert b[0] == 1.5 and c[7] is d and a[299_999] == 299_999")
    )

    assert [answer["error"] for answer in made] == [None, None]
    assert restored["unrestored"] == {}
    assert checked["error"] is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("version_info", (3, 99, 0, "final", 0)), ("gettotalrefcount", None), ("_is_gil_enabled", lambda: False)],
)
def test_another_python_is_not_looked_into(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory_access.may_look_into_memory()
    memory_access._is_tested.cache_clear()
    if name == "version_info":
        value = type("VersionInfo", (tuple,), {"releaselevel": "final"})(value)
    monkeypatch.setattr(sys, name, value, raising=False)
    try:
        assert not memory_access.may_look_into_memory()
        assert not memo_table.MemoTable.is_usable()
    finally:
        monkeypatch.undo()
        memory_access._is_tested.cache_clear()


def test_an_unexpected_layout_is_found_without_following_a_pointer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object with nothing where the memo is expected, and one with an address where there is no memory."""

    class Memo:
        def copy(self) -> dict[int, Any]:
            return {}

    class Other:
        __slots__ = ("first", "memo", "second")

        def __init__(self, first: object) -> None:
            self.first, self.second, self.memo = first, first, Memo()

    class Nothing:
        __slots__ = ("first", "memo")

        def __init__(self) -> None:
            self.memo = Memo()

    assert mapping.read_own_memory(8, 8) is None
    assert mapping.read_own_memory(id(object()), 8) is not None
    assert not memo_table._has_memo_where_expected(Other(1 << 200))  # type: ignore[arg-type]
    assert not memo_table._has_memo_where_expected(Nothing())  # type: ignore[arg-type]


def test_only_versions_that_are_tested_are_looked_into() -> None:
    classifiers = Path(__file__).parents[2].joinpath("pyproject.toml").read_text()

    promised = {(int(a), int(b)) for a, b in re.findall(r"Python :: (\d)\.(\d+)", classifiers)}
    assert promised == memory_access._TESTED


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python has `type X = …` and `def f[T]` since 3.12")
def test_type_aliases_and_parameters_of_functions_come_back(kernels: Kernels) -> None:
    make = (
        "type Number = int | float\ntype Rows[T] = list[T]\nvalue: Number = 3\n"
        "def first[T: int](rows: Rows[T]) -> T: return rows[0]\ntype Tree = list[Tree]"
    )
    check = (
        "assert Number.__value__ == int | float and Number.__name__ == 'Number' and __annotations__['value'] is Number\n"
        "assert Rows[int].__origin__ is Rows and Rows.__value__.__args__ == Rows.__type_params__\n"
        "(T,) = first.__type_params__; assert first([3]) == 3 and T.__bound__ is int and first.__annotations__['return'] is T"
    )

    saved = kernels.save(make)

    assert saved["unsaved"]["Tree"]["reason"].startswith("a type that contains itself")
    assert list(saved["unsaved"]) == ["Tree"]
    assert kernels.restore(saved, check)["unrestored"] == {}
    again = kernels.run(
        {"do": "restore", "folder": kernels.folder, "ref": saved["ref"]}, {"do": "save", "folder": kernels.folder}
    )[-1]
    assert kernels.restore(again, check)["unrestored"] == {}
