"""What others need from an answer to the next line, in the same run: Prefect, DBOS, LangGraph.

They and jupyter-scheduler live in an environment of their own, which is made once: some of them ask for
other versions of our dependencies.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path

from beside import environments
from beside.served import percentile

_PACKAGES = ["prefect>=3.9", "langgraph", "langgraph-checkpoint-sqlite", "jupyter-scheduler", "ipykernel", "pandas"]

#: Name, script, rounds, what is installed where: in the environment of the peers, or in ours.
_CONTENDERS = (
    ("Prefect, `suspend_flow_run`, `flow.serve`", "prefect_suspend.py", 7, True),
    ("DBOS, `recv`, in a process that stays", "dbos_recv.py", 30, False),
    ("LangGraph, `interrupt`, in a new process", "langgraph_resume.py", 7, True),
)

#: Not run again here: npm's tree of it is larger than all else together.
EARLIER = "| Mastra 1.71, in a new process (measured earlier on a machine of this kind) | 0.77 s | | | |"


def environment() -> Path | None:
    """Give the Python of the peers' environment, made if need be; None where it cannot be."""
    return environments.environment("peers", "Prefect, LangGraph and jupyter-scheduler", _PACKAGES)


def answers(python: Path | None, folder: Path, *, quick: bool) -> tuple[list[str], float | None]:
    """Measure the peers.

    Returns:
        Lines of the table, and Prefect's median.
    """
    lines, prefect = [], None
    for name, script, rounds, is_foreign in _CONTENDERS:
        if is_foreign and python is None:
            continue
        below = folder / script
        below.mkdir()
        words = [str(python if is_foreign else sys.executable), str(Path(__file__).with_name(script))]
        done = subprocess.run(
            [*words, str(2 if quick else rounds), str(below)], capture_output=True, text=True, check=False, timeout=600
        )
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
        taken = json.loads(done.stdout.splitlines()[-1])
        p50 = statistics.median(taken)
        prefect = p50 if script.startswith("prefect") else prefect
        lines.append(f"| {name} | {p50:.2f} s | {percentile(taken, 0.99):.2f} s | | |")
        print(lines[-1], flush=True)
    return [*lines, EARLIER], prefect


def versions(python: Path | None) -> str:
    """Name what the peers' environment has."""
    if python is None:
        return ""
    code = (
        "from importlib.metadata import version as v\n"
        "print(', '.join(f'{n} {v(n)}' for n in ('jupyter-scheduler', 'prefect', 'langgraph')))"
    )
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
