"""Jupyter notebooks that pause like workflows.

In a notebook: `from pauseflow_nb import flow, steps`, then cells headed `%%step NAME`.
From a program: `run_notebook(path)` and `get_execution(id)`.
"""

import sys
from typing import TYPE_CHECKING, Any

__all__ = [
    "Execution",
    "RunInput",
    "flow",
    "get_execution",
    "load_ipython_extension",
    "pause_flow_run",
    "resume_flow_run",
    "run_notebook",
    "steps",
    "suspend_flow_run",
]

__version__ = "0.1.0"

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from pauseflow_nb.compat.prefect import RunInput, pause_flow_run, resume_flow_run, suspend_flow_run
    from pauseflow_nb.execution import Execution, get_execution, run_notebook
    from pauseflow_nb.kernel.flow import flow, steps


def __getattr__(name: str) -> Any:
    # Imported lazily: a kernel needs two of these names and should not load the others.
    if name in {"flow", "steps"}:
        from pauseflow_nb.kernel import flow as module

        return getattr(module, name)
    if name in {"Execution", "get_execution", "run_notebook"}:
        from pauseflow_nb import execution

        return getattr(execution, name)
    if name in {"RunInput", "pause_flow_run", "resume_flow_run", "suspend_flow_run"}:
        from pauseflow_nb.compat import prefect

        return getattr(prefect, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(__all__)}")


def load_ipython_extension(shell: "InteractiveShell") -> None:
    """Run at `%load_ext pauseflow_nb`: add `%%step`, `%%setup`, `%pauseflow`, and `flow` and `steps` if unused."""
    from pauseflow_nb.kernel.ipython_extension import load

    load(shell, bind_names=True)


def _load_into_running_shell() -> None:
    # So that importing the package in a cell is enough: no `%load_ext` is needed.
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is not None:
        from pauseflow_nb.kernel.ipython_extension import load

        load(shell, bind_names=False)


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from pauseflow_nb.server.extension import PauseflowExtension

    return [{"module": "pauseflow_nb", "app": PauseflowExtension}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "labextension", "dest": "pauseflow-nb"}]


if "IPython" in sys.modules:
    _load_into_running_shell()
