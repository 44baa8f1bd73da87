"""What is left after a pause, and what runs again: tried with this package and with others, as far as they can be had.

python benchmarks/pauses.py                    all, table to benchmarks/results/pauses.md
python benchmarks/pauses.py --only Airflow     one; nothing is written
"""

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from beside import environments, peers

SCRIPTS = Path(__file__).parent / "beside" / "pauses"
#: Contender → its script, and the packages that name its version.
CONTENDERS = {
    "pauseflow_nb": ("ours.py", "pauseflow-nb"),
    "papermill": ("papermill_retry.py", "papermill"),
    "jupyter-scheduler": ("scheduler_retry.py", "jupyter-scheduler"),
    "Prefect": ("prefect_suspend.py", "prefect"),
    "Airflow": ("airflow_hitl.py", "apache-airflow"),
    "LangGraph": ("langgraph_interrupt.py", "langgraph"),
}
_VERSION = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=CONTENDERS, help="one contender; nothing is written")
    asked = parser.parse_args()
    lines = [f"{datetime.now(tz=UTC).date()}. `python benchmarks/pauses.py`.", ""]
    for name, (script, package) in CONTENDERS.items():
        if asked.only in {None, name}:
            lines += _try(name, script, package)
            print("\n".join(lines[-1:]), flush=True)
    table = "\n".join(["# What is left after a pause, and what runs again", "", *lines]).rstrip() + "\n"
    print(table)
    if asked.only is None:
        (Path(__file__).parent / "results" / "pauses.md").write_text(table)


def _try(name: str, script: str, package: str) -> list[str]:
    """Run a contender's script; returns its section of the page."""
    python = _python(name)
    if python is None:
        return [f"## {name}", "", "It could not be installed here.", ""]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([python, SCRIPTS / script, folder], stdout=subprocess.PIPE, text=True, check=True)
    version = subprocess.run([python, "-c", _VERSION, package], capture_output=True, text=True, check=True).stdout
    found = json.loads(done.stdout.splitlines()[-1])
    return [f"## {name} {version.strip()}", "", *(f"- {what}: {_say(value)}" for what, value in found.items()), ""]


def _python(name: str) -> Path | None:
    if name in {"pauseflow_nb", "papermill"}:
        return Path(sys.executable)
    if name == "Airflow":
        return environments.environment("airflow", "Airflow", ["apache-airflow>=3.1"])
    return peers.environment()


def _say(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_say(each)}" for name, each in value.items())
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


if __name__ == "__main__":
    main()
