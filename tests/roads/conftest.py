"""A rider on a fresh store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from roads.rider import Rider

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.runner.kernels.source import Supply
from pauseflow_nb.settings import Settings


@pytest.fixture
def rider(sqlite_settings: Settings, tmp_path: Path, shared_supply: Supply) -> Iterator[Rider]:
    queue = Queue.open(sqlite_settings)
    yield Rider(queue, tmp_path, shared_supply)
    queue.close()
