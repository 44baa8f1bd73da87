"""`pauseflow verify`: an executed notebook is compared with the records of its decisions, also elsewhere."""

import json
from pathlib import Path

import pytest
from acceptance.command import Pauseflow
from nbformat import v4, write

pytestmark = pytest.mark.acceptance

ASK = (
    "from pauseflow_nb import flow\nprint('total 12')",
    "%%step ask\nflow.suspend(title='Publish?')",
    "print('published')",
)


@pytest.fixture
def decided(pauseflow: Pauseflow) -> Path:
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in ASK], metadata=metadata)
    write(notebook, pauseflow.folder / "in.ipynb")
    execution = pauseflow("run", "in.ipynb", "out.ipynb", "--until-pause", "--json").execution
    shown = execution["suspended"][0]["shown"]
    stale = pauseflow("resume", execution["id"], "--shown", "0" * 64)
    assert stale.code == 2, stale.stderr
    assert "the question has changed since you saw it" in stale.stderr, stale.stderr
    assert pauseflow("resume", execution["id"], "--shown", shown, "--wait").code == 0
    return pauseflow.folder / "out.ipynb"


def test_what_was_decided_is_verified_with_the_store_and_with_a_key_file(pauseflow: Pauseflow, decided: Path) -> None:
    key = pauseflow.folder / "keys.pem"
    key.write_text(pauseflow("keys", "export").stdout, encoding="utf-8")

    document = json.loads(decided.read_text(encoding="utf-8"))
    shown = pauseflow("show", document["metadata"]["pauseflow"]["execution"], "--json").execution
    records = document["metadata"]["pauseflow"]["decisions"]
    assert [each["envelope"] for each in shown["decisions"]] == records
    line = "record 1: step ask: Approved by "
    printed = pauseflow("show", document["metadata"]["pauseflow"]["execution"]).stdout
    assert (line in printed, "saw what was shown" in printed) == (True, False)
    for flags in ([], ["--store"], ["--key", key]):
        verified = pauseflow("verify", decided, *flags)
        assert verified.code == 0, verified.stderr
        assert line in verified.stdout
    text = decided.read_text(encoding="utf-8")
    decided.write_text(text.replace("total 12", "total 21"), encoding="utf-8")
    changed = pauseflow("verify", decided, "--key", key, "--json")

    assert changed.code == 1
    found = json.loads(changed.stdout)
    assert found["valid"] is False
    assert any("source" in problem for problem in found["problems"])


def test_the_notebook_that_was_run_is_not_the_executed_one(pauseflow: Pauseflow, decided: Path) -> None:
    ended = pauseflow("verify", decided.with_name("in.ipynb"))

    assert ended.code == 1
    assert "verify takes the executed notebook, OUT:" in ended.stderr


def test_a_report_is_written_to_a_file_or_printed(pauseflow: Pauseflow, decided: Path) -> None:
    id_ = json.loads(decided.read_text(encoding="utf-8"))["metadata"]["pauseflow"]["execution"]
    written = pauseflow("report", id_, "-o", "page.html", "--json")
    by_name = pauseflow("report", id_)
    printed = pauseflow("report", id_, "-o", "-")
    refused = pauseflow("report", id_, "-o", "gone/page.html")

    assert (written.code, written.execution["problems"]) == (0, []), written.stderr
    page = (pauseflow.folder / "page.html").read_text(encoding="utf-8")
    assert "Record 1, step ask: Approved" in page
    assert (pauseflow.folder / f"report-{id_}.html").exists(), by_name.stderr
    assert printed.stdout.startswith("<!doctype html>")
    assert refused.code == 2
    assert "the output gone/page.html is in a folder that does not exist" in refused.stderr
    assert pauseflow("report", id_, "-o", "-", "--json").code == 2


@pytest.mark.thorough
def test_what_cannot_be_verified_is_refused_with_a_sentence(pauseflow: Pauseflow, decided: Path) -> None:
    empty = pauseflow.folder / "empty.pem"
    empty.write_text("no key", encoding="utf-8")

    assert "no notebook at" in pauseflow("verify", pauseflow.folder / "gone.ipynb").stderr
    assert "it is a folder: name a notebook in it" in pauseflow("verify", pauseflow.folder).stderr
    assert "keys export" in pauseflow("verify", decided, "--key", empty).stderr
    assert pauseflow("verify", decided, "--key", empty, "--store").code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"cells": [], "metadata": {}, "cells": []}', "'cells' comes twice"),
        ('{"cells": [], "metadata": {"a": NaN}}', "NaN is not a number of JSON"),
        ('{"cells": [], "metadata": {"a": 1e999}}', "1e999 is not a number of JSON"),
        ('{"cells": [], "metadata": []}', "it has no metadata"),
        ("", "the file is empty"),
    ],
)
def test_a_file_that_programs_read_in_different_ways_is_refused(pauseflow: Pauseflow, text: str, expected: str) -> None:
    out = pauseflow.folder / "out.ipynb"
    out.write_text(text, encoding="utf-8")

    assert expected in pauseflow("verify", out).stderr


@pytest.mark.thorough
def test_a_question_is_sent_back_by_a_command_and_the_step_runs_again(pauseflow: Pauseflow) -> None:
    ask = "%%step ask\nprint(flow.context.run.get('sent_back', {}).get('comment'))\nflow.suspend(allow=['resume', 'send_back'])"
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    cells = [v4.new_code_cell(source) for source in (ASK[0], ask, "print('after')")]
    write(v4.new_notebook(cells=cells, metadata=metadata), pauseflow.folder / "in.ipynb")
    execution = pauseflow("run", "in.ipynb", "out.ipynb", "--until-pause", "--json").execution
    shown = pauseflow("show", execution["id"])
    again = pauseflow("send-back", execution["id"], "--comment", "Round the totals", "--wait", "--json")
    refused = pauseflow("cancel", execution["id"])

    assert "send back" in shown.stdout + shown.stderr
    assert (again.code, again.execution["steps"]["ask"]["runs"]) == (75, 2)
    assert "Round the totals" in (pauseflow.folder / "out.ipynb").read_text(encoding="utf-8")
    assert refused.code == 0, "whoever runs it may always end it"
