"""The output and the stored notebook: written again when that failed, closed when nobody runs it any more."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
import sqlalchemy as sa
from engine.stage import ME, Stage, die, finish, in_turn

from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.finish_notebook import finish_notebook
from pauseflow_nb.engine.retry_fork import retry
from pauseflow_nb.engine.run_segment import MOST_CRASHES
from pauseflow_nb.engine.write_output import PatientOutput
from pauseflow_nb.errors import StorageFull, StoreUnavailable
from pauseflow_nb.protocol import Briefing, Outcome
from pauseflow_nb.runner.cards import Place, write_card
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.output_file import OutputFile
from pauseflow_nb.store.database import now, reading, transaction
from pauseflow_nb.store.files import Files
from pauseflow_nb.store.tables import executions, segments


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


def test_an_output_in_a_folder_that_is_gone_is_named_as_the_output(tmp_path: Path) -> None:
    reported: list[str] = []
    path = str(tmp_path / "gone" / "out.ipynb")
    output = PatientOutput(
        path, on_event=lambda event: reported.append(event.data["text"]), execution="e", is_first=True
    )
    output.save(Document.from_bytes(nbformat.writes(nbformat.v4.new_notebook()).encode()))

    assert [line.partition(":")[0] for line in reported] == [f"the output {path} cannot be written"]


def test_an_output_after_crashes_before_the_first_checkpoint_is_not_taken_for_an_edit(
    stage: Stage, tmp_path: Path
) -> None:
    output = tmp_path / "out.ipynb"
    stage.script.steps["ask"] = in_turn(*[die] * MOST_CRASHES, finish)
    execution = stage.start("%%step ask", output=str(output))
    assert stage.play(execution) == "ended"
    assert stage.queue.view(execution)["reason"]["kind"] == "crashed"

    retry(stage.queue, execution, by="user:ann", attached_to=ME)
    stage.play(execution)

    assert stage.queue.state(execution) == "completed"
    assert [path.name for path in tmp_path.glob("*.ipynb")] == ["out.ipynb"]


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
    write_card(document, 1, Place("ask"), asked.suspension)
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


def let_another_write(stage: Stage, execution: str, output: Path, *, next_segment: bool) -> None:
    """Let another process take over, and write the output as its attempt, or the next segment, leaves it."""
    with transaction(stage.queue.engine) as connection:
        if next_segment:
            connection.execute(executions.update().values(segment=1))
        else:
            connection.execute(segments.update().values(attempt=segments.c.attempt + 1, worker="another"))
    document = Document.from_bytes(stage.queue.document(execution))
    document.metadata["pauseflow"] = nbformat.NotebookNode(execution=execution, by="another")
    document.changed()
    OutputFile(str(output), execution=execution, is_first=False).save(document)


@pytest.mark.parametrize("next_segment", [False, True])
def test_an_attempt_that_does_not_count_any_more_leaves_the_output_alone(
    stage: Stage, tmp_path: Path, next_segment: bool
) -> None:
    output = tmp_path / "out.ipynb"

    def overtaken(briefing: Briefing) -> Outcome:
        let_another_write(stage, briefing.execution, output, next_segment=next_segment)
        return finish(briefing)

    stage.script.steps["ask"] = overtaken
    execution = stage.start("%%step ask", "%%step last", output=str(output))

    assert stage.play(execution, 0) == "fenced"
    assert nbformat.read(output, 4).metadata.pauseflow.by == "another"
    assert [path.name for path in tmp_path.glob("*.ipynb")] == ["out.ipynb"]


class Interleaved(Files):
    """The storage, which lets something happen before a notebook is read or written for the first time."""

    def __init__(
        self, url: str, *, before_read: Callable[[], Any] = int, before_write: Callable[[], Any] = int
    ) -> None:
        super().__init__(url)
        self._before = {"read": [before_read], "write": [before_write]}

    def read(self, name: str) -> bytes:
        self._let_happen("read")
        return super().read(name)

    def write(self, name: str, data: bytes) -> None:
        self._let_happen("write")
        super().write(name, data)

    def _let_happen(self, what: str) -> None:
        if self._before[what]:
            self._before[what].pop()()


def cancelled(stage: Stage) -> str:
    execution = stage.suspended()
    assert stage.send(execution, "cancel")[0] == 200
    return execution


def records_in(notebook: bytes) -> list[Any]:
    found: list[Any] = json.loads(notebook)["metadata"].get("pauseflow", {}).get("decisions", [])
    return found


def stored_notebooks(stage: Stage, execution: str) -> list[str]:
    folder = stage.queue.files.local
    assert folder is not None
    return [f"{execution}/{path.name}" for path in (folder / execution).glob("*.ipynb")]


def test_of_two_processes_that_finish_a_notebook_one_does_and_none_loses_it(stage: Stage) -> None:
    execution, queue = cancelled(stage), stage.queue

    def finish_too() -> None:
        finish_notebook(queue, execution)

    queue.files = Interleaved(queue.files.url, before_read=finish_too)
    finish_notebook(queue, execution)

    decision_and_end = queue.decisions(execution)
    assert len(decision_and_end) == 2
    assert records_in(queue.document(execution)) == decision_and_end
    assert len(stored_notebooks(stage, execution)) == 1


def test_an_execution_that_goes_on_meanwhile_keeps_its_notebook(stage: Stage) -> None:
    execution, queue = cancelled(stage), stage.queue

    def run_more() -> None:
        retry(queue, execution, by="user:ann", from_step="first", attached_to=ME)
        stage.script.steps.clear()
        stage.play(execution)

    queue.files = Interleaved(queue.files.url, before_write=run_more)
    finish_notebook(queue, execution)

    assert queue.state(execution) == "completed"
    assert records_in(queue.document(execution)) == queue.decisions(execution)
    assert len(stored_notebooks(stage, execution)) == 1


def test_a_notebook_that_cannot_be_stored_now_is_finished_later(stage: Stage) -> None:
    execution, queue = cancelled(stage), stage.queue

    def fail() -> None:
        raise StoreUnavailable(queue.files.url, "it does not answer")

    queue.files = Interleaved(queue.files.url, before_write=fail)
    finish_notebook(queue, execution)
    before = queue.document(execution)
    with reading(queue.engine) as connection:
        due = connection.execute(sa.select(executions.c.record_due)).scalar_one()
        # Not only when the claim of a dead process would be over: its reader sees an unfinished notebook until then.
        assert due - now(connection) < 5
    with transaction(queue.engine) as connection:
        connection.execute(executions.update().values(record_due=executions.c.record_due - 3600.0))
    Clock(queue).sweep()

    assert records_in(before) == []
    assert records_in(queue.document(execution)) == queue.decisions(execution)


def test_a_store_that_is_away_for_a_moment_when_a_segment_begins_is_waited_for(stage: Stage) -> None:
    execution = stage.start("%%step first")

    def fail() -> None:
        raise StoreUnavailable(stage.queue.files.url, "it does not answer")

    stage.queue.files = Interleaved(stage.queue.files.url, before_read=fail)

    assert stage.play(execution) == "ended"
    assert stage.queue.state(execution) == "completed"
    assert stage.script.ran == [("first", 1, 1)]
