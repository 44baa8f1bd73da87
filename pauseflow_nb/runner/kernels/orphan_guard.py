"""Kill a kernel when its runner ends, however that happens.

ipykernel looks for its parent once a second, but not while a cell holds the interpreter's lock, and the processes that a
cell started continue; kernels of other languages do not look at all. So a small shell process reads from a pipe: when the
runner ends, the pipe closes, and the shell kills the process group of the kernel.
"""

import os
import subprocess
import sys
from typing import IO

_SCRIPT = 'read -r _; kill -s KILL -- "-$1" 2>/dev/null; rm -rf -- "$2"'


class Guard:
    """Kills a process group and removes its folder when this process ends; does nothing on Windows."""

    def __init__(self, group: int, folder: str) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if sys.platform != "win32":
            # In another session, so that Ctrl-C in the terminal does not reach it.
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                ["/bin/sh", "-c", _SCRIPT, "sh", str(group), folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={"PATH": os.environ.get("PATH", os.defpath)},
            )

    def dismiss(self) -> None:
        """Stop guarding the group; must be called before its leader is reaped, while no other process can have its id."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        pipe: IO[bytes] | None = self._process.stdin
        if pipe is not None:
            pipe.close()
        self._process = None
