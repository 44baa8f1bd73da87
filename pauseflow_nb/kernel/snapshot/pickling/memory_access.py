"""Decide whether snapshots may read memory by other than public functions.

Only on versions of Python that the tests run on, as they are released. Elsewhere, and with `PAUSEFLOW_SNAPSHOTS=plain`,
only public functions are used: that takes more time and memory, and saves and restores the same.
"""

import functools
import os
import platform
import sys

VARIABLE = "PAUSEFLOW_SNAPSHOTS"
#: What continuous integration runs: another version may lay out objects differently, and reading it would end the kernel.
_TESTED = frozenset({(3, 11), (3, 12), (3, 13)})


def may_look_into_memory() -> bool:
    """Whether memory may be read in other ways than through public functions."""
    return os.environ.get(VARIABLE, "") != "plain" and _is_tested()


@functools.cache
def _is_tested() -> bool:
    return (
        platform.python_implementation() == "CPython"
        and sys.version_info[:2] in _TESTED
        and sys.version_info.releaselevel == "final"
        and getattr(sys, "_is_gil_enabled", lambda: True)()
        and "t" not in getattr(sys, "abiflags", "")
        # Builds for debugging put more in front of each object.
        and not hasattr(sys, "gettotalrefcount")
        and not hasattr(sys, "getobjects")
    )
