"""Headless runs beside papermill, nbclient and jupyter-scheduler; and how soon an answer reaches the next line.

    python benchmarks/headless.py                  everything, table to benchmarks/results/headless.md
    python benchmarks/headless.py --quick          one round of the small ones, nothing written

Contenders take turns within a round, so that the machine's moods meet all of them; each figure is the
median of the rounds, each ratio is between medians of one run. Processor seconds are those of the
process and all its children: other work on the machine does not disturb them much.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from beside import machine, peers, programs, served

PARTS = ("commands", "worker", "answers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of the small cases; nothing is written")
    parser.add_argument("--only", choices=PARTS, help="one part; nothing is written")
    parser.add_argument("--no-peers", action="store_true", help="leave out what needs an environment of its own")
    parser.add_argument("--suspended", type=int, default=10_000)
    asked = parser.parse_args()
    load, started = os.getloadavg()[0], time.monotonic()
    python = None if asked.no_peers else peers.environment()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PAUSEFLOW_DATA_DIR"] = str(folder / "store")
        # The tables of a store are made once, not at every command.
        programs.take(programs.OURS, programs.write_notebook(folder / "first.ipynb", ["1"]), folder, None)
        lines: list[str] = []
        for part in [asked.only] if asked.only else PARTS:
            lines += {"commands": _commands, "worker": _worker, "answers": _answers}[part](asked, folder, python)
    installed = ", ".join(filter(None, [machine.described(), peers.versions(python)]))
    about = f"{installed}. Load at the start {load:.1f}, at the end"
    about += (
        f" {os.getloadavg()[0]:.1f}; {(time.monotonic() - started) / 60:.0f} minutes. `python benchmarks/headless.py`."
    )
    table = "\n".join(["# Headless runs", "", about, *lines]) + "\n"
    print(table)
    if not (asked.quick or asked.only):
        Path(__file__).parent.joinpath("results", "headless.md").write_text(table)


def _commands(asked: argparse.Namespace, folder: Path, python: Path | None) -> list[str]:
    lines = [
        *["", "## A notebook as a command", ""],
        "Ratio: papermill's time over this one's, by the clock and, in brackets, of the processor. jupyter-scheduler: a job as",
        "its server starts one, without a browser and its polling.",
        "",
        "| case | program | wall | processor | papermill / this | goal |",
        "|---|---|---|---|---|---|",
    ]
    for case, (rounds, _) in programs.CASES.items():
        if not asked.quick or rounds > 2:
            lines += programs.compare(case, 1 if asked.quick else rounds, folder, python)
    return lines


def _worker(asked: argparse.Namespace, folder: Path, _python: Path | None) -> list[str]:
    return [
        *["", "## Through a worker that runs, kernels forked", ""],
        "| case | beside | its | ours | ratio | goal |",
        "|---|---|---|---|---|---|",
        *served.through_worker(folder, 6 if asked.quick else 24),
    ]


def _answers(asked: argparse.Namespace, folder: Path, python: Path | None) -> list[str]:
    count, waiting = (3, 200) if asked.quick else (30, asked.suspended)
    ours = served.callbacks(folder, count, waiting)
    theirs, prefect = peers.answers(python, folder, quick=asked.quick)
    lines = [
        *["", "## From an answer to the next line of code", ""],
        "| | p50 | p99 | goal | each that waits |",
        "|---|---|---|---|---|",
        *[*ours, *theirs],
    ]
    if prefect is not None:
        forked = next(line for line in ours if "forked" in line)
        times = prefect / float(forked.split("|")[2].split()[0])
        reached = "reached" if times >= 20 else "MISSED"
        lines += ["", f"Prefect's median over ours, forked and alone: {times:.0f}x (goal: 20x, {reached})."]
    return lines


if __name__ == "__main__":
    main()
