"""What a person at a terminal reads."""

import io
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest

from pauseflow_nb.cli.options import print_json, print_lines
from pauseflow_nb.cli.terminal import describe, describe_ending, describe_kernel_bound, describe_waiting, format_table

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

OPEN: dict[str, Any] = {
    "path": ["approve"],
    "step": "approve",
    "kind": "suspend",
    "since": "2026-11-20T12:00:00+00:00",
    "deadline": "2026-11-21T12:00:00+00:00",
    "on_timeout": "cancel",
    "title": "Deploy the model?",
    "message": None,
    "resume_url": "http://127.0.0.1:7287/pauseflow/resume/t1",
    "cancel_url": "http://127.0.0.1:7287/pauseflow/cancel/t2",
    "approval_url": "http://127.0.0.1:7287/pauseflow/approve/t3",
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("show", [print_lines, print_json])
def test_output_to_a_full_disk_is_an_error_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, show: Callable[[str], None]
) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(full, encoding="utf-8", write_through=True))

        with pytest.raises(click.ClickException, match="the output cannot be written: No space left on device"):
            show("text")
        monkeypatch.undo()


def test_a_pause_says_title_links_and_deadline() -> None:
    text = describe_waiting(OPEN, now=NOW)

    assert "Deploy the model?" in text
    assert all(OPEN[key] in text for key in ("resume_url", "cancel_url", "approval_url"))
    assert "in 1 d" in text
    assert "then it is cancelled" in text


def test_a_pause_without_deadline_says_so() -> None:
    assert "no deadline" in describe_waiting({**OPEN, "deadline": None}, now=NOW)


def test_an_overdue_pause_does_not_count_backwards() -> None:
    assert "-" not in describe_waiting({**OPEN, "deadline": "2026-11-20T11:00:00+00:00"}, now=NOW).split("(in ")[1]


def test_what_waits_without_a_title_is_described_in_the_words_of_the_panel_and_the_page() -> None:
    untitled = {**OPEN, "title": None}

    assert "approve: waits for the clock" in describe_waiting({**untitled, "kind": "delay"}, now=NOW)
    outside = describe_waiting({**untitled, "kind": "operator", "step": None, "path": []}, now=NOW)
    assert "the notebook: was suspended from outside" in outside


def test_a_rerun_is_described_as_waiting_for_the_clock() -> None:
    assert "or a link" in describe_waiting({**OPEN, "kind": "rerun", "title": None}, now=NOW)


def test_a_kernel_bound_execution_is_described_with_the_reason() -> None:
    assert describe_kernel_bound({"kernel_bound": ["lock", "file"]})[0].endswith(
        "need lock, file, which cannot be saved"
    )
    assert "Ctrl-C ends that kernel" in describe_kernel_bound({"kernel_bound": ["lock"]}, is_here=True)[1]
    assert describe_kernel_bound({"kernel_bound": []}) == []


def test_a_long_wait_is_counted_in_days() -> None:
    usage = {"compute_seconds": 59.94, "suspended_seconds": 259_200.2, "wakeups": 2}
    blank: dict[str, Any] = {"reason": None, "output": None, "error": None, "steps": {}, "suspended": []}
    shown = describe(
        {
            **blank,
            "id": "e",
            "state": "completed",
            "notebook": "in.ipynb",
            "cells": {"done": 3, "total": 3},
            "usage": usage,
        }
    )

    assert "usage     59.9 s computing, 3 d waiting, 2 wake-ups" in shown


def test_a_variable_that_every_checkpoint_omits_is_listed_once() -> None:
    def step(*names: str) -> dict[str, Any]:
        unsaved = [
            {"name": name, "type_name": "lock", "reason": "it is one", "fate": "left out", "cell": 0} for name in names
        ]
        return {"state": "finished", "runs": 1, "unsaved": unsaved}

    shown = describe(
        {
            "id": "e",
            "state": "completed",
            "reason": None,
            "notebook": "in.ipynb",
            "output": None,
            "error": None,
            "cells": {"done": 3, "total": 3},
            "steps": {"a": step("lock"), "b": step("lock", "file"), "c": step("lock", "file")},
            "usage": {"compute_seconds": 1.0, "suspended_seconds": 0.0, "wakeups": 0},
            "suspended": [],
        }
    )

    assert [shown.count(f"{name} (lock, made by cell 1)") for name in ("lock", "file")] == [1, 1]
    assert shown.index("b: finished") < shown.index("file (lock") < shown.index("c: finished")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ({"kind": "link", "by": "link"}, "cancelled (by someone with the link)"),
        ({"kind": "user", "by": "user:ann", "known_by": "login"}, "cancelled by ann (login)"),
        (
            {"kind": "timeout", "by": "clock", "text": "nobody answered"},
            "cancelled (timeout by the clock: nobody answered)",
        ),
    ],
)
def test_the_reason_of_an_end_names_people_as_the_page_does(reason: dict[str, str], words: str) -> None:
    execution: dict[str, Any] = {
        "id": "e",
        "state": "cancelled",
        "reason": reason,
        "notebook": "in.ipynb",
        "output": None,
        "error": None,
        "cells": {"done": 1, "total": 3},
        "steps": {},
        "usage": {"compute_seconds": 1.0, "suspended_seconds": 0.0, "wakeups": 0},
        "suspended": [],
    }

    assert f"e  {words}\n" in describe(execution)


@pytest.mark.parametrize("words", [describe, describe_ending])
@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            "ValueError",
            "if the notebook is wrong, correct it and run `pauseflow retry e --db x --with in.ipynb`; if not, run `pauseflow",
        ),
        (
            "ModuleNotFoundError",
            "install the package in the kernel's environment and run `pauseflow retry e --db x`, or correct the notebook",
        ),
    ],
)
def test_a_failed_execution_is_shown_with_the_command_that_continues_it(
    words: Callable[..., str], error: str, advice: str
) -> None:
    execution: dict[str, Any] = {
        "id": "e",
        "state": "failed",
        "reason": {"kind": "error"},
        "notebook": "in.ipynb",
        "output": None,
        "error": {"type": error, "message": "it is wrong", "cell": 2, "step": None},
        "cells": {"done": 2, "total": 3},
        "steps": {},
        "usage": {"compute_seconds": 1.0, "suspended_seconds": 0.0, "wakeups": 0},
        "suspended": [],
    }

    assert f"to continue from the last checkpoint: {advice}" in words(execution, flags=" --db x")


def test_a_table_lines_its_columns_up() -> None:
    assert format_table([("A", "B"), ("long", "x")]).splitlines() == ["A     B", "long  x"]


EVIL = "go\x1b]0;t\x07\x1b[2J\u202e\n  usage     forged\r"


def test_texts_of_others_cannot_act_or_pass_for_a_line_of_ours() -> None:
    suspension = {
        **OPEN,
        "title": EVIL,
        "message": EVIL,
        "path": [EVIL],
        "approvals": {
            "needed": 2,
            "given": [{"by": f"user:{EVIL}", "at": "", "comment": EVIL, "known_by": "login"}],
            "approvers": [EVIL],
        },
        "schema": {"type": "object", "properties": {EVIL: {"enum": [EVIL]}}},
        "errors": [{"path": [EVIL], "message": EVIL}],
    }
    execution = {
        "id": "abc",
        "state": "failed",
        "reason": {"kind": "user", "by": f"user:{EVIL}", "text": EVIL, "known_by": "account", "via": f"sudo by {EVIL}"},
        "notebook": EVIL,
        "output": EVIL,
        "trigger": {"id": EVIL, "kind": "schedule"},
        "cells": {"done": 1, "total": 2},
        "steps": {EVIL: {"state": "finished", "runs": 1}},
        "usage": {"compute_seconds": 0.0, "suspended_seconds": 0.0, "wakeups": 0},
        "suspended": [suspension],
        "kernel_bound": [EVIL],
        "error": None,
    }
    failed = {**execution, "error": {"type": EVIL, "message": EVIL, "step": EVIL, "cell": 1}}

    shown = [
        describe_waiting(suspension, now=NOW),
        describe(execution),
        describe(failed),
        describe_ending(execution),
        describe_ending(failed),
        describe({"id": "abc", "state": "x", "problem": EVIL}),
        format_table([("A", "B"), (EVIL, EVIL)]),
    ]

    for text in shown:
        assert not [char for char in text if not char.isprintable() and char != "\n"], text
        assert "\n  usage     forged" not in text
