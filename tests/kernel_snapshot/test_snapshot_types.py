"""Every type of the table: made in one kernel, checked in another."""

import importlib.util
import itertools
from pathlib import Path
from typing import Any

import pytest
from kernel_snapshot.conftest import Kernels, Nurseries, cell
from kernel_snapshot.type_rows import LEFT_OUT, REFUSED, REPLAYED, ROWS, Row


class Results:
    """Runs all rows of a group in one kernel, and what must hold then in another; only when first asked."""

    def __init__(self, directory: Path, nurseries: Nurseries) -> None:
        self._directory = directory
        self._nurseries = nurseries
        self._groups: dict[str, dict[str, Any]] = {}

    def of(self, row: Row) -> Any:
        if row.group not in self._groups:
            self._groups[row.group] = self._run([other for other in ROWS if other.group == row.group])
        return self._groups[row.group][row.what]

    def _run(self, rows: list[Row]) -> dict[str, Any]:
        rows = [row for row in rows if is_installed(row)]
        kernels = Kernels(self._directory, str(self._directory / rows[0].group.replace(" ", "")), self._nurseries)
        save: dict[str, Any] = {"do": "save", "folder": kernels.folder}
        if rows[0].outcome in {REPLAYED, LEFT_OUT}:
            save["passed"] = {str(number): row.make for number, row in enumerate(rows)}
            save["coming"] = {str(len(rows)): "\n".join(row.check for row in rows if row.outcome == REPLAYED)}
        *made, saved = kernels.run(*(cell(row.make) for row in rows), save)
        assert "ref" in saved, saved
        restore = {"do": "restore", "folder": kernels.folder, "ref": saved["ref"]}
        restored, *checked = kernels.run(
            restore, *(cell("" if row.outcome in {REFUSED, LEFT_OUT} else row.check) for row in rows)
        )
        assert "names" in restored, restored
        return {
            row.what: {"made": a["error"], "checked": b["error"], "saved": saved, "restored": restored}
            for row, a, b in zip(rows, made, checked, strict=True)
        }


def is_installed(row: Row) -> bool:
    return all(importlib.util.find_spec(library) for library in row.needs)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, nurseries: Nurseries) -> Results:
    return Results(tmp_path_factory.mktemp("types"), nurseries)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.what) for row in ROWS])
def test_type(row: Row, results: Results) -> None:
    for library in row.needs:
        pytest.importorskip(library)

    result = results.of(row)

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
