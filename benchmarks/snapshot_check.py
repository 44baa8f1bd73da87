"""What it costs to check a whole snapshot, the setting `snapshot_check`: one array of 1 GiB, saved and restored.

Both ways in turn, several rounds, each in a new process; the median. In brackets the seconds of computing, which
other work on the machine disturbs little. `python benchmarks/snapshot_check.py`.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROUNDS = 5
PROGRAM = """
import json, sys, time
import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from pauseflow_nb.kernel import snapshot
from pauseflow_nb.protocol import SnapshotRef
act, folder, is_checked, ref = sys.argv[1], sys.argv[2], sys.argv[3] == "full", sys.argv[4:]
shell = InteractiveShell()
if act == "save":
    shell.user_ns["a"] = np.random.default_rng(1).random(1 << 27)
def timed(work):
    began, computed = time.perf_counter(), time.process_time()
    done = work()
    return [time.perf_counter() - began, time.process_time() - computed], done
if act == "save":
    first, saved = timed(lambda: snapshot.save(shell, folder, is_checked=is_checked))
    shell.user_ns["a"][7] = 0
    second, saved = timed(lambda: snapshot.save(shell, folder, is_checked=is_checked))
    print(json.dumps([first, second, [saved.ref.name, saved.ref.digest]]))
else:
    print(json.dumps([timed(lambda: snapshot.restore(shell, folder, SnapshotRef(*ref), is_checked=is_checked))[0]]))
"""


def run(*arguments: str) -> list[Any]:
    """Do one thing in a process of its own, and give what it measured."""
    words = [sys.executable, "-c", PROGRAM, *arguments]
    found: list[Any] = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
    return found


def main() -> None:
    """Measure, and print a table."""
    took: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(ROUNDS):
        for check in ("fast", "full"):
            with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
                first, second, ref = run("save", folder, check)
                (restored,) = run("restore", folder, check, *ref)
            for what, seconds in (("first save", first), ("second save", second), ("restore", restored)):
                took.setdefault((what, check), []).append(seconds)
    print("| 1 GiB of float64 | fast, s | full, s |\n|---|---|---|")
    for what in ("first save", "second save", "restore"):
        cells = []
        for check in ("fast", "full"):
            passed, computed = (statistics.median(column) for column in zip(*took[what, check], strict=True))
            cells.append(f"{passed:.3f} ({computed:.3f})")
        print(f"| {what} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
