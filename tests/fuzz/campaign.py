"""`make fuzz`: every target in processes of its own, watched, until enough inputs were tried; exit code 1 on a finding.

A process that hangs or dies is a finding like an exception, and another goes on where it was.
"""

import argparse
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.findings import Finding, Findings, read_input
from fuzz.target import Target
from fuzz.targets import TARGETS
from fuzz.trying import Trial, hang_of

__all__ = ["Result", "main", "run_target"]

#: Seconds without a new input, on however busy a machine: then it hangs.
HANG_SECONDS = 180.0
#: How often a target is begun anew after a hang or a crash.
_MOST_RESTARTS = 8
_LOOK_SECONDS = 0.5
_GUIDED = "fuzz.coverage_guided"
_ROOT = Path(__file__).parents[2]


@dataclass
class Result:
    """What became of one target."""

    name: str
    tried: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    #: Kind of a finding → how often, and its file.
    findings: dict[str, tuple[int, str]] = field(default_factory=dict)


def run_target(
    name: str,
    count: int,
    first_seed: int,
    findings: Path,
    *,
    hang_seconds: float = HANG_SECONDS,
    restarts: int = _MOST_RESTARTS,
    module: str = "fuzz.trying",
) -> Result:
    """Try a target in another process; it is begun anew if it hangs or dies.

    Args:
        name: The target's.
        count: How many inputs.
        first_seed: What the inputs are made from.
        findings: Folder of the findings.
        hang_seconds: How long an input may take.
        restarts: How often it is begun anew.
        module: What is run; called as `fuzz.trying` is.
    """
    result, begun = Result(name), time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    for attempt in range(1 + restarts):
        with tempfile.TemporaryDirectory(prefix="pauseflow-fuzz-") as folder:
            trial = Trial(Path(folder))
            # Other seeds than those of the attempts before.
            words = [name, str(count - result.tried), str(first_seed + attempt * 100_003), folder, str(findings)]
            log = Path(folder, "log")
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", module, *words],
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    env=environment,
                )
                problem = _watched(name, process, trial, hang_seconds)
            tried, slowest = trial.reported()
            result.tried, result.slowest = result.tried + tried, max(result.slowest, slowest)
            kinds = Path(folder, "kinds")
            for kind, (times, file) in (json.loads(kinds.read_text()) if kinds.exists() else {}).items():
                result.findings[kind] = (result.findings.get(kind, (0, ""))[0] + times, file)
            if problem is not None:
                problem.text += "\n" + log.read_text(errors="replace")[-3000:]
                collected = Findings(findings)
                collected.add(problem)
                result.findings[problem.kind] = (1, str(collected.file_of(problem)))
            if problem is None and process.returncode == 0:
                break
    result.seconds = time.monotonic() - begun
    return result


def _watched(name: str, process: "subprocess.Popen[bytes]", trial: Trial, hang_seconds: float) -> Finding | None:
    """Wait for a process; kill it if it hangs. Returns what is to be said of its end."""
    begun = time.time()
    while True:
        try:
            process.wait(_LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if time.time() - (trial.begun_at or begun) <= hang_seconds:
                continue
            finding = hang_of(name, trial.current, hang_seconds)
            # With all that it has started, such as a server.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return finding
        if process.returncode in (0, 3):
            return None
        return Finding(name, f"the process ended with {process.returncode}", trial.current, "")


@dataclass(frozen=True)
class _Part:
    """A target, how many inputs it gets, and by which module."""

    target: Target
    count: int
    module: str = "fuzz.trying"

    @property
    def label(self) -> str:
        return self.target.name + (" (coverage)" if self.module == _GUIDED else "")


def _planned(inputs: int, only: list[str], *, by_coverage: bool) -> list[_Part]:
    chosen = [target for target in TARGETS if not only or target.name in only]
    shares = sum(target.share for target in chosen)
    parts = []
    for target in chosen:
        # Rounded up, so that there are never fewer than were asked for.
        count = -(-inputs * target.share // shares)
        guided = count // 2 if by_coverage and target.is_pure else 0
        parts.append(_Part(target, count - guided))
        if guided:
            parts.append(_Part(target, guided, _GUIDED))
    # What takes long is begun first.
    return sorted(parts, key=lambda part: part.target.is_pure)


def _print(label: str, result: Result) -> None:
    rate = result.tried / result.seconds if result.seconds else 0.0
    found = f"{len(result.findings)} findings" if result.findings else "nothing found"
    print(f"{label:<24}{result.tried:>9,}{rate:>9.0f}/s{result.slowest:>9.2f} s   {found}", flush=True)


def _replay(file: Path) -> int:
    name, given = read_input(file)
    target = next(each for each in TARGETS if each.name == name)
    with tempfile.TemporaryDirectory(prefix="pauseflow-fuzz-") as folder, target.open(Path(folder)) as check:
        check(given)
    print(f"{file}: nothing found any more")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000, help="how many in all")
    parser.add_argument(
        "--seed", type=int, default=None, help="what all inputs are made from; another one each time without it"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TARGET", choices=[target.name for target in TARGETS]
    )
    parser.add_argument("--findings", type=Path, default=_ROOT / "fuzz-findings", help="folder of the findings")
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="try the input of a finding again, and nothing else"
    )
    options = parser.parse_args(arguments)
    if options.replay is not None:
        return _replay(options.replay)
    first_seed = random.randrange(10**6) if options.seed is None else options.seed
    by_coverage = importlib.util.find_spec("atheris") is not None
    if not by_coverage:
        print("nothing is fuzzed by coverage: atheris is not installed, and has no wheel for every Python")
    parts = _planned(options.inputs, options.only, by_coverage=by_coverage)
    print(f"seed {first_seed}; {sum(part.count for part in parts):,} inputs", flush=True)
    print(f"{'target':<24}{'inputs':>9}{'rate':>11}{'dearest':>11}")
    begun = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        running = [
            pool.submit(run_target, part.target.name, part.count, first_seed, options.findings, module=part.module)
            for part in parts
        ]
        results = []
        for part, each in zip(parts, running, strict=True):
            results.append(each.result())
            _print(part.label, results[-1])
    seconds, tried = time.monotonic() - begun, sum(result.tried for result in results)
    print(f"{tried:,} inputs in {seconds:.0f} s ({tried / seconds:.0f}/s), seed {first_seed}")
    found = [(result.name, kind, *details) for result in results for kind, details in result.findings.items()]
    for name, kind, times, file in found:
        print(f"  {name}: {kind}, {times} times: {file}")
    if found:
        print("try one again: make fuzz REPLAY=FILE")
    return 1 if found or tried < options.inputs else 0


if __name__ == "__main__":
    sys.exit(main())
