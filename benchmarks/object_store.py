"""How long a new kernel waits before its first line with 1 GiB of variables in an object store: before and now.

Two arrays of 512 MiB are saved once. Then a new kernel with an empty cache restores them and reads one. The store is
moto's S3 server behind a front that answers after 20 ms and sends each response at 60 MB/s, as a connection to a real
store does. In brackets the seconds of computing of the kernel, which other work on the machine disturbs little.

`python benchmarks/object_store.py [FOLDER]`: FOLDER holds the package as it was before; without it only now is measured.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE / "tests"))
from object_store import ObjectStore, open_object_store  # noqa: E402 - it lies among the tests

ROUNDS = int(os.environ.get("ROUNDS", "3"))
PROGRAM = """
import inspect, json, sys, time
import numpy as np, s3fs
from IPython.core.interactiveshell import InteractiveShell
from pauseflow_nb.kernel import snapshot
from pauseflow_nb.protocol import SnapshotRef
folder, ref = sys.argv[1], sys.argv[2:]
shell = InteractiveShell()
if not ref:
    shell.user_ns.update(first=np.random.default_rng(1).random(1 << 26), second=np.random.default_rng(2).random(1 << 26))
    saved = snapshot.save(shell, folder)
    print(json.dumps([saved.ref.name, saved.ref.digest]))
    sys.exit()
began, computed = time.perf_counter(), time.process_time()
def now():
    return time.perf_counter() - began, time.process_time() - computed
defers = "coming" in inspect.signature(snapshot.restore).parameters
options = {"coming": {"1": "print('the first line')\\nmean = first.mean()"}} if defers else {}
restored = snapshot.restore(shell, folder, SnapshotRef(*ref), is_checked=True, **options)
first_line = now()
if defers:
    restored.deferred.bring(["first"])
shell.user_ns["first"].mean()
print(json.dumps([first_line, now()]))
"""


def run(package: Path, store: ObjectStore, *arguments: str) -> Any:
    """Run the program in a process of its own, with an empty cache; returns what it prints."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {
            **os.environ,
            **store.environment,
            "PYTHONPATH": str(package),
            "XDG_CACHE_HOME": cache,
            # moto takes long to put the parts of an upload together.
            "FSSPEC_S3": json.dumps({"config_kwargs": {"read_timeout": 600, "connect_timeout": 60}}),
        }
        words = [sys.executable, "-c", PROGRAM, f"{store.url}/snapshots", *arguments]
        done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=True, cwd=cache)
    return json.loads(done.stdout)


def main() -> None:
    """Measure, and print a table."""
    packages = {"before": Path(sys.argv[1]).resolve(), "now": HERE} if sys.argv[1:] else {"now": HERE}
    took: dict[str, list[tuple[float, float, float, float, float]]] = {name: [] for name in packages}
    with open_object_store() as store:
        ref = run(HERE, store)
        store.latency, store.speed = 0.02, 60e6
        for _ in range(ROUNDS):
            for name, package in packages.items():
                store.passed.clear()
                first_line, with_data = run(package, store, *ref)
                took[name].append((*first_line, *with_data, store.count("GET") / 1e6))
                print(name, took[name][-1], file=sys.stderr)
    print(f"| 1 GiB in two arrays | {' | '.join(packages)} |\n|---|{'---|' * len(packages)}")
    medians = {
        name: [sorted(each)[len(each) // 2] for each in zip(*rounds, strict=True)] for name, rounds in took.items()
    }
    for what, at in (("first line, s", 0), ("mean of one array, s", 2)):
        cells = (f"{median[at]:.1f} ({median[at + 1]:.1f})" for median in medians.values())
        print(f"| {what} | {' | '.join(cells)} |")
    print(f"| fetched, MB | {' | '.join(f'{median[4]:.0f}' for median in medians.values())} |")


if __name__ == "__main__":
    main()
