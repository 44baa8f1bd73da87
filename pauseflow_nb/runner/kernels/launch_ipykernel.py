"""Start ipykernel without its debugger, which nothing uses here and which takes a tenth of a second to load.

A script that the interpreter of the kernel runs in place of `-m ipykernel_launcher`. It imports nothing of this package,
unless its first argument is `--import-ahead`: then the kernel is started before it is needed, and has the time.
"""

import contextlib
import importlib.util
import sys

_AHEAD = "--import-ahead"


def _main() -> None:
    # The folder of this script; IPython puts the working directory in its place.
    del sys.path[0]
    is_ahead = sys.argv[1:2] == [_AHEAD]
    if is_ahead:
        # Cells see the same command line in every kernel.
        sys.argv.remove(_AHEAD)
        sys.orig_argv.remove(_AHEAD)
    replaced = importlib.util.find_spec("ipykernel_launcher")
    if replaced is not None and replaced.origin is not None:
        sys.argv[0] = replaced.origin
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    importlib.import_module("ipykernel.debugger")

    # A cell may import it.
    del sys.modules["debugpy"]
    from ipykernel.kernelapp import IPKernelApp

    if is_ahead:
        # In an environment without this package, the kernel reports that itself.
        with contextlib.suppress(ImportError):
            importlib.import_module("pauseflow_nb.kernel.import_ahead")
    IPKernelApp.launch_instance()


if __name__ == "__main__":
    _main()
