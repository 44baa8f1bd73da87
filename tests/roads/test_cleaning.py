"""`gc` beside an execution that waits: its variables are there when it goes on, and for a retry after that."""

import os
import time
from datetime import timedelta

import pytest
from roads.rider import Rider, returned

from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.gc import clean

pytestmark = pytest.mark.acceptance


def test_nothing_is_removed_that_a_waiting_execution_needs(rider: Rider) -> None:
    view = rider.run(
        "%%step load\ntable = bytes(range(256)) * 64 * 1024",
        "%%step ask\nflow.suspend('1h')",
        "%%step after\nlen(table), steps.ask.data",
    )
    local = rider.queue.files.local
    assert local is not None
    snapshots = local / view["id"] / "snapshots"
    stray = snapshots / f"{'0' * 20}-1-0123abcd.pack"
    stray.write_bytes(b"x")
    for path in snapshots.iterdir():
        os.utime(path, (time.time() - 7200,) * 2)

    cleaned = clean(rider.queue, older_than=timedelta(milliseconds=1), grace=timedelta())
    assert (cleaned.executions, cleaned.files) == ((), 1)
    assert not stray.exists()
    view = rider.answer(view["id"], "yes")
    assert returned(view, "after") == [16 * 1024 * 1024, "yes"]
    rider.retry(view["id"], from_step="ask")
    assert rider.ride(view["id"])["state"] == "suspended"

    rider.queue.cancel(view["id"], by="user:ann")
    Clock(rider.queue).sweep()
    cleaned = clean(rider.queue, older_than=timedelta(milliseconds=1), grace=timedelta())
    assert cleaned.executions == (view["id"],)
    assert list(local.iterdir()) == []
    assert cleaned.bytes > 16 * 1024 * 1024 / 64
