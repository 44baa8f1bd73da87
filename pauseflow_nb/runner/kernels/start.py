"""Start a kernel as a process of this machine."""

import errno
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pauseflow_nb.errors import KernelNotReady, KernelUnavailable
from pauseflow_nb.private_files import create
from pauseflow_nb.runner.kernels.kernel import OUTPUT_NAME, Kernel, Process
from pauseflow_nb.runner.kernels.orphan_guard import Guard
from pauseflow_nb.runner.kernels.spec import Spec, make_environment

#: Options of IPython's kernel. Its history takes longer than a quick cell; the sleep is for interactive use.
LEAN = [
    "--HistoryManager.enabled=False",
    "--HistoryManager.hist_file=:memory:",
    "--IPythonKernel._execute_sleep=0",
    "--IPKernelApp.log_level=ERROR",
]

# A script for another interpreter, which is not imported here.
_LAUNCHER = Path(__file__).with_name("launch_ipykernel.py")

# Errors that a later attempt may not meet.
_TRANSIENT = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})

# A socket's path must fit into 107 bytes on Linux and 103 on macOS.
_LONGEST_IPC = 90


@dataclass(frozen=True)
class PreparedKernel:
    """A kernel that is about to be started: all of it except the process."""

    spec: Spec
    cwd: str
    #: All environment variables of the kernel.
    env: Mapping[str, str]
    #: The program and its arguments.
    command: list[str]
    #: The content of the connection file.
    connection: Mapping[str, Any]
    folder: str
    key: bytes

    def open_output(self) -> IO[bytes]:
        """Open the file for the standard output and error of the process."""
        return create(Path(self.folder, OUTPUT_NAME))

    def make_kernel(self, process: Process, guard: Guard | None) -> "Kernel":
        """Make the kernel from its process, which has been started."""
        from jupyter_client.session import Session

        return Kernel(self.spec, process, Session(key=self.key), self.connection, self.folder, guard)


def prepare_kernel(spec: Spec, *, cwd: str, env: Mapping[str, str] | None = None) -> PreparedKernel:
    """Write the connection file and the command line of a kernel, without starting it.

    Args:
        spec: The kernelspec.
        cwd: Its working directory.
        env: Environment variables in addition to those of this process and of the kernelspec.

    Raises:
        KernelUnavailable: If there is no such directory.
    """
    if not Path(cwd).is_dir():
        raise KernelUnavailable(spec.name, f"its working directory {cwd} does not exist")
    folder = tempfile.mkdtemp(prefix="pauseflow-")
    key = secrets.token_hex(32).encode()
    try:
        file, connection = _write_connection_file(spec, folder, key)
    except OSError as problem:
        shutil.rmtree(folder, ignore_errors=True)
        raise KernelUnavailable(spec.name, f"its connection file cannot be written: {problem}") from None
    return PreparedKernel(spec, cwd, make_environment(spec, env), _make_command(spec, file), connection, folder, key)


def start_kernel(spec: Spec, *, cwd: str, env: Mapping[str, str] | None = None, imports_ahead: bool = False) -> Kernel:
    """Start the process of a kernel; the kernel is not ready yet.

    Args:
        spec: As for `prepare_kernel`.
        cwd: Likewise.
        env: Likewise.
        imports_ahead: Whether it imports what continues a notebook before it is ready, because it is not needed yet.

    Raises:
        KernelUnavailable: If there is no such program or directory.
        KernelNotReady: If the machine has no process, memory or file descriptor left.
    """
    from jupyter_client.launcher import launch_kernel

    # Checked before jupyter_client tries, because it would log the whole command with its environment.
    if shutil.which(spec.interpreter) is None:
        raise KernelUnavailable(spec.name, f"its program {spec.interpreter} does not exist, or cannot be run")
    order = prepare_kernel(spec, cwd=cwd, env=env)
    try:
        with order.open_output() as output:
            process = launch_kernel(
                _use_launcher(order.command, ["--import-ahead"] if imports_ahead else []),
                stdout=output.fileno(),
                stderr=output.fileno(),
                cwd=cwd,
                env=dict(order.env),
            )
    except OSError as problem:
        shutil.rmtree(order.folder, ignore_errors=True)
        raise _make_start_error(spec, problem) from None
    try:
        guard = Guard(process.pid, order.folder)
    except OSError as problem:
        order.make_kernel(process, None).kill()
        order.make_kernel(process, None).reap()
        raise _make_start_error(spec, problem) from None
    return order.make_kernel(process, guard)


def _make_start_error(spec: Spec, problem: OSError) -> KernelUnavailable:
    # A machine without free processes, memory or descriptors may have some again in a moment.
    kind = KernelNotReady if problem.errno in _TRANSIENT else KernelUnavailable
    return kind(spec.name, f"{spec.interpreter} cannot be started: {problem}")


def _use_launcher(command: list[str], options: list[str]) -> list[str]:
    """Replace the launcher of ipykernel with ours, which also has options."""
    if "ipykernel_launcher" not in command:
        return command
    at = command.index("ipykernel_launcher")
    return [*command[: at - 1], str(_LAUNCHER), *options, *command[at + 1 :]] if command[at - 1] == "-m" else command


def _write_connection_file(spec: Spec, folder: str, key: bytes) -> tuple[str, Mapping[str, Any]]:
    from jupyter_client.connect import write_connection_file

    # Sockets in a private folder cannot collide as ports do. Not every kernel of another language supports them.
    is_ipc = sys.platform != "win32" and spec.is_python and len(folder) < _LONGEST_IPC
    transport, ip = ("ipc", str(Path(folder, "k"))) if is_ipc else ("tcp", "")
    file = str(Path(folder, "connection.json"))
    return write_connection_file(file, key=key, transport=transport, ip=ip, kernel_name=spec.name)


def _make_command(spec: Spec, connection_file: str) -> list[str]:
    known = {"connection_file": connection_file, "prefix": sys.prefix, "resource_dir": spec.resource_dir}
    words = [spec.interpreter, *spec.argv[1:]]
    words = [re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], found[0]), word) for word in words]
    return words + LEAN if spec.is_ipykernel else words
