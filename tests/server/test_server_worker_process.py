"""The worker is watched; a small program stands for it, because what is tested is the watching."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pauseflow_nb.server import worker_process
from pauseflow_nb.server.worker_process import WorkerProcess, make_environment
from pauseflow_nb.settings import Settings

WaitUntil = Callable[..., None]

LIVES = "import sys; sys.stdin.buffer.read()"
STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); sys.stdin.read()"


@pytest.fixture
def keep() -> Iterator[Callable[..., WorkerProcess]]:
    kept: list[WorkerProcess] = []

    def start(program: str, **options: Any) -> WorkerProcess:
        kept.append(WorkerProcess([sys.executable, "-c", program], os.environ, **options))
        kept[-1].start()
        return kept[-1]

    yield start
    for worker in kept:
        worker.stop()


def test_a_worker_that_was_killed_is_started_again(keep: Callable[..., WorkerProcess], wait_until: WaitUntil) -> None:
    worker = keep(LIVES)
    wait_until(lambda: worker.pid, description="the worker starts")
    first = worker.pid
    assert first is not None

    os.kill(first, signal.SIGKILL)

    wait_until(lambda: worker.pid not in {None, first}, description="another one starts")


def test_a_worker_that_ends_at_once_is_started_ever_more_rarely(
    keep: Callable[..., WorkerProcess],
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(worker_process, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(worker_process, "LONGEST_PAUSE", 0.4)
    starts = tmp_path / "starts"
    program = f"import time; open({str(starts)!r}, 'a').write(f'{{time.monotonic()}}\\n'); raise SystemExit(3)"

    keep(program)
    wait_until(lambda: starts.exists() and len(starts.read_text().split()) >= 5, description="it is tried again")

    moments = [float(line) for line in starts.read_text().split()[:5]]
    waited = [after - before for before, after in pairwise(moments)]
    announced = [float(re.findall(r"again in ([0-9.]+) s", record.getMessage())[0]) for record in caplog.records]
    assert announced[:4] == [0.1, 0.2, 0.4, 0.4]
    assert all(pause <= seconds for pause, seconds in zip(announced, waited, strict=False))


def test_a_worker_that_ends_before_it_has_read_its_secrets_is_started_again(
    keep: Callable[..., WorkerProcess], wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(worker_process, "FIRST_PAUSE", 0.01)
    starts = tmp_path / "starts"

    # A little more than a pipe holds: it has ended before the rest is written, which a buffer then keeps.
    keep(f"open({str(starts)!r}, 'a').write('started ')", secrets={"A": "x" * 66_000})

    wait_until(lambda: starts.exists() and len(starts.read_text().split()) >= 2, description="another one starts")


def test_stop_ends_it_and_it_stays_ended(keep: Callable[..., WorkerProcess], wait_until: WaitUntil) -> None:
    worker = keep(LIVES)
    wait_until(lambda: worker.pid, description="the worker starts")
    pid = worker.pid
    assert pid is not None

    worker.stop()

    assert worker.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_one_that_does_not_listen_is_killed(keep: Callable[..., WorkerProcess], wait_until: WaitUntil) -> None:
    worker = keep(STUBBORN, stop_seconds=0.2)
    wait_until(lambda: worker.pid, description="the worker starts")

    worker.stop()

    assert worker.pid is None


def test_a_program_that_is_not_there_does_no_harm(caplog: pytest.LogCaptureFixture, wait_until: WaitUntil) -> None:
    worker = WorkerProcess(["/no/such/program"], {})
    worker.start()
    wait_until(lambda: "the worker ended" in caplog.text, description="it is said")

    worker.stop()


def test_it_sees_the_end_of_a_server_that_was_killed(tmp_path: Path, wait_until: WaitUntil) -> None:
    """Its standard input ends with the server, however that ended."""
    mark = tmp_path / "ended"
    child = f"import sys; sys.stdin.buffer.read(); open({str(mark)!r}, 'w').close()"
    server = textwrap.dedent(f"""
        import os, sys, time
        from pauseflow_nb.server.worker_process import WorkerProcess
        worker = WorkerProcess([sys.executable, "-c", {child!r}], os.environ)
        worker.start()
        while worker.pid is None:
            time.sleep(0.01)
        print("up", flush=True)
        time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()

    wait_until(mark.exists, description="the worker ends")


def test_the_worker_gets_the_servers_settings(tmp_path: Path) -> None:
    settings = Settings.load(
        flags={"data_dir": tmp_path, "workers": 3, "max_body": "2 MiB", "public_url": "https://x.example"},
        environment={},
    )
    base = {"PAUSEFLOW_QUOTA": "5", "PATH": "/bin"}

    environment = make_environment(settings, base)

    assert environment["PATH"] == "/bin"
    assert Settings.load(environment=environment).model_dump() == settings.model_dump()
