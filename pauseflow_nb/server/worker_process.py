"""Run the worker of a server as another process, and start it again when it ends unexpectedly.

SIGTERM stops the worker. It also stops when its standard input closes, because the server was killed.
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

from pauseflow_nb.operator_secrets import remove_secrets
from pauseflow_nb.settings import Settings

#: Prefixes of the secret variables that a worker needs: our settings, and the token of a kernel gateway.
_NEEDED = ("PAUSEFLOW_", "JUPYTER_GATEWAY_")

#: Seconds until a worker that ended is started again: doubled each time, and reset after it has run for a while.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
_RESET_SECONDS = 60.0

log = logging.getLogger(__name__)


class WorkerProcess:
    """Keeps one worker process alive."""

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        *,
        secrets: Mapping[str, str] | None = None,
        stop_seconds: float = 30.0,
    ) -> None:
        """Set the process to start.

        Args:
            command: The command line.
            environment: Its environment, which other processes of this user can read.
            secrets: More variables, written to its standard input as one line of JSON; None: it reads none.
            stop_seconds: Seconds in which it may finish its segments after `stop`, before it is killed.
        """
        self._command, self._environment, self._stop_seconds = command, dict(environment), stop_seconds
        self._secrets = secrets
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def for_store(cls, settings: Settings) -> "WorkerProcess":
        """Make a worker for the store of these settings."""
        command = [sys.executable, "-m", "pauseflow_nb", "worker", "--with-parent", "--secrets-from-parent"]
        full = make_environment(settings)
        public = remove_secrets(full)
        secrets = {name: full[name] for name in full.keys() - public.keys() if name.startswith(_NEEDED)}
        return cls(command, public, secrets=secrets)

    @property
    def pid(self) -> int | None:
        """The id of the running process; None if it has ended."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def start(self) -> None:
        """Start the process, and restart it from a thread when it ends."""
        self._thread = threading.Thread(target=self._watch, name="pauseflow-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the process; it is killed if its segments do not finish in time. Blocks; a second call has no effect."""
        self._stopping.set()
        with self._lock:
            process = self._process
        if process is not None:
            _end(process, self._stop_seconds)
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            started = time.monotonic()
            status = self._run_once()
            if self._stopping.is_set():
                return
            if time.monotonic() - started > _RESET_SECONDS:
                pause = FIRST_PAUSE
            log.warning("the worker ended with status %s; starting it again in %.1f s", status, pause)
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _run_once(self) -> int | str:
        with self._lock:
            # Under the lock, so that `stop` either sees the process or prevents its start.
            if self._stopping.is_set():
                return 0
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own command line
                    self._command,
                    env=self._environment,
                    stdin=subprocess.PIPE,
                    # In another session, so that Ctrl-C in the terminal reaches only the server.
                    start_new_session=True,
                )
            except OSError as problem:
                return str(problem)
        self._send_secrets(self._process)
        status = self._process.wait()
        if self._process.stdin is not None:
            # What it has not read is written again here, and cannot be.
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        return status

    def _send_secrets(self, process: "subprocess.Popen[bytes]") -> None:
        if self._secrets is not None and process.stdin is not None:
            # A process that ends before it reads them is started again.
            with contextlib.suppress(OSError):
                process.stdin.write(json.dumps(dict(self._secrets)).encode() + b"\n")
                process.stdin.flush()


def make_environment(settings: Settings, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Write settings into an environment, so that another process has the same settings, whatever its files contain."""
    environment = dict(os.environ if base is None else base)
    for name, value in settings.model_dump(mode="json").items():
        environment.pop(f"PAUSEFLOW_{name.upper()}", None)
        if value is not None:
            environment[f"PAUSEFLOW_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
    return environment


def _end(process: "subprocess.Popen[bytes]", stop_seconds: float) -> None:
    process.terminate()
    try:
        process.wait(stop_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
