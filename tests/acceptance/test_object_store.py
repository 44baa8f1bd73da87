"""Snapshots in an object store: real commands, workers and kernels, and a store that is slow, fails or lies."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from conftest import WaitUntil
from nbformat.v4 import new_code_cell, new_notebook
from object_store import Fault, ObjectStore, open_object_store

pytestmark = [pytest.mark.acceptance, pytest.mark.slow]

MIB = 1024**2
#: What `big` takes.
BIG = 16 * MIB
MAKE = f"%%step make\nbig = np.random.default_rng(1).integers(0, 255, {BIG}, dtype='u1')\nflow.suspend()"
LOOK = """%%step look
rows.append(2)
print('the first', 'line')
flow.export('total', int(big.sum()))
flow.export('answer', steps.make.data['n'])"""
CELLS = ("import numpy as np\nfrom pauseflow_nb import flow, steps\nrows = [1]", MAKE, LOOK)


@dataclass
class Place:
    """One machine, which has nothing but its own folder and the object store."""

    store: ObjectStore
    folder: Path
    wait_until: WaitUntil
    #: Of the cache.
    limit: str = "10 GiB"
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.store.environment,
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "PAUSEFLOW_DATA_DIR": str(self.folder / "data"),
            "PAUSEFLOW_STORAGE": self.store.url,
            "PAUSEFLOW_SNAPSHOT_CACHE": self.limit,
        }

    def run(self, *arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "pauseflow_nb", *arguments, "--json"]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def start_worker(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "pauseflow_nb", "worker"]
        worker = subprocess.Popen(command, env=self.environment, cwd=self.folder, stderr=subprocess.DEVNULL)
        self.workers.append(worker)
        return worker

    def list_half_files(self) -> list[Path]:
        return list((self.folder / "cache").rglob("*.part"))

    def suspend(self, *cells: str, tags: tuple[str, ...] = ()) -> str:
        """Run cells until they pause, and lose what is in the cache; the last one has the tags. Returns the execution's id."""
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
        notebook.cells[-1].metadata["tags"] = list(tags)
        nbformat.write(notebook, self.folder / "in.ipynb")
        shown = self.run("run", "in.ipynb", "out.ipynb", "--until-pause")
        # On a machine that is very busy, the worker takes over from the command.
        self.wait_until(lambda: self.run("show", shown["id"])["state"] == "suspended", description="it waits")
        shutil.rmtree(self.folder / "cache")
        self.store.passed.clear()
        return str(shown["id"])


@pytest.fixture
def place(tmp_path: Path, wait_until: WaitUntil) -> Iterator[Place]:
    pytest.importorskip("moto", reason="no S3 server here: `pip install --group cluster` brings it")
    pytest.importorskip("s3fs")
    with open_object_store() as store:
        place = Place(store, tmp_path, wait_until)
        place.start_worker()
        yield place
        store.released.set()
        for worker in place.workers:
            worker.terminate()
            worker.wait()


def count_uploaded(store: ObjectStore) -> int:
    """Bytes that machines sent to the store."""
    return sum(map(store.count, ("PUT", "POST")))


def is_data(path: str, wanted: str) -> bool:
    """Whether a request is for a part of `big`."""
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    return path.endswith(".pack") and bool(wanted) and int(last) - int(first) >= MIB - 1


def test_the_first_line_is_out_before_the_data_is_there(place: Place, wait_until: WaitUntil) -> None:
    execution = place.suspend(*CELLS)
    place.store.fault = lambda _method, path, wanted: "hold" if is_data(path, wanted) else ""

    place.run("resume", execution, "--data", '{"n": 7}')

    wait_until(
        lambda: "the first line" in (place.folder / "out.ipynb").read_text(), description="the first line is out"
    )
    assert not any(each.received >= BIG // 2 for each in place.store.passed)
    place.store.released.set()
    wait_until(lambda: place.run("show", execution)["state"] == "completed", description="it completes")
    assert place.run("show", execution)["steps"]["look"]["exports"]["answer"] == 7


def test_a_second_save_uploads_what_changed_and_nothing_else(place: Place, wait_until: WaitUntil) -> None:
    cells = (*CELLS[:2], "%%step touch\nrows.append(2)\nflow.suspend()", "%%step change\nbig[5] = 1\nflow.suspend()")
    execution = place.suspend(*cells)

    uploads = []
    for step in ("make", "touch"):
        place.store.passed.clear()
        place.run("resume", execution, "--step", step, "--wait")
        wait_until(lambda: place.run("show", execution)["state"] == "suspended", description="it waits again")
        uploads.append(place.store.count("PUT") + place.store.count("POST"))

    assert uploads[0] < MIB // 2, "nothing of the array"
    assert uploads[1] < 2 * MIB, "one chunk of the array"


def test_a_fork_and_a_run_from_a_step_send_no_data_again(place: Place) -> None:
    cells = (
        CELLS[0],
        MAKE.replace("\nflow.suspend()", ""),
        "%%step ask\nflow.suspend()",
        "%%step last\nrows.append(2)",
    )
    execution = place.suspend(*cells)

    sibling = str(place.run("fork", execution)["id"])

    assert count_uploaded(place.store) + place.store.count("GET") < MIB
    assert {each.path for each in place.store.passed if sibling in each.path and each.path.endswith(".pack")}
    for which in (execution, sibling):
        place.run("resume", which, "--wait")
        assert place.run("show", which)["state"] == "completed"
    place.run("retry", execution, "--from", "ask", "--wait")
    assert place.run("show", execution)["state"] == "suspended"
    assert count_uploaded(place.store) < 2 * MIB, "nothing of the array"


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ("error", "StoreUnavailable", "could not be read"),
        ("damage", "SnapshotDamaged", "are not what was written"),
        ("gone", "SnapshotDamaged", "is missing from s3://"),
        ("short", "SnapshotDamaged", "is cut off"),
    ],
)
def test_a_store_that_fails_while_a_step_runs_ends_it_plainly_and_retry_uses_the_answer(
    place: Place, fault: Fault, error: str, text: str
) -> None:
    execution = place.suspend(*CELLS)
    place.store.fault = lambda _method, path, wanted: fault if is_data(path, wanted) else ""

    place.run("resume", execution, "--data", '{"n": 7}', "--wait")

    failed = place.run("show", execution)
    assert (failed["state"], failed["error"]["type"]) == ("failed", error)
    assert failed["reason"]["kind"] == "environment"
    assert text in failed["error"]["message"]
    place.store.fault = lambda _method, _path, _wanted: ""
    place.run("retry", execution, "--wait")
    done = place.run("show", execution)
    assert done["state"] == "completed", done["error"]
    assert done["steps"]["look"]["exports"]["answer"] == 7


def test_a_response_that_ends_midway_is_asked_for_again(place: Place) -> None:
    execution = place.suspend(*CELLS)
    cut: list[str] = []

    def cut_once(_method: str, path: str, wanted: str) -> Fault:
        if not is_data(path, wanted) or wanted in cut:
            return ""
        cut.append(wanted)
        return "cut"

    place.store.fault = cut_once
    place.run("resume", execution, "--data", '{"n": 7}', "--wait")

    done = place.run("show", execution)
    assert done["state"] == "completed", done["error"]
    assert cut


def answer_while_the_store_fails(place: Place, execution: str) -> Any:
    """Answer while no data can be read, then retry when it can; gives what `show` says at the end."""
    place.store.fault = lambda _method, path, wanted: "error" if is_data(path, wanted) else ""

    place.run("resume", execution, "--data", '{"n": 7}', "--wait")

    failed = place.run("show", execution)
    assert (failed["state"], failed["reason"]["kind"]) == ("failed", "environment")
    assert failed["error"]["type"] == "StoreUnavailable"
    place.store.fault = lambda _method, _path, _wanted: ""
    place.run("retry", execution, "--wait")
    done = place.run("show", execution)
    assert done["state"] == "completed", done["error"]
    return done


@pytest.mark.parametrize("look", [LOOK, LOOK.removeprefix("%%step look\n").replace("flow.export", "print")])
def test_a_cell_whose_error_is_expected_does_not_take_a_store_that_fails_for_it(place: Place, look: str) -> None:
    execution = place.suspend(*CELLS[:2], look, tags=("raises-exception",))
    answer_while_the_store_fails(place, execution)

    assert "the first line" in (place.folder / "out.ipynb").read_text()


def test_a_store_that_fails_while_a_fresh_cell_runs_again_is_no_drift(place: Place) -> None:
    fresh = "%%fresh total\nint(big.sum())"
    make, ask = MAKE.replace("\nflow.suspend()", ""), "%%step ask\nflow.suspend()"
    execution = place.suspend(CELLS[0], make, fresh, ask, LOOK.replace("steps.make", "steps.ask"))
    done = answer_while_the_store_fails(place, execution)

    assert done["steps"]["look"]["exports"]["answer"] == 7


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        ("error", "StoreUnavailable", "could not be read"),
        # The client finds it by the checksum of the response.
        ("damage", "StoreUnavailable", "could not be read"),
        ("gone", "SnapshotDamaged", "its manifest is missing from s3://"),
        ("short", "StoreUnavailable", "could not be read"),
    ],
)
def test_a_store_that_fails_before_the_first_line_leaves_nothing_wrong_in_the_cache(
    place: Place, fault: Fault, error: str, text: str
) -> None:
    execution = place.suspend(*CELLS)
    place.store.fault = lambda method, path, _wanted: fault if method == "GET" and path.endswith(".json") else ""

    place.run("resume", execution, "--data", '{"n": 7}', "--wait")

    failed = place.run("show", execution)
    assert (failed["state"], failed["error"]["type"]) == ("failed", error)
    assert failed["reason"]["kind"] == "environment"
    assert text in failed["error"]["message"]
    assert place.list_half_files() == []
    place.store.fault = lambda _method, _path, _wanted: ""
    place.run("retry", execution, "--wait")
    done = place.run("show", execution)
    assert done["state"] == "completed", done["error"]
    assert done["steps"]["look"]["exports"]["answer"] == 7


#: Says where it runs before it needs the data.
SAYS_WHERE = LOOK.replace("rows.append(2)", "import os, pathlib\npathlib.Path('pid').write_text(str(os.getpid()))")


def wait_for_kernel(place: Place, wait_until: WaitUntil, execution: str) -> int:
    """Answer, and wait until the kernel waits for data that the store holds back; returns its process."""
    held: list[str] = []

    def hold_data(_method: str, path: str, wanted: str) -> Fault:
        if not is_data(path, wanted) or place.store.released.is_set():
            return ""
        held.append(wanted)
        return "hold"

    place.store.fault = hold_data
    place.run("resume", execution, "--data", '{"n": 7}')
    place_of_pid = place.folder / "pid"
    wait_until(lambda: held and place_of_pid.exists() and place_of_pid.read_text(), description="the kernel waits")
    return int(place_of_pid.read_text())


def complete(place: Place, wait_until: WaitUntil, execution: str) -> None:
    """Let the store answer, and check that the execution completes with the right data."""
    place.store.released.set()
    wait_until(lambda: place.run("show", execution)["state"] in {"completed", "failed"}, description="it ends")
    done = place.run("show", execution)
    assert done["state"] == "completed", done["error"]
    exports = done["steps"]["look"]["exports"]
    assert exports["answer"] == 7
    assert exports["total"] == int(np.random.default_rng(1).integers(0, 255, BIG, dtype="u1").sum())
    assert place.list_half_files() == []


@pytest.mark.parametrize("killed", ["kernel", "worker and kernel"])
def test_who_is_killed_while_it_fetches_is_followed_by_one_who_fetches_again(
    place: Place, wait_until: WaitUntil, killed: str
) -> None:
    execution = place.suspend(*CELLS[:2], SAYS_WHERE)
    kernel = wait_for_kernel(place, wait_until, execution)
    (cached,) = [path.parent for path in (place.folder / "cache").rglob("in-use")]
    (cached / "00000000000000000001-1-00000000.json.part").write_bytes(b"half")

    if killed != "kernel":
        (worker,) = place.workers
        worker.kill()
        worker.wait()
        place.workers.clear()
        place.start_worker()
    # The kernel of a worker that was killed may have ended already.
    with contextlib.suppress(ProcessLookupError):
        os.kill(kernel, signal.SIGKILL)

    complete(place, wait_until, execution)


CLEAN = """
from datetime import timedelta
from pauseflow_nb.engine.gc import clean
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings
queue = Queue.open(Settings.load())
clean(queue, older_than=timedelta(0), grace=timedelta(0))
queue.close()
"""


def test_what_a_kernel_still_reads_is_not_removed_by_another_machine(place: Place, wait_until: WaitUntil) -> None:
    execution = place.suspend(*CELLS[:2], SAYS_WHERE)
    wait_for_kernel(place, wait_until, execution)
    for cache in ("cache", "cache-of-another-machine"):
        environment = {
            **place.environment,
            "XDG_CACHE_HOME": str(place.folder / cache),
            "PAUSEFLOW_SNAPSHOT_CACHE": "0",
        }
        subprocess.run([sys.executable, "-c", CLEAN], env=environment, check=True)
        (cached,) = [path.parent for path in (place.folder / "cache").rglob("in-use")]
        assert list(cached.glob("*.json")), "what the kernel reads stays in its cache"

    complete(place, wait_until, execution)


def test_the_cache_of_a_machine_is_limited_and_both_gc_and_doctor_say_its_size(place: Place) -> None:
    place.limit = "1 MiB"
    execution = place.suspend(*CELLS)
    place.run("resume", execution, "--data", '{"n": 7}', "--wait")

    def is_trimmed() -> bool:
        size = place.run("gc", "--older-than", "30d")["cache"]
        assert size["most"] == MIB
        return bool(size["bytes"] <= MIB)

    place.wait_until(is_trimmed, description="the kernel has ended, and its part of the cache is removed")
    (found,) = [each for each in place.run("doctor")["checks"] if each["name"] == "snapshot cache"]
    assert found["text"].endswith("MiB of at most 1.0 MiB")
    place.wait_until(
        lambda: place.run("gc", "--older-than", "1s")["executions"] == [execution], description="it is old enough"
    )
    assert list((place.folder / "cache").rglob("*.json")) == []
