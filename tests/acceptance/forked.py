"""`pauseflow` processes that are forked where their imports are done already."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PROGRAM = Path(__file__).with_name("nursery.py")

#: How the names of variables begin that are read only when they are needed. A command for which any other has
#: another value than for the nursery is a new process: Python or a module may read it when it starts.
LATE = (
    "AWS_",
    "CI",
    "IPYTHONDIR",
    "JUPYTERHUB_",
    "JUPYTER_RUNTIME_DIR",
    "LOGNAME",
    "MPLBACKEND",
    "PAUSEFLOW_",
    "PYTEST_",
)


class Forked:
    """A command that runs, with what tests use of `subprocess.Popen`."""

    def __init__(self, link: socket.socket, stdout: int, stderr: int) -> None:
        self.stdout, self.stderr = os.fdopen(stdout), os.fdopen(stderr)
        self.returncode: int | None = None
        self._link = link
        self.pid: int = self._read_outcome()["pid"]

    def poll(self) -> int | None:
        return self._code(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("pauseflow", timeout or 0)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def _code(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._link], [], [], timeout)[0]:
            self.returncode = self._read_outcome()["code"]
            self._link.close()
        return self.returncode

    def _read_outcome(self) -> dict[str, int]:
        data = self._link.recv(100)
        assert data, "the nursery has ended: what it said stands above"
        outcome: dict[str, int] = json.loads(data)
        return outcome


class Nursery:
    """Forks commands; `acceptance.nursery` says how they differ from those that are started.

    Args:
        modules: What it imports beside what most commands need.
    """

    def __init__(self, *modules: str) -> None:
        self._environment = dict(os.environ)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(_PROGRAM), str(theirs.fileno()), *modules],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def can_fork(self, environment: Mapping[str, str]) -> bool:
        """Whether all would be as in a process that is started with this environment."""
        return _early(environment) == _early(self._environment)

    def fork(self, arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str]) -> Forked:
        """Begin `pauseflow ARGUMENTS…` with nothing on its standard input."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stdout, its_stdout = os.pipe()
        stderr, its_stderr = os.pipe()
        request = {"arguments": list(arguments), "cwd": str(cwd), "environment": dict(environment)}
        with open(os.devnull, "rb") as nothing, theirs:  # noqa: PTH123
            descriptors = [nothing.fileno(), its_stdout, its_stderr, theirs.fileno()]
            socket.send_fds(self._control, [json.dumps(request).encode()], descriptors)
        os.close(its_stdout)
        os.close(its_stderr)
        return Forked(ours, stdout, stderr)

    def close(self) -> None:
        self._control.close()
        self._process.wait()


def _early(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(LATE)}
