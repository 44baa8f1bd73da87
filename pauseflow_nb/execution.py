"""Start, find and control executions from Python: `run_notebook(path)` and `get_execution(id)`."""

import atexit
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pauseflow_nb.errors import InvalidAnswer, NotAllowed, NotSuspended, QuestionChanged
from pauseflow_nb.identity import identify_account
from pauseflow_nb.json_values import NOTHING
from pauseflow_nb.launching import RunOptions, attach, plan, start_attached
from pauseflow_nb.queues import DEFAULT_QUEUE, describe_stranded
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from pauseflow_nb.engine.checkpoints import Restart
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.engine.settling import Response
    from pauseflow_nb.runner.control import Control

__all__ = ["FINAL_STATES", "Execution", "RunOptions", "get_execution", "run_notebook"]

FINAL_STATES = frozenset({"completed", "failed", "cancelled"})

_POLL_SECONDS = 0.1
#: Seconds between two checks of whether another process still runs the execution.
_LOOK_SECONDS = 1.0
#: Seconds to wait for the thread that runs an execution to end.
_LEAVE_SECONDS = 10.0


class Execution:
    """One run of one notebook. Every property reads the store anew."""

    def __init__(self, queue: "Queue", execution: str) -> None:
        """Take an execution that exists in the store."""
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
        """Seconds computed and waited, and wake-ups; the list of segments has the seconds of each."""
        usage: dict[str, Any] = self.to_dict()["usage"]
        return usage

    def to_dict(self) -> dict[str, Any]:
        """Return everything about the execution, in the shape that `--json` and the REST API use."""
        return self._queue.view(self.id)

    def events(self) -> list[dict[str, Any]]:
        """Return the audit trail: who or what changed the state, and when."""
        return self._queue.audit(self.id)

    def stream(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of the audit trail: those written so far, then each new one, until the execution has ended.

        To stop earlier, break out of the loop.
        """
        seen: set[int] = set()
        has_ended = False
        while not has_ended:
            # Read before the events: otherwise the last events could be missed.
            has_ended = self.state in FINAL_STATES
            for event in self.events():
                if event["id"] not in seen:
                    seen.add(event["id"])
                    yield event
            if not has_ended:
                time.sleep(_POLL_SECONDS)

    def suspend(self) -> None:
        """Suspend the execution before its next cell, until it is resumed; returns at once.

        Raises:
            CannotSuspend: If it already waits, has ended, or is linked to a parent.
        """
        self._queue.suspend(self.id, by=identify_account())

    def retry(
        self, *, from_step: str | None = None, notebook: str | os.PathLike[str] | None = None, force: bool = False
    ) -> "Restart":
        """Continue from a checkpoint, without running again what finished before it; returns before any cell runs.

        Args:
            from_step: The step to run again, with all that follows. Otherwise a failed execution continues from its
                last checkpoint.
            notebook: An edited notebook that takes the place of the one that ran. If a cell before the checkpoint
                was changed, the execution continues from an earlier checkpoint, which the result names.
            force: Continue although the variables were saved by other versions, or some that are needed could not
                be restored.

        Raises:
            CannotRetry: If the execution has not ended; or if it did not fail, and neither argument is given.
            InvalidStep: If there is no such step, or the execution has not reached it.
        """
        from pauseflow_nb.engine.retry_fork import retry

        path = None if notebook is None else os.fspath(notebook)
        return retry(self._queue, self.id, by=identify_account(), from_step=from_step, notebook=path, force=force)

    def fork(self, *, from_step: str | None = None, output: str | os.PathLike[str] | None = None) -> "Execution":
        """Start a sibling: the same notebook and variables, with an output and links of its own.

        Args:
            from_step: The step that the sibling begins with. Otherwise it begins where this execution is now; if this
                one waits, the sibling waits for an answer of its own.
            output: Its executed notebook; the default is named after this one's.

        Raises:
            CannotRetry: If this execution has ended without failing, and no step was named.
            InvalidStep: If there is no such step, or the execution has not reached it.
        """
        from pauseflow_nb.engine.retry_fork import fork

        path = None if output is None else os.fspath(output)
        return Execution(
            self._queue, fork(self._queue, self.id, by=identify_account(), from_step=from_step, output=path)
        )

    def resume(
        self,
        step: str | Sequence[str] | Mapping[str, Any] | None = None,
        data: Any = NOTHING,
        *,
        shown: str | None = None,
    ) -> None:
        """Answer an open suspension.

        Args:
            step: Which one, if several are open: a step's name, an entry of `suspended`, or its `path` or `address`.
            data: JSON value for the notebook, like the body of a request; None is null.
            shown: The `shown` of the entry of `suspended` that was decided on; if that has changed, nothing is settled.

        Raises:
            NotSuspended: If nothing waits.
            QuestionChanged: If what was shown has changed.
            AmbiguousSuspension: If several wait and none was named.
            InvalidAnswer: If the data does not fit the schema; the suspension stays open.
            NotAllowed: If you may not answer this one.
        """
        where = _address(step)
        self._check(self._queue.resume(self.id, step=where, data=data, by=identify_account(), seen=shown), where)

    def send_back(
        self,
        comment: str | None = None,
        *,
        step: str | Sequence[str] | Mapping[str, Any] | None = None,
        shown: str | None = None,
    ) -> None:
        """Send an open suspension back: its step runs again, and finds the comment in `flow.context`.

        Args:
            comment: What to change.
            step: As in `resume`.
            shown: As in `resume`.

        Raises:
            NotAllowed: If the question does not allow it, or you may not answer it.
            NotSuspended, QuestionChanged, AmbiguousSuspension: As in `resume`.
        """
        where = _address(step)
        self._check(
            self._queue.send_back(self.id, step=where, comment=comment, by=identify_account(), seen=shown), where
        )

    def _check(self, response: "Response", where: str | None) -> None:
        if response.status == 422:
            raise InvalidAnswer(response.body["errors"])
        if response.status == 403:
            raise NotAllowed(str(response.body["error"]))
        if response.body.get("stale"):
            raise QuestionChanged(self.id)
        if response.status >= 400:
            # Another answer, or the clock, came first.
            raise NotSuspended(self.id, self.state, where)

    def cancel(self, text: str | None = None) -> None:
        """Cancel the execution, unless it has ended; a running kernel is interrupted."""
        self._queue.cancel(self.id, by=identify_account(), text=text)

    def wait(self, timeout: float | None = None, *, until_pause: bool = False) -> "Execution":
        """Wait for the end of the execution; run it in this process if no other process would.

        A step of a queue other than the default one waits for a worker of that queue.

        Args:
            timeout: Seconds; None: no limit.
            until_pause: Also return when the execution waits for an answer or the clock.

        Raises:
            TimeoutError: If the execution has not ended in time; it continues.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        look_at = time.monotonic()
        while not self._has_settled(until_pause=until_pause):
            if time.monotonic() >= look_at:
                # Repeatedly: the process that runs the execution may die while this one waits.
                look_at = time.monotonic() + _LOOK_SECONDS
                if not self._runs_here() and self.may_run_here():
                    self.run_here()
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"execution {self.id} is still {self.state} after {timeout} s")
            time.sleep(_POLL_SECONDS)
        if self._runner is not None and self.state in FINAL_STATES:
            # The thread still sends the trace, which it could not do while the interpreter shuts down.
            self._runner.join(_LEAVE_SECONDS)
        return self

    def _runs_here(self) -> bool:
        return self._runner is not None and self._runner.is_alive()

    def is_stranded(self) -> bool:
        """Whether no live process would continue it: no worker, and none that is attached to it."""
        return self.state not in FINAL_STATES and not self._queue.has_runner(self.id)

    def may_run_here(self) -> bool:
        """Whether it is stranded, and its next cell is in the default queue."""
        return self.is_stranded() and self._queue.find_queue(self.id) == DEFAULT_QUEUE

    def describe_stranded(self, flags: str = "") -> str:
        """Explain that no process will continue it, and what to start, with these flags of the store."""
        return describe_stranded(self._queue.find_queue(self.id), flags)

    def _has_settled(self, *, until_pause: bool) -> bool:
        return self.state in FINAL_STATES or (until_pause and self._queue.only_waits(self.id))

    def run_here(self, *, until_pause: bool = False) -> None:
        """Run the execution in a thread of this process, until either ends.

        Args:
            until_pause: Also end at the first pause; a step that could only continue in this kernel then fails.
        """
        from pauseflow_nb.runner.control import Control

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
    """Run a notebook as a new execution.

    Args:
        path: The notebook; anything that papermill reads.
        output: Path of the executed notebook, which is written while it runs; None: only in the store.
        parameters: Values for the notebook's `parameters` cell.
        wait: Return when the execution has ended. If false, return at once: a worker runs it if one is alive,
            otherwise a thread of this process, which leaves the rest to others when the process ends.
        until_pause: With `wait`, also return when the notebook waits; `Execution.wait` then continues.
        options: How it is run.
        settings: Which store; the default reads the environment and `pauseflow.toml`.

    Raises:
        PauseflowError: If the notebook cannot be run at all; nothing was stored then. An error inside the
            notebook raises no exception: `state` is `"failed"`, and `to_dict()["error"]` says why.
    """
    from pauseflow_nb.engine.queue import Queue

    path = os.fspath(path)
    settings = settings or Settings.load(beside=None if "://" in path else Path(path).parent)
    work = plan(path, None if output is None else os.fspath(output), parameters or {}, options or RunOptions())
    queue = Queue.open(settings)
    if not wait and queue.has_live_worker(queue=work.queues.find(0)):
        return Execution(queue, queue.start(work))
    execution = Execution(queue, start_attached(queue, work))
    if wait:
        attach(queue, execution.id, until_pause=until_pause, has_links=bool(work.steps))
    else:
        execution.run_here()
    return execution


def get_execution(execution: str, *, settings: Settings | None = None) -> Execution:
    """Find an execution by its id.

    Raises:
        NoStore: If there is no store.
        UnknownExecution: If the store has none.
    """
    from pauseflow_nb.engine.queue import Queue

    found = Execution(Queue.open(settings or Settings.load(), creates=False), execution)
    found.state  # noqa: B018 - raises where it is unknown
    return found


def _leave(control: "Control", runner: threading.Thread) -> None:
    control.stop_at_boundary()
    runner.join(_LEAVE_SECONDS)
