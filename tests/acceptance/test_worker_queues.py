"""Steps run on the machines of their queue: real workers, real kernels, both databases."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from acceptance.command import Pauseflow
from acceptance.processes import Lab, lab
from conftest import WaitUntil
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from nbformat.v4 import new_code_cell, new_notebook

from pauseflow_nb.decisions.verification import verify
from pauseflow_nb.engine.run_segment import Segments
from pauseflow_nb.runner.control import Control
from pauseflow_nb.settings import Settings

# A kernel knows the worker that started it by its environment.
WHERE = "import os; from pauseflow_nb import flow; log(os.environ['MACHINE'])"
HOLD = "%%step hold{n} --queue gpu\nlog('begun')\nwait_for('go')"


@pytest.fixture
def house(settings: Settings, tmp_path: Path) -> Iterator[Lab]:
    with lab(settings, tmp_path) as made:
        yield made


def start(house: Lab, *sources: str, **values: object) -> str:
    return house.queue.start(house.plan(*sources, **values))


def state(house: Lab, execution: str) -> str:
    return house.queue.state(execution)


@pytest.mark.slow
def test_each_step_runs_in_its_queue_with_the_variables_of_the_one_before(house: Lab, wait_until: WaitUntil) -> None:
    """Two machine classes; the variables travel both ways, a suspended execution wakes in the queue of its next cell."""
    house.worker(MACHINE="cpu")
    execution = start(
        house,
        f"%%step load\n{WHERE}\nrows = [1, 2, 3]\nsame = rows",
        f"%%step train --queue gpu\n{WHERE}\nrows.append(4)\nflow.suspend()",
        f"%%step report\n{WHERE}\nlog(f'{{sum(same)}}')",
    )
    wait_until(
        lambda: "handed over" in [line["what"] for line in house.queue.audit(execution)], description="the hand-over"
    )
    wait_until(lambda: state(house, execution) == "queued", description="it waits for the other queue")
    reason = house.queue.view(execution)["no_worker"]
    assert reason == "waits for a worker of queue gpu (none is running)"
    house.worker(MACHINE="gpu", PAUSEFLOW_QUEUES="gpu", PAUSEFLOW_WORKERS="1")
    wait_until(lambda: state(house, execution) == "suspended", description="it is suspended on the other machine")
    house.queue.resume(execution, by="user:ann")
    wait_until(lambda: state(house, execution) == "completed", description="it completes")

    assert house.log() == ["cpu", "gpu", "cpu", "10"]


@pytest.mark.slow
def test_a_worker_of_two_queues_runs_no_more_than_its_concurrency(house: Lab, wait_until: WaitUntil) -> None:
    """Also if another worker was started with a larger number since."""
    house.worker(PAUSEFLOW_QUEUES="gpu,night", PAUSEFLOW_WORKERS="1")
    house.worker(PAUSEFLOW_WORKERS="4")
    steps = [HOLD.format(n=n) if n % 2 else HOLD.format(n=n).replace("gpu", "night") for n in range(4)]
    executions = [start(house, step, output=None) for step in steps]
    wait_until(lambda: house.log() == ["begun"], description="one begins")
    wait_until(
        lambda: {house.queue.find_queue(each) for each in executions} == {"gpu", "night"},
        description="all have come to their queues",
    )
    house.let("go")
    wait_until(lambda: {state(house, each) for each in executions} == {"completed"}, description="all complete")

    runs = sorted(
        (run["started_at"], run["ended_at"])
        for each in executions
        for run in house.queue.view(each, history=True)["history"]["runs"]
    )
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(runs))


@pytest.mark.slow
def test_a_step_that_needs_what_cannot_be_saved_says_so_before_the_hand_over(house: Lab, wait_until: WaitUntil) -> None:
    house.worker()
    execution = start(
        house,
        "%%step connect\nimport threading\nlock = threading.Lock()",
        "%%step train --queue gpu\nlock.acquire()",
        output=None,
    )
    wait_until(lambda: state(house, execution) == "failed", description="it fails")

    error = house.queue.view(execution)["error"]
    assert (error["type"], error["step"]) == ("CannotHandOver", "train")
    assert "lock" in error["message"]
    assert "%%setup" in error["message"]


@pytest.mark.slow
def test_a_killed_worker_leaves_its_step_to_another_of_the_same_queue(house: Lab, wait_until: WaitUntil) -> None:
    house.worker()
    killed = house.worker(PAUSEFLOW_QUEUES="gpu", MACHINE="first")
    execution = start(house, f"%%step train --queue gpu\n{WHERE}\nwait_for('go')", output=None)
    wait_until(lambda: house.log() == ["first"], description="it begins")
    killed.kill()
    house.let("go")
    house.worker(PAUSEFLOW_QUEUES="gpu", MACHINE="second")
    wait_until(lambda: state(house, execution) == "completed", description="it completes elsewhere")

    assert house.log() == ["first", "second"]


def write(pauseflow: Pauseflow, source: str) -> None:
    nbformat.write(new_notebook(cells=[new_code_cell(source)]), pauseflow.folder / "in.ipynb")


@pytest.mark.every(2)
def test_the_record_of_the_end_has_what_a_cell_changed_before_the_hand_over(house: Lab) -> None:
    """The next worker gets the digests of what the question showed; a display has been updated since."""
    execution = start(
        house,
        "from IPython.display import HTML, display\nshown = display(HTML('<i>1</i>'), display_id=True)",
        "%%step ask --queue gpu\nfrom pauseflow_nb import flow\nflow.suspend()",
        "shown.update(HTML('<i>2</i>'))",
        "%%step last\n1",
    )
    steps = [("default", 0, 0), ("gpu", 0, 1), ("gpu", 1, 0), ("default", 1, 1)]
    ends = []
    for queue, n, job in steps:
        if (n, job) == (1, 0):
            house.queue.resume(execution, by="user:ann")
        worker = Segments(house.queue, f"{queue}:1:x:0", serves=frozenset({queue}))
        ends.append(worker.run(execution, n, Control(), job=job))
    row = house.queue.view(execution)
    notebook = json.loads(house.queue.document(execution))
    keys: list[Any] = [
        load_pem_public_key(house.queue.public_key(key["id"]).encode()) for key in house.queue.list_keys()
    ]

    assert (ends, row["state"]) == (["released", "ended", "released", "ended"], "completed")
    assert verify(notebook, keys).problems == []


def test_an_attached_run_runs_every_step_itself_and_says_so(pauseflow: Pauseflow) -> None:
    write(pauseflow, "%%step train --queue gpu\n1")
    ended = pauseflow("run", "in.ipynb")

    assert ended.code == 0
    assert "steps of queue gpu run here, too" in ended.stderr


def test_a_detached_run_names_the_queue_that_has_no_worker(pauseflow: Pauseflow) -> None:
    write(pauseflow, "%%step train --queue gpu\n1")
    ended = pauseflow("run", "in.ipynb", "--detach")

    assert ended.code == 1
    assert (
        "no worker of queue gpu is alive in this store: start one with `pauseflow worker --queue gpu`" in ended.stderr
    )


def test_a_bad_queue_is_refused_before_anything_runs(pauseflow: Pauseflow) -> None:
    write(pauseflow, "%%step train --queue -x\n1")
    ended = pauseflow("run", "in.ipynb")
    worker = pauseflow("worker", "--queue", "a b")

    assert (ended.code, worker.code) == (2, 2)
    assert "--queue must be a name" in ended.stderr or "--queue needs a value" in ended.stderr
    assert "setting queues='a b' (from flag): must be a name of 1 to 63 letters" in worker.stderr
