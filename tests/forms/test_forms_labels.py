"""What the buttons under a question say."""

from typing import Any

import pytest

from pauseflow_nb.actions import button_labels
from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.kernel.arguments import check_labels

FORM: dict[str, Any] = {"properties": {"n": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("kind", "schema", "labels", "expected"),
    [
        ("suspend", None, None, ("Approve", "Cancel the run")),
        ("suspend", FORM, None, ("Submit", "Cancel the run")),
        ("pause", None, None, ("Approve", "Cancel the run")),
        ("rerun", None, None, ("Run again now", "Cancel the run")),
        ("delay", None, None, ("Continue now", "Cancel the run")),
        ("operator", None, None, ("Resume", "Cancel the run")),
        ("suspend", FORM, {"resume": "Ship it"}, ("Ship it", "Cancel the run")),
        ("suspend", None, {"cancel": "Stop"}, ("Approve", "Stop")),
    ],
)
def test_the_buttons_say_what_they_do(
    kind: str, schema: dict[str, Any] | None, labels: dict[str, str] | None, expected: tuple[str, str]
) -> None:
    assert button_labels(kind, has_schema=schema is not None, own=labels) == dict(
        zip(("resume", "cancel"), expected, strict=True)
    )


def test_labels_are_taken_without_the_blanks_around_them() -> None:
    assert check_labels({"cancel": " Stop ", "resume": "Ship it"}) == {"resume": "Ship it", "cancel": "Stop"}
    assert check_labels(None) == {}


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ({"approve": "Ship it"}, "has the key 'approve', and there are only: resume, cancel"),
        ({1: "Ship it"}, "has the key 1"),
        ({"resume": ""}, "labels['resume']='' must be text that is not empty"),
        ({"resume": " "}, "must be text that is not empty"),
        ({"cancel": None}, "labels['cancel']=None must be text"),
        ({"resume": "x" * 41}, "must be at most 40 characters"),
        ({"resume": "two\nlines"}, "must be one line without control characters"),
        ({"resume": "red \u202e der"}, "must be one line without control characters"),
        ({"resume": "Go", "cancel": "go"}, "two buttons say 'Go'"),
        ({"resume": "Go", "cancel": "Go"}, "two buttons say 'Go'"),
        ({"cancel": "approve"}, "two buttons say 'Approve'"),
        ({}, "must name the buttons"),
        ("Ship it", 'write labels={"resume": "Ship it", "cancel": "Stop"}'),
    ],
)
def test_labels_that_no_button_can_show_are_refused(labels: Any, sentence: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        check_labels(labels)

    assert sentence in str(caught.value)
