"""Where commands are born: a program that has done their imports, and forks one `pauseflow` after the other.

Each is asked for by a message on the socket whose number is the first argument; with it come its standard input,
output and error, and a socket that tells first that it lives, under which process id, and then its exit code.
Further arguments name modules to import, too.

A command runs from the first line of `python -m pauseflow_nb` to the end of the interpreter, in a session and process
group of its own, in its own working directory and environment, and starts its kernels as ever. No thread, no database
and no event loop was there before it. What differs from a process that a person starts:

* its modules are imported already: how long that takes, what it warns of and in which order it happens is not seen;
* Python has read its variables before: with other values than the nursery's nothing is forked;
* texts are hashed as in its siblings, its parent is another, and `ps` shows the nursery's command line.
"""

import gc
import importlib
import json
import os
import random
import runpy
import socket
import sys
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


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    # The folder of this program; a command has its working directory there instead, as `python -m` puts it.
    del sys.path[0]
    for name in (*MODULES, *sys.argv[2:]):
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
            break
        for descriptor in descriptors:
            os.close(descriptor)
    runpy.run_module("pauseflow_nb", run_name="__main__", alter_sys=True)


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


if __name__ == "__main__":
    main()
