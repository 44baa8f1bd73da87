"""A forked command is like one that was started, as far as these tests look at it."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from acceptance.command import Pauseflow
from acceptance.forked import Forked, Nursery

pytestmark = pytest.mark.acceptance


@pytest.fixture(autouse=True)
def forks(nursery: Nursery | None) -> Nursery:
    if nursery is None:
        pytest.skip("every command is a new process here")
    return nursery


@pytest.mark.thorough
@pytest.mark.parametrize("command", [["doctor", "--json"], ["list", "--limit", "many"]], ids=["answer", "usage"])
def test_it_says_what_a_new_process_says(pauseflow: Pauseflow, command: list[str]) -> None:
    # `doctor` says when it has made the store.
    pauseflow.create_store()
    forked = pauseflow(*command)
    started = replace(pauseflow, nursery=None)(*command)

    assert (forked.code, forked.stdout, forked.stderr) == (started.code, started.stdout, started.stderr)


def test_it_is_a_process_with_a_session_of_its_own_that_a_signal_ends(pauseflow: Pauseflow) -> None:
    running = pauseflow.start("worker")
    running.line_with("is ready")
    process = running.process

    assert isinstance(process, Forked)
    assert os.getsid(process.pid) == os.getpgid(process.pid) == process.pid
    assert Path(f"/proc/{process.pid}/cwd").resolve() == pauseflow.folder
    process.send_signal(signal.SIGKILL)
    assert running.end().code == -signal.SIGKILL


def test_what_python_reads_when_it_starts_needs_a_new_process(pauseflow: Pauseflow, forks: Nursery) -> None:
    assert forks.can_fork(pauseflow.environment | {"PAUSEFLOW_LINKS": "strict"})
    assert not forks.can_fork(pauseflow.environment | {"PYTHONWARNINGS": "error"})
    assert not forks.can_fork({name: value for name, value in pauseflow.environment.items() if name != "HOME"})
