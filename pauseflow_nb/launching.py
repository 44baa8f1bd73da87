"""Plan and run executions from this process: what the command line, papermill's engine and `run_notebook` share.

An *attached* run executes the segments of its own execution while the process lives, and leaves the rest to any worker.
"""

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pauseflow_nb.callback_listener import CallbackListener
from pauseflow_nb.errors import InvalidParameter, NoWorker
from pauseflow_nb.identity import identify_account
from pauseflow_nb.queues import DEFAULT_QUEUE

if TYPE_CHECKING:
    from pauseflow_nb.engine.plan import Plan
    from pauseflow_nb.engine.progress_events import Event, Events
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.runner.control import Control
    from pauseflow_nb.runner.kernels.source import Supply
    from pauseflow_nb.runner.notebook import Frozen

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class RunOptions:
    """How a notebook is run."""

    #: Kernel to use instead of the notebook's.
    kernel: str | None = None
    #: Language to assume instead of the one that the notebook names.
    language: str | None = None
    #: Working directory of the kernel; the default is this process's.
    cwd: str | None = None
    #: `"step"`: a checkpoint after every finished step; `"pause"`: only when the notebook pauses.
    checkpoint: str = "step"
    #: Fail a step when a variable that later cells need cannot be saved.
    strict: bool = False
    #: Seconds that a kernel may take to start.
    start_timeout: float = 60
    #: Seconds that a cell may take; None: no limit.
    execution_timeout: float | None = None
    #: Hide the code of every cell, as papermill's `--report-mode` does.
    report_mode: bool = False
    #: Seconds between two saves of the output while a cell runs; 0: only when a step or the notebook ends.
    autosave_cell_every: float | None = None


@contextmanager
def start_kernel_early(notebook: str, options: RunOptions) -> "Iterator[Supply]":
    """Start the kernel that a notebook will need, while the notebook is still being read and the store opened.

    Raises nothing: `plan` reports any error, with more details.
    """
    from pauseflow_nb.runner.kernels.source import Supply
    from pauseflow_nb.runner.kernels.spec import find_spec

    supply = Supply("cold")
    with suppress(Exception):
        supply.start_ahead(find_spec(options.kernel or _kernel_in(notebook)), cwd=_choose_cwd(options))
    try:
        yield supply
    finally:
        supply.close()


def plan(notebook: str, output: str | None, parameters: Mapping[str, Any], options: RunOptions) -> "Plan":
    """Read and check a notebook, and plan how it will be run; nothing is stored.

    Raises:
        NotebookNotFound: If there is none at this path.
        InvalidNotebook: If it cannot be run.
        InvalidStep: If a `%%step` line cannot be read, or two steps share a name.
        KernelUnavailable: If its kernel is not installed.
        InvalidParameter: If a parameter cannot be written in the notebook's language, or a path names an unknown one.
        InvalidValue: If a parameter holds the value of a secret that this process has fetched, within another text.
    """
    from pauseflow_nb.kernel.secret import name_secrets
    from pauseflow_nb.runner.notebook import freeze

    parameters = name_secrets(parameters)
    notebook, output = fill_path(notebook, parameters), None if output is None else fill_path(output, parameters)
    frozen = freeze(
        notebook,
        parameters,
        output=output,
        kernel=options.kernel,
        language=options.language,
        report_mode=options.report_mode,
    )
    return make_plan(frozen, notebook, output, options)


def make_plan(frozen: "Frozen", notebook: str, output: str | None, options: RunOptions) -> "Plan":
    """Plan how a frozen notebook will be run.

    Raises:
        InvalidParameter: If the output cannot be written.
    """
    from pauseflow_nb.engine.plan import Plan
    from pauseflow_nb.runner.output_file import require_writable

    require_writable(output)
    return Plan.of(
        frozen,
        notebook=notebook,
        output=output,
        cwd=_choose_cwd(options),
        created_by=identify_account(),
        options={
            "strict": options.strict,
            "checkpoint": options.checkpoint,
            "start_timeout": options.start_timeout,
            "execution_timeout": options.execution_timeout,
            "autosave_cell_every": options.autosave_cell_every,
        },
    )


def fill_path(path: str, parameters: Mapping[str, Any]) -> str:
    """Fill parameters into a path, as papermill does: `{region}.ipynb`, and `{pm[run_uuid]}` and its like.

    Raises:
        InvalidParameter: If the path names one that was not given.
    """
    # Unlike `Path.exists`, this raises nothing for what cannot be a path.
    if "{" not in path or os.path.exists(path):  # noqa: PTH110
        return path
    now = datetime.now(UTC)
    builtin = {
        "run_uuid": str(uuid.uuid4()),
        "current_datetime_local": now.astimezone().replace(tzinfo=None),
        "current_datetime_utc": now,
    }
    try:
        return path.format(**{"pm": builtin, **parameters})
    except (KeyError, IndexError, ValueError) as problem:
        raise InvalidParameter(path, f"the path names a parameter that was not given: {problem}") from None
    except (AttributeError, TypeError) as problem:
        raise InvalidParameter(path, f"the path names an attribute that a parameter does not have: {problem}") from None


def require_worker(queue: "Queue", patience_seconds: float = 20.0, *, serves: str = DEFAULT_QUEUE) -> None:
    """Check that a worker would run what is queued; wait for one that is starting.

    Args:
        queue: The store.
        patience_seconds: How long to wait for a worker that is starting.
        serves: The queue that the worker must serve.

    Raises:
        NoWorker: If none is alive, and none starts in time.
    """
    deadline = time.monotonic() + patience_seconds
    # Once more after it has started: its row shows that at once.
    while not queue.has_live_worker(queue=serves):
        if not queue.has_starting_worker() or time.monotonic() > deadline:
            if queue.has_live_worker(queue=serves):
                return
            raise NoWorker(None if serves == DEFAULT_QUEUE else serves)
        time.sleep(_POLL_SECONDS)


def start_attached(queue: "Queue", work: "Plan") -> str:
    """Start an execution that this process will run: call `attach` next."""
    from pauseflow_nb.store.workers import process_name

    return queue.start(work, attached_to=process_name())


def attach(
    queue: "Queue",
    execution: str,
    *,
    until_pause: bool = False,
    has_links: bool = True,
    control: "Control | None" = None,
    on_event: "Events | None" = None,
    supply: "Supply | None" = None,
) -> dict[str, Any]:
    """Run an execution in this thread until it ends, is left, or (`until_pause`) waits.

    Args:
        queue: The store.
        execution: Its id.
        until_pause: Also return when it waits.
        has_links: Whether callbacks must reach it: through the store's server, or through a listener of this process.
        control: Stops the run from another thread.
        on_event: Called with what happens, in this thread.
        supply: Where kernels come from; see `start_kernel_early`.

    Returns:
        The execution as `Execution.to_dict` shows it.

    Raises:
        StoreUnavailable: If the store could not be used for a minute.
    """
    from pauseflow_nb.engine.attached import run_attached
    from pauseflow_nb.engine.progress_events import ignore

    with CallbackListener(queue) if has_links else nullcontext() as listener:

        def report(event: "Event") -> None:
            if event.kind == "suspended" and listener is not None:
                listener.warn_of_port()
            (on_event or ignore)(event)

        return run_attached(queue, execution, until_pause=until_pause, control=control, on_event=report, supply=supply)


def _kernel_in(notebook: str) -> str:
    from pauseflow_nb.runner.kernels.spec import DEFAULT_KERNEL

    file = Path(notebook)
    if not file.is_file():
        # A pipe can be read only once, and a device may never end.
        return DEFAULT_KERNEL
    # Without nbformat, whose import would take the time that this saves.
    metadata = json.loads(file.read_bytes())["metadata"]
    return str(metadata.get("kernelspec", {}).get("name") or DEFAULT_KERNEL)


def _choose_cwd(options: RunOptions) -> str:
    return str(Path(options.cwd or Path.cwd()).absolute())
