"""Whole notebooks as commands: papermill, nbclient, jupyter-scheduler, and ours, each in a process of its own."""

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

QUIET = ["--no-progress-bar", "--log-level", "ERROR"]
_NBCLIENT = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.execute(notebook)
nbformat.write(notebook, sys.argv[2])
"""

#: A job as its server starts one: a row, copies of the files, and a process that executes. Without the server
#: itself, which would add a request and its polling.
_SCHEDULER = """
import shutil, sys, time
from pathlib import Path
from jupyter_scheduler.environments import StaticEnvironmentManager
from jupyter_scheduler.models import CreateJob
from jupyter_scheduler.orm import create_tables
from jupyter_scheduler.scheduler import Scheduler

if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    database = f"sqlite:///{out}.sqlite"
    create_tables(database, drop_tables=True)
    scheduler = Scheduler(root_dir=str(source.parent), environments_manager=StaticEnvironmentManager(), db_url=database)
    scheduler.staging_path = str(out.parent / "staging")
    job = scheduler.create_job(
        CreateJob(input_uri=source.name, runtime_environment_name="", output_formats=["ipynb"], name="job")
    )
    while (told := scheduler.get_job(job, job_files=False)).status.value not in {"COMPLETED", "FAILED"}:
        time.sleep(0.02)
    assert told.status.value == "COMPLETED", told.status_message
    shutil.copy(scheduler.get_staging_paths(told)["ipynb"], out)
"""
OURS = "pauseflow run"
#: Contenders in the order of the table; the first is what the others are compared with.
PROGRAMS: dict[str, Callable[[Path, Path], list[str]]] = {
    "papermill": lambda source, out: ["-m", "papermill", str(source), str(out), *QUIET],
    "nbclient": lambda source, out: ["-c", _NBCLIENT, str(source), str(out)],
    "jupyter-scheduler": lambda source, out: [str(_script(out.parent)), str(source), str(out)],
    "papermill --engine pauseflow": lambda source, out: [
        *["-m", "papermill", str(source), str(out), "--engine", "pauseflow", *QUIET]
    ],
    OURS: lambda source, out: ["-m", "pauseflow_nb", "run", str(source), str(out), "-q"],
}

#: Case → rounds, and how many times faster than papermill `pauseflow run` must be, where that was promised.
CASES: dict[str, tuple[int, float]] = {
    "3 cells, cold": (7, 1),
    "3 cells, pandas": (5, 1),
    "200 quick cells": (3, 4),
    "1,000 quick cells": (1, 15),
    "1,000 cells, 1 KB each": (1, 1),
    "100 cells, 1 MB each": (1, 1),
}


class Taken(NamedTuple):
    """What one run took."""

    wall: float
    processor: float


def cells_of(case: str) -> list[str]:
    """Sources of a notebook to run."""
    return {
        "3 cells, cold": ["x = 1", "y = x + 1", "print(y)"],
        "3 cells, pandas": ["import pandas as pd", "f = pd.DataFrame({'a': range(5)})", "f.sum()"],
        "200 quick cells": [f"x = {n}" for n in range(200)],
        "1,000 quick cells": [f"x = {n}" for n in range(1000)],
        "1,000 cells, 1 KB each": [f"print('{n:04}' * 250)" for n in range(1000)],
        "100 cells, 1 MB each": [f"print('{n:04}' * 250_000)" for n in range(100)],
    }[case]


def write_notebook(path: Path, sources: list[str]) -> Path:
    cells = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "source": source, "outputs": [], "execution_count": None}
        for n, source in enumerate(sources)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    path.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


def take(program: str, source: Path, folder: Path, peers: Path | None) -> Taken | None:
    """Run a notebook once as a command; None if its program is not installed: `peers` is the Python that has it."""
    python = peers if program == "jupyter-scheduler" else Path(sys.executable)
    if python is None:
        return None
    out = folder / "out.ipynb"
    words = PROGRAMS[program](source, out)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([str(python), *words], cwd=folder, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or not out.exists():
        raise SystemExit(f"{program} failed on {source.name}:\n{done.stderr[-2000:]}")
    out.unlink()
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def compare(case: str, rounds: int, folder: Path, peers: Path | None) -> list[str]:
    """Let the contenders take turns; returns lines of the table."""
    source = write_notebook(folder / "source.ipynb", cells_of(case))
    taken: dict[str, list[Taken]] = {}
    for _ in range(rounds):
        for program in PROGRAMS:
            found = take(program, source, folder, peers)
            if found is not None:
                taken.setdefault(program, []).append(found)
    base = median(taken["papermill"])
    lines = []
    for program, runs in taken.items():
        own = median(runs)
        times = base.wall / own.wall
        wanted = CASES[case][1]
        goal = f"{wanted:g}x: {'reached' if times >= wanted else 'MISSED'}" if program == OURS else ""
        ratio = f"{times:.1f}x ({base.processor / own.processor:.1f}x)"
        lines.append(f"| {case} | {program} | {own.wall:.2f} s | {own.processor:.2f} s | {ratio} | {goal} |")
        print(lines[-1], flush=True)
    return lines


def median(runs: list[Taken]) -> Taken:
    return Taken(statistics.median(run.wall for run in runs), statistics.median(run.processor for run in runs))


def _script(folder: Path) -> Path:
    # A file, because its process is spawned, which imports the main module again.
    path = folder / "scheduled.py"
    path.write_text(_SCHEDULER)
    return path
