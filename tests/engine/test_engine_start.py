"""Starting: who owns an output, what there is room for, and what the store says when it cannot be used."""

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from engine.stage import ME, Stage, at_once, plan

from pauseflow_nb.engine import open_store as module
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.ownership import detach
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.retry_fork import retry
from pauseflow_nb.errors import DiskNearlyFull, OutputInUse, QuotaReached, StoreUnavailable, UnknownExecution
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import workers
from pauseflow_nb.store.database import open_engine


def test_an_output_has_one_owner(stage: Stage, tmp_path: Path) -> None:
    output = str(tmp_path / "out.ipynb")
    first = stage.start("%%step ask", output=output)

    with pytest.raises(OutputInUse, match=first):
        stage.start("%%step ask", output=str(tmp_path / "." / "x" / ".." / "out.ipynb"))

    assert [view["id"] for view in stage.queue.list()] == [first]


def test_an_output_is_free_again_after_the_end(stage: Stage, tmp_path: Path) -> None:
    output = str(tmp_path / "out.ipynb")
    stage.queue.cancel(stage.start("%%step ask", output=output), by="user:ann")

    assert stage.start("%%step ask", output=output)


def test_two_at_once_cannot_both_have_it(stage: Stage, tmp_path: Path) -> None:
    output = str(tmp_path / "out.ipynb")

    results = at_once(*[lambda: stage.start("%%step ask", output=output)] * 6)

    assert sorted(type(result).__name__ for result in results) == ["OutputInUse"] * 5 + ["str"]
    folder = stage.queue.files.local
    assert folder is not None
    assert len(list(folder.iterdir())) == 1


def test_retry_of_one_whose_output_was_taken(stage: Stage, tmp_path: Path) -> None:
    from engine.stage import fail

    output = str(tmp_path / "out.ipynb")
    stage.script.steps["ask"] = fail()
    execution = stage.start("%%step ask", output=output)
    stage.play(execution)
    owner = stage.start("%%step ask", output=output)

    with pytest.raises(OutputInUse, match=owner):
        retry(stage.queue, execution, by="user:ann")
    assert stage.queue.state(execution) == "failed"


def test_a_quota_refuses_before_anything_is_written(settings: Settings) -> None:
    small = settings.model_copy(update={"quota": 2000})
    queue = Queue.open(small)
    first = queue.start(plan("x = 1"), attached_to=ME)

    with pytest.raises(QuotaReached, match="nothing was started"):
        queue.start(plan("x" * 2000), attached_to=ME)

    assert [view["id"] for view in queue.list()] == [first]
    queue.close()


def test_a_disk_that_is_nearly_full_refuses(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(stage.queue.files), "free", lambda _self: 1000)

    with pytest.raises(DiskNearlyFull, match="nothing was started"):
        stage.start("x = 1")


def test_the_unknown(stage: Stage) -> None:
    for look in (stage.queue.view, stage.queue.state, stage.queue.audit, stage.queue.document, stage.queue.has_runner):
        with pytest.raises(UnknownExecution, match="pauseflow list"):
            look("nowhere")


def test_starting_one_that_is_attached_needs_no_job(stage: Stage) -> None:
    stage.start("x = 1")

    assert stage.queue.jobs._client is None


def test_starting_for_the_workers_queues_a_job(stage: Stage) -> None:
    execution = stage.queue.start(plan("x = 1"))

    assert job_names(stage.queue) == [f"{execution}/0"]


def test_leaving_one_to_the_workers_queues_a_job(stage: Stage) -> None:
    execution = stage.start("x = 1")
    detach(stage.queue, execution, process="somebody:else")
    assert stage.queue.jobs._client is None

    detach(stage.queue, execution, process=ME)
    detach(stage.queue, execution)

    assert job_names(stage.queue) == [f"{execution}/0"]


def test_a_settled_suspension_queues_a_job(stage: Stage) -> None:
    execution = stage.suspended()
    detach(stage.queue, execution)
    at_once(*[lambda: stage.send(execution)] * 5)

    assert job_names(stage.queue) == [f"{execution}/1"]


def test_links_point_where_the_setting_says(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue.open(settings, base_url="http://127.0.0.1:1234/")
    assert queue.base_url() == "http://127.0.0.1:1234"
    queue.change(lambda connection: workers.beat(connection, "a:server", "server", "http://server:8888/"))
    assert queue.base_url() == "http://server:8888"
    monkeypatch.setenv("JUPYTERHUB_PUBLIC_URL", "https://hub.example/user/ann/")
    assert queue.base_url() == "https://hub.example/user/ann"
    queue.close()
    public = Queue.open(settings.model_copy(update={"public_url": "https://flow.example"}))
    assert public.base_url() == "https://flow.example"
    public.close()


def test_who_is_alive(stage: Stage) -> None:
    assert not stage.queue.has_live_worker()
    stage.queue.change(lambda connection: workers.beat(connection, "a:worker", "worker"))
    assert stage.queue.has_live_worker()
    stage.queue.change(lambda connection: workers.remove(connection, "a:worker"))
    assert not stage.queue.has_live_worker()


def test_keys_are_the_same_for_all(settings: Settings) -> None:
    queues = at_once(*[lambda: Queue.open(settings)] * 5)

    signed = {queue.signer.sign_manifest("a", "b") for queue in queues}
    assert len(signed) == 1
    for queue in queues:
        queue.close()


def test_a_locked_database_says_so(sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def impatient(url: str) -> Any:
        return open_engine(url, patience=timedelta(milliseconds=50))

    monkeypatch.setattr(module, "open_engine", impatient)
    queue = Queue.open(sqlite_settings)
    execution = queue.start(plan("x = 1"), attached_to=ME)
    holder = sqlite3.connect(sqlite_settings.data_dir / "pauseflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StoreUnavailable, match="keeps it locked"):
        queue.cancel(execution, by="user:ann")
    with pytest.raises(StoreUnavailable, match="keeps it locked"):
        queue.start(plan("x = 1"))

    assert queue.state(execution) == "queued"
    holder.close()
    queue.cancel(execution, by="user:ann")
    queue.close()


def test_a_vanished_database_says_so(sqlite_settings: Settings) -> None:
    queue = Queue.open(sqlite_settings)
    execution = queue.start(plan("x = 1"), attached_to=ME)
    (sqlite_settings.data_dir / "pauseflow.db").unlink()

    for call in (queue.list, Clock(queue).sweep, lambda: queue.view(execution), lambda: queue.start(plan("x = 1"))):
        with pytest.raises(StoreUnavailable, match="the file was deleted"):
            call()
    queue.close()


def job_names(queue: Queue) -> list[str]:
    table = "workflow_status" if queue.engine.dialect.name == "sqlite" else "pauseflow_dbos.workflow_status"
    with queue.engine.connect() as connection:
        found = connection.exec_driver_sql(f"SELECT workflow_uuid FROM {table} ORDER BY workflow_uuid")
        return [row[0] for row in found]
