"""Run a worker process: run queued segments, act for the clock, take over from dead workers, drain on a signal.

There is one DBOS in a process, so a process is one worker.
"""

import contextlib
import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from dbos import DBOS

from pauseflow_nb.engine.attempt_fence import GivenUp
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.heartbeat import Presence
from pauseflow_nb.engine.job_watch import JobWatch, PollEvent, launch
from pauseflow_nb.engine.jobs import APPLICATION, DBOS_SCHEMA, JOB, VERSION, name_job, name_queue
from pauseflow_nb.engine.outage import Outage
from pauseflow_nb.engine.ownership import detach
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.run_segment import MOST_CRASHES, Segments
from pauseflow_nb.errors import PauseflowError, StorageFull, StoreUnavailable
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.kernels.keeper import Keeper
from pauseflow_nb.runner.kernels.source import Supply
from pauseflow_nb.runner.segment import run_segment
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import executions, segments
from pauseflow_nb.store.database import describe_database, reading
from pauseflow_nb.store.executions import Row

log = logging.getLogger(__name__)

#: Seconds that a stopping worker waits for running cells before it kills their kernels.
DRAIN_SECONDS = 20
_SWEEP_SECONDS = 0.25
#: Seconds between two looks for jobs that this worker has in the database and does not run, and for segments without one.
_LOST_JOBS_SECONDS = 5.0
_OUTCOME_SECONDS = 60.0
# Seconds before DBOS stops waiting at which the kernels are killed, so that the segments are released in time.
_MARGIN_SECONDS = 4


def run_worker(
    settings: Settings,
    *,
    stop: threading.Event,
    on_ready: Callable[[str], None] = lambda _name: None,
    drain_seconds: int = DRAIN_SECONDS,
) -> None:
    """Run segments until `stop` is set; then wait for running cells to end.

    Args:
        settings: The store, and how many segments to run at once.
        stop: Set to stop the worker, for example by signal handlers and `stop_with_parent`.
        on_ready: Called with the worker's id when it takes jobs.
        drain_seconds: How long to wait for running cells at the end.

    Raises:
        StoreUnavailable: If the store cannot be opened.
    """
    queue = Queue.open(settings)
    try:
        _Worker(queue).run(stop, on_ready, drain_seconds)
    finally:
        queue.close()


def stop_with_parent(stop: threading.Event) -> None:
    """Set the event when standard input closes, because the parent process has ended in any way."""

    def wait() -> None:
        # Not sys.stdin: if a thread holds its lock while the interpreter shuts down, that is a fatal error.
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        stop.set()

    threading.Thread(target=wait, name="pauseflow-parent", daemon=True).start()


class _JobLeft(BaseException):
    """A job stays under way in the tables of DBOS, for the worker that takes over from this one.

    No Exception: with one, DBOS would record that the job has ended.
    """


class _Worker:
    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._clock = Clock(queue)
        self._queues, most = tuple(queue.settings.queues.split(",")), queue.settings.workers
        serves = {"queues": queue.settings.queues, "concurrency": most}
        self._presence = Presence(queue, "starting", on_dead=self._take_over, serves=serves)
        #: Polled at the same moment, two queues could give one job too many.
        self._room = threading.BoundedSemaphore(most)
        kernels = queue.settings.kernels
        self._supply = Supply("forked" if kernels == "auto" else kernels)
        run = functools.partial(run_segment, supply=self._supply)
        self._segments = Segments(
            queue,
            self._presence.name,
            run=run,
            keeper=Keeper(queue.settings.kept_kernels),
            serves=frozenset(self._queues),
        )
        #: Runs segments of kernel-bound executions, which are not jobs, because another worker might take a job.
        self._kernel_bound = ThreadPoolExecutor(queue.settings.workers, "pauseflow-bound")
        self._begun: dict[tuple[str, int], Future[None]] = {}
        self._outage = Outage(log, "the clock waits for the store")
        #: Jobs that the database says this worker has, and that it did not run at the last look.
        self._not_running: set[tuple[str, int, int]] = set()
        #: Segments that ran at the last look although their jobs had ended.
        self._without_job: set[tuple[str, int, int]] = set()
        self._looked_at = time.monotonic()
        self._is_draining = False
        #: Whether DBOS is gone: what a job does from now on cannot be recorded.
        self._is_over = False
        self._is_launched = threading.Event()

    def run(self, stop: threading.Event, on_ready: Callable[[str], None], drain_seconds: int) -> None:
        """Launch, sweep until `stop` is set, drain."""
        global _worker  # noqa: PLW0603  (the body of a job is a plain function, and DBOS is one per process)
        _worker = self
        queue = self._queue
        # Before launch, which may take jobs immediately.
        queue.jobs.register_queues(self._queues, queue.settings.workers)
        names = [name_queue(each) for each in self._queues]
        polls = PollEvent(names)
        with self._presence, JobWatch(queue.engine, names, polls.wake):
            dbos = DBOS(
                config={
                    "name": APPLICATION,
                    "system_database_engine": queue.engine,
                    "dbos_system_schema": DBOS_SCHEMA,
                    "application_version": VERSION,
                    "executor_id": self._presence.name,
                    "log_level": "WARNING",
                    "run_migrations": False,
                }
            )
            DBOS.listen_queues(names)
            launch(polls)
            _limit_jobs(dbos, names, queue.settings.workers)
            self._record_patiently(dbos._sys_db)  # noqa: SLF001
            self._is_launched.set()
            try:
                self._presence.change_kind("worker")
                on_ready(self._presence.name)
                while not stop.wait(_SWEEP_SECONDS):
                    self._sweep(dbos)
            finally:
                self._drain(drain_seconds)
                self._supply.close()

    def take(self, execution: str, n: int, job: int | None) -> None:
        """Run one job, or with None a segment of a kernel-bound execution, which is not a job.

        No `Exception` may leave this: DBOS would consider the job done.
        """
        if job is None:
            self._run(execution, n, None)
        elif not self._room.acquire(blocking=False):
            self._pass_on(execution, n, job)
        else:
            try:
                self._run(execution, n, job)
            finally:
                self._room.release()
        if job is not None and self._is_over:
            raise _JobLeft

    def _run(self, execution: str, n: int, job: int | None) -> None:
        outage = Outage(log, f"{execution}/{n} waits for the store")
        faults = 0
        while not self._is_draining:
            try:
                self._segments.run(execution, n, Control(), job=job)
            except (StoreUnavailable, StorageFull, GivenUp) as problem:
                outage.failed(problem)
                self._segments.must_end.wait(1)
            except Exception as problem:
                log.exception("internal error in %s/%s", execution, n)
                faults += 1
                # Otherwise its unreadable row would occupy the place of others for ever.
                if faults >= MOST_CRASHES and self._segments.give_up(execution, n, problem):
                    return
                time.sleep(1)
            else:
                return
        if job is not None:
            self._pass_on(execution, n, job)

    def _pass_on(self, execution: str, n: int, job: int) -> None:
        while True:
            try:
                self._segments.pass_on(execution, n, job)
            except (PauseflowError, GivenUp) as problem:
                if self._is_draining:
                    log.warning("%s/%s is left to the worker that takes over from this one: %s", execution, n, problem)
                    raise _JobLeft from problem
                log.warning("could not pass %s/%s on, trying again: %s", execution, n, problem)
                time.sleep(1)
            else:
                return

    def _sweep(self, dbos: DBOS) -> None:
        try:
            self._clock.sweep()
            self._run_kernel_bound()
            if time.monotonic() - self._looked_at >= _LOST_JOBS_SECONDS:
                self._looked_at = time.monotonic()
                self._replace_lost_jobs(dbos)
                self._replace_ended_jobs()
        except PauseflowError as problem:
            self._outage.failed(problem)
        else:
            self._outage.ended()

    def _replace_lost_jobs(self, dbos: DBOS) -> None:
        """Queue jobs again that the database gave to this worker, but whose names it never received.

        That happens when the connection breaks at the moment of the commit. DBOS itself leaves such jobs until the
        worker ends.
        """
        jobs = self._queue.jobs
        # Before the jobs that run are listed: a job that begins between the two must not look lost.
        under_way = set(jobs.list_under_way(self._presence.name))
        running = set(dbos._active_workflows_set.activeList())  # noqa: SLF001
        not_running = {job for job in under_way if name_job(*job) not in running}
        for execution, n, job in not_running & self._not_running:
            log.warning("%s/%s was given to this worker and never began: it is queued again", execution, n)
            self._segments.queue_again(execution, n, job)
            jobs.forget(execution, [(n, job)])
        self._not_running = not_running

    def _replace_ended_jobs(self) -> None:
        """Queue segments again that nobody runs: their jobs have ended, and they have not.

        DBOS gives a job up that too many workers have died with, and an earlier version could lose one.
        """
        with reading(self._queue.engine) as connection:
            running = segments.list_run_by_jobs(connection)
        # Read after the segments: a job that ends between the two has ended its segment, too, at the next look.
        without_job = self._queue.jobs.list_ended(running)
        for execution, n, job in without_job & self._without_job:
            log.warning("the job of %s/%s ended before its segment did: it is queued again", execution, n)
            self._segments.queue_again(execution, n, job)
        self._without_job = without_job

    def _run_kernel_bound(self) -> None:
        """Check the kept kernels, and run the kernel-bound executions that were answered."""
        self._begun = {key: begun for key, begun in self._begun.items() if not begun.done()}
        for row in self._segments.look_after_kernels():
            key = (row.id, row.segment)
            if row.state == "queued" and key not in self._begun:
                self._begun[key] = self._kernel_bound.submit(self.take, *key, None)

    def _take_over(self, dead: Row) -> None:
        with reading(self._queue.engine) as connection:
            left = executions.list_attached(connection, dead.id)
        for execution in left:
            detach(self._queue, execution, process=dead.id)
        if dead.kind in ("worker", "starting"):
            self._is_launched.wait()
            # A private name of DBOS: its version is pinned, and tests that kill workers cover it.
            DBOS._recover_pending_workflows([dead.id])  # noqa: SLF001
            # DBOS only logs what it could not recover.
            if self._queue.jobs.has_under_way(dead.id):
                raise StoreUnavailable(
                    describe_database(self._queue.engine), f"jobs of {dead.id} could not be taken over"
                )

    def _drain(self, seconds: int) -> None:
        self._is_draining = True
        self._kernel_bound.shutdown(wait=False, cancel_futures=True)
        drained = threading.Event()
        arguments = [seconds, drained]
        threading.Thread(target=self._stop_segments, args=arguments, name="pauseflow-drain", daemon=True).start()
        DBOS.destroy(workflow_completion_timeout_sec=seconds)
        self._is_over = True
        self._kernel_bound.shutdown()
        drained.set()
        try:
            self._segments.leave()
        except PauseflowError as problem:
            # The worker that takes over does it.
            log.warning("could not leave what waits with its kernel: %s", problem)
        if self._has_jobs(self._presence.name):
            self._presence.leave_work()

    def _has_jobs(self, process: str) -> bool:
        """Whether a process has left jobs; if that cannot be known, it may have."""
        try:
            return self._queue.jobs.has_under_way(process)
        except PauseflowError:
            return True

    def _record_patiently(self, database: Any) -> None:
        """Make DBOS retry for a minute to record the end of a job while the disk of the database is full.

        DBOS itself retries only while the database is locked or unreachable.
        """
        record = database.update_workflow_outcome

        def record_again(*arguments: Any, **options: Any) -> Any:
            outage = Outage(log, "the end of a job is still to be recorded")
            deadline = time.monotonic() + _OUTCOME_SECONDS
            while True:
                try:
                    return record(*arguments, **options)
                except sa.exc.OperationalError as problem:
                    outage.failed(problem.orig or problem)
                    if self._segments.must_end.wait(1) or time.monotonic() > deadline:
                        raise _JobLeft from problem

        database.update_workflow_outcome = record_again

    def _stop_segments(self, seconds: int, drained: threading.Event) -> None:
        deadline = time.monotonic() + max(seconds - _MARGIN_SECONDS, 0)
        while not drained.wait(0.1):
            if time.monotonic() > deadline:
                self._segments.must_end.set()
            for _, control in self._segments.watch.list_running():
                if self._segments.must_end.is_set():
                    control.kill()
                else:
                    control.stop_at_boundary()


def _limit_jobs(dbos: DBOS, names: Sequence[str], most: int) -> None:
    """Limit the jobs of all queues of this worker together to `most`.

    DBOS has a limit only for each queue, with one number for all workers.
    """
    # Private names of DBOS: its version is pinned, and tests that count running jobs cover them.
    database, active = dbos._sys_db, dbos._active_workflows_set  # noqa: SLF001
    read = database.get_queue

    def set_room(queue: Any) -> None:
        if queue is not None and queue.name in names:
            elsewhere = sum(active.count_for_queue(other) for other in names if other != queue.name)
            queue._worker_concurrency = max(most - elsewhere, 0)  # noqa: SLF001

    def get_queue(name: str, **options: Any) -> Any:
        queue = read(name, **options)
        set_room(queue)
        return queue

    start = database.start_queued_workflows

    def start_queued_workflows(queue: Any, *arguments: Any, **options: Any) -> Any:
        # Again: DBOS has read the queue before it waited for this poll.
        set_room(queue)
        return start(queue, *arguments, **options)

    database.get_queue = get_queue  # type: ignore[method-assign]
    database.start_queued_workflows = start_queued_workflows  # type: ignore[method-assign]


_worker: _Worker | None = None


@DBOS.workflow(name=JOB)
def _run_segment(execution: str, n: int, job: int) -> None:
    """Run the segment of a job: at least once, and again after a takeover."""
    assert _worker is not None, "a job came before its worker"
    _worker.take(execution, n, job)
