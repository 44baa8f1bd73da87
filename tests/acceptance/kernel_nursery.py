"""Where fork servers of kernels are born: a program that has done their imports, and forks one after the other.

Each is asked for by a message on the socket whose number is the first argument: the message holds its environment, and with
it come its standard input and output, and a socket that tells its process id.
"""

import json
import os
import signal
import socket
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

_SERVER = Path(__file__).parents[2] / "pauseflow_nb" / "runner" / "kernels" / "fork_server.py"


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    spec = spec_from_file_location("fork_server", _SERVER)
    assert spec is not None
    assert spec.loader is not None
    fork_server: Any = module_from_spec(spec)
    spec.loader.exec_module(fork_server)
    fork_server._import_kernel()
    fork_server._import_kernel = lambda: None
    fork_server._freeze_memory()
    # Nobody waits for a server: who uses it looks at a descriptor of its process.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 3)
        if not data:
            return
        if os.fork() == 0:
            control.close()
            _be_born(json.loads(data), *descriptors)
            fork_server._main()
        for descriptor in descriptors:
            os.close(descriptor)


def _be_born(environment: dict[str, str], stdin: int, stdout: int, link: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    for number, descriptor in enumerate((stdin, stdout)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    with socket.socket(fileno=link) as connection:
        connection.send(json.dumps({"pid": os.getpid()}).encode())


if __name__ == "__main__":
    main()
