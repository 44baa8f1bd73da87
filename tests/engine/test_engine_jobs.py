"""Jobs that are queued together are those that DBOS itself would make, one by one."""

from base64 import b64decode
from typing import Any

import sqlalchemy as sa
from engine.stage import Stage

from pauseflow_nb.engine.jobs import DBOS_SCHEMA, JOB, QUEUE, VERSION
from pauseflow_nb.store.database import reading, transaction


def rows_of(stage: Stage, *executions: str) -> list[dict[str, Any]]:
    """What the tables of DBOS hold of the first segment's job of each, without names and times."""
    schema = None if stage.queue.engine.dialect.name == "sqlite" else DBOS_SCHEMA
    found: list[dict[str, Any]] = []
    with reading(stage.queue.engine) as connection:
        for execution in executions:
            row: dict[str, Any] = {}
            for name in ("workflow_status", "workflow_input"):
                table = sa.Table(name, sa.MetaData(), schema=schema, autoload_with=connection)
                where = table.c.workflow_uuid == f"{execution}/1"
                row |= dict(connection.execute(sa.select(table).where(where)).mappings().one())
            assert row.pop("creator_xid")
            row["inputs"] = b64decode(row["inputs"]).replace(execution.encode(), b"ID")
            text = {key: str(value).replace(execution, "ID") for key, value in row.items()}
            found.append({key: value for key, value in text.items() if not key.endswith(("_at", "_timestamp"))})
    return found


def test_jobs_that_are_queued_together_are_those_of_dbos(stage: Stage) -> None:
    stage.queue.jobs.register_queue(1)
    client = stage.queue.jobs._client
    assert client is not None
    options: Any = {"workflow_name": JOB, "queue_name": QUEUE, "workflow_id": "e-alone/1", "app_version": VERSION}
    with transaction(stage.queue.engine) as connection:
        stage.queue.jobs.enqueue_all(connection, [("e-first", 1, 0), ("e-other", 1, 0)])
        client.enqueue_in_transaction(connection, options, "e-alone", 1, 0)

    one, other, alone = rows_of(stage, "e-first", "e-other", "e-alone")
    assert one == other == alone


def test_a_job_that_is_queued_already_stays_as_it_is(stage: Stage) -> None:
    stage.queue.jobs.register_queue(1)
    with transaction(stage.queue.engine) as connection:
        stage.queue.jobs.enqueue(connection, "e-first", 1, 0)
    before = rows_of(stage, "e-first")
    with transaction(stage.queue.engine) as connection:
        stage.queue.jobs.enqueue_all(connection, [("e-first", 1, 0), ("e-other", 1, 0)])

    assert rows_of(stage, "e-first") == before
    assert rows_of(stage, "e-other") == before
