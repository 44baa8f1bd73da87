"""A running kernel: a process that can be signalled and reaped, and what a client needs to talk to it.

`KernelClient` knows nothing else about where it came from; `source` chooses between starting one, one that was started
ahead, and forking one.
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

__all__ = ["Kernel", "Process"]


class Process(Protocol):
    """What a kernel needs of its process; `subprocess.Popen` has it."""

    pid: int
    #: None until somebody has waited for its end.
    returncode: int | None

    def poll(self) -> int | None:
        """Tell the status, or None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end."""

    def kill(self) -> None:
        """Kill it."""


@dataclass
class Kernel:
    """A kernel's process and its address."""

    spec: Spec
    process: Process
    session: "Session"
    #: The content of the connection file.
    connection: Mapping[str, Any]
    #: Holds the connection file, the sockets and what the process writes to its standard error.
    folder: str
    guard: Guard | None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def pid(self) -> int:
        """The process id, also that of its group."""
        return self.process.pid

    def open_end(self) -> int | None:
        """Open a descriptor that is readable once the process has ended; None where there is no such thing."""
        if isinstance(self.process, ForkedProcess):
            return os.dup(self.process.fileno())
        if sys.platform != "linux":
            return None
        try:
            return os.pidfd_open(self.pid)
        except OSError:
            return None

    def url(self, channel: str) -> str:
        """Give the address of a channel: `"shell"`, `"iopub"`, `"control"`."""
        separator = "-" if self.connection["transport"] == "ipc" else ":"
        return (
            f"{self.connection['transport']}://{self.connection['ip']}{separator}{self.connection[f'{channel}_port']}"
        )

    def interrupt(self) -> None:
        """Interrupt the running cell; safe from any thread, also when the process is gone."""
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

    def ask_to_end(self) -> None:
        """Ask the kernel to shut down, which flushes what the user left open; does not wait."""
        self._send_on_control("shutdown_request", {"restart": False})

    def kill(self) -> None:
        """Kill the kernel and what it started; safe from any thread and any number of times."""
        with self._lock:
            if self.process.returncode is not None:
                return
            if sys.platform == "win32":
                self.process.kill()
            else:
                _signal_group(self.pid, signal.SIGKILL)

    def reap(self) -> int:
        """Wait for the ended process and clear up what belonged to it; returns its status."""
        if self.guard is not None:
            self.guard.dismiss()
        with self._lock:
            if sys.platform != "win32" and self.process.returncode is None:
                # The leader is gone or going; what it started must go with it.
                _signal_group(self.pid, signal.SIGKILL)
            status = self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return status

    def last_words(self) -> str:
        """Give the last lines that the process wrote to its standard output and error."""
        try:
            text = Path(self.folder, "said").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-8:])

    def _send_on_control(self, kind: str, content: Mapping[str, Any] | None = None) -> None:
        import zmq

        # A socket of its own, because the one who asks may be in another thread.
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        with context.socket(zmq.DEALER) as socket:
            socket.linger = 1000
            socket.connect(self.url("control"))
            self.session.send(socket, kind, dict(content or {}))


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        # A fork that has not made its group yet. It was not waited for, so the number is still its own.
        with contextlib.suppress(ProcessLookupError):
            os.kill(group, number)
    except PermissionError:
        # macOS says so of a group whose leader is a zombie.
        pass
