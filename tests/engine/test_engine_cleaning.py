"""`gc` removes what nobody needs, and nothing else."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from engine.stage import Stage, fail, plan

from pauseflow_nb.engine.gc import clean
from pauseflow_nb.engine.retry_fork import retry
from pauseflow_nb.errors import UnknownExecution
from pauseflow_nb.store.database import reading, transaction
from pauseflow_nb.store.tables import executions, segments, steps

MONTH = timedelta(days=30)


def make_old(stage: Stage, *ids: str, days: float = 31) -> None:
    """Let executions have ended that long ago."""
    with transaction(stage.queue.engine) as connection:
        moved = executions.update().where(executions.c.id.in_(ids))
        connection.execute(moved.values(ended_at=executions.c.ended_at - days * 86400, record_due=None))


def completed(stage: Stage) -> str:
    execution = stage.start("%%step a", "1")
    assert stage.play(execution) == "ended"
    return execution


def folder(stage: Stage, execution: str) -> Path:
    local = stage.queue.files.local
    assert local is not None
    return local / execution


def leave(stage: Stage, name: str, *, hours: float) -> Path:
    """Put a file into the storage as a process does that dies; its age is that of its writing."""
    local = stage.queue.files.local
    assert local is not None
    path = local / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    os.utime(path, (time.time() - hours * 3600,) * 2)
    return path


def run(stage: Stage, *, older_than: timedelta = MONTH, dry_run: bool = False) -> tuple[list[str], int]:
    """Clean with no grace: no test can make a file's arrival lie in the past."""
    cleaned = clean(stage.queue, older_than=older_than, dry_run=dry_run, grace=timedelta())
    return list(cleaned.executions), cleaned.files


def test_what_ended_long_ago_is_gone_with_everything(stage: Stage) -> None:
    old, young = completed(stage), completed(stage)
    make_old(stage, old)

    assert run(stage) == ([old], 0)
    assert not folder(stage, old).exists()
    assert stage.queue.state(young) == "completed"
    assert stage.queue.document(young)
    with pytest.raises(UnknownExecution):
        stage.queue.state(old)
    with reading(stage.queue.engine) as connection:
        for table in (segments, steps):
            assert set(connection.execute(sa.select(table.c.execution)).scalars()) == {young}


def test_what_has_not_ended_stays_however_old_it_is(stage: Stage) -> None:
    waits = stage.suspended()
    make_old(stage, waits, days=400)

    assert run(stage, older_than=timedelta(milliseconds=1)) == ([], 0)
    assert stage.send(waits)[0] == 200
    assert stage.play(waits) == "ended"
    assert stage.queue.state(waits) == "completed"


def test_a_dry_run_only_tells(stage: Stage) -> None:
    old = completed(stage)
    make_old(stage, old)

    assert run(stage, dry_run=True) == ([old], 0)
    assert stage.queue.state(old) == "completed"


def test_one_that_goes_on_again_is_no_longer_old(stage: Stage) -> None:
    stage.script.steps["a"] = fail()
    execution = stage.start("%%step a")
    stage.play(execution)
    make_old(stage, execution)
    retry(stage.queue, execution, by="user:ann")

    assert run(stage) == ([], 0)


def test_a_family_goes_together_or_not_at_all(stage: Stage) -> None:
    """A parent that may still be retried needs what its notebooks published; a child that runs has a parent."""
    parents = [completed(stage) for _ in range(3)]
    children = [completed(stage) for _ in range(3)]
    with transaction(stage.queue.engine) as connection:
        for parent, child in zip(parents, children, strict=True):
            connection.execute(executions.update().where(executions.c.id == child).values(parent=parent))
    make_old(stage, parents[0], children[0], parents[1], children[2])

    assert sorted(run(stage)[0]) == sorted([parents[0], children[0]])


def test_jobs_go_too(stage: Stage) -> None:
    queue = stage.queue
    execution = queue.start(plan("1"))
    queue.cancel(execution, by="user:ann")
    make_old(stage, execution)
    schema = "pauseflow_dbos." if queue.engine.dialect.name == "postgresql" else ""
    count = sa.text(f"SELECT count(*) FROM {schema}workflow_status WHERE workflow_uuid LIKE :name")
    with reading(queue.engine) as connection:
        before = connection.execute(count, {"name": f"{execution}/%"}).scalar()
    run(stage)
    with reading(queue.engine) as connection:
        after = connection.execute(count, {"name": f"{execution}/%"}).scalar()

    assert (before, after) == (1, 0)


def test_files_that_nothing_names_go_and_others_stay(stage: Stage) -> None:
    waits = stage.suspended()
    lost = [
        leave(stage, f"{waits}/0-1-abcd.ipynb", hours=2),
        leave(stage, f"{waits}/.0-1-abcd.ipynb.0123", hours=2),
        leave(stage, f"{waits}/bodies/ask-0123456789ab", hours=2),
        leave(stage, "0123456789ab/start-1.ipynb", hours=2),
    ]
    kept = [leave(stage, "somebody else's/notes.txt", hours=2), leave(stage, "pauseflow.db", hours=2)]

    assert run(stage) == ([], len(lost))
    assert [path for path in lost if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []
    assert stage.queue.document(waits)


def test_a_young_file_stays(stage: Stage) -> None:
    young = leave(stage, "0123456789ab/start-1.ipynb", hours=0)

    assert clean(stage.queue, older_than=MONTH).files == 0
    assert young.exists()


def test_a_body_that_an_answer_names_stays(stage: Stage) -> None:
    waits = stage.suspended()
    body = leave(stage, f"{waits}/bodies/ask-0123456789ab", hours=2)
    assert stage.send(waits, body={"$file": str(body), "size": 1})[0] == 200

    assert run(stage) == ([], 0)
    assert body.exists()


def test_an_empty_store_has_nothing_to_remove(stage: Stage) -> None:
    assert run(stage) == ([], 0)
