"""How fast and how small snapshots are, beside cloudpickle, dill, Kishu, ElasticNotebook and plain writing.

    python benchmarks/snapshot.py             all cases, three rounds, table to benchmarks/results/snapshot.md
    python benchmarks/snapshot.py --rounds 1 --cases many,forest --no-write
    python benchmarks/snapshot.py --elastic FOLDER   ElasticNotebook from this clone, not from GitHub

Every contender runs in processes of its own: one that makes the variables and saves them twice, and one
that restores them. Contenders take turns within a round, so that the machine's moods meet all of them.
Times include the fsync that makes a save durable; each figure is the median of the rounds. Kishu and
ElasticNotebook, which take up to half a minute for a save, are asked in the first round only, and live in
environments of their own (below `.venv`, made once).

The host of a virtual machine takes back memory that nobody has touched for seconds, and gives it again page by
page: reading the arrays of a fitted forest for the first time after that took 12 ms or 210 ms, whoever read them.
Before the clock starts, each contender's process therefore has memory for the page cache (`_warm`) and for all that
it holds (`take_memory_back`).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from beside import elastic_notebook, kishu
from beside.cases import CASES, CONTENDERS, STEPS, Names
from beside.machine import take_memory_back
from beside.snapshot_table import table

#: Those that live in environments of their own: what saves, and what restores.
APART = {
    "kishu": (kishu.saver, kishu.restorer),
    "elasticnotebook": (elastic_notebook.saver, elastic_notebook.restorer),
    "elasticnotebook-storing": (elastic_notebook.storing_saver, elastic_notebook.restorer),
}


def main() -> None:
    arguments = _arguments()
    if arguments.worker:
        print(json.dumps(_WORK[arguments.worker](arguments)))
        return
    pythons = _environments(arguments)
    results: dict[tuple[str, str], list[Names]] = {}
    for number in range(arguments.rounds):
        for place, case in enumerate(arguments.cases):
            # They take turns in coming first, too.
            turn = (number + place) % len(CONTENDERS)
            for contender in (*CONTENDERS[turn:], *CONTENDERS[:turn]):
                if contender == "raw" and case not in {"array", "frame"}:
                    continue
                if contender in APART and (number or contender not in pythons):
                    continue
                measured = _measure(case, contender, pythons.get(contender))
                print(f"round {number + 1}, {case}, {contender}: {measured}", file=sys.stderr)
                results.setdefault((case, contender), []).append(measured)
    steps = _run(["--worker", "steps"]) if "steps" not in arguments.without else None
    text = table(results, steps, arguments.rounds)
    print(text)
    if arguments.write:
        target = Path(__file__).parent / "results" / "snapshot.md"
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", type=lambda text: text.split(","), default=list(CASES))
    parser.add_argument("--without", default="")
    parser.add_argument("--elastic", help="folder or address of ElasticNotebook's repository, if not GitHub's")
    parser.add_argument("--no-write", dest="write", action="store_false")
    parser.add_argument("--worker", choices=("save", "restore", "steps"))
    parser.add_argument("--case")
    parser.add_argument("--contender")
    parser.add_argument("--folder")
    parser.add_argument("--token", default="")
    return parser.parse_args()


def _environments(arguments: argparse.Namespace) -> dict[str, Path]:
    wanted: dict[str, Callable[[], Path | None]] = {
        "kishu": kishu.environment,
        "elasticnotebook": partial(elastic_notebook.environment, arguments.elastic),
    }
    made = {name: make() for name, make in wanted.items() if name not in arguments.without}
    made["elasticnotebook-storing"] = made.get("elasticnotebook")
    return {name: python for name, python in made.items() if python is not None}


def _measure(case: str, contender: str, python: Path | None) -> Names:
    folder = tempfile.mkdtemp(prefix="pauseflow-bench-", dir=os.environ.get("PAUSEFLOW_BENCH_DIR"))
    try:
        common = ["--case", case, "--contender", contender, "--folder", folder]
        saved = _run(["--worker", "save", *common], python)
        token = saved.pop("token", None)
        if contender == "raw" or token is None:
            return saved
        return saved | _run(["--worker", "restore", *common, "--token", token], python)
    finally:
        shutil.rmtree(folder)


def _run(arguments: list[str], python: Path | None = None) -> Names:
    command = [str(python or sys.executable), __file__, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode and python:
        # Some cannot save everything; the others are measured all the same.
        print(done.stderr[-3000:], file=sys.stderr)
        reason = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
        return {"failed": reason[:100].replace("|", "/")}
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    answer: Names = json.loads(done.stdout.splitlines()[-1])
    return answer


# --- in a process of its own -------------------------------------------------------------------------


def _shell() -> Any:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    return InteractiveShell.instance(config=config)


def _save(arguments: argparse.Namespace) -> Names:
    _, make, change, _ = CASES[arguments.case]
    mark = elastic_notebook.MARK if arguments.contender.startswith("elasticnotebook") else ""
    shell = _shell()
    # Before the first cell: some watch the cells.
    save = _SAVERS[arguments.contender](shell, arguments.folder)
    shell.run_cell(mark + make).raise_error()
    _warm(arguments.folder)
    os.sync()
    take_memory_back()
    memory = _memory()
    answers: Names = {"memory_kb": memory["VmRSS"]}
    with _Clock(answers, "save"):
        token, answers["bytes"] = save()
    answers["extra_kb"] = max(0, _memory()["VmHWM"] - memory["VmHWM"])
    shell.run_cell(mark + change).raise_error()
    os.sync()
    take_memory_back()
    with _Clock(answers, "save_again"):
        token, answers["bytes_again"] = save()
    if arguments.contender.startswith("elasticnotebook"):
        answers["watching"] = elastic_notebook.watching(shell)
    return {**answers, "token": token}


def _warm(folder: str) -> None:
    # A virtual machine takes page cache that it has not used lately from its host, page by page, which costs
    # more than a save. Whoever happens to come first would pay for it.
    path = Path(folder, "warm")
    block = bytes(1 << 24)
    with path.open("wb", buffering=0) as file:
        for _ in range(96):
            file.write(block)
    path.unlink()


def _pauseflow(shell: Any, folder: str) -> Callable[[], tuple[str, int]]:
    import pauseflow_nb.kernel.snapshot.saving  # noqa: F401 - loaded before the clock starts, as cloudpickle is
    from pauseflow_nb.kernel import snapshot

    snapshot.note_start(shell)

    def save() -> tuple[str, int]:
        saved = snapshot.save(shell, folder)
        assert not saved.unsaved, saved.unsaved
        return json.dumps([saved.ref.name, saved.ref.digest]), saved.written

    return save


def _cloudpickle(shell: Any, folder: str) -> Callable[[], tuple[str, int]]:
    import cloudpickle

    from pauseflow_nb.kernel.snapshot.user_names import find_user_names

    return _file_saver(
        folder, lambda file: cloudpickle.dump({name: shell.user_ns[name] for name in find_user_names(shell)}, file)
    )


def _dill(shell: Any, folder: str) -> Callable[[], tuple[str, int]]:
    import types

    import dill

    from pauseflow_nb.kernel.snapshot.user_names import find_user_names

    module = types.ModuleType("notebook")
    sys.modules["notebook"] = module

    def dump(file: Any) -> None:
        vars(module).update({name: shell.user_ns[name] for name in find_user_names(shell)})
        dill.dump_module(file, module=module)

    return _file_saver(folder, dump)


def _raw(shell: Any, folder: str) -> Callable[[], tuple[str, int]]:
    def dump(file: Any) -> None:
        for array in _arrays(shell):
            file.write(memoryview(array).cast("B"))

    return _file_saver(folder, dump)


def _arrays(shell: Any) -> list[Any]:
    import numpy as np

    if "a" in shell.user_ns:
        return [shell.user_ns["a"]]
    size = sum(column.memory_usage(index=False, deep=False) for _, column in shell.user_ns["df"].items())
    return [np.ones(size, "u1")]


def _file_saver(folder: str, dump: Callable[[Any], None]) -> Callable[[], tuple[str, int]]:
    def save() -> tuple[str, int]:
        path = Path(folder, "saved")
        with path.with_suffix(".part").open("wb") as file:
            dump(file)
            file.flush()
            os.fsync(file.fileno())
        path.with_suffix(".part").rename(path)
        return str(path), path.stat().st_size

    return save


_SAVERS = {
    "pauseflow": _pauseflow,
    "cloudpickle": _cloudpickle,
    "dill": _dill,
    "raw": _raw,
    **{name: saver for name, (saver, _) in APART.items()},
}


def _restore(arguments: argparse.Namespace) -> Names:
    shell = _shell()
    # What any notebook has imported; importing it is nobody's restore.
    import numpy as np  # noqa: F401
    import pandas as pd  # noqa: F401

    if arguments.case == "forest":
        import sklearn.ensemble  # noqa: F401
    restore, names = _restorer(shell, arguments)
    answers: Names = {}
    with _Clock(answers, "restore"):
        restore()
    if not eval(CASES[arguments.case][3], names):
        raise SystemExit("what was restored is not what was saved")
    return answers


def _restorer(shell: Any, arguments: argparse.Namespace) -> tuple[Callable[[], object], Names]:
    """Give what restores, its code loaded before the clock starts, and the names that it restores into."""
    if arguments.contender in APART:
        _, restorer = APART[arguments.contender]
        return restorer(shell, arguments.folder, arguments.token), shell.user_ns
    if arguments.contender == "pauseflow":
        from pauseflow_nb.kernel import snapshot
        from pauseflow_nb.kernel.snapshot import restore
        from pauseflow_nb.protocol import SnapshotRef

        ref = SnapshotRef(*json.loads(arguments.token))
        return partial(snapshot.restore, shell, arguments.folder, ref), shell.user_ns
    import types

    import cloudpickle
    import dill

    if arguments.contender == "dill":
        module = sys.modules["notebook"] = types.ModuleType("notebook")
        return partial(dill.load_module, arguments.token, module=module), vars(module)

    def restore() -> None:
        with Path(arguments.token).open("rb") as file:
            shell.user_ns.update(cloudpickle.load(file))

    return restore, shell.user_ns


class _Clock:
    """Measures a block: seconds by the clock, and those that this process spent computing."""

    def __init__(self, answers: Names, name: str) -> None:
        self._answers, self._name = answers, name

    def __enter__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def __exit__(self, *_error: object) -> None:
        self._answers[self._name] = time.perf_counter() - self._began[0]
        self._answers[f"{self._name}_cpu"] = time.process_time() - self._began[1]


def _steps(_: argparse.Namespace) -> Names:
    """Fifty steps of a second each over 2 GB of arrays and 200,000 objects, with a checkpoint after each."""
    from pauseflow_nb.kernel import snapshot

    shell = _shell()
    snapshot.note_start(shell)
    shell.run_cell(
        "import numpy as np\nr = np.random.default_rng(0)\na = r.random(1 << 27); b = r.random(1 << 27)\n"
        "log = [(i, f'n{i}') for i in range(66_667)]"
    )
    folder = tempfile.mkdtemp(prefix="pauseflow-bench-", dir=os.environ.get("PAUSEFLOW_BENCH_DIR"))
    try:
        # It tells how quick memory and disk are, and is to this what `_warm` is to the other cases.
        plain = _write_plainly(folder, [memoryview(shell.user_ns[name]).cast("B") for name in ("a", "b")])
        times, began, computing = [], time.perf_counter(), 0.0
        for step in range(STEPS):
            shell.run_cell(f"a[{step} * 100_000 : {step} * 100_000 + 1000] += 1; log.append(({step}, 'done'))")
            time.sleep(1)
            saving, computed = time.perf_counter(), time.process_time()
            snapshot.save(shell, folder)
            times.append(time.perf_counter() - saving)
            computing += time.process_time() - computed
        total = time.perf_counter() - began
    finally:
        shutil.rmtree(folder)
    later = times[1:]
    return {
        "plain": plain,
        "first": times[0],
        "median": statistics.median(later),
        "worst": max(later),
        "share": sum(times) / total,
        "computing": computing,
    }


def _write_plainly(folder: str, data: list[memoryview]) -> float:
    """Write bytes with fsync, as a program would that does nothing else; returns the seconds."""
    path, began = Path(folder, "plain"), time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for view in data:
            for start in range(0, len(view), 1 << 24):
                file.write(view[start : start + (1 << 24)])
        os.fsync(file.fileno())
    seconds = time.perf_counter() - began
    path.unlink()
    return seconds


_WORK: dict[str, Callable[[argparse.Namespace], Names]] = {"save": _save, "restore": _restore, "steps": _steps}


def _memory() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "VmHWM"))}


if __name__ == "__main__":
    main()
