"""Kernels: which there are, a running one, and how one is started.

Whatever supplies kernels hands out a `Kernel`: a process that can be signalled and reaped, and what
a client needs to talk to it. `KernelClient` knows nothing else about where it came from; `supply`
chooses between starting one, one that was started ahead, and forking one.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import signal
import string
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from pauseflow_nb.errors import KernelNotReady, KernelUnavailable
from pauseflow_nb.operator_secrets import without_secrets
from pauseflow_nb.private_files import create
from pauseflow_nb.runner.forking import ForkedProcess
from pauseflow_nb.runner.guard import Guard

if TYPE_CHECKING:
    from jupyter_client.session import Session

__all__ = ["DEFAULT", "LEAN", "LOCAL", "Kernel", "Order", "Process", "Spec", "environment", "find", "order", "start"]

#: The provisioner of kernelspecs that name none.
LOCAL = "local-provisioner"
#: Used by notebooks that name no kernel.
DEFAULT = "python3"

#: Options of IPython's kernel. Its history costs more than a quick cell does; the sleep is for interactive use.
LEAN = [
    "--HistoryManager.enabled=False",
    "--HistoryManager.hist_file=:memory:",
    "--IPythonKernel._execute_sleep=0",
    "--IPKernelApp.log_level=ERROR",
]

#: Of all kernels, wherever they come from and run, unless the environment has one: a set has the same order after a pause.
#: The second variable tells the kernel to take both away, so that programs which cells start have none.
_HASH_SEED = "7287"

# A script for another interpreter, which is not imported here.
_LAUNCHER = Path(__file__).with_name("launcher.py")

# What a later try may not meet again.
_PASSING = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY})

# A socket's path must fit into 107 bytes on Linux and 103 on macOS.
_LONGEST_IPC = 90


@dataclass(frozen=True)
class Spec:
    """An installed kernelspec, as far as a runner needs it."""

    name: str
    argv: tuple[str, ...]
    #: In lower case, as in `"python"`.
    language: str
    env: Mapping[str, str]
    resource_dir: str
    #: `"signal"` or `"message"`.
    interrupt_mode: str
    #: Name of the provisioner of jupyter_client that starts it; `LOCAL`: we do.
    provisioner: str = "local-provisioner"

    @property
    def is_python(self) -> bool:
        """Whether steps can run in it."""
        return self.language == "python"

    @property
    def is_local(self) -> bool:
        """Whether it is a process of this machine, which we start ourselves."""
        return self.provisioner == LOCAL

    @property
    def interpreter(self) -> str:
        """The absolute path of the program that it starts, if there is one."""
        program = self.argv[0] if self.argv else ""
        return sys.executable if _is_own_python(program) else shutil.which(program) or program

    @property
    def is_ipykernel(self) -> bool:
        """Whether it is IPython's own kernel, whose options we know."""
        return any(word in {"ipykernel_launcher", "ipykernel"} for word in self.argv)


def find(name: str) -> Spec:
    """Look up a kernelspec by its name.

    Raises:
        KernelUnavailable: Naming those that are installed.
    """
    from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager, NoSuchKernel

    specs = KernelSpecManager()
    if name == "python":
        # As every KernelManager has it: old notebooks name their language.
        name = NATIVE_KERNEL_NAME
    try:
        spec = specs.get_kernel_spec(name)
    except NoSuchKernel:
        installed = sorted(specs.find_kernel_specs())
        if name.lower() in installed:
            raise KernelUnavailable(name, "its kernelspec names a provisioner that is not installed here") from None
        raise KernelUnavailable(name, f"it is not installed here; installed are: {', '.join(installed)}") from None
    except (OSError, ValueError) as problem:
        raise KernelUnavailable(name, f"its kernel.json cannot be read: {problem}") from None
    provisioner = spec.metadata.get("kernel_provisioner", {}).get("provisioner_name", LOCAL)
    if not spec.argv and provisioner == LOCAL:
        raise KernelUnavailable(name, "its kernel.json has an empty `argv`")
    return Spec(
        name=name,
        argv=tuple(spec.argv),
        language=spec.language.lower(),
        env=dict(spec.env),
        resource_dir=spec.resource_dir,
        interrupt_mode=spec.interrupt_mode,
        provisioner=provisioner,
    )


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


@dataclass(frozen=True)
class Order:
    """A kernel that is about to be started: everything but its process."""

    spec: Spec
    cwd: str
    #: All its environment variables.
    env: Mapping[str, str]
    #: The program and its arguments.
    command: list[str]
    #: The content of the connection file.
    connection: Mapping[str, Any]
    folder: str
    key: bytes

    def open_said(self) -> IO[bytes]:
        """Open the file that takes what the process writes to its standard output and error."""
        return create(Path(self.folder, "said"))

    def kernel(self, process: Process, guard: Guard | None) -> "Kernel":
        """Make the kernel of a process that was started."""
        from jupyter_client.session import Session

        return Kernel(self.spec, process, Session(key=self.key), self.connection, self.folder, guard)


def order(spec: Spec, *, cwd: str, env: Mapping[str, str] | None = None) -> Order:
    """Prepare to start a kernel.

    Args:
        spec: What to start.
        cwd: Its working directory.
        env: Environment variables beside those of this process and of the kernelspec.

    Raises:
        KernelUnavailable: If there is no such directory.
    """
    if not Path(cwd).is_dir():
        raise KernelUnavailable(spec.name, f"its working directory {cwd} does not exist")
    folder = tempfile.mkdtemp(prefix="pauseflow-")
    key = secrets.token_hex(32).encode()
    try:
        file, connection = _connection_file(spec, folder, key)
    except OSError as problem:
        shutil.rmtree(folder, ignore_errors=True)
        raise KernelUnavailable(spec.name, f"its connection file cannot be written: {problem}") from None
    return Order(spec, cwd, environment(spec, env), _command(spec, file), connection, folder, key)


def start(spec: Spec, *, cwd: str, env: Mapping[str, str] | None = None) -> Kernel:
    """Start a kernel's process; it is not ready yet. Arguments as for `order`.

    Raises:
        KernelUnavailable: If there is no such program or directory.
        KernelNotReady: If the machine has no process, memory or descriptor left for it.
    """
    from jupyter_client.launcher import launch_kernel

    # Before jupyter_client tries, which logs the whole command with its environment.
    if shutil.which(spec.interpreter) is None:
        raise KernelUnavailable(spec.name, f"its program {spec.interpreter} is not there, or cannot be run")
    ordered = order(spec, cwd=cwd, env=env)
    try:
        with ordered.open_said() as said:
            process = launch_kernel(
                _lean(ordered.command), stdout=said.fileno(), stderr=said.fileno(), cwd=cwd, env=dict(ordered.env)
            )
    except OSError as problem:
        shutil.rmtree(ordered.folder, ignore_errors=True)
        raise _not_started(spec, problem) from None
    try:
        guard = Guard(process.pid, ordered.folder)
    except OSError as problem:
        ordered.kernel(process, None).kill()
        ordered.kernel(process, None).reap()
        raise _not_started(spec, problem) from None
    return ordered.kernel(process, guard)


def _not_started(spec: Spec, problem: OSError) -> KernelUnavailable:
    # A machine that is out of processes, memory or descriptors may have some again in a moment.
    kind = KernelNotReady if problem.errno in _PASSING else KernelUnavailable
    return kind(spec.name, f"{spec.interpreter} cannot be started: {problem}")


def _lean(command: list[str]) -> list[str]:
    """Let our launcher stand in for ipykernel's."""
    if "ipykernel_launcher" not in command:
        return command
    at = command.index("ipykernel_launcher")
    return [*command[: at - 1], str(_LAUNCHER), *command[at + 1 :]] if command[at - 1] == "-m" else command


def _connection_file(spec: Spec, folder: str, key: bytes) -> tuple[str, Mapping[str, Any]]:
    from jupyter_client.connect import write_connection_file

    # Sockets in a private folder cannot collide as ports do. Not every kernel of another language knows them.
    is_ipc = sys.platform != "win32" and spec.is_python and len(folder) < _LONGEST_IPC
    transport, ip = ("ipc", str(Path(folder, "k"))) if is_ipc else ("tcp", "")
    file = str(Path(folder, "connection.json"))
    return write_connection_file(file, key=key, transport=transport, ip=ip, kernel_name=spec.name)


def _command(spec: Spec, connection_file: str) -> list[str]:
    known = {"connection_file": connection_file, "prefix": sys.prefix, "resource_dir": spec.resource_dir}
    words = [spec.interpreter, *spec.argv[1:]]
    words = [re.sub(r"\{(\w+)\}", lambda found: known.get(found[1], found[0]), word) for word in words]
    return words + LEAN if spec.is_ipykernel else words


def environment(spec: Spec, given: Mapping[str, str] | None) -> dict[str, str]:
    """Give every environment variable that a kernel of this process sees: none of the operator's secrets."""
    env = {**without_secrets(os.environ), **(given or {})}
    # It would make another interpreter take this one's library.
    env.pop("PYTHONEXECUTABLE", None)
    env |= {name: string.Template(value).safe_substitute(env) for name, value in spec.env.items()}
    if spec.is_python and not env.get("PYTHONHASHSEED"):
        env |= {"PYTHONHASHSEED": _HASH_SEED, "PAUSEFLOW_HASH_SEED": _HASH_SEED}
    return env


def _is_own_python(program: str) -> bool:
    major, minor = sys.version_info[:2]
    return program in {"python", f"python{major}", f"python{major}.{minor}"}


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
