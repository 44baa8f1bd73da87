"""Kernels that one of jupyter_client's provisioners starts: on another machine, in a container, by a batch system.

What we share with such a kernel is its ZeroMQ channels and the storage. Whether it lives, and how it is
interrupted and killed, its provisioner knows.
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

__all__ = ["start"]

_LOOK_SECONDS = 0.1


class _Process:
    """Whatever runs the kernel, as far as its provisioner tells."""

    def __init__(self, manager: "KernelManager") -> None:
        self._manager = manager
        self.pid = int(getattr(manager.provisioner, "pid", None) or 0)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and not self._manager.is_alive():
            # Not every provisioner knows the status.
            self.returncode = 1
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("kernel", timeout or 0)
            time.sleep(_LOOK_SECONDS)
        return status

    def kill(self) -> None:
        self._manager.shutdown_kernel(now=True)
        self.returncode = self.returncode if self.returncode is not None else -9


class _Provisioned(Kernel):
    """Asks the provisioner where another kernel signals its own process."""

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
    """Ask a kernelspec's provisioner for a kernel; it is not ready yet.

    Raises:
        KernelUnavailable: With what the provisioner says.
    """
    from jupyter_client.manager import KernelManager

    from pauseflow_nb.runner.kernels.spec import kernel_environment
    from pauseflow_nb.runner.kernels.start import LEAN

    manager = KernelManager(kernel_name=spec.name)
    options: dict[str, Any] = {"cwd": cwd, "env": kernel_environment(spec, env)}
    try:
        manager.start_kernel(extra_arguments=LEAN if spec.is_ipykernel else [], **options)
    except Exception as problem:
        # Each provisioner raises what its own client does.
        raise KernelUnavailable(spec.name, f"its provisioner {spec.provisioner!r} says: {problem}") from problem
    connection = dict(manager.get_connection_info())
    # Nothing of it lies in a folder of ours.
    kernel = _Provisioned(spec, _Process(manager), manager.session, connection, os.devnull, None)
    kernel.manager = manager
    return kernel
