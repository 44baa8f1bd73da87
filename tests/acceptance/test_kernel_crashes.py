"""A kernel that dies at any moment, from its first millisecond: the execution is completed, and nothing is left."""

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.kernel_killer import Killer, left_of
from acceptance.processes import Lab, lab

from pauseflow_nb.settings import Settings

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(sys.platform != "linux", reason="finds kernels in /proc"),
]

#: Set it to the seed that a failed test prints, to have the same moments again.
SEED = "PAUSEFLOW_CRASH_SEED"

CELLS = (
    "import time",
    "%%setup\nconnection = object()",
    "%%step first\nlog(f'first-{time.time()}')\nkept = {'a': [1, 2, 3]}",
    "%%step ask\nfrom pauseflow_nb import flow\nlog(f'ask-{time.time()}')\nflow.suspend()",
    "%%step last\nlog(f'last-{time.time()}')\nassert connection is not None\nprint(sum(kept['a']))",
)

#: Where kernels come from, and the seconds in which one of them begins and runs the notebook.
SOURCES = {"cold": 1.5, "forked": 0.5, "prestarted": 1.5}


@pytest.fixture
def short_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where kernels make their folders: short, or their sockets would not fit."""
    folder = Path(tempfile.mkdtemp(prefix="c"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def crash(lab: Lab, source: str, times: int) -> None:
    seed = int(os.environ.get(SEED) or random.randrange(10**9))
    print(f"{SEED}={seed}")
    killer = Killer(lab, lab.worker().pid, random.Random(seed), SOURCES[source])
    for number in range(times):
        log = lab.folder / "log"
        log.unlink(missing_ok=True)
        killer.kills.clear()
        execution = lab.queue.start(lab.plan(*CELLS))
        state = killer.bring_to_end(execution)

        view = lab.queue.view(execution)
        assert state == "completed", (number, view["reason"], view["error"], lab.queue.audit(execution))
        assert "".join(output.text for output in lab.output().cells[-1].outputs) == "6\n", number
        ran = [(step, float(moment)) for step, _, moment in (line.partition("-") for line in lab.log())]
        assert {step for step, _ in ran} == {"first", "ask", "last"}
        again = [(step, at) for step, at in ran for moment, done in killer.kills if step in done and at > moment]
        assert again == [], (number, "a finished step ran again")
    (worker,) = lab.processes
    worker.ask_to_end()
    worker.rest()
    assert left_of(killer.seen) == []


@pytest.mark.slow  # test_crashes.py kills at chosen moments
@pytest.mark.parametrize("source", ["cold", "forked"])
def test_kernels_killed_at_random_moments(
    source: str, sqlite_settings: Settings, tmp_path: Path, short_folder: Path
) -> None:
    with lab(sqlite_settings.model_copy(update={"kernels": source}), tmp_path) as made:
        crash(made, source, times=3)

    assert list(short_folder.glob("pauseflow-*")) == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("source", SOURCES)
def test_many_kernels_killed_at_random_moments(
    source: str, settings: Settings, tmp_path: Path, short_folder: Path
) -> None:
    with lab(settings.model_copy(update={"kernels": source}), tmp_path) as made:
        crash(made, source, times=40)

    assert list(short_folder.glob("pauseflow-*")) == []
