"""The output and the stored notebook: written again when that failed, closed when nobody runs it any more."""

from pathlib import Path

import nbformat
import pytest
from engine.stage import ME, Stage

from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.retry_fork import retry
from pauseflow_nb.errors import StorageFull
from pauseflow_nb.runner.cards import Place, put_card
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.output_file import OutputFile
from pauseflow_nb.store.database import transaction
from pauseflow_nb.store.tables import executions


def texts(path: Path) -> str:
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    return "\n".join(
        o.get("data", {}).get("text/plain", "") for cell in notebook.cells for o in cell.get("outputs", [])
    )


def test_an_output_that_cannot_be_written_fails_the_execution_and_retry_writes_it(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.ipynb"
    execution = stage.start("%%step first", "%%step last", output=str(output))
    with monkeypatch.context() as full:

        def replace(self: OutputFile, _data: bytes) -> None:
            raise StorageFull(str(self.path))

        full.setattr(OutputFile, "_replace", replace)
        stage.play(execution)

    view = stage.queue.view(execution)
    assert (view["state"], view["reason"]["kind"], view["error"]["type"]) == ("failed", "environment", "StorageFull")
    assert not output.exists()
    retry(stage.queue, execution, by="user:ann", attached_to=ME)
    stage.play(execution)

    assert stage.queue.view(execution)["state"] == "completed"
    assert stage.script.ran == [("first", 1, 1), ("last", 1, 1)]
    assert nbformat.read(output, 4).cells


def test_an_output_whose_folder_is_gone_says_so(stage: Stage, tmp_path: Path) -> None:
    execution = stage.start("x = 1", output=str(tmp_path / "none" / "out.ipynb"))
    stage.play(execution)

    assert "check the folder" in stage.queue.view(execution)["error"]["message"]


def test_a_remote_output(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from papermill.iorw import papermill_io

    written: list[tuple[str, str]] = []

    class Handler:
        def write(self, text: str, path: str) -> None:
            written.append((text, path))

        def pretty_path(self, path: str) -> str:
            return path

    monkeypatch.setattr(papermill_io, "_handlers", [("made-up://", Handler())])
    stage.play(stage.start("x = 1", output="made-up://bucket/out.ipynb"))

    assert [path for _, path in written] == ["made-up://bucket/out.ipynb"]
    assert nbformat.reads(written[0][0], 4).cells[0].source == "x = 1"


def with_card(stage: Stage, execution: str, output: Path) -> None:
    """Put into the stored notebook and the output what the runner would have left there."""
    document = Document.from_bytes(stage.queue.document(execution))
    for cell in document.cells:
        cell.metadata["papermill"] = nbformat.NotebookNode(status="suspended")
    document.metadata["pauseflow"] = nbformat.NotebookNode(execution=execution)
    asked = stage.script.steps["ask"](stage.script.briefings[-1])
    assert asked is not None
    assert asked.suspension is not None
    put_card(document, 1, Place("ask"), asked.suspension)
    name = f"{execution}/card.ipynb"
    stage.queue.files.write(name, document.to_bytes())
    output.write_bytes(document.to_bytes())
    with transaction(stage.queue.engine) as connection:
        connection.execute(executions.update().values(document=name, output=str(output)))


@pytest.mark.parametrize(
    ("end", "sentence"),
    [("link", "Cancelled by someone with the link"), ("user", "Cancelled by ann"), ("clock", "Timed out by the clock")],
)
def test_the_decision_stands_below_the_question(stage: Stage, tmp_path: Path, end: str, sentence: str) -> None:
    output = tmp_path / "out.ipynb"
    execution = stage.suspended(seconds=60.0)
    with_card(stage, execution, output)
    assert "waits for an answer" in texts(output)
    if end == "link":
        stage.send(execution, "cancel")
    elif end == "user":
        stage.queue.cancel(execution, by="user:ann")
    else:
        stage.make_overdue(execution)
    Clock(stage.queue).sweep()
    Clock(stage.queue).sweep()

    assert sentence in texts(output)
    assert "waits for an answer" not in texts(output)
    assert sentence in stage.queue.document(execution).decode()
    folder = stage.queue.files.local
    assert folder is not None
    assert [path.name.split("-")[0] for path in (folder / execution).glob("*.ipynb")].count("end") == 1


def test_a_notebook_that_cannot_be_closed_is_not_tried_for_ever(stage: Stage) -> None:
    execution = stage.suspended()
    stage.queue.files.remove(execution)
    stage.queue.cancel(execution, by="user:ann")
    Clock(stage.queue).sweep()

    with stage.queue.engine.connect() as connection:
        assert connection.execute(executions.select()).one().record_due is None


def test_one_cancelled_under_its_worker_is_left_to_it_for_a_while(stage: Stage) -> None:
    from pauseflow_nb.store import executions as rows

    execution = stage.start("%%step ask")
    with transaction(stage.queue.engine) as connection:
        from pauseflow_nb.store import segments

        segment = segments.lock(connection, execution, 0)
        assert segment is not None
        segments.claim(connection, segment, "a:worker")
        rows.set_state(connection, execution, "running")
    stage.queue.cancel(execution, by="user:ann")

    with transaction(stage.queue.engine) as connection:
        assert rows.list_to_record(connection) == []


@pytest.mark.parametrize("how", ["environment", "cancelled"])
def test_what_an_earlier_execution_left_is_replaced_when_ours_ends_before_its_first_cell(
    stage: Stage, tmp_path: Path, how: str
) -> None:
    output = tmp_path / "out.ipynb"
    stage.play(stage.start("'earlier'", output=str(output)))
    cwd = tmp_path / "gone" if how == "environment" else tmp_path
    execution = stage.start("'ours'", output=str(output), cwd=str(cwd))
    if how == "environment":
        stage.play(execution)
    else:
        stage.queue.cancel(execution, by="user:ann")
    Clock(stage.queue).sweep()

    assert nbformat.read(output, 4).cells[0].source == "'ours'"
    assert [path.name for path in tmp_path.glob("*.ipynb")] == ["out.ipynb"]
