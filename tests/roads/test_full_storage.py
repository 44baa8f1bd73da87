"""An execution ends while its notebook or its output cannot be written: both are written later, with all they had."""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nbformat
import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from roads.rider import Rider, shown

from pauseflow_nb.decisions.verification import verify
from pauseflow_nb.engine import attempt_fence, finish_notebook
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.private_files import create
from pauseflow_nb.runner import output_file
from pauseflow_nb.runner.kernels.source import Supply
from pauseflow_nb.store import files
from pauseflow_nb.store.database import transaction
from pauseflow_nb.store.tables import executions


@dataclass
class Disks:
    """The disk of the store and that of the output, each of which may be full for this process."""

    store_is_full: bool = False
    output_is_full: bool = False
    #: How many more files of the store do not fit; then there is room.
    refusals: int = 0

    def refuses(self) -> bool:
        self.refusals -= 1
        return self.store_is_full or self.refusals >= 0


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> Disks:
    made = Disks()

    def create_in(is_full: Callable[[], bool]) -> Callable[..., BinaryIO]:
        def create_or_fail(path: Path, **options: Any) -> BinaryIO:
            if is_full():
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            return create(path, **options)

        return create_or_fail

    monkeypatch.setattr(files, "create", create_in(made.refuses))
    monkeypatch.setattr(output_file, "create", create_in(lambda: made.output_is_full))
    # As if it had been waited for in vain.
    monkeypatch.setattr(attempt_fence, "_PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(finish_notebook, "_PATIENCE_SECONDS", 0.0, raising=False)
    return made


@pytest.fixture
def each_rider(queue: Queue, tmp_path: Path, shared_supply: Supply) -> Rider:
    """One on each database."""
    return Rider(queue, tmp_path, shared_supply)


def sweep(rider: Rider) -> None:
    """Let the clock finish what is to be finished, as if the time for the next try had come."""
    with transaction(rider.queue.engine) as connection:
        waiting = executions.update().where(executions.c.record_due.is_not(None))
        connection.execute(waiting.values(record_due=0.0))
    Clock(rider.queue).sweep()


def stored(rider: Rider, execution: str) -> nbformat.NotebookNode:
    found: nbformat.NotebookNode = nbformat.reads(rider.queue.document(execution).decode(), 4)
    nbformat.validate(found)
    return found


def statuses(notebook: nbformat.NotebookNode) -> list[str]:
    return [cell.metadata.papermill.status for cell in notebook.cells if cell.cell_type == "code"]


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.text.strip() for output in outputs if output.output_type == "stream"]


def problems(rider: Rider, execution: str, notebook: nbformat.NotebookNode) -> list[str]:
    keys: list[Any] = [load_pem_public_key(rider.queue.public_key(1).encode())]
    return verify(notebook, keys, recorded=rider.queue.decisions(execution)).problems


ASK = "%%step ask\nprint('seen')\nflow.suspend()"


def run(rider: Rider, disks: Disks, *sources: str, store: bool = False, output: bool = False) -> dict[str, Any]:
    """Start a notebook, let disks become full, and run it until it waits or has ended."""
    execution = rider.start(*sources)
    disks.store_is_full, disks.output_is_full = store, output
    return rider.ride(execution)


def make_room(disks: Disks) -> None:
    disks.store_is_full = disks.output_is_full = False


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("last", "state", "ends"),
    [
        ("2", "completed", ["completed"] * 4),
        ("%%step stop\nflow.exit()", "completed", ["completed", "completed", "completed", "not run"]),
        ("%%step stop\n1/0", "failed", ["completed", "completed", "failed", "not run"]),
    ],
)
def test_a_notebook_that_could_not_be_stored_at_its_end_is_stored_later(
    each_rider: Rider, disks: Disks, last: str, state: str, ends: list[str]
) -> None:
    view = run(each_rider, disks, "print('seen')", last, "3", store=True)
    make_room(disks)
    sweep(each_rider)

    found = stored(each_rider, view["id"])
    assert view["state"] == state
    assert (statuses(found), printed(found)) == (ends, ["seen"])
    assert statuses(each_rider.output()) == ends


def test_it_is_stored_later_with_the_record_of_its_end(rider: Rider, disks: Disks) -> None:
    view = rider.run(ASK, "print('last')")
    disks.store_is_full = True
    view = rider.answer(view["id"])
    make_room(disks)
    sweep(rider)

    found = stored(rider, view["id"])
    assert (statuses(found), printed(found)) == (["completed"] * 3, ["seen", "last"])
    assert problems(rider, view["id"], found) == problems(rider, view["id"], rider.output()) == []


def test_without_an_output_it_says_that_the_outputs_are_lost(rider: Rider, disks: Disks) -> None:
    execution = rider.start("print('seen')", "1/0", "3", output=None)
    disks.store_is_full = True
    rider.ride(execution)
    make_room(disks)
    sweep(rider)

    found = stored(rider, execution)
    assert statuses(found) == ["completed", "completed", "failed", "not run"]
    assert "The outputs of this cell were lost" in shown(found)


def test_an_output_that_somebody_changed_is_not_stored_in_the_place_of_the_notebook(rider: Rider, disks: Disks) -> None:
    view = run(rider, disks, "print('seen')", "1/0", store=True)
    path = rider.folder / "out.ipynb"
    path.write_text(path.read_text().replace("seen", "forged"))
    make_room(disks)
    sweep(rider)

    assert "forged" not in rider.queue.document(view["id"]).decode()
    assert "forged" in path.read_text()


def test_an_output_that_could_not_be_written_when_it_failed_is_written_later(rider: Rider, disks: Disks) -> None:
    view = run(rider, disks, "print('seen')", "1/0", output=True)
    sweep(rider)
    assert not (rider.folder / "out.ipynb").exists()
    make_room(disks)
    sweep(rider)

    assert view["state"] == "failed"
    assert (statuses(rider.output()), printed(rider.output())) == (["completed", "completed", "failed"], ["seen"])


@pytest.mark.parametrize("end", ["cancel", "timeout"])
def test_an_output_that_could_not_be_written_when_nobody_ran_it_is_written_later(
    rider: Rider, disks: Disks, end: str
) -> None:
    view = rider.run("%%step ask\nprint('seen')\nflow.suspend('1h')", "2")
    disks.output_is_full = True
    if end == "cancel":
        rider.queue.cancel(view["id"], by="user:bob")
    else:
        rider.let_time_pass(view, hours=2)
    sweep(rider)
    sweep(rider)
    before = statuses(rider.output())
    make_room(disks)
    sweep(rider)

    output = rider.output()
    assert (before, statuses(output)) == (["completed", "suspended", "pending"], ["completed", "completed", "not run"])
    assert problems(rider, view["id"], output) == []
    assert len(rider.queue.decisions(view["id"])) == 2


def test_an_output_that_stays_unwritable_is_given_up_after_a_day(rider: Rider, disks: Disks) -> None:
    view = run(rider, disks, "1/0", output=True)
    with transaction(rider.queue.engine) as connection:
        connection.execute(executions.update().values(ended_at=executions.c.ended_at - 90000.0))
    sweep(rider)

    with transaction(rider.queue.engine) as connection:
        assert connection.execute(sa.select(executions.c.record_due)).scalar() is None
    assert view["state"] == "failed"


def test_an_output_that_another_execution_has_taken_since_is_left_alone(rider: Rider, disks: Disks) -> None:
    first = rider.start("'first'")
    disks.output_is_full = True
    rider.queue.cancel(first, by="user:bob")
    sweep(rider)
    make_room(disks)
    second = rider.run("'second'")
    sweep(rider)

    assert second["state"] == "completed"
    assert "second" in shown(rider.output())


def test_a_question_that_could_not_be_stored_is_in_the_notebook_that_goes_on(rider: Rider, disks: Disks) -> None:
    view = run(rider, disks, ASK, "print('last')", store=True)
    make_room(disks)
    view = rider.answer(view["id"])

    found = stored(rider, view["id"])
    assert (statuses(found), printed(found)) == (["completed"] * 3, ["seen", "last"])
    assert problems(rider, view["id"], found) == problems(rider, view["id"], rider.output()) == []


def test_a_question_that_could_not_be_stored_stays_in_the_output_of_what_is_cancelled(
    rider: Rider, disks: Disks
) -> None:
    view = run(rider, disks, ASK, "2", store=True)
    make_room(disks)
    rider.queue.cancel(view["id"], by="user:bob")
    sweep(rider)

    assert statuses(rider.output()) == ["completed", "completed", "not run"]
    assert "seen" in printed(rider.output())
    assert printed(stored(rider, view["id"])) == ["seen"]


def test_a_store_that_is_full_for_a_moment_only_loses_nothing(
    rider: Rider, disks: Disks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempt_fence, "_PATIENCE_SECONDS", 60.0)
    execution = rider.start(ASK, "2", output=None)
    disks.refusals = 1
    rider.ride(execution)

    assert statuses(stored(rider, execution)) == ["completed", "suspended", "pending"]


def test_the_output_is_complete_before_the_store_says_that_the_notebook_has_ended(rider: Rider) -> None:
    """So a worker that dies in between leaves no output that nobody completes."""
    view = rider.run(ASK, "2")
    found: list[list[str]] = []

    @sa.event.listens_for(rider.queue.engine, "commit")
    def look(connection: sa.Connection) -> None:
        if not found and connection.execute(sa.select(executions.c.state)).scalar() == "completed":
            found.append(problems(rider, view["id"], rider.output()))

    rider.answer(view["id"])

    assert found == [[]]
