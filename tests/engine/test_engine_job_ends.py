"""A job whose end DBOS could not record, because the disk of the database was full."""

import subprocess
import sys

import pytest
from engine.stage import Stage, plan

#: Runs a worker until the execution has ended. The first time that DBOS records the end of a job, the disk is full.
WORKS = """
import sqlite3, sys, threading, time
import sqlalchemy as sa
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.worker import run_worker
from pauseflow_nb.settings import Settings

refusals = ["database or disk is full"]

@sa.event.listens_for(sa.Engine, "before_cursor_execute")
def refuse(_connection, _cursor, statement, parameters, *_more):
    is_end = "UPDATE" in statement and "workflow_status" in statement and "SUCCESS" in str(parameters)
    if refusals and is_end:
        raise sa.exc.OperationalError(statement, parameters, sqlite3.OperationalError(refusals.pop()))

settings, stop = Settings.load(), threading.Event()
queue = Queue.open(settings)

def end():
    while queue.state(sys.argv[1]) != "completed" or refusals:
        time.sleep(0.1)
    stop.set()

threading.Thread(target=end, daemon=True).start()
run_worker(settings, stop=stop)
schema = "pauseflow_dbos." if queue.engine.dialect.name == "postgresql" else ""
with queue.engine.connect() as connection:
    print(connection.execute(sa.text(f"SELECT status FROM {schema}workflow_status")).scalar())
"""


@pytest.mark.slow
def test_the_end_of_a_job_is_recorded_when_the_disk_of_the_database_has_room_again(
    stage: Stage, environment_of_store: dict[str, str]
) -> None:
    execution = stage.queue.start(plan("1"))
    command = [sys.executable, "-c", WORKS, execution]
    done = subprocess.run(command, env=environment_of_store, capture_output=True, text=True, timeout=120, check=False)

    assert (done.returncode, done.stdout.split()) == (0, ["SUCCESS"]), done.stderr
