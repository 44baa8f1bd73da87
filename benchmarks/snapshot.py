"""How fast and how small snapshots are, beside cloudpickle, dill, Kishu, and writing the same bytes to the disk.

    python benchmarks/snapshot.py             all cases, three rounds, table to benchmarks/results/snapshot.md
    python benchmarks/snapshot.py --rounds 1 --cases many,forest --no-write

Every contender runs in processes of its own: one that makes the variables and saves them twice, and one
that restores them. Contenders take turns within a round, so that the machine's moods meet all of them.
Times include the fsync that makes a save durable; each figure is the median of the rounds. Kishu, which
takes up to half a minute for a save, is asked in the first round only, and lives in an environment of its own
(`.venv/kishu`, made once).
"""

# ruff: noqa: ISC004 - the cells below are texts of several lines
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: Cells that make the variables, and that change a little of them.
CASES = {
    "array": (
        "1 GiB of float64",
        "import numpy as np\na = np.random.default_rng(0).random(1 << 27)",
        "a[12345] = 1.0",
    ),
    "frame": (
        "5 million rows, 8 mixed columns",
        "import numpy as np, pandas as pd\nr = np.random.default_rng(0); n = 5_000_000\n"
        "df = pd.DataFrame({'f1': r.random(n), 'f2': r.random(n), 'f3': r.random(n), 'i1': r.integers(0, 100, n),\n"
        "  'i2': r.integers(0, 10**9, n), 'c': pd.Categorical.from_codes(r.integers(0, 5, n), list('abcde')),\n"
        "  't': pd.Timestamp('2026') + pd.to_timedelta(np.arange(n), unit='s'),\n"
        "  's': pd.Series(np.array(['alpha', 'beta', 'gamma'])[r.integers(0, 3, n)], dtype='str')})\ndel r, n",
        "df.loc[17, 'f2'] = 0.5",
    ),
    "objects": (
        "2 million small objects",
        "users = [{'id': i, 'name': f'user {i}', 'scores': [i, i * 0.5]} for i in range(1000, 334_000)]",
        "users[77]['scores'][1] = 1.5",
    ),
    "many": (
        "300 ordinary variables",
        "import pandas as pd\nfor i in range(100):\n"
        "  globals()[f'n{i}'] = i; globals()[f'l{i}'] = list(range(50))\n"
        "  globals()[f'f{i}'] = pd.DataFrame({'a': range(20), 'b': ['x'] * 20})",
        "n5 = 99",
    ),
    "forest": (
        "a random forest, 100 trees",
        "from sklearn.ensemble import RandomForestRegressor\nfrom sklearn.datasets import make_regression\n"
        "X, y = make_regression(20_000, 10, random_state=0)\n"
        "model = RandomForestRegressor(100, random_state=0, n_jobs=2).fit(X, y)",
        "model.note = 'changed'",
    ),
}
CONTENDERS = ("pauseflow", "cloudpickle", "dill", "kishu", "raw")
#: ElasticNotebook is no package, and asks for numpy 1.22.
EARLIER = (
    "ElasticNotebook was measured earlier on a machine of this kind: first save, restore, second save of the array "
    "6.1, 4.4, 2.8 s; of the objects 11.7, 1.7, 9.3 s; first save and restore of the frame 0.83, 0.37 s; of the 300 "
    "variables 0.22, 0.03 s."
)
STEPS = 50

Names = dict[str, Any]


def main() -> None:
    arguments = _arguments()
    if arguments.worker:
        print(json.dumps(_WORK[arguments.worker](arguments)))
        return
    kishu = _kishu_environment() if "kishu" not in arguments.without else None
    results: dict[tuple[str, str], list[Names]] = {}
    for number in range(arguments.rounds):
        for place, case in enumerate(arguments.cases):
            # They take turns in coming first, too.
            turn = (number + place) % len(CONTENDERS)
            for contender in (*CONTENDERS[turn:], *CONTENDERS[:turn]):
                if contender == "raw" and case not in {"array", "frame"}:
                    continue
                if contender == "kishu" and (number or kishu is None):
                    continue
                measured = _measure(case, contender, kishu if contender == "kishu" and kishu else sys.executable)
                print(f"round {number + 1}, {case}, {contender}: {measured}", file=sys.stderr)
                results.setdefault((case, contender), []).append(measured)
    steps = _run(["--worker", "steps"]) if "steps" not in arguments.without else None
    text = _table(results, steps, arguments.rounds)
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
    parser.add_argument("--no-write", dest="write", action="store_false")
    parser.add_argument("--worker", choices=("save", "restore", "steps"))
    parser.add_argument("--case")
    parser.add_argument("--contender")
    parser.add_argument("--folder")
    parser.add_argument("--token", default="")
    return parser.parse_args()


def _kishu_environment() -> str | None:
    """Give the Python of Kishu's environment, made if need be; None where it cannot be."""
    folder = Path(__file__).parents[1] / ".venv" / "kishu"
    python, done = folder / "bin" / "python", folder / "done"
    if not done.exists():
        print("installing Kishu (once) …", file=sys.stderr)
        same = [f"{name}=={version(name)}" for name in ("numpy", "pandas", "pyarrow", "scikit-learn", "ipython")]
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        if subprocess.run([python, "-m", "pip", "install", "-q", "kishu", *same], check=False).returncode:
            print("it could not be installed, and is left out", file=sys.stderr)
            return None
        done.touch()
    return str(python)


def _measure(case: str, contender: str, python: str) -> Names:
    folder = tempfile.mkdtemp(prefix="pauseflow-bench-", dir=os.environ.get("PAUSEFLOW_BENCH_DIR"))
    try:
        common = ["--case", case, "--contender", contender, "--folder", folder]
        saved = _run(["--worker", "save", *common], python)
        token = saved.pop("token")
        if contender == "raw":
            return saved
        return saved | _run(["--worker", "restore", *common, "--token", token], python)
    finally:
        shutil.rmtree(folder)


def _run(arguments: list[str], python: str = sys.executable) -> Names:
    command = [python, __file__, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
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
    _, make, change = CASES[arguments.case]
    shell = _shell()
    # Before the first cell: some watch the cells.
    save = _SAVERS[arguments.contender](shell, arguments.folder)
    shell.run_cell(make)
    _warm(arguments.folder)
    os.sync()
    memory = _memory()
    answers: Names = {"memory_kb": memory["VmRSS"]}
    with _Clock(answers, "save"):
        token, answers["bytes"] = save()
    answers["extra_kb"] = max(0, _memory()["VmHWM"] - memory["VmHWM"])
    shell.run_cell(change)
    os.sync()
    with _Clock(answers, "save_again"):
        token, answers["bytes_again"] = save()
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
    from pauseflow_nb.kernel import snapshot
    from pauseflow_nb.kernel.snapshot import saving  # noqa: F401 - loaded before the clock starts, as cloudpickle is

    snapshot.note_start()

    def save() -> tuple[str, int]:
        saved = snapshot.save(shell, folder)
        assert not saved.unsaved, saved.unsaved
        return json.dumps([saved.ref.name, saved.ref.digest]), saved.written

    return save


def _cloudpickle(shell: Any, folder: str) -> Callable[[], tuple[str, int]]:
    import cloudpickle

    from pauseflow_nb.kernel.snapshot.namespace import user_names

    return _file_saver(
        folder, lambda file: cloudpickle.dump({name: shell.user_ns[name] for name in user_names(shell)}, file)
    )


def _dill(shell: Any, folder: str) -> Callable[[], tuple[str, int]]:
    import types

    import dill

    from pauseflow_nb.kernel.snapshot.namespace import user_names

    module = types.ModuleType("notebook")
    sys.modules["notebook"] = module

    def dump(file: Any) -> None:
        vars(module).update({name: shell.user_ns[name] for name in user_names(shell)})
        dill.dump_module(file, module=module)

    return _file_saver(folder, dump)


def _kishu(shell: Any, folder: str) -> Callable[[], tuple[str, int]]:
    kishu = _open_kishu(shell, folder)
    ran: list[Any] = []
    # It saves after each cell; here, when it is told to.
    shell.events.register("pre_run_cell", kishu.pre_run_cell)
    shell.events.register("post_run_cell", ran.append)
    written = 0

    def save() -> tuple[str, int]:
        nonlocal written
        kishu.post_run_cell(ran[-1])
        before, written = written, sum(path.stat().st_size for path in Path(folder).glob("*.kishudb*"))
        return kishu._kishu_branch.get_head().commit_id, written - before  # noqa: SLF001 - there is no other way

    return save


def _open_kishu(shell: Any, folder: str) -> Any:
    import nbformat

    os.environ |= {"ENV_KISHU_TEST_MODE": "1", "KISHU_PATH_ROOT": folder}
    # These two are there only in its own environment.
    from kishu.jupyterint import KishuForJupyter  # type: ignore[import-not-found]
    from kishu.notebook_id import NotebookId  # type: ignore[import-not-found]

    notebook = Path(folder, "notebook.ipynb")
    if not notebook.exists():
        nbformat.write(nbformat.v4.new_notebook(), notebook)
    return KishuForJupyter(NotebookId("bench", notebook, "none"), shell)


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


_SAVERS = {"pauseflow": _pauseflow, "cloudpickle": _cloudpickle, "dill": _dill, "kishu": _kishu, "raw": _raw}


def _restore(arguments: argparse.Namespace) -> Names:
    shell = _shell()
    # What any notebook has imported; importing it is nobody's restore.
    import numpy as np  # noqa: F401
    import pandas as pd  # noqa: F401

    if arguments.case == "forest":
        import sklearn.ensemble  # noqa: F401
    if arguments.contender == "pauseflow":
        from pauseflow_nb.kernel import snapshot
        from pauseflow_nb.kernel.snapshot import restoring  # noqa: F401 - loaded before the clock starts
        from pauseflow_nb.protocol import SnapshotRef

        ref = SnapshotRef(*json.loads(arguments.token))
        answers: Names = {}
        with _Clock(answers, "restore"):
            snapshot.restore(shell, arguments.folder, ref)
        return answers
    answers = {}
    if arguments.contender == "kishu":
        kishu = _open_kishu(shell, arguments.folder)
        with _Clock(answers, "restore"):
            kishu.checkout(arguments.token, skip_notebook=True)
        return answers
    import types

    import cloudpickle
    import dill

    with _Clock(answers, "restore"):
        if arguments.contender == "dill":
            sys.modules["notebook"] = types.ModuleType("notebook")
            dill.load_module(arguments.token, module=sys.modules["notebook"])
        else:
            with Path(arguments.token).open("rb") as file:
                shell.user_ns.update(cloudpickle.load(file))
    return answers


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
    snapshot.note_start()
    shell.run_cell(
        "import numpy as np\nr = np.random.default_rng(0)\na = r.random(1 << 27); b = r.random(1 << 27)\n"
        "log = [(i, f'n{i}') for i in range(66_667)]"
    )
    folder = tempfile.mkdtemp(prefix="pauseflow-bench-", dir=os.environ.get("PAUSEFLOW_BENCH_DIR"))
    times, began, computing = [], time.perf_counter(), 0.0
    try:
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
        "first": times[0],
        "median": statistics.median(later),
        "worst": max(later),
        "share": sum(times) / total,
        "computing": computing,
    }


_WORK: dict[str, Callable[[argparse.Namespace], Names]] = {"save": _save, "restore": _restore, "steps": _steps}


def _memory() -> dict[str, int]:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("VmRSS", "VmHWM"))}


# --- the table ---------------------------------------------------------------------------------------


def _table(results: dict[tuple[str, str], list[Names]], steps: Names | None, rounds: int) -> str:
    lines = ["# Snapshots: time and bytes", "", *_machine(rounds), ""]
    lines += ["| | | first save, s | second save, s | restore, s | bytes first | bytes second | extra memory |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for case in dict.fromkeys(case for case, _ in results):
        lines += [_row(case, name, results) for name in CONTENDERS if (case, name) in results]
    lines += ["", "## Ratios", "", "| | first save | second save | restore |", "|---|---|---|---|"]
    for case in dict.fromkeys(case for case, _ in results):
        for other in CONTENDERS[1:]:
            if (case, other) in results:
                cells = [_ratio(results, case, other, what) for what in ("save", "save_again", "restore")]
                lines.append(f"| {CASES[case][0]}: time against {other} | {' | '.join(cells)} |")
        first, second = (_median(results[case, "pauseflow"], what) for what in ("save", "save_again"))
        share = _median(results[case, "pauseflow"], "bytes_again") / _median(results[case, "pauseflow"], "bytes")
        lines.append(
            f"| {CASES[case][0]}: second save against first | | {second / first:.3f}, {share:.2%} of the bytes | |"
        )
    if steps is not None:
        lines += ["", "## Checkpoints", "", f"{STEPS} one-second steps over 2 GiB of arrays and 200,000 small objects:"]
        lines += [f"first checkpoint {steps['first']:.2f} s, later ones {steps['median'] * 1000:.0f} ms (median), "]
        lines[-1] += f"{steps['worst'] * 1000:.0f} ms (worst); {steps['share']:.1%} of the run time. "
        lines[-1] += (
            f"Computing took {steps['computing']:.2f} s of it in all; the rest is waiting for disk and processor."
        )
    lines += ["", EARLIER, ""]
    return "\n".join(lines)


def _machine(rounds: int) -> list[str]:
    packages = []
    for name in ("numpy", "pandas", "scikit-learn", "cloudpickle", "dill", "ipython"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            packages.append(f"{name} not installed")
    memory = int(Path("/proc/meminfo").read_text(encoding="utf-8").split()[1]) >> 20
    now = datetime.now(tz=UTC).date()
    return [
        f"{now}, {os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}, Python {platform.python_version()}, "
        f"{', '.join(packages)}. Load of the machine by others and this, at the end: {os.getloadavg()[1]:.1f}. Median of {rounds} round(s), `python benchmarks/snapshot.py`.",
        "",
        "Every contender runs in processes of its own; saves include the fsync. In brackets: the seconds that the process",
        "spent computing, which other work on the machine does not disturb. `raw` writes as many bytes as the",
        "arrays have, with fsync, and nothing else. `extra memory` is the growth of the peak during the first save.",
    ]


def _row(case: str, contender: str, results: dict[tuple[str, str], list[Names]]) -> str:
    measured = results[case, contender]
    times = [_times(measured, what) for what in ("save", "save_again", "restore")]
    sizes = [_bytes(_median(measured, what)) for what in ("bytes", "bytes_again")]
    extra = _median(measured, "extra_kb")
    share = extra / max(_median(measured, "memory_kb"), 1)
    return f"| {CASES[case][0]} | {contender} | {' | '.join(times + sizes)} | {_bytes(extra * 1024)} ({share:.0%}) |"


def _times(measured: list[Names], what: str) -> str:
    return f"{_median(measured, what):.3f} ({_median(measured, what + '_cpu'):.3f})" if what in measured[0] else ""


def _ratio(results: dict[tuple[str, str], list[Names]], case: str, other: str, what: str) -> str:
    theirs = results[case, other]
    if what not in theirs[0]:
        return ""
    by_clock, computing = (
        _median(results[case, "pauseflow"], kind) / max(_median(theirs, kind), 1e-6) for kind in (what, f"{what}_cpu")
    )
    return f"{by_clock:.2f} ({computing:.2f})"


def _median(measured: list[Names], what: str) -> float:
    return statistics.median(float(one[what]) for one in measured)


def _bytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


if __name__ == "__main__":
    main()
