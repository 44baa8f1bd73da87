"""Fuzz the targets that are functions by coverage, with atheris: it keeps the inputs that reach code no other has reached.

`python -m fuzz.coverage_guided TARGET COUNT SEED FOLDER FINDINGS`, called as `fuzz.trying` is.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import atheris

# What is imported from here on counts what of it runs.
with atheris.instrument_imports(include=["pauseflow_nb"], enable_loader_override=False):
    from fuzz.targets import TARGETS

from fuzz.findings import Findings, finding_of
from fuzz.trying import CPU_SECONDS, TooSlow, Trial, limited, raise_too_slow
from hypothesis import HealthCheck, given
from hypothesis import settings as effort

__all__: list[str] = []


def _main() -> None:
    name, count, first_seed, folder, findings = sys.argv[1:]
    signal.signal(signal.SIGPROF, raise_too_slow)
    target = next(each for each in TARGETS if each.name == name)
    collected, trial = Findings(Path(findings)), Trial(Path(folder))
    tried, slowest = 0, 0.0
    opened = target.open(Path(folder))
    check = opened.__enter__()

    @effort(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(target.inputs)
    def trying(value: Any) -> None:
        nonlocal slowest
        trial.begin(value)
        begun = time.process_time()
        try:
            with limited(CPU_SECONDS):
                check(value)
        except (Exception, TooSlow) as problem:  # noqa: BLE001 - whatever it is, it is a finding
            collected.add(finding_of(target.name, value, problem))
        slowest = max(slowest, time.process_time() - begun)

    fuzz_one: Any = trying.hypothesis.fuzz_one_input  # type: ignore[attr-defined]

    def one(data: bytes) -> None:
        nonlocal tried
        fuzz_one(data)
        tried += 1
        # atheris ends the process itself, so what was found is written as it is found.
        if tried % 100 == 0 or tried == int(count):
            trial.report(tried, slowest)
            kinds = {each.kind: [each.count, str(collected.file_of(each))] for each in collected.found.values()}
            Path(folder, "kinds").write_text(json.dumps(kinds))
        if tried == int(count):
            os._exit(0)

    atheris.Setup(
        [
            sys.argv[0],
            f"-seed={int(first_seed) % 2**31 or 1}",
            "-max_len=4096",
            "-len_control=0",
            "-verbosity=0",
            "-timeout=600",
            # The campaign watches each input itself; libFuzzer would leave files where it was started.
            f"-artifact_prefix={folder}/",
        ],
        one,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    _main()
