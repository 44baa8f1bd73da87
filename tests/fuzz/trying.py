"""Give one target many inputs, in a process of its own, and leave what was found where another process reads it."""

import json
import os
import pickle
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz.findings import Finding, Findings, finding_of
from fuzz.target import Check, Target
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as effort

__all__ = ["CPU_SECONDS", "TooSlow", "Trial", "hang_of", "limited", "main", "raise_too_slow", "try_target"]

#: What one input may cost, in seconds of the processor: a hundred times what the dearest honest one does.
CPU_SECONDS = 10.0
#: Hypothesis remembers what it has tried: with this many inputs it still fits into little memory.
_BATCH = 2000


class TooSlow(BaseException):
    """An input takes more time than any input may."""


@dataclass
class Trial:
    """Where a process says what it does, for another that watches it."""

    folder: Path

    def begin(self, given: Any) -> None:
        """Note the input that is about to be tried."""
        (self.folder / "current").write_bytes(pickle.dumps(given))

    @property
    def begun_at(self) -> float | None:
        """When the last input was begun, in seconds since 1970."""
        try:
            return (self.folder / "current").stat().st_mtime
        except FileNotFoundError:
            return None

    @property
    def current(self) -> Any:
        """The input that was begun last; None if there was none."""
        file = self.folder / "current"
        return pickle.loads(file.read_bytes()) if file.exists() else None

    def report(self, tried: int, slowest: float) -> None:
        """Note how far it has come."""
        part = self.folder / "report.part"
        part.write_text(json.dumps({"tried": tried, "slowest": slowest}))
        part.replace(self.folder / "report")

    def reported(self) -> tuple[int, float]:
        """How many inputs were tried, and the seconds of the dearest."""
        file = self.folder / "report"
        if not file.exists():
            return 0, 0.0
        outcome = json.loads(file.read_text())
        return outcome["tried"], outcome["slowest"]


def try_target(
    target: Target, count: int, first_seed: int, findings: Findings, trial: Trial, cpu_seconds: float = CPU_SECONDS
) -> None:
    """Try inputs until there were enough.

    Raises:
        TooSlow: If one does not end although it has had its time: what runs it is of no use any more.
    """
    tried, slowest = 0, 0.0

    with tempfile.TemporaryDirectory(prefix="pauseflow-fuzz-") as folder, target.open(Path(folder)) as check:

        def one(value: Any) -> None:
            nonlocal tried, slowest
            trial.begin(value)
            begun = time.process_time()
            try:
                with limited(cpu_seconds):
                    check(value)
            except (Exception, TooSlow) as problem:
                findings.add(finding_of(target.name, value, problem))
                if isinstance(problem, TooSlow | TimeoutError) and not target.is_pure:
                    raise
            except BaseException as problem:
                # What Rust raises when it panics; `KeyboardInterrupt` and Hypothesis's own go on their way.
                if type(problem).__name__ != "PanicException":
                    raise
                findings.add(finding_of(target.name, value, problem))
            slowest = max(slowest, time.process_time() - begun)
            tried += 1
            if tried % 100 == 0:
                trial.report(tried, slowest)

        batch = 0
        while tried < count:
            _batch(target, min(_BATCH, count - tried), first_seed + batch, one)
            batch += 1
    trial.report(tried, slowest)


def _batch(target: Target, count: int, number: int, one: Check) -> None:
    @effort(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @seed(number)
    @given(target.inputs)
    def trying(value: Any) -> None:
        one(value)

    trying()


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TooSlow` in this thread once the process has used so much time of the processor."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def raise_too_slow(_signal: int, _frame: FrameType | None) -> None:
    """Handle the signal of `limited`."""
    raise TooSlow("it takes too much of the processor's time")


def main(targets: Sequence[Target], *, cpu_seconds: float = CPU_SECONDS) -> None:
    """Do what the command line says: `TARGET COUNT SEED FOLDER FINDINGS`. Ends the process."""
    name, count, first_seed, folder, findings = sys.argv[1:]
    signal.signal(signal.SIGPROF, raise_too_slow)
    target = next(each for each in targets if each.name == name)
    collected, trial = Findings(Path(findings)), Trial(Path(folder))
    code = 0
    try:
        try_target(target, int(count), int(first_seed), collected, trial, cpu_seconds)
    except (TooSlow, TimeoutError):
        code = 3
    kinds = {finding.kind: [finding.count, str(collected.file_of(finding))] for finding in collected.found.values()}
    Path(folder, "kinds").write_text(json.dumps(kinds))
    # A thread of what is stuck would keep it alive.
    sys.stdout.flush()
    os._exit(code)


def hang_of(target: str, given: Any, seconds: float) -> Finding:
    """Describe an input that did not end."""
    return Finding(target, "hang", given, f"no end within {seconds:g} s")


if __name__ == "__main__":
    from fuzz.targets import TARGETS

    main(TARGETS)
