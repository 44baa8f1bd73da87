"""`/pauseflow/api/metrics`: what Prometheus reads of a server."""

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from pauseflow_nb.store import workers
from pauseflow_nb.store.database import transaction

if TYPE_CHECKING:
    from server.conftest import Stage
    from server.extension.conftest import Fetch

PATH = "pauseflow/api/metrics"


def read(fetch: "Fetch") -> dict[str, float]:
    answer = fetch(PATH)
    assert answer.code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return {
        sample.name + "".join(f"/{value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_it_counts_executions_by_state_and_what_they_wait_for(fetch: "Fetch", stage: "Stage") -> None:
    before = read(fetch)
    stage.suspended()
    stage.queue.cancel(stage.suspended(), by="user:ann")

    counts = read(fetch)

    assert {value for name, value in before.items() if name.startswith("pauseflow_executions/")} == {0.0}
    assert counts["pauseflow_executions/suspended"] == 1
    assert counts["pauseflow_executions/cancelled"] == 1
    assert counts["pauseflow_open_suspensions"] == 1
    assert counts["pauseflow_overdue_seconds"] == 0


def test_it_says_how_late_a_deadline_and_the_queue_are(fetch: "Fetch", stage: "Stage") -> None:
    late, queued = stage.suspended(seconds=3600.0), stage.suspended()
    stage.queue.resume(queued, by="user:ann")
    with transaction(stage.queue.engine) as connection:
        change = "UPDATE suspensions SET deadline = deadline - 3700 WHERE execution = :id"
        connection.execute(sa.text(change), {"id": late})
        change = "UPDATE segments SET queued_at = queued_at - 50 WHERE execution = :id AND state = 'queued'"
        connection.execute(sa.text(change), {"id": queued})

    counts = read(fetch)

    assert counts["pauseflow_overdue_seconds"] == pytest.approx(100, abs=60)
    assert counts["pauseflow_queue_seconds"] == pytest.approx(50, abs=60)
    assert counts["pauseflow_queue_seconds"] >= 50


def test_it_counts_the_processes_that_are_alive(fetch: "Fetch", stage: "Stage") -> None:
    before = read(fetch)["pauseflow_processes/worker"]
    with transaction(stage.queue.engine) as connection:
        workers.add(connection, "here:1:a", "worker", None)

    assert read(fetch)["pauseflow_processes/worker"] == before + 1


def test_it_needs_a_login(stranger: "Fetch") -> None:
    assert stranger(PATH).code == 403


def test_it_names_no_execution_and_no_notebook(fetch: "Fetch", stage: "Stage") -> None:
    execution = stage.suspended()

    body = fetch(PATH).body.decode()

    assert execution not in body
    assert ".ipynb" not in body
