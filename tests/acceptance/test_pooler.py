"""A pooler in transaction mode, such as PgBouncer, before PostgreSQL: each transaction may have another session."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from acceptance.processes import Lab, lab
from conftest import WaitUntil
from pooler import open_pooler

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings
from pauseflow_nb.store.database import reading

pytestmark = pytest.mark.postgresql


@pytest.fixture
def pooled(postgresql_url: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings of a store without tables, behind a pooler."""
    with open_pooler(postgresql_url) as url:
        yield Settings.load(flags={"data_dir": tmp_path / "data", "db": url}, environment={})


@pytest.fixture
def house(pooled: Settings, tmp_path: Path) -> Iterator[Lab]:
    with lab(pooled, tmp_path) as made:
        yield made


def test_executions_are_suspended_and_resumed(house: Lab, wait_until: WaitUntil) -> None:
    house.worker()
    # More than once: the driver prepares a statement that it has executed five times.
    for _ in range(3):
        execution = house.queue.start(
            house.plan("from pauseflow_nb import flow", "%%step ask\nflow.suspend()", "log('end')")
        )
        wait_until(lambda id_=execution: house.queue.state(id_) == "suspended", description="it is suspended")
        house.queue.resume(execution, by="user:ann")
        wait_until(lambda id_=execution: house.queue.state(id_) == "completed", description="it completes")


def test_each_transaction_has_its_settings_and_leaves_none_behind(pooled: Settings) -> None:
    queue = Queue.open(pooled)
    with reading(queue.engine) as connection:
        assert connection.scalar(sa.text("SHOW lock_timeout")) == "30s"
        assert str(connection.scalar(sa.text("SHOW search_path"))).startswith("pauseflow")
        connection.rollback()
        driver: Any = connection.connection.dbapi_connection
        assert driver.execute("SHOW search_path").fetchone() == ('"$user", public',)
    queue.close()
