"""From the answer to the first line of the next cell, with 1 GiB of variables in an object store: before and now.

A kernel makes the variables and pauses; the worker's cache is wiped; the execution is answered. The store is moto's S3
server behind a front that answers after 20 ms and sends each response at 60 MB/s, as one connection to a store in the
same region does. Before and now in turn, with the same store; real workers and kernels.

`python benchmarks/object_store.py [FOLDER]`: FOLDER holds the package as it was before; without it only now is measured.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from object_store import ObjectStore, open_object_store

ROUNDS = int(os.environ.get("ROUNDS", "3"))
MAKE = """%%step make
first = np.random.default_rng(1).random(1 << 26)
second = np.random.default_rng(2).random(1 << 26)
flow.suspend()"""
GO = """%%step go
flow.export('first_line', time.time())
flow.export('mean', float(first.mean()))
flow.export('with_data', time.time())"""
CELLS = ["import numpy as np, time\nfrom pauseflow_nb import flow", MAKE, GO]


def run(package: Path, store: ObjectStore, folder: Path, *arguments: str) -> Any:
    """Run a command of the package, and return what it prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "pauseflow_nb", *arguments, "--json"],
        env=environment(package, store, folder),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def environment(package: Path, store: ObjectStore, folder: Path) -> dict[str, str]:
    """Variables of the environment: the package, a store of its own, and the bucket."""
    return {
        **os.environ,
        **store.environment,
        "PYTHONPATH": str(package),
        # moto takes long to put the parts of an upload together.
        "FSSPEC_S3": json.dumps({"config_kwargs": {"read_timeout": 600, "connect_timeout": 60}}),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PAUSEFLOW_DATA_DIR": str(folder / "data"),
        "PAUSEFLOW_STORAGE": f"{store.url}/{folder.name}",
    }


def measure(package: Path, store: ObjectStore, folder: Path) -> dict[str, float]:
    """Run the notebook once."""
    store.latency = store.speed = 0.0
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in CELLS]), folder / "in.ipynb")
    execution = run(package, store, folder, "run", "in.ipynb", "out.ipynb", "--until-pause")["id"]
    shutil.rmtree(folder / "cache")
    store.latency, store.speed = 0.02, 60e6
    store.passed.clear()
    command = [sys.executable, "-m", "pauseflow_nb", "worker"]
    worker = subprocess.Popen(command, env=environment(package, store, folder), cwd=folder, stderr=subprocess.DEVNULL)
    try:
        time.sleep(5)  # it has started by then, and waits
        answered = time.time()
        run(package, store, folder, "resume", execution, "--wait")
        ended = time.time()
        shown = run(package, store, folder, "show", execution)
        assert shown["state"] == "completed", shown
        exports = shown["steps"]["go"]["exports"]
    finally:
        worker.terminate()
        worker.wait()
    return {
        "first line, s": exports["first_line"] - answered,
        "first value from the data, s": exports["with_data"] - answered,
        "end, s": ended - answered,
        "downloaded, MB": sum(each.received for each in store.passed if each.method == "GET") / 1e6,
        "uploaded at the next save, MB": sum(each.sent for each in store.passed) / 1e6,
    }


def main() -> None:
    """Measure, and print a table."""
    packages = {"now": Path(__file__).resolve().parents[1]}
    if sys.argv[1:]:
        packages = {"before": Path(sys.argv[1]), **packages}
    took: dict[str, list[dict[str, float]]] = {name: [] for name in packages}
    for _ in range(ROUNDS):
        for name, package in packages.items():
            with open_object_store() as store, tempfile.TemporaryDirectory() as folder:
                took[name].append(measure(package, store, Path(folder)))
                print(name, took[name][-1], file=sys.stderr)
    print(f"| 1 GiB in two arrays | {' | '.join(packages)} |\n|---|{'---|' * len(packages)}")
    for what in next(iter(took.values()))[0]:
        medians = [statistics.median(each[what] for each in took[name]) for name in packages]
        print(f"| {what} | {' | '.join(f'{median:.2f}' for median in medians)} |")


if __name__ == "__main__":
    main()
