"""What decision records cost: digests at a pause, and a signed record at an answer.

    python benchmarks/decisions.py                 everything, table to benchmarks/results/decisions.md
    python benchmarks/decisions.py --quick         fewer rounds, nothing written

With and without take turns, so that the machine's moods meet both; each figure is the median of the rounds. Processor
seconds are those of the process itself: other work on the machine disturbs them little.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from beside import databases, machine
from beside.programs import write_notebook

from pauseflow_nb.engine import next_segments
from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.links import Claim

CELLS, BYTES = 1000, 50_000_000
#: Goals: share of a pause; milliseconds of an answer.
_SHARE, _SETTLING_MS = 0.05, 3.0

#: How a command ends that waits for an answer.
_PAUSED = 75
_IMPORT = "from pauseflow_nb import flow"

Figures = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds; nothing is written")
    parser.add_argument("--rounds", type=int, default=5, help="pauses of each kind, and twenty times as many answers")
    asked = parser.parse_args()
    load, started = os.getloadavg()[0], time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        rounds = 1 if asked.quick else asked.rounds
        lines = [*_pauses(Path(name), rounds), *_answers(Path(name), 20 * rounds)]
    about = f"{machine.described()}. Load at the start {load:.1f}, at the end {os.getloadavg()[0]:.1f};"
    about += f" {(time.monotonic() - started) / 60:.0f} minutes. `python benchmarks/decisions.py{''.join(f' {word}' for word in sys.argv[1:])}`."
    table = "\n".join(["# What decision records cost", "", about, *lines]) + "\n"
    print(table)
    if not asked.quick:
        Path(__file__).parent.joinpath("results", "decisions.md").write_text(table)


def _pauses(folder: Path, rounds: int) -> list[str]:
    size = BYTES // CELLS * 3 // 4
    image = f"import os\n{_IMPORT}\nfrom IPython.display import Image\ndef plot(n): return Image(os.urandom({size}), format='png')"
    source = write_notebook(folder / "plots.ipynb", [image, *["plot(0)"] * (CELLS - 2), "%%step ask\nflow.suspend()"])
    taken: dict[str, list[Figures]] = {"without": [], "with": []}
    for _ in range(rounds):
        for kind, found in taken.items():
            found.append(_pause(kind, source, folder))
    before, after = (_median(found) for found in taken.values())
    lines = [
        *["", f"## A pause of a notebook with {CELLS:,} cells and {BYTES / 1e6:.0f} MB of outputs", ""],
        f"To store the notebook and to end the segment, under `pauseflow run`; {rounds} rounds. Cells that have ended are",
        "digested while the kernel runs the next ones, so the last row has the processor time of the whole command.",
        "",
        "| | without | with | more | goal |",
        "|---|---|---|---|---|",
    ]
    words = {"wall": "wall", "processor": "processor", "command": "processor, the whole command"}
    for name, word in words.items():
        more = after[name] / before[name] - 1
        goal = "" if name == "command" else f"at most {_SHARE:.0%}: {'reached' if more <= _SHARE else 'MISSED'}"
        lines.append(f"| {word} | {before[name]:.3f} s | {after[name]:.3f} s | {more:+.1%} | {goal} |")
    return lines


def _pause(kind: str, source: Path, folder: Path) -> Figures:
    program = Path(__file__).parent / "beside" / "pause.py"
    with tempfile.TemporaryDirectory(dir=folder) as name:
        words = [sys.executable, str(program), kind, str(source), f"{name}/out.ipynb"]
        environment = {**os.environ, "PAUSEFLOW_DATA_DIR": f"{name}/store"}
        ran = subprocess.run(words, env=environment, cwd=name, capture_output=True, text=True, check=False)
    if ran.returncode != _PAUSED:
        raise SystemExit(f"it did not pause: {ran.stdout}{ran.stderr}")
    return dict(next(json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"wall"')))


def _answers(folder: Path, rounds: int) -> list[str]:
    lines = [
        *["", "## To settle an answer", ""],
        f"One answer, one transaction on SQLite; {rounds} answers each.",
        "",
        "| cells | | without | with | more | goal |",
        "|---|---|---|---|---|---|",
    ]
    for count in (10, 100, CELLS):
        place = folder / str(count)
        place.mkdir()
        environment = {"PAUSEFLOW_DATA_DIR": str(place / "store")}
        cells = [_IMPORT, *["1"] * (count - 2), "%%step ask\nflow.suspend()"]
        template = databases.first_suspended(environment, place, cells)
        with databases.opened(environment) as queue:
            databases.fill(queue, template, 0, 2 * rounds)
            taken: dict[str, list[Figures]] = {"without": [], "with": []}
            for n in range(2 * rounds):
                kind = "with" if n % 2 else "without"
                taken[kind].append(_settle(queue, databases.name(n), is_recorded=kind == "with"))
        before, after = (_median(found) for found in taken.values())
        for name in ("wall", "processor"):
            ms = [each[name] * 1000 for each in (before, after)]
            more = ms[1] - ms[0]
            goal = f"at most {_SETTLING_MS:g} ms: {'reached' if more <= _SETTLING_MS else 'MISSED'}"
            lines.append(f"| {count:,} | {name} | {ms[0]:.2f} ms | {ms[1]:.2f} ms | {more:+.2f} ms | {goal} |")
    return lines


def _settle(queue: Queue, execution: str, *, is_recorded: bool) -> Figures:
    record = next_segments.record_decisions
    if not is_recorded:
        next_segments.record_decisions = lambda *_: {}
    began, used = time.perf_counter(), time.process_time()
    answer = queue.settle(Claim(execution, 0, "ask", 0, "resume"), Callback("resume", None, "link"))
    taken = {"wall": time.perf_counter() - began, "processor": time.process_time() - used}
    next_segments.record_decisions = record
    assert answer.status == 200, answer.body
    return taken


def _median(found: list[Figures]) -> Figures:
    return {name: statistics.median(each[name] for each in found) for name in found[0]}


if __name__ == "__main__":
    main()
