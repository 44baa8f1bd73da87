"""What came of the rows of the table of types: each group is made in one kernel and checked in another, once."""

import ast
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from kernel_snapshot.conftest import Kernels, Nurseries, cell
from kernel_snapshot.type_rows import LEFT_OUT, REFUSED, REPLAYED, ROWS, Row

#: Notes what the restore asks for by name.
_WATCH = """
from pauseflow_nb.kernel.snapshot.reconstruct import Unpickler
_found, _find = set(), Unpickler.find_class
def _noting(self, module, name):
    _found.add((module, name))
    return _find(self, module, name)
Unpickler.find_class = _noting
"""


class Results:
    """Runs all rows of a group in one kernel, and what must hold then in another; only when first asked."""

    def __init__(self, directory: Path, nurseries: Nurseries, environment: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._environment = environment or {}
        self._nurseries = nurseries
        self._groups: dict[str, dict[str, Any]] = {}

    def of(self, row: Row) -> Any:
        """What came of a row."""
        return self._of_group(row.group)[row.what]

    def find_names(self, group: str) -> set[tuple[str, str]]:
        """Modules and names that the pickles of a group's snapshot hold."""
        results = self._of_group(group)
        return {(module, name) for module, name in next(iter(results.values()))["names"]}

    def _of_group(self, group: str) -> dict[str, Any]:
        if group not in self._groups:
            with pytest.MonkeyPatch.context() as patch:
                for name, value in self._environment.items():
                    patch.setenv(name, value)
                self._groups[group] = self._run([row for row in ROWS if row.group == group])
        return self._groups[group]

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
        _, restored, found, *checked = kernels.run(
            cell(_WATCH),
            restore,
            cell("sorted(_found)"),
            *(cell("" if row.outcome in {REFUSED, LEFT_OUT} else row.check) for row in rows),
        )
        assert "names" in restored, restored
        names = ast.literal_eval(found["result"])
        return {
            row.what: {"made": a["error"], "checked": b["error"], "saved": saved, "restored": restored, "names": names}
            for row, a, b in zip(rows, made, checked, strict=True)
        }


def is_installed(row: Row) -> bool:
    return all(importlib.util.find_spec(library) for library in row.needs)
