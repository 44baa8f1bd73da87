"""`%pauseflow lint` and `state`, and help by `?`."""

import json
from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter

CLEAN = "No problems found for a headless run.\n"
ASK = "%%step ask\nflow.suspend('2h');"


@pytest.fixture(autouse=True)
def no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)


def lint(kernel: Any, *cells: str) -> str:
    for cell in cells:
        kernel.run(cell)
    text: str = kernel.run("%pauseflow lint").text
    return text


def test_a_notebook_without_trouble_is_said_to_be_fine(kernel: Any) -> None:
    assert lint(kernel, "x = 1", ASK, "print(x)") == CLEAN


def test_a_variable_that_cannot_be_saved_and_the_cell_that_needs_it(kernel: Any) -> None:
    make = "def numbers():\n    yield 1\nlot = numbers(); next(lot)"
    text = lint(kernel, make, ASK, "1 + 1", "sum(lot)")

    assert "lot (generator) cannot be saved when step 'ask' pauses, and cell 4 needs it" in text
    assert "Make it in a %%setup cell" in text


def test_what_no_later_cell_needs_is_no_trouble(kernel: Any) -> None:
    assert lint(kernel, "def numbers():\n    yield 1\nlot = numbers()", ASK, "1 + 1") == CLEAN


def test_what_a_setup_makes_is_no_trouble(kernel: Any) -> None:
    assert lint(kernel, "%%setup\nlot = (n for n in range(3))", ASK, "sum(lot)") == CLEAN


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ("flow.suspend(None)", "flow.suspend() in step 'a' has no timeout: unanswered, it waits for ever"),
        ("flow.suspend(timeout=None)", "flow.suspend() in step 'a' has no timeout"),
        ("flow.suspend()", "flow.suspend() in step 'a' names no timeout: unanswered for 24 h, it is cancelled"),
        ("flow.rerun(None)", "flow.rerun() in step 'a' has no delay"),
    ],
)
def test_a_pause_without_timeout(kernel: Any, call: str, sentence: str) -> None:
    assert sentence in lint(kernel, f"%%step a\n{call};")


def test_input_is_said_to_have_nobody_who_answers(kernel: Any) -> None:
    assert "cell 1 calls input()" in lint(kernel, "if False:\n    input('name?')")


def test_the_saved_notebook_is_read_with_the_cells_as_they_were_last_run(
    kernel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cell(identity: str, source: str, *tags: str, kind: str = "code") -> dict[str, Any]:
        return {"id": identity, "source": source, "cell_type": kind, "metadata": {"tags": list(tags)}}

    saved = [
        cell("text", "%%step a", kind="markdown"),
        cell("one", "%%step a\n1"),
        cell("two", ["%%step ", "a\n2"]),  # type: ignore[arg-type]
        cell("three", "%%step b c"),
        cell("four", "input()", "interactive-only"),
        cell("five", "%%step d\nflow.suspend(None)"),
    ]
    notebook = tmp_path / "n.ipynb"
    notebook.write_text(json.dumps({"cells": saved}))
    monkeypatch.setenv("JPY_SESSION_NAME", str(notebook))
    kernel.session.ran["five"] = "%%step d\nflow.suspend('1h')"
    text = lint(kernel)

    assert "cells 1 and 2 are both named 'a': rename one" in text
    assert "write `%%step b_c`" in text
    assert "for ever" not in text
    assert "input()" not in text


@pytest.mark.parametrize("text", ["[]", "[" * 100_000])
def test_a_file_that_is_no_notebook_is_passed_over(
    kernel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "n.ipynb").write_text(text)
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "n.ipynb"))

    assert "names no timeout" in lint(kernel, "%%step a\nflow.suspend();")


def test_cells_that_share_a_name_are_told_apart_by_the_front_ends_ids(kernel: Any) -> None:
    for identity, name in (("one", "a"), ("one", "a"), ("two", "a")):
        kernel.shell.run_cell(f"%%step {name}\n1;", store_history=True, cell_id=identity)

    assert "cells 1 and 2 are both named 'a': rename one" in lint(kernel)


def test_state_says_what_a_pause_would_do_with_each_variable(kernel: Any) -> None:
    kernel.run("table = list(range(10))\nlot = (n for n in table)")
    text = kernel.run("%pauseflow state").text

    assert text.startswith("test mode: nothing waits\n")
    assert "table" in text
    assert "restored" in text
    line = next(line for line in text.splitlines() if line.split()[:1] == ["lot"])
    assert "generator" in line
    assert "cannot be saved" in line


@pytest.mark.parametrize(
    ("text", "completion"),
    [("%%st", "%%step"), ("%%setu", "%%setup"), ("%pausef", "%pauseflow"), ("%%step a\nlot_of_w", "lot_of_wine")],
)
def test_magics_and_what_stands_in_a_step_are_completed(kernel: Any, text: str, completion: str) -> None:
    kernel.run("lot_of_wine = 1")
    with provisionalcompleter():
        found = list(kernel.shell.Completer.completions(text, len(text)))

    assert completion in {text[: each.start] + each.text for each in found} | {each.text for each in found}


@pytest.mark.parametrize("name", ["%%step", "%step", "%%setup", "%setup", "%pauseflow"])
def test_magics_explain_themselves(kernel: Any, name: str) -> None:
    kernel.shell.set_hook("show_in_pager", lambda *given, **_: print(*given))
    text = kernel.run(f"{name}?").text

    words = {"%%step": "--retries 3", "%%setup": "connections", "%pauseflow": "%pauseflow lint"}
    assert words[name if name in words else f"%{name}"] in text
