"""The table of benchmarks/snapshot.py."""

import os
import platform
import statistics
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from beside import elastic_notebook
from beside.cases import CASES, CONTENDERS, STEPS, Names


def table(results: dict[tuple[str, str], list[Names]], steps: Names | None, rounds: int) -> str:
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
        lines += [f"first checkpoint {steps['first']:.2f} s (plain writing of the arrays with fsync, just before, "]
        lines[-1] += f"{steps['plain']:.2f} s), later ones {steps['median'] * 1000:.0f} ms (median), "
        lines[-1] += f"{steps['worst'] * 1000:.0f} ms (worst); {steps['share']:.1%} of the run time. "
        lines[-1] += (
            f"Computing took {steps['computing']:.2f} s of it in all; the rest is waiting for disk and processor."
        )
    lines += ["", *elastic_notebook.about(results)]
    measured = {contender for _, contender in results}
    if left_out := [name for name in ("kishu", "elasticnotebook") if name not in measured]:
        lines += [f"Left out, as not asked for or not to be had: {', '.join(left_out)}.", ""]
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
        f"{now}, {os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}, Python {platform.python_version()}, {', '.join(packages)}. Load of the machine by others and this, at the end: {os.getloadavg()[1]:.1f}. Median of {rounds} round(s), `python benchmarks/snapshot.py`.",
        "",
        "Every contender runs in processes of its own; saves include the fsync. In brackets: the seconds that the process",
        "spent computing, which other work on the machine does not disturb. `raw` writes as many bytes as the",
        "arrays have, with fsync, and nothing else. `extra memory` is the growth of the peak during the first save.",
    ]


def _row(case: str, contender: str, results: dict[tuple[str, str], list[Names]]) -> str:
    measured = results[case, contender]
    if "save" not in measured[0]:
        return f"| {CASES[case][0]} | {contender} | failed: {measured[0]['failed']} | — | — | — | — | — |"
    times = [_times(measured, what) for what in ("save", "save_again", "restore")]
    sizes = [_bytes(_median(measured, what)) for what in ("bytes", "bytes_again")]
    extra = _median(measured, "extra_kb")
    share = extra / max(_median(measured, "memory_kb"), 1)
    return f"| {CASES[case][0]} | {contender} | {' | '.join(times + sizes)} | {_bytes(extra * 1024)} ({share:.0%}) |"


def _times(measured: list[Names], what: str) -> str:
    if what not in measured[0]:
        return f"failed: {measured[0]['failed']}" if "failed" in measured[0] else ""
    return f"{_median(measured, what):.3f} ({_median(measured, what + '_cpu'):.3f})"


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
