"""Represent a running kernel: interrupt and kill its process, and find the addresses of its channels.

Kernels of all sources look the same to `KernelClient`; `source` starts a kernel, takes one that was started ahead, or forks
one.
"""

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pauseflow_nb.runner.kernels.fork_client import ForkedProcess
from pauseflow_nb.runner.kernels.orphan_guard import Guard
from pauseflow_nb.runner.kernels.spec import Spec

if TYPE_CHECKING:
    from jupyter_client.session import Session

#: Name of the file in the folder of a kernel that takes the standard output and error of its process.
OUTPUT_NAME = "output.txt"


class Process(Protocol):
    """The part of `subprocess.Popen` that a kernel needs."""

    pid: int
    #: None until `poll` or `wait` has seen the end of the process.
    returncode: int | None

    def poll(self) -> int | None:
        """Return the exit status; None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end of the process; returns the exit status."""

    def kill(self) -> None:
        """Kill the process."""


@dataclass
class Kernel:
    """The process of a kernel, and the addresses of its channels."""

    spec: Spec
    process: Process
    session: "Session"
    #: The content of the connection file.
    connection: Mapping[str, Any]
    #: Folder of the connection file, the sockets, and the file with the standard output and error of the process.
    folder: str
    guard: Guard | None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        return self.process.pid

    def open_end(self) -> int | None:
        """Open a descriptor that is readable once the process has ended; returns None where the system has none."""
        if isinstance(self.process, ForkedProcess):
            return os.dup(self.process.fileno())
        if sys.platform != "linux":
            return None
        try:
            return os.pidfd_open(self.pid)
        except OSError:
            return None

    def url(self, channel: str) -> str:
        """Return the address of a channel: `"shell"`, `"iopub"`, `"control"`."""
        separator = "-" if self.connection["transport"] == "ipc" else ":"
        return (
            f"{self.connection['transport']}://{self.connection['ip']}{separator}{self.connection[f'{channel}_port']}"
        )

    def interrupt(self) -> None:
        """Interrupt the running cell; safe from any thread, also when the process has ended."""
        if self.spec.interrupt_mode == "message":
            self._send_on_control("interrupt_request")
            return
        with self._lock:
            if self.process.returncode is not None:
                return
            if sys.platform == "win32":
                from jupyter_client.win_interrupt import send_interrupt

                send_interrupt(self.process.win32_interrupt_event)  # type: ignore[attr-defined]
            else:
                _signal_group(self.pid, signal.SIGINT)

    def request_shutdown(self) -> None:
        """Send a shutdown request, so that the kernel flushes open files; does not wait for its end."""
        self._send_on_control("shutdown_request", {"restart": False})

    def kill(self) -> None:
        """Kill the kernel and the processes that it started; safe from any thread and any number of times."""
        with self._lock:
            if self.process.returncode is not None:
                return
            if sys.platform == "win32":
                self.process.kill()
            else:
                _signal_group(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """Wait for the end of the process, and remove its folder; returns the exit status."""
        if self.guard is not None:
            self.guard.dismiss()
        with self._lock:
            if sys.platform != "win32" and self.process.returncode is None:
                # The leader has ended or is about to end; the processes that it started must end with it.
                _signal_group(self.pid, signal.SIGKILL)
            status = self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return status

    def read_last_lines(self) -> str:
        """Read the last lines that the process wrote to its standard output and error."""
        try:
            text = Path(self.folder, OUTPUT_NAME).read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-8:])

    def _send_on_control(self, kind: str, content: Mapping[str, Any] | None = None) -> None:
        import zmq

        # Another socket, because the caller may be in another thread.
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        with context.socket(zmq.DEALER) as socket:
            socket.linger = 1000
            socket.connect(self.url("control"))
            self.session.send(socket, kind, dict(content or {}))


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        # A forked process that has not made its group yet. It was not reaped, so no other process has its id.
        with contextlib.suppress(ProcessLookupError):
            os.kill(group, number)
    except PermissionError:
        # macOS raises this for a group whose leader is a zombie.
        pass
