"""The stage, once on each database."""

import pytest
from engine.stage import Stage

from pauseflow_nb.engine.queue import Queue


@pytest.fixture
def stage(queue: Queue) -> Stage:
    return Stage(queue)
