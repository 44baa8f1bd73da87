"""What cells show, from a real kernel into the document and the output file."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
import zmq
from nbformat import NotebookNode

from pauseflow_nb.protocol import PauseAnswer
from pauseflow_nb.runner.cell_statuses import status_of
from pauseflow_nb.runner.client import KernelClient
from pauseflow_nb.runner.output_file import OutputFile

WIDGET_MIME = "application/vnd.jupyter.widget-state+json"

SHOWS_LINKS = """%%step approve
from IPython.display import HTML, JSON, display
links = flow.suspend(timeout=60_000)
url = links.resume_url
half = len(url) // 2
print(url[:half], end='', flush=True)
print(url[half:], flush=True)
display(HTML(f'<a href="{url}">approve</a>'), JSON({'url': url}))
import sys, urllib.parse
print(urllib.parse.quote(url, safe=''), file=sys.stderr)
widgets.HTML(value=url)"""


def test_a_kernels_outputs_are_shown_as_a_front_end_would(rehearse: Any) -> None:
    rehearsal = rehearse(
        "from IPython.display import clear_output, display\nimport ipywidgets as widgets\nimport threading, time",
        "handle = display('10 %', display_id=True)\nprint('between')",
        "handle.update('100 %')",
        "print('gone'); clear_output(wait=True); print('stays')",
        "for _ in range(20_000): print('x' * 50)",
        "out = widgets.Output()\nwith out: print('captured')\nout",
        "len(out.outputs)",
        "def late():\n    time.sleep(0.2); print('late')\nthread = threading.Thread(target=late); thread.start()",
        "thread.join()",
        "1 / 0",
    )

    end = rehearsal.run()

    assert end.failure.type == "ZeroDivisionError"
    assert rehearsal.text(1) == "'100 %'between\n"
    assert (rehearsal.text(2), rehearsal.text(3)) == ("", "stays\n")
    assert rehearsal.text(4) == ("x" * 50 + "\n") * 20_000
    assert len(rehearsal.document.cells[4].outputs) == 1
    assert rehearsal.text(5) == "Output()"
    states = rehearsal.document.metadata["widgets"][WIDGET_MIME]["state"].values()
    captured = [state["state"]["outputs"] for state in states if state["model_name"] == "OutputModel"]
    assert [output["text"] for output in captured[0]] == ["captured\n"]
    assert rehearsal.text(6) == "1"
    assert rehearsal.text(7) + rehearsal.text(8) == "late\n"
    error = rehearsal.document.cells[9].outputs[0]
    assert (error.ename, error.evalue) == ("ZeroDivisionError", "division by zero")
    assert rehearsal.document.metadata.language_info.name == "python"


def test_links_are_shown_live_and_masked_in_the_file(rehearse: Any, tmp_path: Path) -> None:
    rehearsal = rehearse("from pauseflow_nb import flow\nimport ipywidgets as widgets", SHOWS_LINKS)
    output = OutputFile(str(tmp_path / "out.ipynb"), execution="e1", is_first=True)

    end = rehearsal.run(output=output)

    written = output.path.read_text()
    tokens = [url.rpartition("/")[2] for url in rehearsal.links("approve").values()]
    assert end.kind == "suspended"
    assert not any(token in written or token in json.dumps(rehearsal.document.notebook) for token in tokens)
    assert written.count("***") >= 4
    assert any(tokens[0] in str(output) for _, output in rehearsal.log.outputs)
    assert "waits for an answer" in written


def test_an_error_that_quotes_a_link_is_masked_for_everybody(rehearse: Any) -> None:
    rehearsal = rehearse("%%step approve\nfrom pauseflow_nb import flow\nraise ValueError(flow.suspend().resume_url)")

    end = rehearsal.run()

    token = rehearsal.links("approve")["resume_url"].rpartition("/")[2]
    assert (end.kind, end.failure.type) == ("failed", "ValueError")
    assert token not in str(end)
    assert token not in rehearsal.document.to_bytes().decode()


def test_the_output_file_is_valid_at_every_moment_and_follows_a_running_cell(rehearse: Any, tmp_path: Path) -> None:
    rehearsal = rehearse(
        "%%step one\nprint('first')",
        "import json, pathlib, time\nprint('in the middle', flush=True)\n"
        "while not json.loads(pathlib.Path('out.ipynb').read_text())['cells'][1]['outputs']:\n"
        "    time.sleep(0.05)",
        "seen = pathlib.Path('out.ipynb').read_text()\nopen('seen.ipynb', 'w').write(seen)",
    )
    output = OutputFile(str(tmp_path / "out.ipynb"), execution="e1", is_first=True)

    end = rehearsal.run(output=output)

    seen = nbformat.read(tmp_path / "seen.ipynb", as_version=4)
    nbformat.validate(seen)
    assert end.kind == "completed"
    assert [status_of(cell) for cell in seen.cells] == ["completed", "running", "pending"]
    assert output.path.read_bytes() == rehearsal.document.to_bytes()


def test_the_document_is_up_to_date_at_a_checkpoint(rehearse: Any) -> None:
    rehearsal, kept = rehearse("print('plain')", "%%step one\nprint('shown')", "2"), list[NotebookNode]()
    rehearsal.log.when_checkpoint = lambda document: kept.append(
        nbformat.reads(document.to_bytes().decode(), as_version=4)
    )

    rehearsal.run()

    assert [cell.outputs[0].text for cell in kept[0].cells[:2]] == ["plain\n", "shown\n"]
    assert [cell.execution_count for cell in kept[0].cells] == [1, 2, None]


def test_a_decision_stands_between_what_was_shown_before_and_after_it(
    rehearse: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the question, on a channel of its own, overtakes what was printed before it."""
    rehearsal = rehearse("from pauseflow_nb import flow", "%%step ask\nprint('before')\nflow.pause()\nprint('after')")
    rehearsal.log.answers = [PauseAnswer("resume", {"method": "POST", "body": None, "query": {}}, "user:ann")]
    poll, overtaken = KernelClient._poll, list[bool]()

    def poll_stdin_first(client: KernelClient, seconds: float | None) -> dict[Any, int]:
        if not rehearsal.log.steps or overtaken:
            return poll(client, seconds)
        overtaken.append(bool(client._stdin.poll(20_000)))
        return {client._stdin: zmq.POLLIN}

    monkeypatch.setattr(KernelClient, "_poll", poll_stdin_first)
    end = rehearsal.run()

    outputs = rehearsal.document.cells[1].outputs
    shown = [str(each.get("text") or each.data["text/plain"]).strip() for each in outputs]
    assert (end.kind, overtaken) == ("completed", [True])
    assert shown == ["before", "Step ask asked for an answer\nApproved by ann.", "after"]


def test_a_notebook_that_may_pause_is_digested_while_its_kernel_computes(rehearse: Any) -> None:
    rehearsal = rehearse("1", "2", "%%step ask\nflow.suspend()")
    document = rehearsal.document
    rehearsal.run()

    assert not document.digest_ahead(2)


def test_a_notebook_without_steps_is_not_digested(rehearse: Any) -> None:
    rehearsal = rehearse("1", "2")
    document = rehearsal.document
    rehearsal.run()

    assert document.digest_ahead(1)
