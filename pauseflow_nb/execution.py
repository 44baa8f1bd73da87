"""Executions from Python: `run_notebook(path)` starts one, `get_execution(id)` finds one from any process.

Command line, REST and this module are doors to the same thing. This one and `pauseflow run` can also
be the process that runs it: an *attached* run executes the segments of its own execution while it
lives, and leaves the rest to any worker.
"""

import atexit
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pauseflow_nb.callback_listener import CallbackListener
from pauseflow_nb.errors import InvalidAnswer, InvalidParameter, NotAllowed, NotSuspended, NoWorker
from pauseflow_nb.identity import account
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from pauseflow_nb.engine.attached import Events
    from pauseflow_nb.engine.progress_events import Event
    from pauseflow_nb.engine.queue import Plan, Queue, Restart
    from pauseflow_nb.runner.kernels.source import Supply
    from pauseflow_nb.runner.notebook import Frozen
    from pauseflow_nb.runner.segment import Control

__all__ = [
    "FINAL_STATES",
    "Execution",
    "RunOptions",
    "attach",
    "filled",
    "get_execution",
    "kernel_ahead",
    "plan",
    "plan_of",
    "require_worker",
    "run_notebook",
    "start_attached",
]

FINAL_STATES = frozenset({"completed", "failed", "cancelled"})

_POLL_SECONDS = 0.1
#: Seconds between two looks whether somebody still runs what is waited for.
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class RunOptions:
    """How a notebook is run, whatever it holds."""

    #: Kernel to use instead of the one that the notebook names.
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
    #: Seconds that a cell may take; None: for ever.
    execution_timeout: float | None = None
    #: Hide the code of every cell, as papermill's `--report-mode` does.
    report_mode: bool = False
    #: Seconds between two saves of the output while a cell runs; 0: only when a step or the notebook ends.
    autosave_cell_every: float | None = None


class Execution:
    """One run of one notebook. Every property reads the store anew."""

    def __init__(self, queue: "Queue", execution: str) -> None:
        """Stand for an execution that the store has."""
        self._queue = queue
        self._runner: threading.Thread | None = None
        #: The execution's id.
        self.id = execution

    def __repr__(self) -> str:
        return f"<Execution {self.id}: {self.state}>"

    @property
    def state(self) -> str:
        """One of `queued running suspended waiting paused completed failed cancelled`."""
        return self._queue.state(self.id)

    @property
    def reason(self) -> dict[str, Any] | None:
        """Why it is in this state: `{"kind", "by", "text"}`, or None."""
        reason: dict[str, Any] | None = self.to_dict()["reason"]
        return reason

    @property
    def suspended(self) -> list[dict[str, Any]]:
        """Open suspensions, with their links."""
        suspended: list[dict[str, Any]] = self.to_dict()["suspended"]
        return suspended

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        """Step name → state, runs, times and exports."""
        steps: dict[str, dict[str, Any]] = self.to_dict()["steps"]
        return steps

    @property
    def usage(self) -> dict[str, Any]:
        """Seconds computed and waited, wake-ups, and the list of segments with theirs."""
        usage: dict[str, Any] = self.to_dict()["usage"]
        return usage

    def to_dict(self) -> dict[str, Any]:
        """Everything, in the shape that `--json` and the REST API have."""
        return self._queue.view(self.id)

    def events(self) -> list[dict[str, Any]]:
        """The audit trail: who or what changed the state, and when."""
        return self._queue.audit(self.id)

    def stream(self) -> Iterator[dict[str, Any]]:
        """Yield each line of the audit trail, those that are there and then each as it comes, until it has ended.

        Whoever wants to stop earlier breaks out of the loop.
        """
        seen: set[int] = set()
        has_ended = False
        while not has_ended:
            # Before the events are read, or the last ones might be missed.
            has_ended = self.state in FINAL_STATES
            for event in self.events():
                if event["id"] not in seen:
                    seen.add(event["id"])
                    yield event
            if not has_ended:
                time.sleep(_POLL_SECONDS)

    def suspend(self) -> None:
        """Suspend it before its next cell, until somebody resumes it; returns at once.

        Raises:
            CannotSuspend: If it waits already, has ended, or belongs to another.
        """
        self._queue.suspend(self.id, by=account())

    def retry(
        self, *, from_step: str | None = None, notebook: str | os.PathLike[str] | None = None, force: bool = False
    ) -> "Restart":
        """Go on from a checkpoint; what finished before it does not run again. Nothing has run when this returns.

        Args:
            from_step: The step to run again, with all that follows. Otherwise a failed execution goes on from its
                last checkpoint.
            notebook: An edited notebook that takes the place of the one that ran. If a cell before the checkpoint
                was changed, it goes further back, and the result says so.
            force: Go on although the variables were saved by other versions, or some that are needed did not come back.

        Raises:
            CannotRetry: If it has not ended, or has not failed and neither argument is given.
            InvalidStep: If there is no such step, or it was not reached.
        """
        path = None if notebook is None else os.fspath(notebook)
        return self._queue.retry(self.id, by=account(), from_step=from_step, notebook=path, force=force)

    def fork(self, *, from_step: str | None = None, output: str | os.PathLike[str] | None = None) -> "Execution":
        """Start a sibling: the same notebook and variables, with an output and links of its own.

        Args:
            from_step: The step that the sibling begins with. Otherwise it begins where this one stands; if this
                one waits, the sibling waits for an answer of its own.
            output: Its executed notebook; the default is named after this one's.

        Raises:
            CannotRetry: If this one has ended, has not failed, and no step was named.
            InvalidStep: If there is no such step, or it was not reached.
        """
        path = None if output is None else os.fspath(output)
        return Execution(self._queue, self._queue.fork(self.id, by=account(), from_step=from_step, output=path))

    def resume(self, step: str | Sequence[str] | Mapping[str, Any] | None = None, data: Any = None) -> None:
        """Answer an open suspension.

        Args:
            step: Which, if several are open: a step's name, an entry of `suspended`, or its `path` or `address`.
            data: JSON value for the notebook, as the body of a request would be.

        Raises:
            NotSuspended: If nothing waits.
            AmbiguousSuspension: If several wait and none was named.
            InvalidAnswer: If the data does not fit the schema; it goes on waiting.
            NotAllowed: If you may not answer this one.
        """
        where = _address(step)
        answer = self._queue.resume(self.id, step=where, data=data, by=account())
        if answer.status == 422:
            raise InvalidAnswer(answer.body["errors"])
        if answer.status == 403:
            raise NotAllowed(str(answer.body["error"]))
        if answer.status >= 400:
            # Somebody else, or the clock, came first.
            raise NotSuspended(self.id, self.state, where)

    def cancel(self, text: str | None = None) -> None:
        """Cancel, in whatever state it is; a running kernel is interrupted."""
        self._queue.cancel(self.id, by=account(), text=text)

    def wait(self, timeout: float | None = None, *, until_pause: bool = False) -> "Execution":
        """Wait for the end. Where nobody else would run the execution, this process does.

        Args:
            timeout: Seconds; None: for ever.
            until_pause: Return as well when it waits for an answer or the clock.

        Raises:
            TimeoutError: If the time is over first; the execution goes on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        look_at = time.monotonic()
        while not self._has_settled(until_pause=until_pause):
            if time.monotonic() >= look_at:
                # Again and again: whoever ran it may have died a moment ago, or die while this waits.
                look_at = time.monotonic() + _LOOK_SECONDS
                if not self._runs_here() and self.is_stranded():
                    self.run_here()
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"execution {self.id} is still {self.state} after {timeout} s")
            time.sleep(_POLL_SECONDS)
        return self

    def _runs_here(self) -> bool:
        return self._runner is not None and self._runner.is_alive()

    def is_stranded(self) -> bool:
        """Whether nobody alive would wake it: no worker, and no process that is attached to it."""
        return self.state not in FINAL_STATES and not self._queue.has_runner(self.id)

    def _has_settled(self, *, until_pause: bool) -> bool:
        return self.state in FINAL_STATES or (until_pause and self._queue.only_waits(self.id))

    def run_here(self, *, until_pause: bool = False) -> None:
        """Run it in a thread of this process, which ends with the execution or with the process.

        Args:
            until_pause: End at the first pause too; then a step that could go on in its kernel only fails.
        """
        from pauseflow_nb.runner.segment import Control

        control = Control()
        self._runner = threading.Thread(
            target=attach,
            args=[self._queue, self.id],
            kwargs={"control": control, "until_pause": until_pause},
            name=f"pauseflow-{self.id}",
            daemon=True,
        )
        self._runner.start()
        atexit.register(_leave, control, self._runner)


def _address(step: str | Sequence[str] | Mapping[str, Any] | None) -> str | None:
    if isinstance(step, Mapping):
        step = step.get("address")
    return step if step is None or isinstance(step, str) else ".".join(step)


def run_notebook(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    wait: bool = True,
    until_pause: bool = False,
    options: RunOptions | None = None,
    settings: Settings | None = None,
) -> Execution:
    """Run a notebook as an execution of its own.

    Args:
        path: The notebook; anything that papermill reads.
        output: Where the executed notebook is written as it goes; None: only in the store.
        parameters: Values for the notebook's `parameters` cell.
        wait: Return when the execution has ended. Otherwise at once: a worker runs it if one is alive, else
            a thread of this process, which leaves the rest to others when the process ends.
        until_pause: With `wait`, return as well when the notebook waits; `Execution.wait` goes on from there.
        options: How it is run.
        settings: Which store; the default reads the environment and `pauseflow.toml`.

    Raises:
        PauseflowError: If the notebook cannot be run at all; nothing was stored then. An error inside the
            notebook is no exception here: `state` is `"failed"`, and `to_dict()["error"]` says why.
    """
    from pauseflow_nb.engine.queue import Queue

    path = os.fspath(path)
    settings = settings or Settings.load(beside=None if "://" in path else Path(path).parent)
    work = plan(path, None if output is None else os.fspath(output), parameters or {}, options or RunOptions())
    queue = Queue.open(settings)
    if not wait and queue.has_live_worker():
        return Execution(queue, queue.start(work))
    execution = Execution(queue, start_attached(queue, work))
    if wait:
        attach(queue, execution.id, until_pause=until_pause, has_links=bool(work.steps))
    else:
        execution.run_here()
    return execution


@contextmanager
def kernel_ahead(notebook: str, options: RunOptions) -> "Iterator[Supply]":
    """Start the kernel that a notebook will need, while the notebook is still being read and the store opened.

    Nothing is raised: whatever is wrong, `plan` says it better.
    """
    from pauseflow_nb.runner.kernels.source import Supply
    from pauseflow_nb.runner.kernels.spec import find_spec

    supply = Supply("cold")
    with suppress(Exception):
        supply.expect(find_spec(options.kernel or _kernel_in(notebook)), cwd=_cwd_of(options))
    try:
        yield supply
    finally:
        supply.close()


def plan(notebook: str, output: str | None, parameters: Mapping[str, Any], options: RunOptions) -> "Plan":
    """Read a notebook, check it, and say how it will be run; nothing is stored.

    Raises:
        NotebookNotFound: If there is none at this path.
        InvalidNotebook: If it cannot be run.
        InvalidStep: If a `%%step` line cannot be read, or two steps share a name.
        KernelUnavailable: If its kernel is not installed.
        InvalidParameter: If a parameter cannot be written in the notebook's language, or a path names an unknown one.
    """
    from pauseflow_nb.runner.notebook import freeze

    notebook, output = filled(notebook, parameters), None if output is None else filled(output, parameters)
    frozen = freeze(
        notebook,
        parameters,
        output=output,
        kernel=options.kernel,
        language=options.language,
        report_mode=options.report_mode,
    )
    return plan_of(frozen, notebook, output, options)


def plan_of(frozen: "Frozen", notebook: str, output: str | None, options: RunOptions) -> "Plan":
    """Say how a frozen notebook will be run.

    Raises:
        InvalidParameter: If the output cannot be written.
    """
    from pauseflow_nb.engine.queue import Plan
    from pauseflow_nb.runner.output_file import require_writable

    require_writable(output)
    return Plan(
        notebook=notebook,
        document=frozen.document,
        output=output,
        inputs=frozen.inputs,
        cells=frozen.cells,
        steps=frozen.steps,
        kernel=frozen.kernel,
        interpreter=frozen.interpreter,
        cwd=_cwd_of(options),
        created_by=account(),
        options={
            "strict": options.strict,
            "checkpoint": options.checkpoint,
            "start_timeout": options.start_timeout,
            "execution_timeout": options.execution_timeout,
            "autosave_cell_every": options.autosave_cell_every,
        },
    )


def filled(path: str, parameters: Mapping[str, Any]) -> str:
    """Fill parameters into a path, as papermill does: `{region}.ipynb`, and `{pm[run_uuid]}` and its like.

    Raises:
        InvalidParameter: If the path names one that was not given.
    """
    if "{" not in path or Path(path).exists():
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


def require_worker(queue: "Queue", patience_seconds: float = 20.0) -> None:
    """Check that a worker would run what is queued; one that is starting is waited for.

    Raises:
        NoWorker: If none is alive, and none starts or it takes too long.
    """
    deadline = time.monotonic() + patience_seconds
    # The last look after it has started: its row says so at once.
    while not queue.has_live_worker():
        if not queue.has_starting_worker() or time.monotonic() > deadline:
            if queue.has_live_worker():
                return
            raise NoWorker
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
        until_pause: Return as well when it waits.
        has_links: Whether callbacks must reach it meanwhile: the store's server answers them, or a listener of ours.
        control: How others stop it.
        on_event: Is told what happens, in this thread.
        supply: Where kernels come from; see `kernel_ahead`.

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


def get_execution(execution: str, *, settings: Settings | None = None) -> Execution:
    """Find an execution by its id.

    Raises:
        UnknownExecution: If the store has none.
    """
    from pauseflow_nb.engine.queue import Queue

    found = Execution(Queue.open(settings or Settings.load()), execution)
    found.state  # noqa: B018 - raises where it is unknown
    return found


def _kernel_in(notebook: str) -> str:
    from pauseflow_nb.runner.kernels.spec import DEFAULT_KERNEL

    # Not with nbformat: what it takes to import is what this saves.
    metadata = json.loads(Path(notebook).read_bytes())["metadata"]
    return str(metadata.get("kernelspec", {}).get("name") or DEFAULT_KERNEL)


def _cwd_of(options: RunOptions) -> str:
    return str(Path(options.cwd or Path.cwd()).absolute())


def _leave(control: "Control", runner: threading.Thread) -> None:
    control.stop_at_boundary()
    runner.join(10)
