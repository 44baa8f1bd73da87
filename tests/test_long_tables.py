"""Which rows of a long table `make test` runs: some of each table, and together with `make test-slow` all."""

from collections import Counter

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
from long_tables import mark_thorough

def pytest_configure(config):
    config.addinivalue_line("markers", "every(n): …")
    config.addinivalue_line("markers", "thorough: …")

def pytest_itemcollected(item):
    mark_thorough(item)
"""
TABLE = """
import pytest

@pytest.mark.every(3)
@pytest.mark.parametrize("row", range({rows}))
def test_{name}(row): pass
"""


def run(pytester: pytest.Pytester, rows: int, name: str, marks: str) -> int:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TABLE.format(rows=rows, name=name))
    result = pytester.runpytest("-p", "no:randomly", "-p", "no:xdist", "-p", "no:asyncio", "-m", marks)
    return result.parseoutcomes().get("passed", 0)


@pytest.mark.parametrize(("name", "rows", "expected"), [("a", 9, 3), ("b", 3, 1), ("c", 12, 4)])
def test_every_third_row_is_run_and_the_others_are_thorough(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str, rows: int, expected: int
) -> None:
    ran = []
    for marks in ("not thorough", "thorough"):
        monkeypatch.setattr("long_tables._decided", Counter())
        ran.append(run(pytester, rows, name, marks))

    assert ran == [expected, rows - expected]
