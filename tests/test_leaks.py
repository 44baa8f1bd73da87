"""The tests' own rule: what a test leaves open is listed, and fails the session when it comes often."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
from leaks import summarize_leaks

def pytest_terminal_summary(terminalreporter):
    summarize_leaks(terminalreporter)
"""
LEAKS = "import socket\ndef test_a():\n    socket.socket()\n"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("count", "code", "options"),
    [(2, pytest.ExitCode.OK, ["-p", "no:xdist"]), (3, pytest.ExitCode.TESTS_FAILED, ["-n", "1"])],
)
def test_a_leak_is_listed_and_the_third_fails_the_session(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, count: int, code: pytest.ExitCode, options: list[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(**{f"test_{number}": LEAKS for number in range(count)})

    result = pytester.runpytest_subprocess(
        "-p",
        "no:randomly",
        "-p",
        "no:asyncio",
        "-W",
        "error",
        "-W",
        "always::pytest.PytestUnraisableExceptionWarning",
        *options,
    )

    assert result.ret == code
    result.assert_outcomes(passed=count, warnings=count)
    result.stdout.fnmatch_lines(
        [
            f"*left open, seen in {count} of at most 2 tests*",
            "test_0.py::test_a: *",
            "ResourceWarning: unclosed <socket*",
        ]
    )
