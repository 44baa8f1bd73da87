"""The tests' own rule: nothing is run again without a reason, and not often."""

from collections.abc import Callable
from typing import TypeAlias

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
from reruns import allow_reruns, summarize_reruns

def pytest_configure(config):
    config.addinivalue_line("markers", "may_rerun(reason): …")

def pytest_collection_modifyitems(items):
    allow_reruns(items)

def pytest_terminal_summary(terminalreporter):
    summarize_reruns(terminalreporter)
"""
FAILS = "tries = []\n{mark}\ndef test_a():\n    tries.append(1)\n    assert len(tries) > {failures}\n"

Run: TypeAlias = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("reruns._DELAY_SECONDS", 0)

    def run(*sources: str) -> pytest.RunResult:
        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(**{f"test_{n}": f"import pytest\n{source}" for n, source in enumerate(sources)})
        return pytester.runpytest("-p", "no:randomly", "-p", "no:xdist", "-p", "no:asyncio")

    return run


def test_a_test_without_a_reason_is_not_run_again(run: Run) -> None:
    result = run(FAILS.format(mark="", failures=1))

    result.assert_outcomes(failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_rerun_is_listed_with_its_reason(run: Run) -> None:
    result = run(FAILS.format(mark="@pytest.mark.may_rerun('the sea is rough')", failures=2))

    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*2 of at most 2 reruns*", "test_0.py::test_a: the sea is rough"])


def test_a_third_rerun_fails_the_session(run: Run) -> None:
    once = FAILS.format(mark="@pytest.mark.may_rerun('the sea is rough')", failures=1)
    result = run(once, once, once)

    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*3 of at most 2 reruns*", "failed: more than 2 reruns"])


@pytest.mark.parametrize("mark", ["may_rerun", "may_rerun('')", "may_rerun(1)", "flaky(reruns=1)"])
def test_a_rerun_without_a_reason_is_refused(run: Run, mark: str) -> None:
    result = run(FAILS.format(mark=f"@pytest.mark.{mark}", failures=0))

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*may_rerun*reason*"])
