"""Fork kernels from a process that has done their imports, so that they are ready in a tenth of the time.

This is done only where it is known to be safe: for IPython's own kernel on Linux.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# A script for another interpreter, which is not imported here.
_SERVER = Path(__file__).with_name("fork_server.py")
_START_SECONDS = 30.0
_FORK_SECONDS = 30.0


class CannotFork(Exception):
    """The kernel cannot be forked and must be started; the text says why."""


def can_fork(words: Sequence[str]) -> bool:
    """Whether a kernel with this command line, without the connection file, can be forked."""
    if sys.platform != "linux" or len(words) < 3 or words[-2:] != ["-m", "ipykernel_launcher"]:
        return False
    return all(word.startswith("-") for word in words[1:-2])


class ForkedProcess:
    """A forked process, which is no child of this process, with the part of `subprocess.Popen` that kernels need."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._socket = connection
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """Return a descriptor that is readable once the process has ended."""
        return self._socket.fileno()

    def poll(self) -> int | None:
        """Return the exit status; None while the process runs."""
        return self._wait_for_status(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process; afterwards another process may get its id."""
        status = self._wait_for_status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("kernel", timeout or 0)
        with self._lock:
            self._socket.close()
        return status

    def kill(self) -> None:
        """Kill the process."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _wait_for_status(self, timeout: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._socket], [], [], timeout)[0]:
                message = _receive(self._socket)
                # When the server dies, its kernels are killed.
                self.returncode = -signal.SIGKILL if message is None else int(message["status"])
            return self.returncode


class ForkServer:
    """One fork server: for one interpreter in one environment."""

    def __init__(self, interpreter: Sequence[str], env: Mapping[str, str]) -> None:
        """Start it; `fork` waits until it is ready.

        Args:
            interpreter: The program and its own options.
            env: Every variable that its kernels will see.
        """
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._install_times: dict[str, int] | None = None
        self._path: list[str] = []
        with theirs:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - our own script
                [*interpreter, str(_SERVER)],
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(env),
                # Ctrl-C in the terminal must not reach it.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_fresh(self) -> bool:
        """Whether it runs, and no package was installed after its start, which its kernels would miss."""
        if self.has_ended:
            return False
        return self._install_times is None or self._install_times == _read_times(self._path)

    def fork(
        self, argv: Sequence[str], *, cwd: str, folder: str, output: int, libraries: Sequence[str]
    ) -> ForkedProcess:
        """Fork a kernel.

        Args:
            argv: The command line that the kernel sees.
            cwd: Its working directory.
            folder: Removed when this process ends without having waited for the kernel.
            output: Descriptor for its standard output and error.
            libraries: Libraries that the server imports first, so that the kernel need not.

        Raises:
            CannotFork: If the server ended or could not import a library; it must not be used again.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {"argv": list(argv), "cwd": cwd, "folder": folder, "libraries": list(libraries)}
        try:
            with theirs, self._lock:
                self._wait_until_ready()
                socket.send_fds(self._control, [json.dumps(request).encode()], [theirs.fileno(), output])
            ours.settimeout(_FORK_SECONDS)
            reply = _receive(ours)
            if reply is None or "pid" not in reply:
                raise CannotFork("the fork server ended" if reply is None else str(reply["problem"]))
        except OSError as problem:
            ours.close()
            raise CannotFork(str(problem)) from problem
        except CannotFork:
            ours.close()
            raise
        ours.settimeout(None)
        return ForkedProcess(reply["pid"], ours)

    def retire(self) -> None:
        """Let the server end after the last of its kernels; see `has_ended`."""
        with contextlib.suppress(OSError), self._lock:
            self._control.send(json.dumps({"retire": True}).encode())

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """End the server and those of its kernels that still run."""
        self._control.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _wait_until_ready(self) -> None:
        if self._install_times is not None:
            return
        assert self._process.stdout is not None
        line = b""
        if select.select([self._process.stdout], [], [], _START_SECONDS)[0]:
            line = self._process.stdout.readline()
        if not line:
            self._process.kill()
            raise CannotFork("the fork server did not start")
        self._path = json.loads(line)["path"]
        self._install_times = _read_times(self._path)


def _receive(connection: socket.socket) -> dict[str, Any] | None:
    try:
        data = connection.recv(4096)
    except OSError:
        return None
    message: dict[str, Any] | None = json.loads(data) if data else None
    return message


def _read_times(folders: Sequence[str]) -> dict[str, int]:
    """Read when packages were last installed or removed, for each folder of packages."""
    found: dict[str, int] = {}
    for folder in folders:
        if Path(folder).name not in {"site-packages", "dist-packages"}:
            continue
        with contextlib.suppress(OSError):
            found[folder] = Path(folder).stat().st_mtime_ns
    return found
