"""Decide whether snapshots may read memory without public functions of Python.

Only on versions of Python that the tests run on, as they are released. Elsewhere, and with
`PAUSEFLOW_SNAPSHOTS=plain`, only public functions are used, which takes more time and memory for the same result.
"""

import functools
import os
import platform
import sys

VARIABLE = "PAUSEFLOW_SNAPSHOTS"
#: Versions that are tested: another one may have a different memory layout, and reading it would crash the kernel.
_TESTED = frozenset({(3, 11), (3, 12), (3, 13)})


def may_look_into_memory() -> bool:
    """Whether memory may be read without public functions."""
    return os.environ.get(VARIABLE, "") != "plain" and _is_tested()


@functools.cache
def _is_tested() -> bool:
    return (
        platform.python_implementation() == "CPython"
        and sys.version_info[:2] in _TESTED
        and sys.version_info.releaselevel == "final"
        and getattr(sys, "_is_gil_enabled", lambda: True)()
        and "t" not in getattr(sys, "abiflags", "")
        # Debug builds have additional fields before each object.
        and not hasattr(sys, "gettotalrefcount")
        and not hasattr(sys, "getobjects")
    )
