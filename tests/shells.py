"""IPython's shells for tests. One registers what it does at the end of the process: each looks for garbage in all memory."""

import atexit
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

__all__ = ["new_shell"]


def new_shell(config: Any = None) -> InteractiveShell:
    """Make a shell that has nothing to do at the end; for those of all tests together, that took longer than the tests."""
    shell = InteractiveShell(config=config)  # type: ignore[no-untyped-call]
    atexit.unregister(shell.atexit_operations)
    return shell
