"""List what tests left open (sockets, files, event loops), and fail the session after too many.

Python warns of what was left open when it collects the garbage: in whichever test runs at that moment, which need not be
the one that left it. So the warning fails no test. Each is listed at the end of the report with its text (run
`python -X tracemalloc=15 -m pytest …` to see where the object was made). If they come in more than `MOST_TESTS` tests, a
test leaks at every run, and the session fails.
"""

import pytest
from _pytest.terminal import TerminalReporter
from reruns import fail_session

__all__ = ["MOST_TESTS", "summarize_leaks"]

#: In how many tests of one session such a warning may come before the session fails.
MOST_TESTS = 2


def summarize_leaks(reporter: TerminalReporter) -> None:
    """List each warning of something left open; make the session fail if they came in too many tests."""
    name = pytest.PytestUnraisableExceptionWarning.__name__
    leaks = [report for report in reporter.stats.get("warnings", []) if name in report.message]
    if not leaks:
        return
    tests = {report.nodeid for report in leaks}
    reporter.section(f"left open, seen in {len(tests)} of at most {MOST_TESTS} tests")
    for report in leaks:
        reporter.line(f"{report.nodeid}: {report.message}")
    if len(tests) > MOST_TESTS:
        fail_session(reporter, f"things left open were seen in more than {MOST_TESTS} tests")
