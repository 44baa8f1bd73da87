"""A bar on a terminal, lines elsewhere, nothing when quiet."""

import fcntl
import io
import os
import pty
import struct
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from nbformat import NotebookNode

from pauseflow_nb.cli.progress import Progress
from pauseflow_nb.engine.progress_events import Event

WAITS = {
    "state": "suspended",
    "suspended": [
        {
            "path": ["ask"],
            "step": "ask",
            "kind": "suspend",
            "title": None,
            "message": None,
            "deadline": None,
            "resume_url": "http://x/r",
        }
    ],
}


def play(progress: Progress) -> None:
    """What a notebook of three cells with one step tells."""
    with progress:
        progress.on_event(Event("cell", "e", {"cell": 0, "done": 1, "total": 3}))
        progress.on_event(Event("step", "e", {"step": "ask", "run": 2, "attempt": 1}))
        progress.on_event(Event("suspended", "e", {"view": WAITS}))


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, show: Callable[[], None]) -> str:
    """Run something whose standard error is a terminal; returns what stands there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        show()
    shown = b""
    # A read gives what one write gave; at the end there is an error where other files give nothing.
    with suppress(OSError):
        while chunk := os.read(ours, 100_000):
            shown += chunk
    os.close(ours)
    return shown.decode()


def test_a_terminal_shows_cells_the_step_the_time_and_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = on_a_terminal(monkeypatch, lambda: play(Progress(3, bar=True)))

    for part in ("1/3", "ask (run 2)", "waits in ask", "00:0", "http://x/r"):
        assert part in shown


def test_elsewhere_it_prints_lines(capsys: pytest.CaptureFixture[str]) -> None:
    play(Progress(3, bar=True))

    assert capsys.readouterr().err.splitlines()[:2] == ["step ask (run 2)", "⏸ ask: waits for an answer"]


def test_warnings_of_a_step_are_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    unsaved = {"name": "db", "type_name": "Connection", "reason": "it is open", "fate": "left out", "cell": None}
    notes = ["5 is milliseconds", "not saved, and no later cell needs it: db (Connection), it is open"]
    view = {**WAITS, "steps": {"ask": {"unsaved": [unsaved], "notes": notes}}}
    progress = Progress(1, bar=False)
    progress.on_event(Event("suspended", "e", {"view": view}))
    progress.on_event(Event("suspended", "e", {"view": view}))
    printed = capsys.readouterr().err

    assert printed.count("⚠ ask: 5 is milliseconds\n") == 1
    assert printed.count("⚠") == 1


def test_what_was_not_saved_is_named_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    unsaved = {"name": "db", "type_name": "Connection", "reason": "it is open", "fate": "lost", "cell": None}
    view = {**WAITS, "steps": {"ask": {"unsaved": [unsaved]}, "earlier": {"unsaved": [unsaved]}}}
    Progress(1, bar=False).on_event(Event("suspended", "e", {"view": view}))

    assert capsys.readouterr().err.count("db (Connection) was not saved: it is open. Later cells need it.") == 1


def test_quiet_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    play(Progress(3, bar=True, quiet=True))

    assert capsys.readouterr() == ("", "")


def test_progress_that_nobody_reads_any_more_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # As in `pauseflow run in.ipynb 2>&1 | head -1`: an error here would end the execution.
    readers, writers = os.pipe()
    os.close(readers)
    outputs = (
        NotebookNode(output_type="stream", name="stdout", text="hello"),
        NotebookNode(output_type="error", traceback=["oh"]),
        NotebookNode(output_type="display_data", data={"text/plain": "1"}),
    )
    with os.fdopen(writers, "wb", buffering=0) as pipe:
        unread = io.TextIOWrapper(pipe, encoding="utf-8", write_through=True)
        monkeypatch.setattr(sys, "stderr", unread)
        progress = Progress(3, bar=False, log_output=True)
        play(progress)
        for output in outputs:
            progress.on_event(Event("output", "e", {"cell": 0, "output": output}))
        with pytest.raises(BrokenPipeError):
            unread.write("the pipe has no reader")


def test_links_in_files_are_masked(tmp_path: Any) -> None:
    with (tmp_path / "o.txt").open("w") as file, Progress(1, bar=False, quiet=True, stdout_file=file) as progress:
        text = "http://127.0.0.1:7287/pauseflow/resume/abcdefghijklmnop.qrstuv\n"
        output = NotebookNode(output_type="stream", name="stdout", text=text)
        progress.on_event(Event("output", "e", {"cell": 0, "output": output}))

    assert (tmp_path / "o.txt").read_text() == "http://127.0.0.1:7287/pauseflow/resume/***\n"
