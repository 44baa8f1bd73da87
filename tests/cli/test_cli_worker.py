"""`pauseflow worker` as a process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.every(3)
@pytest.mark.parametrize("how", ["parent", "SIGTERM", "SIGINT"])
def test_a_worker_ends_cleanly(how: str, tmp_path: Path) -> None:
    """Whether its parent goes away or somebody stops it: exit code 0, and not a word of complaint."""
    environment = {**os.environ, "PAUSEFLOW_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "pauseflow_nb", "worker", "--with-parent"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as worker:
        assert worker.stderr is not None
        assert worker.stdin is not None
        ready = worker.stderr.readline()
        if how == "parent":
            worker.stdin.close()
        else:
            worker.send_signal(signal.Signals[how])
        errors = worker.stderr.read()
        code = worker.wait(30)

    assert "is ready" in ready
    assert errors == ""
    assert code == 0
