"""Where commands are born: a program that has done their imports, and forks one `pauseflow` after the other.

Each is asked for by a message on the socket whose number is the first argument; with it come its standard input,
output and error, and a socket that tells first that it lives, under which process id, and then its exit code.

A command runs from the first line of `python -m pauseflow_nb` to the last function of `atexit`, in a session and process
group of its own, in its own working directory and environment. No thread, no database and no event loop was there
before it. What differs from a process that a person starts:

* its modules are imported already: how long that takes, what it warns of and in which order it happens is not seen;
* Python has read its variables before: with other values than the nursery's nothing is forked;
* texts are hashed as in its siblings, its parent is another, and `ps` shows the nursery's command line;
* its modules are not taken apart at its end: that copies every page it shares with the nursery, which takes longer
  than most commands;
* its kernels are forked, as a worker's are, and their fork server is forked from `kernel_nursery.py`, which has done the
  imports of a kernel.
"""

import atexit
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

#: What `run`, `worker` and the commands that answer them import; `serve` imports more.
MODULES = (
    "pauseflow_nb.cli",
    "ipykernel.kernelspec",
    "jupyter_client.manager",
    "pauseflow_nb.cli.parameter_flags",
    "pauseflow_nb.cli.progress",
    "pauseflow_nb.engine.attached",
    "pauseflow_nb.engine.checkpoints",
    "pauseflow_nb.engine.worker",
    "pauseflow_nb.execution",
    "pauseflow_nb.runner.notebook",
    "pauseflow_nb.server.listener",
    "sqlalchemy.dialects.sqlite",
)


#: How the names of variables begin that Python and the modules of a kernel read only when it begins.
_LATE = ("CI", "IPYTHONDIR", "JPY_", "JUPYTER", "LOGNAME", "MPLBACKEND", "PAUSEFLOW_", "PYTEST_")
#: What Python reads when the process of a kernel starts, see `make_environment`.
_OF_KERNELS = {"PYTHONHASHSEED": "7287"}


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    # The folder of this program; a command has its working directory there instead, as `python -m` puts it.
    del sys.path[0]
    kernels = _start_kernel_nursery()
    for name in MODULES:
        importlib.import_module(name)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "a thread would not be in the forks"
    gc.collect()
    gc.freeze()
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 4)
        _reap()
        if not data:
            return
        if os.fork() == 0:
            control.close()
            _be_born(json.loads(data), *descriptors)
            _fork_kernels(kernels)
            break
        for descriptor in descriptors:
            os.close(descriptor)
    _run_command()


def _run_command() -> None:
    """Run the command, and do all that Python does at its end but to take modules apart."""
    code = 0
    try:
        runpy.run_module("pauseflow_nb", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        code = end.code
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _be_born(request: dict[str, Any], stdin: int, stdout: int, stderr: int, link: int) -> None:
    """Return in a process that a test asked for, as if it had been started for it."""
    connection = socket.socket(fileno=link)
    command = os.fork()
    if command:
        for number in (stdin, stdout, stderr):
            os.close(number)
        _, status = os.waitpid(command, 0)
        connection.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
        os._exit(0)
    os.setsid()
    connection.send(json.dumps({"pid": os.getpid()}).encode())
    connection.close()
    for number, descriptor in enumerate((stdin, stdout, stderr)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    random.seed()
    sys.path.insert(0, request["cwd"])
    sys.argv[1:] = request["arguments"]


def _start_kernel_nursery() -> socket.socket:
    requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("kernel_nursery.py")), str(theirs.fileno())],
            env=os.environ | _OF_KERNELS,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    return requests


class _ForkServerProcess:
    """A fork server of kernels, with what its client uses of `subprocess.Popen`."""

    def __init__(self, requests: socket.socket, environment: dict[str, str], stdin: int) -> None:
        link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stdout, its_stdout = os.pipe()
        with link:
            with theirs:
                descriptors = [stdin, its_stdout, theirs.fileno()]
                socket.send_fds(requests, [json.dumps(environment).encode()], descriptors)
            os.close(its_stdout)
            self.pid: int = json.loads(link.recv(100))["pid"]
        self.stdout = os.fdopen(stdout, "rb")
        self._descriptor = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        return 0 if select.select([self._descriptor], [], [], 0)[0] else None

    def wait(self, timeout: float | None = None) -> int:
        if not select.select([self._descriptor], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("fork_server", timeout or 0)
        return 0

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)


def _fork_kernels(requests: socket.socket) -> None:
    """Let this command fork its kernels, where a kernel that is started would be the same."""
    fork_client: Any = importlib.import_module("pauseflow_nb.runner.kernels.fork_client")
    source: Any = importlib.import_module("pauseflow_nb.runner.kernels.source")
    early = _select_early(os.environ | _OF_KERNELS)

    class Subprocess:
        PIPE, DEVNULL, TimeoutExpired = subprocess.PIPE, subprocess.DEVNULL, subprocess.TimeoutExpired

        @staticmethod
        def Popen(command: list[str], *, stdin: int, env: dict[str, str], **options: Any) -> Any:  # noqa: N802
            options_of_python = [word for word in command[1:-1] if word != "-Xfrozen_modules=off"]
            if command[0] != sys.executable or options_of_python or _select_early(env) != early:
                return subprocess.Popen(command, stdin=stdin, env=env, **options)
            return _ForkServerProcess(requests, env, stdin)

    start, supply = source.start_kernel, source.Supply("forked")

    def start_kernel(spec: Any, *, cwd: str, env: Any = None) -> Any:
        return supply._fork(spec, cwd, env, ()) or start(spec, cwd=cwd, env=env)

    fork_client.subprocess = Subprocess
    source.start_kernel = start_kernel


def _select_early(environment: Any) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(_LATE)}


if __name__ == "__main__":
    main()
