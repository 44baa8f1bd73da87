"""Where each millisecond goes from an answer to the next line of the notebook's code.

    python benchmarks/stages.py                  30 answers for each kind of kernel on both databases; about 3 minutes
    python benchmarks/stages.py --answers 5      fewer; nothing is written
    python benchmarks/stages.py --only sqlite    one database; nothing is written

The processes themselves write down when they reach a stage (`beside/stamps`). A row is the time since the row above,
the median over the answers. `forked`: the kernel is forked from a process that has done its imports. `prestarted`: it
was started before the answer came.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beside import databases, machine
from beside.programs import write_notebook
from beside.served import WAITS, start_detached

_EXPLAINED = [
    "Milliseconds since the row above, the median of the answers, and in brackets their share of the whole; then, if the",
    "same process reached both, the milliseconds that it computed, all its threads together.",
]
#: Stage, and where it is reached: module, function, and whether that begins or ends then.
STAGES = [
    ("the server has read the link", "pauseflow_nb.server.public.callbacks", "CallbackHandler._settle", "begin"),
    ("the answer is settled and committed", "pauseflow_nb.server.public.callbacks", "CallbackHandler._write_answer", "begin"),
    ("a worker has taken the job", "pauseflow_nb.engine.worker", "_Worker.take", "begin"),
    ("it has claimed the segment", "pauseflow_nb.engine.run_segment", "Segments._attempt", "begin"),
    ("it has read the notebook", "pauseflow_nb.engine.run_segment", "Segments._in_kernel", "begin"),
    ("it has a kernel", "pauseflow_nb.runner.kernels.source", "Supply.take", "end"),
    ("the kernel replies", "pauseflow_nb.runner.client", "KernelClient.wait_until_ready", "end"),
    ("the kernel has loaded pauseflow_nb", "pauseflow_nb.kernel.session", "Session.begin", "begin"),
    ("it has loaded what restores", "pauseflow_nb.kernel.snapshot.restoring", "restore", "begin"),
    ("it has read the manifest", "pauseflow_nb.kernel.snapshot.restoring", "read_manifest", "end"),
    ("the variables are restored", "pauseflow_nb.kernel.execution_mode", "ExecutionMode.restore", "end"),
    ("the next cell is sent", "pauseflow_nb.runner.segment", "_Segment._run_cell", "begin"),
]  # fmt: skip


@dataclass(frozen=True)
class Stamp:
    """When a process reached a stage, and what it had computed until then, in seconds."""

    at: float
    computed: float = 0.0
    process: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=30, help="answers of each kind; fewer: nothing is written")
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="one database; nothing is written")
    asked = parser.parse_args()
    load, began = os.getloadavg()[0], time.monotonic()
    columns: dict[str, list[list[Stamp]]] = {}
    with tempfile.TemporaryDirectory() as name:
        for kind in [asked.only] if asked.only else ["sqlite", "postgresql"]:
            folder = Path(name) / kind
            folder.mkdir()
            with databases.database(kind, folder) as environment:
                for kernels in ("forked", "prestarted"):
                    columns[f"{kernels}, {kind}"] = _measure(environment, folder, kernels, asked.answers)
    about = (
        f"{machine.described()}. Load at the start {load:.1f}, at the end {os.getloadavg()[0]:.1f}; "
        f"{(time.monotonic() - began) / 60:.0f} minutes. `python benchmarks/stages.py{''.join(f' {w}' for w in sys.argv[1:])}`."
    )
    text = "\n".join(["# From an answer to the next line", "", about, "", *_EXPLAINED, "", *_tabulate(columns)]) + "\n"
    print(text)
    if not sys.argv[1:]:
        Path(__file__).parent.joinpath("results", "stages.md").write_text(text)


def _measure(environment: dict[str, str], folder: Path, kernels: str, count: int) -> list[list[Stamp]]:
    """Answer `count` times; returns the stamps of each answer."""
    stamps = folder / f"stamps-{kernels}"
    stamps.touch()
    given = {
        **environment,
        "PAUSEFLOW_KERNELS": kernels,
        "PYTHONPATH": str(Path(__file__).parent / "beside" / "stamps"),
        "STAMPS": json.dumps({"file": str(stamps), "stages": STAGES}),
    }
    source = write_notebook(folder / "waits.ipynb", WAITS)
    taken = []
    with databases.serving(given, folder, "--workers", "2"), databases.opened(environment) as queue:
        for number in range(count + 2):
            taken.append(_answer(queue, source, folder / f"{kernels}-{number}.ipynb", stamps))
            print(f"{kernels} {number}: {(taken[-1][-1].at - taken[-1][0].at) * 1000:.0f} ms", file=sys.stderr)
    # The first ones load what all later ones use.
    return taken[2:]


def _answer(queue: Any, source: Path, out: Path, stamps: Path) -> list[Stamp]:
    execution = start_detached(queue, source, out)
    machine.wait_until(lambda: queue.state(execution) == "suspended", seconds=600)
    url = queue.view(execution)["suspended"][0]["resume_url"]
    # The end of the segment, and the start of the next spare kernel, must not be measured with the answer.
    time.sleep(0.7)
    stamps.write_text("")
    sent = time.time()
    urllib.request.urlopen(urllib.request.Request(url, data=b"{}", method="POST")).close()
    machine.wait_until(lambda: queue.state(execution) == "completed", seconds=600)
    found: dict[str, Stamp] = {}
    for line in stamps.read_text().splitlines():
        at, computed, process, stage = line.split(" ", 3)
        found.setdefault(stage, Stamp(float(at), float(computed), process))
    missing = [stage for stage, *_ in STAGES if stage not in found]
    if missing:
        raise SystemExit(f"no process has reached: {', '.join(missing)}")
    first_line = float(json.loads(out.read_text())["cells"][2]["outputs"][0]["text"][0])
    return [Stamp(sent), *(found[stage] for stage, *_ in STAGES), Stamp(first_line)]


def _tabulate(columns: dict[str, list[list[Stamp]]]) -> list[str]:
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for number, stage in enumerate([*(stage for stage, *_ in STAGES), "the first line runs"]):
        lines.append(f"| {stage} | {' | '.join(_write_stage(rows, number) for rows in columns.values())} |")
    totals = [sorted(row[-1].at - row[0].at for row in rows) for rows in columns.values()]
    for what, share in (("p50", 0.5), ("p99", 0.99)):
        cells = [f"{each[min(len(each) - 1, int(len(each) * share))] * 1000:.0f}" for each in totals]
        lines.append(f"| **from the answer to the first line, {what}** | {' | '.join(cells)} |")
    return lines


def _write_stage(rows: list[list[Stamp]], number: int) -> str:
    taken = statistics.median(row[number + 1].at - row[number].at for row in rows)
    whole = statistics.median(row[-1].at - row[0].at for row in rows)
    cell = f"{taken * 1000:.1f} ({taken / whole:.0%})"
    pairs = [(row[number], row[number + 1]) for row in rows]
    if all(earlier.process == later.process for earlier, later in pairs):
        cell += f", {statistics.median(later.computed - earlier.computed for earlier, later in pairs) * 1000:.1f}"
    return cell


if __name__ == "__main__":
    main()
