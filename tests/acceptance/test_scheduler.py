"""*Create notebook job* runs with pauses: jupyter-scheduler's own database and process, our execution manager."""

import threading
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings

pytest.importorskip("jupyter_scheduler", reason="jupyter-scheduler is not installed")
pytestmark = pytest.mark.filterwarnings("default")


def _job(tmp_path: Path, *cells: str, **parameters: Any) -> Any:
    from jupyter_scheduler.orm import Job, create_session, create_tables

    from pauseflow_nb.compat.scheduler import PauseflowExecutionManager

    staging = tmp_path / "staging"
    staging.mkdir()
    source = staging / "in.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    tagged = new_code_cell("alpha = 1", metadata={"tags": ["parameters"]})
    nodes = [tagged, *map(new_code_cell, cells)]
    source.write_text(
        nbformat.writes(new_notebook(cells=nodes, metadata={"kernelspec": kernel, "language_info": {"name": "python"}}))
    )
    url = f"sqlite:///{tmp_path}/scheduler.sqlite"
    create_tables(url)
    with create_session(url)() as session:
        job = Job(
            name="job",
            runtime_environment_name="x",
            input_filename="in.ipynb",
            parameters=parameters,
            output_formats=["ipynb", "html"],
        )
        session.add(job)
        session.commit()
        name = job.job_id
    paths = {"input": str(source), "ipynb": str(tmp_path / "out.ipynb"), "html": str(tmp_path / "out.html")}
    return PauseflowExecutionManager(job_id=name, root_dir=str(tmp_path), db_url=url, staging_paths=paths)


def _status(manager: Any) -> tuple[str, str]:
    from jupyter_scheduler.orm import Job

    with manager.db_session() as session:
        row = session.query(Job).filter(Job.job_id == manager.job_id).first()
        return str(getattr(row.status, "value", row.status)), row.status_message or ""


def test_a_job_waits_for_its_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Any) -> None:
    monkeypatch.setenv("PAUSEFLOW_DATA_DIR", str(tmp_path / "store"))
    manager = _job(
        tmp_path,
        "from pauseflow_nb import flow, steps",
        "%%step ask\nflow.suspend()",
        "print(alpha, steps.ask.data)",
        alpha=7,
    )
    job = threading.Thread(target=manager.process)
    job.start()
    wait_until(lambda: "waits in ask" in _status(manager)[1], description="the job says what it waits for", seconds=60)
    queue = Queue.open(Settings.load())
    waiting, status = queue.list()[0], _status(manager)[0]
    queue.resume(waiting["id"], data="yes", by="user:ann")
    job.join(60)

    assert status == "IN_PROGRESS"
    assert _status(manager) == ("COMPLETED", "")
    assert "7 yes" in (tmp_path / "out.ipynb").read_text()
    assert "7 yes" in (tmp_path / "out.html").read_text()
    queue.close()


def test_a_job_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAUSEFLOW_DATA_DIR", str(tmp_path / "store"))
    manager = _job(tmp_path, "1 / 0")
    manager.process()

    assert _status(manager)[0] == "FAILED"
    assert "division by zero" in _status(manager)[1]
    assert "ZeroDivisionError" in (tmp_path / "out.ipynb").read_text()


@pytest.mark.slow
def test_its_scheduler_starts_it_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Any) -> None:
    from jupyter_scheduler.environments import StaticEnvironmentManager
    from jupyter_scheduler.models import CreateJob
    from jupyter_scheduler.orm import create_tables
    from jupyter_scheduler.scheduler import Scheduler

    from pauseflow_nb.compat.scheduler import PauseflowExecutionManager

    monkeypatch.setenv("PAUSEFLOW_DATA_DIR", str(tmp_path / "store"))
    url = f"sqlite:///{tmp_path}/scheduler.sqlite"
    create_tables(url)
    cells = ["from pauseflow_nb import flow, steps", "%%step ask\nflow.suspend()", "print(steps.ask.data)"]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nodes = [new_code_cell(cell) for cell in cells]
    (tmp_path / "in.ipynb").write_text(nbformat.writes(new_notebook(cells=nodes, metadata=metadata)))
    scheduler = Scheduler(root_dir=str(tmp_path), environments_manager=StaticEnvironmentManager(), db_url=url)
    scheduler.execution_manager_class = PauseflowExecutionManager
    scheduler.staging_path = str(tmp_path / "staging")
    asked = CreateJob(input_uri="in.ipynb", runtime_environment_name="x", output_formats=["ipynb"], name="job")
    job = scheduler.create_job(asked)
    wait_until(
        lambda: "waits in ask" in (scheduler.get_job(job).status_message or ""), description="it waits", seconds=90
    )
    queue = Queue.open(Settings.load())
    queue.resume(queue.list()[0]["id"], data="yes", by="user:ann")
    queue.close()

    wait_until(lambda: scheduler.get_job(job).status.value == "COMPLETED", description="it ended", seconds=90)
    assert "yes" in Path(scheduler.get_staging_paths(scheduler.get_job(job))["ipynb"]).read_text()
