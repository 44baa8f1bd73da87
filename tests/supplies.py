"""Kernels for tests in whose process notebooks run: forked, as a worker has them."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pauseflow_nb.runner.kernels.kernel import Kernel
from pauseflow_nb.runner.kernels.source import Supply
from pauseflow_nb.runner.kernels.spec import Spec

__all__ = ["SharedSupply"]


class SharedSupply(Supply):
    """Hands out forked kernels to all tests of a process, which pay once for what a kernel imports.

    That kernels which are started do the same is tested in `runner/test_supply.py`, and `pauseflow run` has them.
    """

    def __init__(self, ipython_folder: Path) -> None:
        super().__init__("forked")
        self._environment = {"IPYTHONDIR": str(ipython_folder)}

    def take(
        self, spec: Spec, *, cwd: str, env: Mapping[str, str] | None = None, libraries: Iterable[str] = ()
    ) -> Kernel:
        # Pytest changes it for each test, and kernels of another environment are forked from another process.
        os.environ.pop("PYTEST_CURRENT_TEST", None)
        return super().take(spec, cwd=cwd, env={**self._environment, **(env or {})}, libraries=libraries)
