"""Start kernels through a provisioner of jupyter_client: on another machine, in a container, by a batch system.

We share only the ZeroMQ channels and the storage with such a kernel. Its provisioner interrupts and kills it, and knows
whether it runs.
"""

import os
import subprocess
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pauseflow_nb.errors import KernelUnavailable
from pauseflow_nb.runner.kernels.kernel import Kernel
from pauseflow_nb.runner.kernels.spec import Spec

if TYPE_CHECKING:
    from jupyter_client.manager import KernelManager

_POLL_SECONDS = 0.1


class _Process:
    """The process of the kernel, as its provisioner reports it."""

    def __init__(self, manager: "KernelManager") -> None:
        self._manager = manager
        self.pid = int(getattr(manager.provisioner, "pid", None) or 0)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and not self._manager.is_alive():
            # Not every provisioner knows the exit status.
            self.returncode = 1
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("kernel", timeout or 0)
            time.sleep(_POLL_SECONDS)
        return status

    def kill(self) -> None:
        self._manager.shutdown_kernel(now=True)
        self.returncode = self.returncode if self.returncode is not None else -9


class _Provisioned(Kernel):
    """A kernel that its provisioner interrupts and kills."""

    manager: "KernelManager"

    def open_end(self) -> int | None:
        return None

    def interrupt(self) -> None:
        with self._lock:
            if self.process.returncode is None:
                self.manager.interrupt_kernel()

    def kill(self) -> None:
        with self._lock:
            if self.process.returncode is None:
                self.process.kill()

    def reap(self) -> int:
        self.kill()
        self.manager.cleanup_resources()
        return self.process.wait()


def start(spec: Spec, *, cwd: str, env: Mapping[str, str] | None = None) -> Kernel:
    """Start a kernel through the provisioner of its kernelspec; the kernel is not ready yet.

    Raises:
        KernelUnavailable: If the provisioner fails; has its message.
    """
    from jupyter_client.manager import KernelManager

    from pauseflow_nb.runner.kernels.spec import make_environment
    from pauseflow_nb.runner.kernels.start import LEAN

    manager = KernelManager(kernel_name=spec.name)
    options: dict[str, Any] = {"cwd": cwd, "env": make_environment(spec, env)}
    try:
        manager.start_kernel(extra_arguments=LEAN if spec.is_ipykernel else [], **options)
    except Exception as problem:
        # Each provisioner raises the errors of its own client.
        raise KernelUnavailable(spec.name, f"its provisioner {spec.provisioner!r} says: {problem}") from problem
    connection = dict(manager.get_connection_info())
    # It has no folder here.
    kernel = _Provisioned(spec, _Process(manager), manager.session, connection, os.devnull, None)
    kernel.manager = manager
    return kernel
