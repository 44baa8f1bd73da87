"""One chaos run: start everything, let faults happen, wait until all executions have ended, compare with what must be."""

import contextlib
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from chaos import witness
from chaos.clients import Clients
from chaos.faults import Faults
from chaos.invariants import Hook, find_violations
from chaos.leftovers import find_leftovers
from chaos.notebooks import write_notebooks
from chaos.plan import Plan
from chaos.world import Ground, World

from pauseflow_nb.engine.retry_fork import retry
from pauseflow_nb.engine.triggers import managing
from pauseflow_nb.engine.triggers.managing import NewTrigger
from pauseflow_nb.engine.triggers.schedule import Schedule
from pauseflow_nb.errors import CannotStart, OutputInUse, PauseflowError
from pauseflow_nb.launching import RunOptions
from pauseflow_nb.launching import plan as plan_notebook
from pauseflow_nb.store import workers
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import FINAL
from pauseflow_nb.store.tables import executions

__all__ = ["Outcome", "run"]

#: Seconds in which all must have ended after the last fault, on a machine that does other things, too.
_END_SECONDS = 600.0
#: Seconds until the first step must run; then faults come all the same.
_BEGIN_SECONDS = 60.0
#: In which workers that live must notice the dead.
_BURIAL_SECONDS = 60.0
#: What an execution may fail with while something was broken; `retry` must then lead to its end.
_EXCUSED = {
    "fill-disk": {"StorageFull", "StoreUnavailable", "OSError", "KernelDied", "KernelUnavailable", "KernelNotReady"},
    "break-storage": {"StoreUnavailable", "OSError", "PermissionError", "FileNotFoundError", "ClientError"},
    "slow-storage": {"StoreUnavailable", "OSError"},
    "kill-worker": {"KernelDied"},
    "kill-kernel": {"KernelDied"},
    "stop-worker": {"KernelDied"},
    "stop-kernel": {"KernelDied", "KernelNotReady"},
    "shift-clock": {"KernelDied"},
    "restart-database": {"KernelDied"},
    "cut-database": {"KernelDied"},
    "end-worker": set(),
    "kill-server": set(),
    "stop-server": set(),
}


@dataclass
class Outcome:
    """What became of a run."""

    plan: Plan
    violations: list[str] = field(default_factory=list)
    executions: int = 0
    answers: int = 0
    #: Attempts at segments that were followed by another.
    interrupted: int = 0
    #: Executions that failed because of a fault, and were retried.
    retried: int = 0
    seconds: float = 0.0
    folder: Path | None = None
    timeline: list[str] = field(default_factory=list)


def run(ground: Ground, plan: Plan) -> Outcome:
    """Do one run; its folder is kept if something was wrong."""
    begun = time.monotonic()
    folder = ground.folder / f"{plan.database}-{plan.seed}"
    shutil.rmtree(folder, ignore_errors=True)
    world, outcome = World(ground, plan, folder), Outcome(plan)
    try:
        world.open()
        _Run(world, outcome).go()
    except Exception as problem:  # noqa: BLE001  (whatever it is, the other runs go on)
        import traceback

        outcome.violations.append("the run itself failed: " + "".join(traceback.format_exception(problem, limit=-4)))
    finally:
        # They are in sessions of their own, and would outlive Ctrl-C.
        world.kill_processes()
        outcome.timeline = [f"{at:8.3f} {text}" for at, text in world.timeline]
        if outcome.violations:
            outcome.folder = folder
            folder.mkdir(exist_ok=True)
            _keep_data(world)
        with contextlib.suppress(Exception):
            world.close()
        if not outcome.violations:
            shutil.rmtree(folder, ignore_errors=True)
    outcome.seconds = time.monotonic() - begun
    return outcome


class _Run:
    def __init__(self, world: World, outcome: Outcome) -> None:
        self._world, self._outcome, self._plan = world, outcome, world.plan
        self._waiting = sorted(enumerate(world.plan.executions), key=lambda pair: pair[1][1])
        self._triggers: list[str] = []
        self._hook: Hook | None = None

    def go(self) -> None:
        world = self._world
        for number, (kind, _) in enumerate(self._plan.executions):
            write_notebooks(world.work, lambda name, n=number: f"{n:02}-{name}", [kind], world.log)  # type: ignore[misc]
        write_notebooks(world.work, str, ["child", "tick", "hook"], world.log)
        if self._plan.has_triggers:
            world.patiently(self._add_triggers)
        clients, faults = Clients(world), Faults(world)
        try:
            self._await_first_step()
            while self._start_due() | faults.step():
                world.keep_up()
                self._call_hook(clients)
                time.sleep(0.05)
            faults.end_all()
            world.say("no more faults")
            self._await_end(clients)
            self._await_burials()
        finally:
            # Also when the run itself fails: the database that was stopped is that of the next runs, too.
            faults.end_all()
            clients.stop()
        self._outcome.answers = len(clients.answers)
        problems = world.close_processes()
        found = find_violations(world, clients.answers, self._hook)
        self._outcome.executions, self._outcome.interrupted = found.executions, found.interrupted
        self._outcome.violations += [*problems, *found.violations, *find_leftovers(world)]

    def _await_first_step(self) -> None:
        """Start what is due at the beginning; faults that come before a step runs would hit nothing."""
        world, deadline = self._world, time.monotonic() + _BEGIN_SECONDS
        world.begun = witness.clock()
        while not world.log.exists() and time.monotonic() < deadline:
            self._start_due()
            world.keep_up()
            time.sleep(0.05)
        world.say("the first step runs")
        world.begun = witness.clock()

    def _start_due(self) -> bool:
        """Start what is due; what cannot be started now is tried again the next time."""
        while self._waiting and self._waiting[0][1][1] <= self._world.seconds:
            number, (kind, _) = self._waiting[0]
            try:
                self._start(f"{number:02}-{kind}")
            except PauseflowError as problem:
                self._world.say(f"{kind} could not be started yet: {type(problem).__name__}")
                break
            self._waiting.pop(0)
        return bool(self._waiting)

    def _start(self, name: str) -> None:
        work = self._world.work
        path, output = str(work / f"{name}.ipynb"), str(work / f"out-{name}.ipynb")
        made = plan_notebook(path, output, {}, RunOptions(cwd=str(work)))
        # It may have been started the last time, although nobody was told.
        with contextlib.suppress(OutputInUse):
            self._world.say(f"started {name}: {self._world.queue.start(made)}")

    def _add_triggers(self) -> None:
        work, queue = self._world.work, self._world.queue
        if not self._triggers:
            ticking = NewTrigger(str(work / "tick.ipynb"), Schedule(every_seconds=2.0), overlap="allow")
            self._triggers.append(managing.add(queue, ticking, by="user:chaos")["id"])
        hook = managing.add(queue, NewTrigger(str(work / "hook.ipynb")), by="user:chaos")
        self._hook = Hook(hook["url"])

    def _call_hook(self, clients: Clients) -> None:
        """Call the URL of the trigger, each time twice with one key."""
        hook = self._hook
        if hook is None or self._world.seconds < hook.next_at or len(hook.calls) >= 8:
            return
        hook.next_at = self._world.seconds + 1.0
        key = f"key-{len(hook.calls) // 2}"
        hook.calls.append((key, *clients.post(hook.url, {"key": key}, {"Idempotency-Key": key})))

    def _await_end(self, clients: Clients) -> None:
        """Answer what still waits, and retry what a fault has let fail, until all have ended."""
        world, deadline = self._world, time.monotonic() + _END_SECONDS
        for trigger in self._triggers:
            world.patiently(lambda: managing.remove(world.queue, trigger))  # noqa: B023
        while time.monotonic() < deadline:
            world.keep_up()
            left = world.patiently(self._unended)
            failed = world.patiently(self._failed)
            is_retried = any(self._retry(row) for row in failed)
            if not left and not is_retried and not world.patiently(self._unfinished):
                return
            for id_ in left:
                clients.finish(world.patiently(lambda: world.queue.view(id_)))  # noqa: B023
            time.sleep(0.3)
        for id_ in world.patiently(self._unfinished):
            self._outcome.violations.append(f"the notebook of {id_} does not show yet how it ended")
        with reading(world.queue.engine) as connection:
            states = [(row.id, row.state, row.notebook) for row in connection.execute(sa.select(executions))]
        for id_, state, notebook in states:
            if state not in FINAL:
                text = f"{id_} ({Path(notebook).stem}) is still {state} {_END_SECONDS:.0f} s after the last fault"
                self._outcome.violations.append(text)

    def _await_burials(self) -> None:
        """Wait until the rows of processes that were killed are gone: a worker needs some seconds to notice."""
        world, deadline = self._world, time.monotonic() + _BURIAL_SECONDS
        while time.monotonic() < deadline:
            world.keep_up()
            rows = world.patiently(self._registered)
            if all(Path(f"/proc/{row.id.split(':')[1]}").exists() for row in rows):
                return
            time.sleep(0.2)

    def _registered(self) -> list[Any]:
        with reading(self._world.queue.engine) as connection:
            return workers.list_all(connection)

    def _unended(self) -> list[str]:
        with reading(self._world.queue.engine) as connection:
            return list(connection.execute(sa.select(executions.c.id).where(executions.c.ended_at.is_(None))).scalars())

    def _unfinished(self) -> list[str]:
        """List those that have ended, and whose notebook or output is still to be written."""
        with reading(self._world.queue.engine) as connection:
            is_due = executions.c.record_due.is_not(None)
            return list(connection.execute(sa.select(executions.c.id).where(is_due)).scalars())

    def _failed(self) -> list[Any]:
        statement = sa.select(executions.c.id, executions.c.error, executions.c.notebook, executions.c.parent)
        with reading(self._world.queue.engine) as connection:
            return list(connection.execute(statement.where(executions.c.state == "failed")))

    def _retry(self, row: Any) -> bool:
        """Let it go on if a fault of this run explains why it failed; what is not explained stays, and is found."""
        kind = (row.error or {}).get("type")
        excused = set().union(*(_EXCUSED[fault.kind] for fault in self._plan.faults))
        if kind not in excused or self._outcome.retried > 100:
            return False
        with contextlib.suppress(PauseflowError, CannotStart):
            retry(self._world.queue, row.id, by="user:chaos")
            self._world.say(f"retried {row.id}, which failed with {row.error}")
            self._outcome.retried += 1
        return True


def _keep_data(world: World) -> None:
    """Copy what lies on the small disk, which is about to go."""
    with contextlib.suppress(Exception):
        if world.is_mounted:
            shutil.copytree(world.folder / "data", world.folder / "data-kept", dirs_exist_ok=True)
    lines = [str(world.plan), *(f"{at:8.3f} {text}" for at, text in world.timeline)]
    (world.folder / "timeline.txt").write_text("\n".join(lines) + "\n")
