"""A state machine of Hypothesis: all that can happen to executions, in any order, beside a simple model of what must be.

Kernels are left out: what an attempt tells the store is told step by step, so that anything may come in between.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, TypeAlias

import sqlalchemy as sa
from engine.stage import plan, saved
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

from pauseflow_nb.actions import USUAL_ACTIONS
from pauseflow_nb.engine.attempt_end import Ending
from pauseflow_nb.engine.attempt_fence import Attempt, Fenced
from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.gc import clean
from pauseflow_nb.engine.plan import Plan
from pauseflow_nb.engine.progress_events import ignore
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.recording import Recording
from pauseflow_nb.engine.retry_fork import retry
from pauseflow_nb.engine.run_segment import MOST_CRASHES, Segments
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Failure, Outcome, SuspensionRequest
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.observer import SegmentEnd
from pauseflow_nb.store.database import reading, transaction
from pauseflow_nb.store.executions import FINAL
from pauseflow_nb.store.tables import executions, segments, steps, suspensions

__all__ = [
    "CELLS",
    "MOST_RUNS",
    "STEPS",
    "WAITING",
    "AnyOrder",
    "Asked",
    "Key",
    "Run",
    "Try",
    "make_plan",
    "runs",
    "tries",
]

STEPS = ("a", "b", "c")
#: Executions that are started in one order: with many, little happens to each.
MOST_RUNS = 4
CELLS = ("%%step a", "%%step b", "%%step c\nflow.secret('TOKEN')")
WAITING = {"suspend": "suspended", "rerun": "waiting", "notebook": "suspended"}

#: What names a suspension in its execution: segment, step, ordinal.
Key: TypeAlias = tuple[int, str, int]


@dataclass
class Asked:
    """A suspension of the model."""

    kind: str
    on_timeout: str
    #: Index of the cell that asks.
    cell: int
    #: What an answer may do.
    allow: tuple[str, ...] = USUAL_ACTIONS
    #: None: it is open.
    action: str | None = None
    #: Whether its time is over, or a notebook that it waits for has ended, and no worker has noticed yet.
    is_due: bool = False


@dataclass
class Run:
    """An execution of the model."""

    id: str
    state: str = "queued"
    segment: int = 0
    job: int = 0
    #: Goes up with each claim of the segment; an attempt with another number does not count.
    attempt: int = 0
    crashes: int = 0
    #: Where the segment would begin again.
    checkpoint: int = 0
    #: Whether the step at the place of the attempt has begun.
    is_begun: bool = False
    is_running: bool = False
    #: Step → how many runs have ended by themselves.
    ended: dict[str, int] = field(default_factory=dict)
    asked: dict[Key, Asked] = field(default_factory=dict)
    #: The actions that came early.
    early: dict[Key, list[str]] = field(default_factory=dict)
    #: Segment and step of runs that ended in that segment.
    over: set[tuple[int, str]] = field(default_factory=set)
    reason: str | None = None
    #: Where the newest segment began.
    start: int = 0
    #: What an answer has settled, so that the newest segment began.
    answered: Key | None = None

    @property
    def open(self) -> tuple[Key, Asked] | None:
        """The one suspension that waits."""
        return next(((key, asked) for key, asked in self.asked.items() if asked.action is None), None)


@dataclass
class Try:
    """A process that runs a segment, or believes that it does."""

    run: Run
    segment: int
    number: int
    attempt: Attempt
    document: Document
    #: The cell that it is at.
    cell: int
    #: How often the step that it is at was paused and answered.
    pauses: int = 0

    @property
    def counts(self) -> bool:
        """Whether the model says that what it does counts."""
        run = self.run
        return run.is_running and (run.segment, run.attempt) == (self.segment, self.number)


def make_plan() -> Plan:
    """Plan to run a notebook with a step in each cell, the last of which needs a secret."""
    return plan(*CELLS)


runs: Bundle[Run] = Bundle("runs")
tries: Bundle[Try] = Bundle("tries")


class AnyOrder(RuleBasedStateMachine):
    """Rules are what people, processes and the clock do; after each of them store and model must agree."""

    runs = runs
    tries = tries

    #: The store, set by the test.
    queue: ClassVar[Queue]

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Run] = []
        self.names = 0

    # People

    @precondition(lambda self: len(self.all) < MOST_RUNS)
    @rule(target=runs)
    def start(self) -> Run:
        """Somebody starts an execution."""
        run = Run(self.queue.start(make_plan()))
        self.all.append(run)
        return run

    @rule(run=runs, action=st.sampled_from(["resume", "cancel"]), back=st.integers(0, 2), step=st.sampled_from(STEPS))
    def answer(self, run: Run, action: str, back: int, step: str, ordinal: int = 0) -> None:
        """Somebody calls a link, of now or of earlier."""
        key = (max(run.segment - back, 0), step, ordinal)
        claim = Claim(run.id, *key, action)
        envelope = {"method": "POST", "body": {"said": action}}
        response = self.queue.settle(claim, Callback(action, envelope, "link"))  # type: ignore[arg-type]
        assert response.status == self._answered(run, key, action), (key, action, response)

    @rule(run=runs)
    def cancel(self, run: Run) -> None:
        """Somebody cancels the execution."""
        self.queue.cancel(run.id, by="user:ann")
        if run.state not in FINAL:
            self._end(run, "cancelled", "user")

    @rule(run=runs)
    def retry(self, run: Run) -> None:
        """Somebody retries what has failed."""
        if run.state != "failed":
            return
        restart = retry(self.queue, run.id, by="user:ann")
        assert restart is not None
        # An answer that was not used before it failed is used now.
        answered = run.answered if run.checkpoint == run.start else None
        self._queue(run, self._latest(run).first_cell)
        run.answered = answered

    # Processes

    @rule(target=tries, run=runs)
    def claim(self, run: Run) -> Any:
        """A worker gets the job, for the first time or because the one before it is taken for dead."""
        self.names += 1
        work = Segments(self.queue, f"test:{self.names}:x")
        claimed = self.queue.change(lambda connection: work._claim(connection, run.id, run.segment, run.job))
        can = run.state in ("queued", "running", "paused")
        assert (claimed is not None) == can
        if claimed is None:
            return multiple()
        run.crashes += run.is_running
        run.attempt, run.is_running, run.is_begun, run.state = run.attempt + 1, True, False, "running"
        run.over = {key for key in run.over if key[0] != run.segment or STEPS.index(key[1]) < run.checkpoint}
        assert (claimed.segment.attempt, claimed.segment.first_cell) == (run.attempt, run.checkpoint)
        assert claimed.segment.crashes == run.crashes
        if run.crashes >= MOST_CRASHES:
            assert work._give_up(claimed, None) == "ended"
            self._end(run, "failed", "crashed")
            return multiple()
        attempt = Attempt(self.queue, claimed.execution, claimed.segment, ignore)
        document = attempt.notebook = work._read_notebook(claimed)
        return Try(run, run.segment, run.attempt, attempt, document, run.checkpoint)

    @rule(attempt=tries)
    def begin_step(self, attempt: Try) -> None:
        """The kernel is at the next step."""
        run = attempt.run
        if attempt.cell == len(STEPS) or (attempt.counts and run.is_begun):
            return
        step = STEPS[attempt.cell]
        number = run.ended.get(step, 0) + 1
        recording = Recording(attempt.attempt)
        if self._counts(attempt, lambda: recording.on_step_start(step, number, 1, attempt.cell)):
            run.is_begun = True

    @rule(attempt=tries)
    def finish_step(self, attempt: Try) -> None:
        """The step has come to its end, with a checkpoint."""
        run = attempt.run
        if attempt.cell == len(STEPS) or (attempt.counts and not run.is_begun):
            return
        step = STEPS[attempt.cell]
        outcome = Outcome("finished", step, run.ended.get(step, 0) + 1, exports={"x": 1}, snapshot=saved())
        recording = Recording(attempt.attempt)
        act = lambda: recording.on_checkpoint(attempt.cell + 1, outcome, attempt.document)  # noqa: E731
        if self._counts(attempt, act):
            self._step_ended(run, step)
            run.checkpoint, run.crashes, run.state = attempt.cell + 1, 0, "running"
            attempt.cell, attempt.pauses = attempt.cell + 1, 0

    @rule(
        attempt=consumes(tries),
        kind=st.sampled_from(["suspend", "rerun"]),
        on=st.sampled_from(["cancel", "fail", "resume"]),
    )
    def suspend(self, attempt: Try, kind: str, on: str) -> None:
        """The step has come to its end, and asks something."""
        run = attempt.run
        if attempt.cell == len(STEPS) or (attempt.counts and not run.is_begun):
            return
        on, then = ("resume", "rerun") if kind == "rerun" else (on, "continue")
        self._ask(attempt, SuspensionRequest(kind, on_timeout=on, then=then, seconds=3600.0, max_retries=99))

    @rule(attempt=consumes(tries))
    def end(self, attempt: Try) -> None:
        """The notebook has come to its end, or fails."""
        run = attempt.run
        if attempt.cell == len(STEPS):
            if self._ended(attempt, SegmentEnd("completed", len(STEPS))):
                self._end(run, "completed", None)
            return
        failure = Failure("ValueError", "it broke", attempt.cell, STEPS[attempt.cell])
        if self._ended(attempt, SegmentEnd("failed", run.checkpoint, None, failure)):
            self._end(run, "failed", "error")

    @rule(attempt=consumes(tries), how=st.sampled_from(["dies", "stops"]))
    def give_back(self, attempt: Try, how: str) -> None:
        """The kernel dies, or the worker is told to end."""
        run, ending = attempt.run, Ending(attempt.attempt)
        got = ending.crashed("it died") if how == "dies" else ending.release(new_job=True)
        assert got == ("released" if attempt.counts else "fenced")
        if got == "released":
            run.crashes += how == "dies"
            run.job += how == "stops"
            run.is_running, run.state = False, "queued"
            run.over = {key for key in run.over if key[0] != run.segment or STEPS.index(key[1]) < run.checkpoint}

    @rule(attempt=consumes(tries))
    def vanish(self, attempt: Try) -> None:
        """The worker dies without a word."""

    # The clock

    @rule(run=runs)
    def pass_deadline(self, run: Run) -> None:
        """The time for an answer passes, and nobody has noticed yet."""
        late = suspensions.c.deadline - sa.literal(7200.0)
        with transaction(self.queue.engine) as connection:
            where = (suspensions.c.execution == run.id, suspensions.c.state == "open")
            connection.execute(suspensions.update().where(*where).values(deadline=late))
        if run.open is not None and run.open[1].kind not in ("operator", "notebook"):
            run.open[1].is_due = True

    @rule()
    def sweep(self) -> None:
        """A worker looks for what is due."""
        while Clock(self.queue).sweep():
            pass
        while any(self._sweep(run) for run in self.all):
            pass

    @rule(run=runs)
    def time_out(self, run: Run) -> None:
        """The time for an answer passes, and a worker notices."""
        self.pass_deadline(run)
        self.sweep()

    @precondition(lambda self: any(run.state in FINAL for run in self.all))
    @rule()
    def purge(self) -> None:
        """`gc` removes nothing that is still needed; what has ended would go, once it is old enough."""
        with transaction(self.queue.engine) as connection:
            waiting = executions.update().where(executions.c.record_due.is_not(None))
            connection.execute(waiting.values(record_due=executions.c.record_due - 3600.0))
        self.sweep()
        clean(self.queue, older_than=timedelta(days=1), grace=timedelta())

    def teardown(self) -> None:
        """Cancel what has not ended, and remove everything: nothing is left for the next order."""
        for run in self.all:
            self.queue.cancel(run.id, by="user:ann")
        for _ in range(1 + len(self.all) // 20):
            # A sweep finishes so many notebooks.
            self.purge()
        gone = clean(self.queue, older_than=timedelta(), grace=timedelta()).executions
        assert set(gone) == {run.id for run in self.all}
        assert self.queue.files.folders() == []

    # What must be

    @invariant()
    def store_and_model_agree(self) -> None:
        """Compare all rows with the model."""
        with reading(self.queue.engine) as connection:
            ids = [run.id for run in self.all]
            rows = {row.id: row for row in connection.execute(sa.select(executions).where(executions.c.id.in_(ids)))}
            asked = connection.execute(sa.select(suspensions).where(suspensions.c.execution.in_(ids))).all()
            ran = connection.execute(sa.select(steps).where(steps.c.execution.in_(ids))).all()
        for run in self.all:
            row = rows[run.id]
            assert (row.state, row.segment) == (run.state, run.segment), run
            assert (row.reason or {}).get("kind") == run.reason, run
            assert self.queue.files.exists(row.document), "its notebook is gone"
            found = {(each.segment, each.step, each.ordinal): each for each in asked if each.execution == run.id}
            assert found.keys() == run.asked.keys()
            for key, one in run.asked.items():
                state = "open" if one.action is None else "void" if one.action == "void" else "settled"
                assert found[key].state == state, (key, one)
                assert one.action in (found[key].action, "void"), (key, one)
            ended = [each.step for each in ran if each.execution == run.id and each.state in ("finished", "suspended")]
            assert sorted(ended) == sorted(step for step, times in run.ended.items() for _ in range(times)), run

    # The model

    def _ask(self, attempt: Try, request: SuspensionRequest) -> None:
        """The step that the attempt is at has come to its end, and asks something."""
        run, step = attempt.run, STEPS[attempt.cell]
        outcome = Outcome("suspended", step, run.ended.get(step, 0) + 1, suspension=request, snapshot=saved())
        following = attempt.cell if request.then == "rerun" else attempt.cell + 1
        if self._ended(attempt, SegmentEnd("suspended", following, outcome)):
            self._step_ended(run, step)
            key = (run.segment, step, 0)
            run.asked[key] = Asked(request.kind, request.on_timeout, attempt.cell, tuple(request.allow))
            run.checkpoint, run.is_running, run.state, run.crashes = following, False, WAITING[request.kind], 0
            for action in run.early.pop(key, []):
                if action in run.asked[key].allow:
                    self._settle(run, key, action)
                    break

    def _answered(self, run: Run, key: Key, action: str) -> int:
        """What an answer must get; changes the model."""
        asked = run.asked.get(key)
        if asked is None:
            # While it waits, its newest segment has ended, too.
            is_over = key[0] < run.segment or run.state in {*FINAL, *WAITING.values()} or key[:2] in run.over
            if is_over:
                return 410
            run.early.setdefault(key, []).append(action)
            return 202
        if asked.action is None and asked.is_due and asked.kind != "notebook":
            self._settle(run, key, "timeout")
            return 410
        if asked.action is None and action not in asked.allow:
            return 403
        if asked.action is None:
            self._settle(run, key, action)
            return 200
        if asked.action in ("timeout", "void"):
            return 410
        if run.state in FINAL and (asked.action, run.state) != ("cancel", "cancelled"):
            return 410
        return 200 if asked.action == action else 409

    def _sweep(self, run: Run) -> bool:
        """Settle what is due; False if nothing is."""
        if run.open is None or not run.open[1].is_due:
            return False
        self._settle(run, run.open[0], "timeout")
        return True

    def _settle(self, run: Run, key: Key, action: str) -> None:
        asked = run.asked[key]
        asked.action = action
        does = asked.on_timeout if action == "timeout" else action
        if does in ("cancel", "fail"):
            kind = "timeout" if action == "timeout" else "link"
            self._end(run, "cancelled" if does == "cancel" else "failed", kind)
            return
        self._queue(run, asked.cell + (asked.kind != "rerun" and action != "send_back"))
        run.answered = key if action == "resume" else None

    def _queue(self, run: Run, first_cell: int) -> None:
        run.segment, run.job, run.attempt, run.crashes = run.segment + 1, 0, 0, 0
        run.state, run.checkpoint, run.is_running, run.reason = "queued", first_cell, False, None
        run.start, run.answered = first_cell, None

    def _end(self, run: Run, state: str, reason: str | None) -> None:
        self._void(run)
        run.state, run.reason, run.is_running = state, reason, False

    def _void(self, run: Run) -> None:
        """What waits is over, and so is what came early."""
        if run.open is not None:
            run.open[1].action = "void"
        run.early.clear()

    def _step_ended(self, run: Run, step: str) -> None:
        run.ended[step] = run.ended.get(step, 0) + 1
        run.over.add((run.segment, step))
        run.is_begun = False
        if run.open is not None:
            # A pause that the step did not wait for.
            run.open[1].action = "void"

    def _counts(self, attempt: Try, act: Any) -> bool:
        """Do what an attempt does, and check that it is fenced exactly if it does not count."""
        counted = attempt.counts
        try:
            act()
        except Fenced:
            assert not counted, "an attempt that counts was fenced"
            return False
        assert counted, "an attempt that does not count was not fenced"
        return True

    def _ended(self, attempt: Try, end: SegmentEnd) -> bool:
        counted = attempt.counts
        assert Ending(attempt.attempt).end(end, attempt.document) == ("ended" if counted else "fenced")
        return counted

    def _latest(self, run: Run) -> Any:
        with reading(self.queue.engine) as connection:
            where = (segments.c.execution == run.id, segments.c.n == run.segment + 1)
            return connection.execute(sa.select(segments).where(*where)).one()
