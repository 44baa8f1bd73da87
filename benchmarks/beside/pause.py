"""Run a notebook up to its pause, with digests of its cells or without; prints what the pause took, as JSON.

python benchmarks/beside/pause.py with|without NOTEBOOK OUT
"""

import json
import sys
import time

from pauseflow_nb.cli import main
from pauseflow_nb.engine.attempt_end import Ending
from pauseflow_nb.engine.attempt_fence import Attempt
from pauseflow_nb.runner.document import Document

_end = Ending.end


def _measure(self: Ending, *given: object) -> str:
    began, used = time.perf_counter(), time.process_time()
    ended = _end(self, *given)  # type: ignore[arg-type]
    pause = {"wall": time.perf_counter() - began, "processor": time.process_time() - used}
    print(json.dumps({**pause, "command": time.process_time()}))
    return ended


def _leave_out_digests() -> None:
    Document.digest_ahead = lambda *_: False  # type: ignore[method-assign]
    Document.digest_cells = lambda *_, **_words: []  # type: ignore[method-assign]
    Attempt.note_shown = lambda *_, **_words: None  # type: ignore[method-assign]


if __name__ == "__main__":
    Ending.end = _measure  # type: ignore[method-assign]
    if sys.argv[1] == "without":
        _leave_out_digests()
    main(["run", *sys.argv[2:], "--until-pause", "-q"])
