"""Kernels that are forked from a process which has done their imports: ready in a tenth of the time.

Only where that is known to be safe: IPython's own kernel on Linux.
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

__all__ = ["CannotFork", "ForkServer", "ForkedProcess", "can_fork"]

# A script for another interpreter, which is not imported here.
_SERVER = Path(__file__).with_name("fork_server.py")
_START_SECONDS = 30.0
_FORK_SECONDS = 30.0


class CannotFork(Exception):
    """This kernel must be started in another way; the text says why."""


def can_fork(words: Sequence[str]) -> bool:
    """Whether a kernel's command line, without the connection file, is one that the server stands for."""
    if sys.platform != "linux" or len(words) < 3 or words[-2:] != ["-m", "ipykernel_launcher"]:
        return False
    return all(word.startswith("-") for word in words[1:-2])


class ForkedProcess:
    """A process that is not our child, with the part of `subprocess.Popen` that kernels need."""

    def __init__(self, pid: int, link: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._link = link
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """A descriptor that is readable once the process has ended."""
        return self._link.fileno()

    def poll(self) -> int | None:
        """Tell the status, or None while it runs."""
        return self._status(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; the number of the process is free to be another's afterwards."""
        status = self._status(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("kernel", timeout or 0)
        with self._lock:
            self._link.close()
        return status

    def kill(self) -> None:
        """Kill it."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _status(self, timeout: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._link], [], [], timeout)[0]:
                told = _received(self._link)
                # A server that dies takes its kernels with it.
                self.returncode = -signal.SIGKILL if told is None else int(told["status"])
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
        self._stamps: dict[str, int] | None = None
        self._path: list[str] = []
        with theirs:
            self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - our own script
                [*interpreter, str(_SERVER)],
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(env),
                # A Ctrl-C in the terminal is not for it.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_fresh(self) -> bool:
        """Whether it runs, and nothing was installed since that its kernels would miss."""
        if self.has_ended:
            return False
        return self._stamps is None or self._stamps == _stamps(self._path)

    def fork(self, argv: Sequence[str], *, cwd: str, folder: str, said: int, libraries: Sequence[str]) -> ForkedProcess:
        """Fork a kernel.

        Args:
            argv: What it shall take for its command line.
            cwd: Its working directory.
            folder: Removed when this process ends without having waited for the kernel.
            said: Where its standard output and error go.
            libraries: What its server is to have imported, so that the kernel need not.

        Raises:
            CannotFork: If the server ended or could not import a library; it is of no use any more.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {"argv": list(argv), "cwd": cwd, "folder": folder, "libraries": list(libraries)}
        try:
            with theirs, self._lock:
                self._wait_until_ready()
                socket.send_fds(self._control, [json.dumps(request).encode()], [theirs.fileno(), said])
            ours.settimeout(_FORK_SECONDS)
            told = _received(ours)
            if told is None or "pid" not in told:
                raise CannotFork("the fork server ended" if told is None else str(told["problem"]))
        except OSError as problem:
            ours.close()
            raise CannotFork(str(problem)) from problem
        except CannotFork:
            ours.close()
            raise
        ours.settimeout(None)
        return ForkedProcess(told["pid"], ours)

    def retire(self) -> None:
        """Let it end when the last of its kernels has; `has_ended` tells."""
        with contextlib.suppress(OSError), self._lock:
            self._control.send(json.dumps({"retire": True}).encode())

    @property
    def has_ended(self) -> bool:
        """Whether its process has gone."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """End it, and kernels of it that still run."""
        self._control.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _wait_until_ready(self) -> None:
        if self._stamps is not None:
            return
        assert self._process.stdout is not None
        line = b""
        if select.select([self._process.stdout], [], [], _START_SECONDS)[0]:
            line = self._process.stdout.readline()
        if not line:
            self._process.kill()
            raise CannotFork("the fork server did not start")
        self._path = json.loads(line)["path"]
        self._stamps = _stamps(self._path)


def _received(link: socket.socket) -> dict[str, Any] | None:
    try:
        data = link.recv(4096)
    except OSError:
        return None
    told: dict[str, Any] | None = json.loads(data) if data else None
    return told


def _stamps(folders: Sequence[str]) -> dict[str, int]:
    """Tell when something was last installed into, or removed from, each folder that packages are installed in."""
    found: dict[str, int] = {}
    for folder in folders:
        if Path(folder).name not in {"site-packages", "dist-packages"}:
            continue
        with contextlib.suppress(OSError):
            found[folder] = Path(folder).stat().st_mtime_ns
    return found
