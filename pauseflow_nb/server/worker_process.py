"""The worker beside the server: a process of its own, started again when it ends unasked.

It is told to stop by SIGTERM, and it ends by itself when its standard input does: that is how it
notices a server that was killed.
"""

import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping

from pauseflow_nb.operator_secrets import without_secrets
from pauseflow_nb.settings import Settings

__all__ = ["WorkerProcess", "environment_of"]

#: Secret variables that a worker needs: our settings, and what opens a gateway with kernels.
_NEEDED = ("PAUSEFLOW_", "JUPYTER_GATEWAY_")

#: Seconds until a worker that ended is started again: doubled each time, back to the first once it lived a while.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
_A_WHILE = 60.0

log = logging.getLogger(__name__)


class WorkerProcess:
    """Keeps one worker process alive."""

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        *,
        secrets: Mapping[str, str] | None = None,
        patience: float = 30.0,
    ) -> None:
        """Take what to start.

        Args:
            command: The command line.
            environment: Its environment, which other processes of this user can read.
            secrets: More variables, written to its standard input as one line of JSON; None: it reads none.
            patience: Seconds that `stop` lets it finish its segments before it is killed.
        """
        self._command, self._environment, self._patience = command, dict(environment), patience
        self._secrets = secrets
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, settings: Settings) -> "WorkerProcess":
        """Take a worker of the store that these settings name."""
        command = [sys.executable, "-m", "pauseflow_nb", "worker", "--with-parent", "--secrets-from-parent"]
        full = environment_of(settings)
        public = without_secrets(full)
        secrets = {name: full[name] for name in full.keys() - public.keys() if name.startswith(_NEEDED)}
        return cls(command, public, secrets=secrets)

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def start(self) -> None:
        """Start it, and watch it in a thread."""
        self._thread = threading.Thread(target=self._watch, name="pauseflow-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it: segments under way get their time, then it is killed. Blocks; harmless when called twice."""
        self._stopping.set()
        with self._lock:
            process = self._process
        if process is not None:
            _end(process, self._patience)
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            started = time.monotonic()
            status = self._run_once()
            if self._stopping.is_set():
                return
            if time.monotonic() - started > _A_WHILE:
                pause = FIRST_PAUSE
            log.warning("the worker ended with status %s; started again in %.1f s", status, pause)
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _run_once(self) -> int | str:
        with self._lock:
            # Under the lock, so that `stop` either sees the process or keeps it from being started.
            if self._stopping.is_set():
                return 0
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own command line
                    self._command,
                    env=self._environment,
                    stdin=subprocess.PIPE,
                    # Its own session: Ctrl-C in the server's terminal is the server's business.
                    start_new_session=True,
                )
            except OSError as problem:
                return str(problem)
        self._hand_over_secrets(self._process)
        status = self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        return status

    def _hand_over_secrets(self, process: "subprocess.Popen[bytes]") -> None:
        if self._secrets is not None and process.stdin is not None:
            # One that ends before it reads them is started again.
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps(dict(self._secrets)).encode() + b"\n")
                process.stdin.flush()


def environment_of(settings: Settings, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Write settings into an environment, so that another process has the same, whatever its files say."""
    environment = dict(os.environ if base is None else base)
    for name, value in settings.model_dump(mode="json").items():
        environment.pop(f"PAUSEFLOW_{name.upper()}", None)
        if value is not None:
            environment[f"PAUSEFLOW_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
    return environment


def _end(process: "subprocess.Popen[bytes]", patience: float) -> None:
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
