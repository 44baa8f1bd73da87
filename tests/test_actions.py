"""One word for each decision, wherever it is shown."""

import pytest

from pauseflow_nb.actions import name_decision


@pytest.mark.parametrize(
    ("kind", "action", "by", "has_schema", "own", "word"),
    [
        ("suspend", "resume", "link", False, None, "Approved"),
        ("suspend", "resume", "user:ann", True, None, "Submitted"),
        ("pause", "resume", "user:ann", False, None, "Approved"),
        (None, "resume", "user:ann", False, None, "Approved"),
        ("suspend", "approve", "user:ann", False, None, "Approved"),
        ("suspend", "send_back", "user:ann", True, None, "Sent back"),
        ("suspend", "cancel", "link", True, None, "Cancelled"),
        ("rerun", "cancel", "link", False, None, "Cancelled"),
        ("suspend", "timeout", "clock", False, None, "Timed out"),
        ("suspend", "resume", "clock", True, None, "Timed out"),
        ("pause", "timeout", "clock", False, {"resume": "Yes"}, "Timed out"),
        ("delay", "resume", "clock", False, None, "Continued"),
        ("delay", "timeout", "clock", False, None, "Continued"),
        ("rerun", "resume", "link", False, None, "Run again"),
        ("rerun", "timeout", "clock", False, None, "Run again"),
        ("notebook", "resume", "notebooks", False, None, "Continued"),
        ("operator", "resume", "user:ann", False, None, "Resumed"),
        ("suspend", "failed", "step:a", False, None, "Failed"),
        ("suspend", "resume", "link", False, {"resume": "No"}, "Answered with “No”"),
        ("suspend", "resume", "link", True, {"resume": "Approve"}, "Approved"),
        ("suspend", "cancel", "link", False, {"cancel": "Stop"}, "Cancelled with “Stop”"),
        ("suspend", "send_back", "link", False, {"send_back": "Rework"}, "Sent back with “Rework”"),
    ],
)
def test_a_decision_has_one_word(
    kind: str | None, action: str, by: str, has_schema: bool, own: dict[str, str] | None, word: str
) -> None:
    assert name_decision(kind, action, by=by, has_schema=has_schema, own=own) == word
