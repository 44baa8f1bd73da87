"""Run one execution in this process, for `pauseflow run`, `run_notebook` and `papermill --engine pauseflow`.

The process claims the segments itself instead of queueing jobs, so that the command does not need DBOS. If it is
interrupted or dies, any worker continues the execution.
"""

import functools
import logging
import threading
import time
from typing import Any

from pauseflow_nb.engine.children import list_open_below, list_unended_below
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.heartbeat import Presence
from pauseflow_nb.engine.outage import Outage
from pauseflow_nb.engine.ownership import attach
from pauseflow_nb.engine.progress_events import Event, Events, ignore
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.run_segment import Segments
from pauseflow_nb.errors import PauseflowError, StoreUnavailable, UnknownExecution
from pauseflow_nb.queues import QueuePlan
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.kernels.keeper import Keeper
from pauseflow_nb.runner.kernels.source import Supply
from pauseflow_nb.runner.segment import run_segment
from pauseflow_nb.store import executions, segments
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import FINAL, Row
from pauseflow_nb.store.workers import is_own, process_name

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0


def run_attached(
    queue: Queue,
    execution: str,
    *,
    until_pause: bool = False,
    control: Control | None = None,
    on_event: Events = ignore,
    supply: Supply | None = None,
) -> dict[str, Any]:
    """Run an execution until it ends, is left, or waits.

    Args:
        queue: The store.
        execution: Its id. If no live process is attached to it, this process takes it over.
        until_pause: Also return when it waits for an answer or the clock.
        control: How others stop it; after a stop or an interrupt, workers run the rest.
        on_event: Called with what happens, in this thread.
        supply: Where kernels come from; None: new processes.

    Returns:
        The execution as `Queue.view` shows it. If it has not ended, no process is attached to it.

    Raises:
        UnknownExecution: If there is none.
        StoreUnavailable: If the store could not be used for a minute. Nothing that was recorded is lost.
    """
    control = control or Control()
    name = _name_for(queue, execution)
    with Presence(queue, "attached", name=name):
        if _find_process(queue, execution) == name or attach(queue, execution, name):
            with reading(queue.engine) as connection:
                below = [row.id for row in list_unended_below(connection, execution)]
            for id_ in below:
                attach(queue, id_, name)
            # A process that returns at a pause ends, and its kernels with it.
            keeper = None if until_pause else Keeper(queue.settings.kept_kernels)
            if others := QueuePlan.parse(_row(queue, execution).queues).list_others():
                on_event(Event("said", execution, {"text": _describe_others(others)}))
            attached = _Attached(queue, execution, name, control, on_event=on_event, supply=supply, keeper=keeper)
            try:
                attached.run(until_pause=until_pause)
            finally:
                attached.leave()
    view = queue.view(execution)
    if view["state"] in FINAL:
        on_event(Event("ended", execution, {"view": view}))
    return view


class _Attached:
    def __init__(
        self,
        queue: Queue,
        execution: str,
        name: str,
        control: Control,
        *,
        on_event: Events,
        supply: Supply | None,
        keeper: Keeper | None,
    ) -> None:
        self._queue, self._execution, self._name = queue, execution, name
        self._control, self._on_event = control, on_event
        self._clock = Clock(queue)
        run = functools.partial(run_segment, supply=supply)
        self._segments = Segments(queue, name, on_event=on_event, run=run, keeper=keeper)
        self._reported: object = None
        self._reached_at = time.monotonic()
        self._outage = Outage(log, "waiting for the store")
        #: Nested executions whose segments run now, each in its own thread.
        self._nested: dict[str, tuple[threading.Thread, Control]] = {}

    def run(self, *, until_pause: bool) -> None:
        try:
            self._run(until_pause=until_pause)
        finally:
            self._end_nested()

    def leave(self) -> None:
        """Leave the executions that have not ended to the workers."""
        try:
            self._segments.leave()
        except StoreUnavailable as problem:
            # Workers notice that this process has ended.
            log.warning("could not leave %s to the workers: %s", self._execution, problem)

    def _run(self, *, until_pause: bool) -> None:
        while not self._control.request:
            found = self._look()
            if found is None:
                time.sleep(1)
                continue
            row, segment, waits = found
            if row.state in FINAL or row.attached_to != self._name:
                return
            if segment.state == "queued":
                if segment.n > 0:
                    self._report_event("queued")
                self._segments.run(self._execution, segment.n, self._control)
                continue
            if waits and waits != self._reported:
                self._reported = waits
                self._report_event("suspended")
            if until_pause and waits and not self._nested:
                return
            time.sleep(_POLL_SECONDS)

    def _look(self) -> tuple[Row, Row, list[tuple[str, int, str, int, str | None]]] | None:
        """Sweep, start queued segments of nested executions, and read the view; None while the store cannot be used."""
        try:
            self._segments.look_after_kernels()
            for execution in (self._execution, *self._run_nested()):
                self._clock.sweep(execution)
            with reading(self._queue.engine) as connection:
                row = executions.find(connection, self._execution)
                segment = None if row is None else segments.find(connection, self._execution, row.segment)
                waits = [
                    # A question that is asked again shows something new: the errors of the answer, or what has changed.
                    (r.execution, r.segment, r.step, r.ordinal, (r.shown or {}).get("digest"))
                    for r in (one.row for one in list_open_below(connection, self._execution))
                ]
        except StoreUnavailable as problem:
            if time.monotonic() - self._reached_at > _PATIENCE_SECONDS:
                raise
            self._outage.failed(problem)
            return None
        if row is None or segment is None:
            raise UnknownExecution(self._execution)
        self._reached_at = time.monotonic()
        self._outage.ended()
        return row, segment, waits

    def _run_nested(self) -> list[str]:
        """Run the queued segments of our nested executions; return those executions that have not ended."""
        with reading(self._queue.engine) as connection:
            below = [row for row in list_unended_below(connection, self._execution) if row.attached_to == self._name]
        for id_, (thread, _) in list(self._nested.items()):
            if not thread.is_alive():
                del self._nested[id_]
        for row in below:
            if row.state == "queued" and row.id not in self._nested:
                control = Control()
                arguments = (row.id, row.segment, control)
                thread = threading.Thread(target=self._run_segment, args=arguments, name=f"pauseflow-{row.id}")
                self._nested[row.id] = thread, control
                thread.start()
        return [row.id for row in below]

    def _run_segment(self, execution: str, n: int, control: Control) -> None:
        try:
            self._segments.run(execution, n, control)
        except PauseflowError as problem:
            log.warning("nested execution %s: %s", execution, problem, extra={"execution": execution})

    def _end_nested(self) -> None:
        """Stop nested executions as this run was stopped; the rest is left to the workers."""
        while running := [pair for pair in self._nested.values() if pair[0].is_alive()]:
            for thread, control in running:
                if self._control.request in {"interrupt", "kill"}:
                    control.interrupt()
                else:
                    control.stop_at_boundary()
                thread.join(_POLL_SECONDS)

    def _report_event(self, kind: Any) -> None:
        self._on_event(Event(kind, self._execution, {"view": self._queue.view(self._execution)}))


def _describe_others(others: list[str]) -> str:
    named = f"queue {others[0]}" if len(others) == 1 else f"queues {', '.join(others)}"
    return f"steps of {named} run here, too, because this process runs the whole notebook; --detach leaves each step to the workers of its queue"


def _name_for(queue: Queue, execution: str) -> str:
    """Return the name under which this process has started the execution, if it has."""
    attached = _find_process(queue, execution)
    return attached if attached is not None and is_own(attached) else process_name()


def _find_process(queue: Queue, execution: str) -> str | None:
    name: str | None = _row(queue, execution).attached_to
    return name


def _row(queue: Queue, execution: str) -> Row:
    with reading(queue.engine) as connection:
        return executions.require(connection, execution)
