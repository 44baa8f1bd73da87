"""A kernel must not outlive its runner, however that dies.

ipykernel looks for its parent once a second, but not while a cell holds the interpreter's lock, and
what a cell started stays behind; kernels of other languages do not look at all. So a tiny shell
waits at the end of a pipe: when the runner is gone, the pipe closes, and the process group is killed.
"""

import os
import subprocess
import sys
from typing import IO

__all__ = ["Guard"]

_SCRIPT = 'read -r _; kill -s KILL -- "-$1" 2>/dev/null; rm -rf -- "$2"'


class Guard:
    """Kills a process group and removes its folder when this process ends; does nothing on Windows."""

    def __init__(self, group: int, folder: str) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        if sys.platform != "win32":
            # In a session of its own: a Ctrl-C in the terminal is not for it.
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                ["/bin/sh", "-c", _SCRIPT, "sh", str(group), folder],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={"PATH": os.environ.get("PATH", os.defpath)},
            )

    def dismiss(self) -> None:
        """Let the group be; call this before its leader is reaped, when its number is still its own."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        pipe: IO[bytes] | None = self._process.stdin
        if pipe is not None:
            pipe.close()
        self._process = None
