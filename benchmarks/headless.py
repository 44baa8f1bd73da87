"""Headless runs beside papermill, nbclient and jupyter-scheduler; and how soon an answer reaches the next line.

    python benchmarks/headless.py                  everything, table to benchmarks/results/headless.md (20 minutes)
    python benchmarks/headless.py --quick          one round of the small ones, nothing written

Contenders take turns within a round, so that the machine's moods meet all of them; each figure is the
median of the rounds, each ratio is between medians of one run. Processor seconds are those of the
process and all its children: other work on the machine does not disturb them much.
"""

import argparse
import importlib.util
import json
import os
import platform
import resource
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

QUIET = ["--no-progress-bar", "--log-level", "ERROR"]
NBCLIENT = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.execute(notebook)
nbformat.write(notebook, sys.argv[2])
"""
PROGRAMS: dict[str, Callable[[Path, Path], list[str]]] = {
    "papermill": lambda source, out: ["-m", "papermill", str(source), str(out), *QUIET],
    "nbclient": lambda source, out: ["-c", NBCLIENT, str(source), str(out)],
    "pauseflow run": lambda source, out: ["-m", "pauseflow_nb", "run", str(source), str(out), "-q"],
    "papermill --engine pauseflow": lambda source, out: [
        *["-m", "papermill", str(source), str(out), "--engine", "pauseflow", *QUIET]
    ],
}
#: Runs what a scheduled job runs, without the server, its database and its polling.
SCHEDULER = """
import sys, nbformat, nbconvert.preprocessors
notebook = nbformat.read(sys.argv[1], as_version=4)
nbconvert.preprocessors.ExecutePreprocessor(kernel_name="python3", store_widget_state=True).preprocess(notebook, {})
import jupyter_scheduler.executors
nbformat.write(notebook, sys.argv[2])
"""


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


def take(program: str, source: Path, folder: Path) -> Taken | None:
    """Run a notebook once as a command; None if it is not installed."""
    out = folder / "out.ipynb"
    if program == "jupyter-scheduler":
        if importlib.util.find_spec("jupyter_scheduler") is None:
            return None
        words = ["-c", SCHEDULER, str(source), str(out)]
    else:
        words = PROGRAMS[program](source, out)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode or not out.exists():
        raise SystemExit(f"{program} failed on {source.name}:\n{done.stderr[-2000:]}")
    out.unlink()
    return Taken(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


# Many at once


class Memory(threading.Thread):
    """Watches how much memory the descendants of this process take together, shared pages counted once."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._is_over = threading.Event()

    def run(self) -> None:
        while not self._is_over.wait(0.3):
            self.peak = max(self.peak, sum(map(_share, _descendants(os.getpid()))))

    def stop(self) -> int:
        self._is_over.set()
        self.join()
        return self.peak


def _descendants(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found, waiting = [], [root]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def _share(pid: int) -> int:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) * 1024
    return 0


def many_by_papermill(source: Path, folder: Path, count: int) -> tuple[float, int]:
    watched = Memory()
    watched.start()
    started = time.perf_counter()
    processes = [
        subprocess.Popen(
            [sys.executable, *PROGRAMS["papermill"](source, folder / f"{n}.ipynb")],
            stderr=subprocess.DEVNULL,
            cwd=folder,
        )
        for n in range(count)
    ]
    for process in processes:
        assert process.wait() == 0
    return time.perf_counter() - started, watched.stop()


def many_by_worker(source: Path, folder: Path, count: int) -> tuple[float, int]:
    """Hand notebooks to a running worker with four segments at a time, its fork server warm."""
    with served(folder, "forked", workers=4) as (queue, _):
        start_detached(queue, source, folder / "warm.ipynb")
        wait_until(lambda: not unfinished(queue))
        watched = Memory()
        watched.start()
        started = time.perf_counter()
        for n in range(count):
            start_detached(queue, source, folder / f"w{n}.ipynb")
        wait_until(lambda: not unfinished(queue), seconds=600)
        wall = time.perf_counter() - started
        return wall, watched.stop()


def one_by_worker(source: Path, folder: Path, rounds: int) -> list[float]:
    taken = []
    with served(folder, "forked", workers=2) as (queue, _):
        for n in range(rounds + 1):
            started = time.perf_counter()
            start_detached(queue, source, folder / f"o{n}.ipynb")
            wait_until(lambda: not unfinished(queue), every=0.01)
            taken.append(time.perf_counter() - started)
    return taken[1:]


# From an answer to the next line


WAITS = ["from pauseflow_nb import flow, steps", "%%step ask\nflow.suspend()", "import time\nprint(repr(time.time()))"]


def answers(kernels: str, folder: Path, count: int, suspended: int) -> tuple[list[float], float]:
    """Seconds from a POST to the next line of code, `count` times; and bytes of database for each that waits."""
    source = write_notebook(folder / "waits.ipynb", WAITS)
    taken: list[float] = []
    with served(folder, kernels, workers=2) as (queue, _):
        for n in range(count + 1):
            execution = start_detached(queue, source, folder / f"a{n}.ipynb")
            wait_until(lambda: queue.state(execution) == "suspended")  # noqa: B023
            if n == 0 and suspended:
                cost = multiply(queue, execution, suspended)
            url = queue.view(execution)["suspended"][0]["resume_url"]
            posted = time.time()
            urllib.request.urlopen(urllib.request.Request(url, data=b"{}", method="POST")).close()
            wait_until(lambda: queue.state(execution) == "completed")  # noqa: B023
            shown = json.loads((folder / f"a{n}.ipynb").read_text())["cells"][2]["outputs"][0]["text"][0]
            taken.append(float(shown) - posted)
    return taken[1:], cost if suspended else 0.0


def multiply(queue: Any, execution: str, count: int) -> float:
    """Copy a suspended execution's rows; returns bytes of database for each copy."""
    path = queue.settings.db.removeprefix("sqlite:///")
    with sqlite3.connect(path, timeout=60) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = _size(database)
        tables = {
            name: [row[1] for row in database.execute(f"PRAGMA table_info({name})")]
            for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        }
        copied = 0
        for table, columns in tables.items():
            key = "id" if table == "executions" else "execution"
            if table == "workflow_status":
                key = "workflow_uuid"
            elif "execution" not in columns and table != "executions":
                continue
            rows = database.execute(f"SELECT * FROM {table} WHERE {key} LIKE ?", [f"{execution}%"]).fetchall()
            for row in rows:
                named = dict(zip(columns, row, strict=True))
                for n in range(count):
                    copy = {**named, key: str(named[key]).replace(execution, f"{n:012x}")}
                    if table in {"audit", "callbacks"}:
                        copy["id"] = None
                    if copy.get("output"):
                        copy["output"] = f"{copy['output']}.{n}"
                    marks = ", ".join("?" * len(copy))
                    database.execute(f"INSERT INTO {table} VALUES ({marks})", list(copy.values()))
                copied += 1
        database.commit()
        assert copied >= 4, "rows of an execution, a segment, a suspension and a step"
        return (_size(database) - before) / count


def _size(database: sqlite3.Connection) -> int:
    pages, free, page = (
        database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * page)


# A server with its worker


@contextmanager
def served(folder: Path, kernels: str, *, workers: int) -> Iterator[tuple[Any, Any]]:
    """Run `pauseflow serve` with a store of its own."""
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.settings import Settings

    store = Path(tempfile.mkdtemp(dir=folder))
    env = {**os.environ, "PAUSEFLOW_DATA_DIR": str(store), "PAUSEFLOW_KERNELS": kernels}
    words = ["-m", "pauseflow_nb", "serve", "--port", "0", "--workers", str(workers)]
    with (store / "log").open("wb") as log:
        server = subprocess.Popen([sys.executable, *words], env=env, cwd=folder, stdout=log, stderr=log)
    queue = Queue.open(Settings.load(environment={"PAUSEFLOW_DATA_DIR": str(store)}))
    try:
        wait_until(lambda: queue.has_live_worker() and queue.live_server_url(), seconds=60)
        yield queue, server
    finally:
        queue.close()
        server.send_signal(signal.SIGTERM)
        server.wait()


def start_detached(queue: Any, source: Path, out: Path) -> str:
    from pauseflow_nb.execution import RunOptions, plan

    execution: str = queue.start(plan(str(source), str(out), {}, RunOptions(cwd=str(out.parent))))
    return execution


def unfinished(queue: Any) -> list[Any]:
    return list(queue.list(states=("queued", "running"), limit=100, with_links=False))


def wait_until(is_so: Callable[[], object], *, seconds: float = 120, every: float = 0.02) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise SystemExit("waited in vain")
        time.sleep(every)


# The table


CONTENDERS = ("papermill", "nbclient", "jupyter-scheduler", "papermill --engine pauseflow", "pauseflow run")
#: Case → rounds.
CASES = {
    "3 cells, cold": 7,
    "3 cells, pandas": 5,
    "200 quick cells": 3,
    "1,000 quick cells": 1,
    "1,000 cells, 1 KB each": 1,
    "100 cells, 1 MB each": 1,
}


def compare(case: str, rounds: int, folder: Path) -> list[str]:
    source = write_notebook(folder / "source.ipynb", cells_of(case))
    taken: dict[str, list[Taken]] = {}
    for _ in range(rounds):
        for program in CONTENDERS:
            found = take(program, source, folder)
            if found is not None:
                taken.setdefault(program, []).append(found)
    base = median(taken["papermill"])
    lines = []
    for program, runs in taken.items():
        own = median(runs)
        ratio = f"{base.wall / own.wall:.1f}x ({base.processor / own.processor:.1f}x)"
        lines.append(f"| {case} | {program} | {own.wall:.2f} s | {own.processor:.2f} s | {ratio} |")
        print(lines[-1], flush=True)
    return lines


def median(runs: list[Taken]) -> Taken:
    return Taken(statistics.median(run.wall for run in runs), statistics.median(run.processor for run in runs))


def through_worker(folder: Path, count: int) -> list[str]:
    source = write_notebook(folder / "small.ipynb", cells_of("3 cells, cold"))
    singles, theirs_once = one_by_worker(source, folder, 5), []
    for _ in range(3):
        taken = take("papermill", source, folder)
        assert taken is not None
        theirs_once.append(taken.wall)
    one, other = statistics.median(singles), statistics.median(theirs_once)
    ours, our_memory = many_by_worker(source, folder, count)
    theirs, their_memory = many_by_papermill(source, folder, count)
    return [
        f"| 3 cells through a running worker, forked | {other:.2f} s | {one:.2f} s | {other / one:.1f}x |",
        f"| {count} notebooks at once | {theirs:.1f} s | {ours:.1f} s | {theirs / ours:.1f}x |",
        (
            f"| their memory together, at the peak | {their_memory / 1e6:.0f} MB | {our_memory / 1e6:.0f} MB |"
            f" {100 * our_memory / their_memory:.0f}% |"
        ),
    ]


def callbacks(folder: Path, count: int, suspended: int) -> list[str]:
    lines = []
    for kernels in ("cold", "forked"):
        for waiting in (0, suspended):
            taken, cost = answers(kernels, folder, count, waiting)
            taken.sort()
            p50, p99 = statistics.median(taken), taken[min(len(taken) - 1, int(len(taken) * 0.99))]
            beside = f"{waiting:,} others suspended" if waiting else "alone"
            bytes_ = f"{cost / 1024:.1f} KiB" if cost else ""
            lines.append(f"| {kernels}, {beside} | {p50:.2f} s | {p99:.2f} s | {bytes_} |")
            print(lines[-1], flush=True)
    return lines


def machine() -> str:
    names = ("papermill", "nbclient", "jupyter-scheduler", "ipykernel", "ipython", "jupyter-client", "dbos")
    packages = []
    for name in names:
        with suppress(PackageNotFoundError):
            packages.append(f"{name} {version(name)}")
    memory = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1]) >> 20
    return (
        f"{datetime.now(tz=UTC).date()}, {os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}, {', '.join(packages)}. Load at start and end: "
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of the small cases; nothing is written")
    parser.add_argument("--only", choices=["commands", "worker", "answers"], help="one part; nothing is written")
    parser.add_argument("--suspended", type=int, default=10_000)
    asked = parser.parse_args()
    load = f"{os.getloadavg()[0]:.1f}"
    parts = [asked.only] if asked.only else ["commands", "worker", "answers"]
    lines = ["# Headless runs", ""]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PAUSEFLOW_DATA_DIR"] = str(folder / "store")
        # The tables of a store are made once, not at every command.
        take("pauseflow run", write_notebook(folder / "first.ipynb", ["1"]), folder)
        if "commands" in parts:
            lines += [
                "| case | program | wall | processor | papermill / this: wall (processor) |",
                "|---|---|---|---|---|",
            ]
            for case, rounds in CASES.items():
                if not asked.quick or rounds > 2:
                    lines += compare(case, 1 if asked.quick else rounds, folder)
        if "worker" in parts:
            lines += ["", "| through `pauseflow serve` | papermill | ours | |", "|---|---|---|---|"]
            lines += through_worker(folder, 6 if asked.quick else 24)
        if "answers" in parts:
            lines += ["", "| from a POST to the next line of code | p50 | p99 | database for each that waits |"]
            lines += ["|---|---|---|---|"]
            lines += callbacks(folder, 5 if asked.quick else 30, 200 if asked.quick else asked.suspended)
            lines += [
                "",
                "Prefect 3.9.1, measured on such a machine: suspended run 7.0 s / 11.7 s, `pause` 1.8 s / 9.6 s; a new",
            ]
            lines += [
                "process of Mastra 0.77 s, of LangGraph 0.70 s; DBOS `recv`, polling every second, 0.49 s / 1.0 s."
            ]
    lines[1:1] = ["", machine() + f"{load}, {os.getloadavg()[0]:.1f}. `python benchmarks/headless.py`."]
    table = "\n".join(lines) + "\n"
    print(table)
    if not (asked.quick or asked.only):
        Path(__file__).parent.joinpath("results", "headless.md").write_text(table)


if __name__ == "__main__":
    main()
