"""The stage, once on each database."""

import os

import pytest
from engine.stage import Stage

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings


@pytest.fixture
def stage(queue: Queue) -> Stage:
    return Stage(queue)


@pytest.fixture
def environment_of_store(settings: Settings) -> dict[str, str]:
    """The environment of a process that uses the same store."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("PAUSEFLOW_")}
    return mine | {"PAUSEFLOW_DATA_DIR": str(settings.data_dir), "PAUSEFLOW_DB": settings.db}
