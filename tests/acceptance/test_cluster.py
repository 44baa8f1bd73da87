"""Machines that share only PostgreSQL and a bucket: each in a network namespace, with a disk of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import sqlalchemy as sa
from acceptance import cluster
from acceptance.cluster import Cluster
from conftest import WaitUntil
from nbformat.v4 import new_code_cell, new_notebook

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.launching import RunOptions, plan
from pauseflow_nb.settings import Settings

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.postgresql]

MIB = 1024**2
ARRAY = 24 * MIB


@pytest.fixture
def machines(tmp_path: Path, postgresql_url: str) -> Iterator[Cluster]:
    pytest.importorskip("moto", reason="no S3 server here: `pip install --group cluster` brings it")
    pytest.importorskip("s3fs")
    if reason := cluster.reason_to_skip():
        pytest.skip(reason)
    with cluster.open_cluster(tmp_path, sa.make_url(postgresql_url)) as made:
        yield made


@pytest.fixture
def queue(machines: Cluster, postgresql_url: str, tmp_path: Path) -> Iterator[Queue]:
    """The store, as a server sees it that runs nothing itself."""
    flags = {"data_dir": tmp_path / "server", "db": postgresql_url, "storage": machines.storage_url}
    queue = Queue.open(Settings.load(flags=flags, environment={}))
    yield queue
    queue.close()


def start(queue: Queue, machines: Cluster, *sources: str) -> str:
    path = machines.folder / "in.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources]), path)
    return queue.start(plan(str(path), None, {}, RunOptions(cwd=str(machines.disk / "work"))))


def exports(queue: Queue, execution: str, step: str) -> dict[str, Any]:
    found: dict[str, Any] = queue.view(execution)["steps"][step]["exports"]
    return found


def test_an_execution_wakes_on_another_machine_when_the_first_has_lost_its_disk(
    machines: Cluster, queue: Queue, wait_until: WaitUntil
) -> None:
    """And what did not change meanwhile is not uploaded a second time."""
    first = machines.machine()
    first.worker()
    execution = start(
        queue,
        machines,
        "import numpy as np, os\nfrom pauseflow_nb import flow\nopen('mark', 'w').write('first')",
        f"%%step make\nbig = np.random.default_rng(1).integers(0, 255, {ARRAY}, dtype='u1'); rows = [1, 2]; same = rows\n"
        "flow.suspend()",
        "%%step look\nflow.export('mark', os.path.exists('mark')); rows.append(3)\n"
        "flow.export('total', int(big.sum())); flow.export('same', same is rows)\nflow.suspend()",
        "%%step last\nflow.export('rows', sum(same)); flow.export('total', int(big.sum()))",
    )
    wait_until(lambda: queue.state(execution) == "suspended", description="it is suspended on the first machine")
    saved = sum(machines.objects().values())
    first.lose()

    second = machines.machine()
    second.worker()
    queue.resume(execution, step="make", by="user:ann")
    wait_until(
        lambda: queue.view(execution)["segment"] == 1 and queue.state(execution) == "suspended", description="again"
    )
    assert exports(queue, execution, "look")["mark"] is False, "it saw the disk of the first machine"
    assert exports(queue, execution, "look")["same"] is True
    assert saved > ARRAY
    assert second.storage.received > ARRAY, "the array came over the network"
    assert second.storage.sent < ARRAY / 2, "the array, which did not change, was uploaded again"
    second.lose()

    third = machines.machine()
    third.worker()
    queue.resume(execution, step="look", by="user:ann")
    wait_until(lambda: queue.state(execution) == "completed", description="it completes on the third machine")
    assert exports(queue, execution, "last") == {
        **exports(queue, execution, "last"),
        "rows": 6,
        "total": exports(queue, execution, "look")["total"],
    }


def test_each_step_runs_on_the_machine_of_its_queue(machines: Cluster, queue: Queue, wait_until: WaitUntil) -> None:
    cpu, gpu = machines.machine(), machines.machine()
    cpu.worker()
    gpu.worker("--queue", "gpu", "--concurrency", "1")
    where = "import socket, subprocess; flow.export('ip', subprocess.check_output(['ip', '-4', '-o', 'addr', 'show', 'eth0'], text=True).split()[3])"
    execution = start(
        queue,
        machines,
        "from pauseflow_nb import flow\nrows = [1]",
        f"%%step load\n{where}\nrows.append(2)",
        f"%%step train --queue gpu\n{where}\nrows.append(3)",
        f"%%step report\n{where}\nflow.export('rows', sum(rows))",
    )
    wait_until(lambda: queue.state(execution) in ("completed", "failed"), description="it ends")

    assert queue.view(execution)["error"] is None
    assert [exports(queue, execution, step)["ip"] for step in ("load", "train", "report")] == [
        "10.213.1.2/24",
        "10.213.2.2/24",
        "10.213.1.2/24",
    ]
    assert exports(queue, execution, "report")["rows"] == 6
