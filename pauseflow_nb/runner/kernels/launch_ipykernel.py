"""Starts ipykernel without its debugger, which costs a tenth of a second and has nobody to use it.

A script, run by the kernel's own interpreter in the place of `-m ipykernel_launcher`; imports none of ours.
"""

import importlib.util
import sys


def _main() -> None:
    # The folder of this script; a kernel has the working directory instead, which IPython puts there.
    del sys.path[0]
    replaced = importlib.util.find_spec("ipykernel_launcher")
    if replaced is not None and replaced.origin is not None:
        sys.argv[0] = replaced.origin
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    importlib.import_module("ipykernel.debugger")

    # A cell may import it.
    del sys.modules["debugpy"]
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance()


if __name__ == "__main__":
    _main()
