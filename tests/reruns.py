"""Run a test again only where a reason for it stands on the test, count it, and fail the session after too many.

A test that passes at its second try hides a fault of the test or of the code. So nothing is run again by default. A test
that depends on what nobody here controls (how a browser or another project's program behaves on a busy machine) says so:

    @pytest.mark.may_rerun("JupyterLab's launcher takes the focus whenever it has loaded")

Each rerun is listed at the end of the report with that reason. More than `MOST_RERUNS` of them fail the session.
"""

from collections.abc import Sequence

import pytest
from _pytest.terminal import TerminalReporter

__all__ = ["MOST_RERUNS", "allow_reruns", "fail_session", "summarize_reruns"]

#: How many reruns one session may have before it fails.
MOST_RERUNS = 2

_DELAY_SECONDS = 2
_MARKER = "may_rerun"
_PROPERTY = "may_rerun"


def allow_reruns(items: Sequence[pytest.Item]) -> None:
    """Let tests that are marked `may_rerun(reason)` run up to `MOST_RERUNS` times more.

    Raises:
        pytest.UsageError: If a marker gives no reason, or a test asks for reruns in another way.
    """
    for item in items:
        if item.get_closest_marker("flaky") is not None:
            raise pytest.UsageError(f"{item.nodeid}: use `may_rerun` with a reason instead of `flaky`")
        marker = item.get_closest_marker(_MARKER)
        if marker is None:
            continue
        reason = marker.args[0] if len(marker.args) == 1 and not marker.kwargs else None
        if not isinstance(reason, str) or not reason.strip():
            raise pytest.UsageError(f"{item.nodeid}: `may_rerun` needs one argument, the reason")
        item.user_properties.append((_PROPERTY, reason))
        item.add_marker(pytest.mark.flaky(reruns=MOST_RERUNS, reruns_delay=_DELAY_SECONDS))


def summarize_reruns(reporter: TerminalReporter) -> None:
    """List each rerun with its reason; make the session fail if there were too many."""
    reruns = reporter.stats.get("rerun", [])
    if not reruns:
        return
    reporter.section(f"{len(reruns)} of at most {MOST_RERUNS} reruns")
    for report in reruns:
        reporter.line(f"{report.nodeid}: {dict(report.user_properties).get(_PROPERTY, 'no reason')}")
    if len(reruns) > MOST_RERUNS:
        fail_session(reporter, f"more than {MOST_RERUNS} reruns")


def fail_session(reporter: TerminalReporter, reason: str) -> None:
    """Make the session fail, although each of its tests may have passed."""
    reporter.line(f"failed: {reason}", red=True)
    session = reporter._session
    assert session is not None
    session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
