"""Start ipykernel without its debugger, which nothing uses here and which takes a tenth of a second to load.

A script that the interpreter of the kernel runs in place of `-m ipykernel_launcher`; it imports nothing of this package.
"""

import importlib.util
import sys


def _main() -> None:
    # The folder of this script; IPython puts the working directory in its place.
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
