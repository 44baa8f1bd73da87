"""A plugin of pytest that notes which tests run which lines of one file, and how long each takes; for `tests/mutants.py`.

pytest -p line_recorder --record-lines FILE --record-to JSON
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-lines", metavar="FILE", help="the file whose lines are watched")
    parser.addoption(
        "--record-to", metavar="JSON", help="where `{'seconds': {test: s}, 'lines': {line: [test, …]}}` goes"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begin before a conftest imports the package."""
    known = early_config.known_args_namespace
    if known.record_lines:
        early_config.pluginmanager.register(_Recorder(known.record_lines, Path(known.record_to)), "recorder of lines")


class _Recorder:
    def __init__(self, watched: str, result: Path) -> None:
        self._result = result
        self._seconds: dict[str, float] = defaultdict(float)
        self._coverage = coverage.Coverage(data_file=None, config_file=False, include=[watched])
        self._coverage.start()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        result = yield
        self._coverage.switch_context("")
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        data = self._coverage.get_data()
        lines = {
            line: [name for name in contexts if name]
            for file in data.measured_files()
            for line, contexts in data.contexts_by_lineno(file).items()
        }
        self._result.write_text(json.dumps({"seconds": self._seconds, "lines": lines}), encoding="utf-8")
