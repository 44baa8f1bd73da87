"""A rider on a fresh store."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from roads.rider import Rider

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings


@pytest.fixture
def rider(sqlite_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rider]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    queue = Queue.open(sqlite_settings)
    yield Rider(queue, tmp_path)
    queue.close()
