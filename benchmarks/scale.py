"""Many suspended executions: how fast answers are settled, timers act, and lists appear, on both databases.

    python benchmarks/scale.py                     1,000, 10,000 and 100,000, table to benchmarks/results/scale.md
    python benchmarks/scale.py --quick             1,000 and 10,000, fewer answers, nothing written
    python benchmarks/scale.py --million           also 1,000,000, on PostgreSQL

The databases take turns at each size, so that the machine's moods meet both; each ratio is within one run.
On PostgreSQL the pages of the database that the statements of an action look at are counted as well (EXPLAIN): other
work on the machine does not change them.
The store lies in the folder for temporary files: a folder in memory makes commits cheaper than they are.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa
from beside import databases, machine
from beside.served import percentile

from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.links import Claim
from pauseflow_nb.store import tables

SENDERS = (1, 8, 32)
#: To reach: answers a second; seconds of the slowest but 1 % at eight senders; how much slower a list may become.
_RATE, _P99, _FLAT = 500, 0.050, 1.5
#: Plans are printed from this many pages on.
_SHOWN_FROM = 2_000


@dataclass
class Row:
    """One line of the table: what each database showed at each size."""

    what: str
    unit: str
    goal: str = ""
    figures: dict[tuple[str, int], float] = field(default_factory=dict)


class Table:
    def __init__(self, sizes: dict[str, list[int]]) -> None:
        self._sizes = sizes
        self._rows: dict[str, Row] = {}

    def add(self, kind: str, size: int, what: str, value: float, unit: str = "ms") -> None:
        self._rows.setdefault(what, Row(what, unit)).figures[kind, size] = value
        print(f"{kind:>10} {size:>9,} {what}: {value:.4g} {unit}", flush=True)

    def lines(self) -> list[str]:
        columns = [(kind, size) for kind, sizes in self._sizes.items() for size in sizes]
        titles = [f"{kind}, {size:,}" for kind, size in columns]
        lines = [f"| | {' | '.join(titles)} | largest / smallest |", "|---" * (len(titles) + 2) + "|"]
        for row in self._rows.values():
            shown = [_write(row.figures.get(column), row.unit) for column in columns]
            lines.append(f"| {row.what}, {row.unit} | {' | '.join(shown)} | {self._growth(row)} |")
        return lines

    def _growth(self, row: Row) -> str:
        grown = []
        for kind, sizes in self._sizes.items():
            found = [row.figures[kind, size] for size in sizes if (kind, size) in row.figures]
            if len(found) > 1 and found[0]:
                grown.append(f"{found[-1] / found[0]:.2f}x")
        return ", ".join(grown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, few answers; nothing is written")
    parser.add_argument("--million", action="store_true", help="also 1,000,000 on PostgreSQL")
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="one database; nothing is written")
    parser.add_argument("--sizes", help="other sizes, such as 1000,100000; nothing is written")
    parser.add_argument("--reads-only", action="store_true", help="no answers and timers; nothing is written")
    parser.add_argument("--answers", type=int, help="answers of each number of senders")
    parser.add_argument("--timers", type=int, help="timers that are due at once")
    asked = parser.parse_args()
    load, started = os.getloadavg()[0], time.monotonic()
    kinds = [asked.only] if asked.only else ["sqlite", "postgresql"]
    wanted = [1_000, 10_000] if asked.quick else [1_000, 10_000, 100_000]
    wanted = [int(size) for size in asked.sizes.split(",")] if asked.sizes else wanted
    sizes = {kind: wanted + [1_000_000] * (asked.million and kind == "postgresql") for kind in kinds}
    answers, timers = asked.answers or (300 if asked.quick else 2_000), asked.timers or (300 if asked.quick else 10_000)
    table = Table(sizes)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        benches = []
        for kind in kinds:
            folder = Path(name) / kind
            folder.mkdir()
            benches.append(Bench(kind, folder, stack.enter_context(databases.database(kind, folder)), table))
        for size in sorted({size for each in sizes.values() for size in each}):
            for bench in benches:
                if size in sizes[bench.kind]:
                    bench.measure(size, 0 if asked.reads_only else answers)
        for bench in [] if asked.reads_only else benches:
            bench.measure_timers(timers)
    about = (
        f"{machine.described()}. Load at the start {load:.1f}, at the end {os.getloadavg()[0]:.1f}; "
        f"{(time.monotonic() - started) / 60:.0f} minutes. `python benchmarks/scale.py{''.join(f' {word}' for word in sys.argv[1:])}`."
    )
    text = "\n".join(["# Many suspended executions", "", about, "", *table.lines()]) + "\n"
    print(text)
    if not (asked.quick or asked.only or asked.sizes or asked.reads_only):
        Path(__file__).parent.joinpath("results", "scale.md").write_text(text)


class Bench:
    """One store that grows."""

    def __init__(self, kind: str, folder: Path, environment: dict[str, str], table: Table) -> None:
        self.kind = kind
        self._folder, self._environment, self._table = folder, environment, table
        self._template = databases.first_suspended(environment, folder)
        self._filled = self._answered = 0
        self._size = 0

    def measure(self, size: int, answers: int) -> None:
        self._size = size
        with databases.opened(self._environment) as queue:
            empty = databases.bytes_used(queue)
            added = size - self._filled
            databases.fill(queue, self._template, self._filled, added)
            self._add("database of each", (databases.bytes_used(queue) - empty) / added, "bytes")
            self._filled = size
            self._read(queue)
        if answers:
            self._settle(answers)

    def _add(self, what: str, value: float, unit: str = "ms") -> None:
        self._table.add(self.kind, self._size, what, value, unit)

    def _read(self, queue: Queue) -> None:
        middle = databases.name(self._size // 2)
        self._time(queue, "list of 50", lambda: queue.list(limit=50))
        self._time(queue, "list of 50 that are suspended", lambda: queue.list(states=["suspended"], limit=50))
        # As many are shown at each size.
        self._time(queue, "search, 50 of one in nine", lambda: queue.list(text="report-1", limit=50))
        self._time(queue, "search, 10 of one in a hundred", lambda: queue.list(text="report-13", limit=10))
        self._time(queue, "search of two characters, nothing found", lambda: queue.list(text="zz", limit=50))
        self._time(queue, "search of one by its id", lambda: queue.list(text=middle, limit=50))
        self._time(queue, "search, nothing found", lambda: queue.list(text="nothing of this name", limit=50))
        self._time(queue, "show", lambda: queue.view(middle))
        claim = Claim(middle, 0, "ask", 0, "approve")
        self._time(queue, "page", lambda: queue.claim_page(claim))
        self._time(queue, "look for what is due", lambda: Clock(queue).sweep())

    def _time(self, queue: Queue, what: str, call: Callable[[], Any]) -> None:
        call()
        taken, end = [], time.perf_counter() + 1.0
        while len(taken) < 5 or (time.perf_counter() < end and len(taken) < 200):
            began = time.perf_counter()
            call()
            taken.append(time.perf_counter() - began)
        self._add(what, statistics.median(taken) * 1000)
        if self.kind == "postgresql":
            self._add(f"  pages for: {what}", _count_pages(queue.engine, call), "pages")

    def _settle(self, answers: int) -> None:
        with databases.serving(self._environment, self._folder, "--no-worker") as server:
            with databases.opened(self._environment) as queue:
                url, signer = queue.live_server_url(), queue.signer
            assert url is not None
            for senders in (1, *SENDERS):
                count = min(answers, self._size // (len(SENDERS) + 1), 40 if self._answered == 0 else answers)
                names = [databases.name(self._filled - 1 - n - self._answered) for n in range(count)]
                self._answered += count
                paths = [f"/pauseflow/resume/{signer.token(Claim(each, 0, 'ask', 0, 'resume'))}" for each in names]
                self._send(server, url, senders, paths)
            resident = next(
                int(line.split()[1]) / 1024
                for line in Path(f"/proc/{server.pid}/status").read_text().splitlines()
                if line.startswith("VmRSS")
            )
            self._add("memory of the server", resident, "MB")

    def _send(self, server: subprocess.Popen[bytes], url: str, senders: int, paths: list[str]) -> None:
        at = urlsplit(url)
        program = Path(__file__).parent / "beside" / "senders.py"
        words = [sys.executable, str(program), str(at.hostname), str(at.port), str(senders)]
        before = _processor_seconds(server.pid)
        sent = subprocess.run(words, input="\n".join(paths), capture_output=True, text=True, check=True)
        used, found = _processor_seconds(server.pid) - before, json.loads(sent.stdout)
        if found["settled"] != len(paths):
            raise SystemExit(f"{len(paths) - found['settled']} of {len(paths)} answers were not settled")
        plural = "" if senders == 1 else "s"
        self._add(f"answers settled, {senders} sender{plural}", len(paths) / found["seconds"], "per second")
        self._add(f"  the server's processor for each, {senders} sender{plural}", used / len(paths) * 1000)
        self._add(f"  p50, {senders} sender{plural}", statistics.median(found["each"]) * 1000)
        self._add(f"  p99, {senders} sender{plural}", percentile(found["each"], 0.99) * 1000)

    def measure_timers(self, count: int) -> None:
        """Let many deadlines pass at one moment; each is late by the time until a committed decision of a worker is seen.

        That the executions then also run is another matter, for which this does not wait.
        """
        with (
            databases.opened(self._environment) as queue,
            databases.serving(self._environment, self._folder, "--workers", "1"),
        ):
            of, is_open = tables.suspensions.c.execution, tables.suspensions.c.state == "open"
            with queue.engine.connect() as connection:
                names = list(connection.scalars(sa.select(of).where(is_open).order_by(of).limit(count)))
            due = time.time() + 2 + len(names) / 5000
            with queue.engine.begin() as connection:
                for first in range(0, len(names), 500):
                    where = of.in_(names[first : first + 500])
                    connection.execute(tables.suspensions.update().where(where).values(deadline=due))
            waiting = sa.select(sa.func.count()).where(of >= names[0], of <= names[-1], is_open)
            late: list[float] = []

            def is_done() -> bool:
                with queue.engine.connect() as connection:
                    left = int(connection.execute(waiting).scalar_one())
                late.extend([time.time() - due] * (len(names) - left - len(late)))
                return left == 0

            machine.wait_until(is_done, seconds=600, every=0.1)
        what = f"{len(names):,} timers due at once: late"
        self._add(f"{what} (p50)", statistics.median(late), "s")
        self._add(f"{what} (p99)", percentile(late, 0.99), "s")


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _write(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 or unit in {"bytes", "per second", "MB"} else f"{value:.3g}"


def _count_pages(engine: sa.Engine, call: Callable[[], Any]) -> int:
    """Count the pages that PostgreSQL looks at for the queries of a call."""
    executed: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            executed.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        call()
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    pages = 0
    with engine.connect() as connection:
        for statement, parameters in executed:
            explained = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
            plan = explained.scalar_one()[0]["Plan"]
            pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
            if plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] >= _SHOWN_FROM:
                print(f"    {_describe(plan)}\n    {' '.join(statement.split())[:400]}", flush=True)
        connection.rollback()
    return pages


def _describe(plan: dict[str, Any]) -> str:
    """Name the nodes of a plan that look at tables, with their pages."""
    nodes, found = [plan], []
    while nodes:
        node = nodes.pop(0)
        nodes += node.get("Plans", [])
        place = node.get("Index Name") or node.get("Relation Name")
        if place:
            found.append(f"{node['Node Type']} {place}: {node['Shared Hit Blocks'] + node['Shared Read Blocks']}")
    return ", ".join(found)


if __name__ == "__main__":
    main()
