"""Through `pauseflow serve` and its worker: one notebook, many at once, and from an answer to the next line."""

import json
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from beside.machine import Memory, descendants, wait_until
from beside.programs import PROGRAMS, cells_of, take, write_notebook

WAITS = ["from pauseflow_nb import flow, steps", "%%step ask\nflow.suspend()", "import time\nprint(repr(time.time()))"]

#: Goals: times faster than papermill, share of its memory; seconds from an answer to the next line; bytes for each.
_ONE, _MANY, _MEMORY = 3.0, 5.0, 0.5
_ANSWER = {"cold": 1.0, "forked": 0.35}
_BYTES = 4096


def through_worker(folder: Path, count: int) -> list[str]:
    """Compare with papermill; returns lines of the table."""
    source = write_notebook(folder / "small.ipynb", cells_of("3 cells, cold"))
    ours, theirs = _one_by_worker(source, folder, 5), []
    for _ in range(3):
        taken = take("papermill", source, folder, None)
        assert taken is not None
        theirs.append(taken.wall)
    one, other = statistics.median(ours), statistics.median(theirs)
    many, memory = _many_by_worker(source, folder, count)
    lines = [
        f"| 3 cells, forked | papermill | {other:.2f} s | {one:.2f} s | {other / one:.1f}x | {_goal(other / one, _ONE)} |"
    ]
    for program in ("papermill", "nbclient"):
        wall, used = _many_by(program, source, folder, count)
        is_base = program == "papermill"
        lines += [
            (
                f"| {count} notebooks at once | {program} | {wall:.1f} s | {many:.1f} s | {wall / many:.1f}x |"
                f" {_goal(wall / many, _MANY) if is_base else ''} |"
            ),
            (
                f"| their memory together, at the peak | {program} | {used / 1e6:.0f} MB | {memory / 1e6:.0f} MB |"
                f" {memory / used:.0%} | {_goal(memory / used, _MEMORY, less=True) if is_base else ''} |"
            ),
        ]
    print("\n".join(lines), flush=True)
    return lines


def callbacks(folder: Path, count: int, suspended: int) -> list[str]:
    """Measure answers, alone and beside many that wait; returns lines of the table."""
    lines = []
    for kernels, goal in _ANSWER.items():
        for waiting in (0, suspended):
            taken, cost, processes = _answers(kernels, folder, count, waiting)
            p50, p99 = statistics.median(taken), percentile(taken, 0.99)
            beside = f"{waiting:,} others suspended" if waiting else "alone"
            told = f"{cost / 1024:.1f} KiB, {processes} processes: {_goal(cost, _BYTES, less=True)}" if waiting else ""
            lines.append(
                f"| pauseflow_nb, {kernels} kernel, {beside} | {p50:.2f} s | {p99:.2f} s |"
                f" {_goal(p50, goal, less=True)} | {told} |"
            )
            print(lines[-1], flush=True)
    return lines


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def _goal(value: float, wanted: float, *, less: bool = False) -> str:
    is_reached = value <= wanted if less else value >= wanted
    return f"{'at most' if less else 'at least'} {wanted:g}: {'reached' if is_reached else 'MISSED'}"


def _many_by(program: str, source: Path, folder: Path, count: int) -> tuple[float, int]:
    watched = Memory()
    watched.start()
    started = time.perf_counter()
    processes = [
        subprocess.Popen(
            [sys.executable, *PROGRAMS[program](source, folder / f"{n}.ipynb")], stderr=subprocess.DEVNULL, cwd=folder
        )
        for n in range(count)
    ]
    for process in processes:
        assert process.wait() == 0
    return time.perf_counter() - started, watched.stop()


def _many_by_worker(source: Path, folder: Path, count: int) -> tuple[float, int]:
    """Hand notebooks to a running worker with four segments at a time, its fork server warm."""
    with served(folder, "forked", workers=4) as queue:
        start_detached(queue, source, folder / "warm.ipynb")
        wait_until(lambda: not _unfinished(queue))
        watched = Memory()
        watched.start()
        started = time.perf_counter()
        for n in range(count):
            start_detached(queue, source, folder / f"w{n}.ipynb")
        wait_until(lambda: not _unfinished(queue), seconds=600)
        return time.perf_counter() - started, watched.stop()


def _one_by_worker(source: Path, folder: Path, rounds: int) -> list[float]:
    taken = []
    with served(folder, "forked", workers=2) as queue:
        for n in range(rounds + 1):
            started = time.perf_counter()
            start_detached(queue, source, folder / f"o{n}.ipynb")
            wait_until(lambda: not _unfinished(queue), every=0.01)
            taken.append(time.perf_counter() - started)
    return taken[1:]


def _answers(kernels: str, folder: Path, count: int, suspended: int) -> tuple[list[float], float, int]:
    """Take seconds from a POST to the next line of code, `count` times.

    Returns:
        The seconds; bytes of database for each that waits; processes that all those add.
    """
    source = write_notebook(folder / "waits.ipynb", WAITS)
    taken: list[float] = []
    cost, added = 0.0, 0
    with served(folder, kernels, workers=2) as queue:
        for n in range(count + 1):
            execution = start_detached(queue, source, folder / f"a{n}.ipynb")
            wait_until(lambda: queue.state(execution) == "suspended")  # noqa: B023
            if n == 0 and suspended:
                before = len(descendants(os.getpid()))
                cost = _multiply(queue, execution, suspended)
                added = max(len(descendants(os.getpid())) - before, 0)
            url = queue.view(execution)["suspended"][0]["resume_url"]
            posted = time.time()
            urllib.request.urlopen(urllib.request.Request(url, data=b"{}", method="POST")).close()
            wait_until(lambda: queue.state(execution) == "completed")  # noqa: B023
            shown = json.loads((folder / f"a{n}.ipynb").read_text())["cells"][2]["outputs"][0]["text"][0]
            taken.append(float(shown) - posted)
    return taken[1:], cost, added


def _multiply(queue: Any, execution: str, count: int) -> float:
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


@contextmanager
def served(folder: Path, kernels: str, *, workers: int) -> Iterator[Any]:
    """Run `pauseflow serve` with a store of its own, and open that."""
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
        yield queue
    finally:
        queue.close()
        server.send_signal(signal.SIGTERM)
        server.wait()


def start_detached(queue: Any, source: Path, out: Path) -> str:
    from pauseflow_nb.launching import RunOptions, plan

    execution: str = queue.start(plan(str(source), str(out), {}, RunOptions(cwd=str(out.parent))))
    return execution


def _unfinished(queue: Any) -> list[Any]:
    return list(queue.list(states=("queued", "running"), limit=100, with_links=False))
