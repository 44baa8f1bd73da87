"""Everything that a door needs: start, settle, cancel, retry; looking is in `reader`. Used by server, commands and workers.

Each method is one transaction, and what it says has happened when it returns.
"""

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import sqlalchemy as sa

from pauseflow_nb.engine import children, finish_notebook
from pauseflow_nb.engine.authorization import Callback, NotJudged, Question, Verdict, judge
from pauseflow_nb.engine.checkpoints import Restart
from pauseflow_nb.engine.jobs import Jobs
from pauseflow_nb.engine.kernel_bound import lose
from pauseflow_nb.engine.quota import require_room
from pauseflow_nb.engine.reader import SILENCE, Reader
from pauseflow_nb.engine.settling import RECORD_AFTER, Answer, Settling, envelope_of, reason_for
from pauseflow_nb.engine.stored_bodies import BodyRoom
from pauseflow_nb.errors import (
    AmbiguousSuspension,
    CannotSuspend,
    NotSuspended,
    OutputInUse,
    StorageFull,
    StoreUnavailable,
    UnknownExecution,
)
from pauseflow_nb.forms.check_process import default_checker
from pauseflow_nb.forms.codec import Entries, read_answer
from pauseflow_nb.json_values import JSON, require_json
from pauseflow_nb.links import Claim
from pauseflow_nb.private_files import follow
from pauseflow_nb.protocol import SuspensionRequest
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import audit, executions, keys, segments, steps, suspensions, workers
from pauseflow_nb.store.database import named, now, open_engine, reading, transaction
from pauseflow_nb.store.executions import FINAL, Row
from pauseflow_nb.store.migrate import migrate

if TYPE_CHECKING:
    pass

__all__ = ["Answer", "Callback", "Plan", "Queue", "Restart"]

log = logging.getLogger(__name__)

#: States of an execution that needs an answer, or the clock.
_WAITING = frozenset({"suspended", "waiting", "paused"})

#: Kinds of processes that may run a segment. One that starts takes its first jobs a moment before it says so.
_RUNNERS = ("worker", "starting", "attached")

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """What is to be run: a notebook as it was frozen, and how."""

    #: The notebook's path as the user gave it.
    notebook: str
    #: The frozen notebook, parameters injected.
    document: bytes
    output: str | None
    inputs: dict[str, JSON]
    #: Number of cells.
    cells: int
    steps: list[str]
    kernel: str
    #: The Python that the kernel needs, if it is one.
    interpreter: str | None
    cwd: str
    #: `"user:NAME"`.
    created_by: str
    #: strict, checkpoint, start_timeout, execution_timeout
    options: dict[str, JSON] = field(default_factory=dict)


class Queue(Reader):
    """The store as its users see it: everything of `Reader`, and what changes it. May be used by many threads at once."""

    def __init__(self, settings: Settings, engine: sa.Engine, *, base_url: str | None = None) -> None:
        """Use `open`."""
        super().__init__(settings, engine, base_url=base_url)
        self.jobs = Jobs(engine)
        #: Checks answers; the processes that it needs are started with the first one.
        self.checker = default_checker()
        #: What the clock could not do the last time, because of what its row holds.
        self._unfit: set[Claim | str] = set()
        self.bodies = BodyRoom(self.files, settings.quota, settings.max_body)

    @classmethod
    def open(cls, settings: Settings, *, base_url: str | None = None) -> Self:
        """Open the store that the settings name; its tables are made or brought up to date.

        Args:
            settings: Which store.
            base_url: Base of the links while no server of this store is alive and no `public_url` is set.

        Raises:
            StoreUnavailable: If the database is locked, gone or unfit.
        """
        engine = open_engine(settings.db)
        migrate(engine)
        return cls(settings, engine, base_url=base_url)

    def close(self) -> None:
        """Let go of all connections."""
        self.jobs.close()
        self.engine.dispose()

    # Starting

    def start(self, plan: Plan, *, attached_to: str | None = None) -> str:
        """Start an execution.

        Args:
            plan: What to run.
            attached_to: The process that will run it itself, named by `store.workers.process_name`; None: any worker.

        Returns:
            The execution's id.

        Raises:
            OutputInUse: If another execution that has not ended owns the output.
            QuotaReached: If the storage holds as much as it may.
            DiskNearlyFull: If its disk has too little room.
        """
        require_room(self.files, self.settings.quota, len(plan.document))
        execution = secrets.token_hex(6)
        output = _whole(plan.output)
        document = f"{execution}/start-{secrets.token_hex(4)}.ipynb"
        self.files.write(document, plan.document)

        def insert(connection: sa.Connection) -> str:
            self._refuse_if_owned(connection, output)
            self.add(connection, execution, plan, document, output=output, attached_to=attached_to)
            if attached_to is not None:
                # In one transaction: a process that dies at once must be known, or nobody takes over from it.
                workers.beat(connection, attached_to, "attached", None)
            return execution

        try:
            return self._change(insert)
        except sa.exc.IntegrityError:
            # Two at once: on PostgreSQL neither sees the other's row before one is refused.
            self.files.remove(execution)
            with reading(self.engine) as connection:
                self._refuse_if_owned(connection, output)
            raise StoreUnavailable(named(self.engine), "another execution took the output a moment ago") from None
        except (OutputInUse, StoreUnavailable, StorageFull):
            self.files.remove(execution)
            raise

    # Settling

    def settle(self, claim: Claim, callback: Callback) -> Answer:
        """Apply what came over a public link; a token must have been verified before.

        The answer is checked first, which may take seconds, and holds no transaction meanwhile.

        Raises:
            LinkWithdrawn: If the link was withdrawn since.
            NoChecker: If it cannot be checked now.
        """
        while True:
            verdict = self._judge(claim, callback)
            try:
                answer = self._change(
                    lambda connection, found=verdict: self.settling(connection).callback(claim, callback, found)  # type: ignore[misc]
                )
            except NotJudged:
                # The suspension was opened in between.
                continue
            break
        if answer.status == 200 and answer.body.get("state") == "cancelled":
            self._cancel_children(claim.execution)
        return answer

    def resume(
        self,
        execution: str,
        *,
        step: str | None = None,
        data: JSON = None,
        form: Entries | None = None,
        by: str,
    ) -> Answer:
        """Answer an open suspension for somebody who is known by name.

        Args:
            execution: Its id.
            step: Which suspension, if several are open: the step's name, or an `address` or a `path` with dots, as
                `view` shows them.
            data: JSON value for the notebook, as a request's body would be.
            form: In its place, what stands in the form of the question: input name → texts.
            by: `"user:NAME"`.

        Raises:
            UnknownExecution: If there is none.
            NotSuspended: If nothing waits, or not in this step.
            AmbiguousSuspension: If several wait and none was named.
            NotJSON: If the data is no JSON.
        """
        require_json("data", data)
        with reading(self.engine) as connection:
            suspension = self._choose(connection, execution, step)
        claim = _claim_of(suspension, "resume")
        if form is None:
            return self.settle(claim, Callback("resume", envelope_of(data, by), by))
        read, comment = read_answer(suspension.schema, form)
        envelope = envelope_of(read.value, by)
        if suspension.schema is not None and read.value is None:
            # Not nothing: null.
            envelope["body_raw"] = "null"
        if comment is not None:
            envelope["comment"] = comment
        answer = self.settle(claim, Callback("resume", envelope, by, read))
        if answer.body.get("errors"):
            answer.body["errors"] = read.place(answer.body["errors"])
        return answer

    def cancel(self, execution: str, *, by: str, text: str | None = None) -> None:
        """Cancel an execution in whatever state it is; one that has ended stays as it is.

        A worker that runs it interrupts the kernel within a second; what it still sends does not count.

        Raises:
            UnknownExecution: If there is none.
        """

        def change(connection: sa.Connection) -> None:
            segment = segments.latest(connection, execution)
            row = executions.lock_plain(connection, execution)
            if segment is None or row is None:
                raise UnknownExecution(execution)
            if row.state in FINAL:
                return
            running = segment.state == "running"
            segments.end(connection, segment, "cancelled")
            steps.fail(connection, execution, segment.n, None)
            suspensions.void(connection, execution, by)
            self.settling(connection).kept(execution, segment.n, None)
            executions.end(
                connection,
                execution,
                "cancelled",
                by=by,
                reason=reason_for(by, text),
                record_after=RECORD_AFTER if running else 0.0,
            )

        self._change(change)
        self._cancel_children(execution)

    # Keys and links

    def rotate_keys(self, *, by: str, withdraw: bool = False) -> list[int]:
        """Sign with a new key from now on, in every process of this store.

        Args:
            by: Who asks for it.
            withdraw: Whether links that older keys signed are refused from now on.

        Returns:
            The numbers of the keys that were withdrawn.
        """
        return self._change(lambda connection: keys.rotate(connection, by=by, withdraw=withdraw))

    def revoke(self, execution: str, *, by: str) -> None:
        """Refuse all links of an execution that were made before, and those of the notebooks that wait below it.

        Raises:
            UnknownExecution: If there is none.
        """

        def change(connection: sa.Connection, id_: str) -> None:
            if segments.latest(connection, id_) is None or executions.lock(connection, id_) is None:
                raise UnknownExecution(id_)
            keys.revoke(connection, id_, by=by)

        with reading(self.engine) as connection:
            self._row(connection, execution)
            below = [row.id for row in children.unended_below(connection, execution)]
        for id_ in (execution, *below):
            self._change(lambda connection, id_=id_: change(connection, id_))  # type: ignore[misc]

    # Stopping

    def suspend(self, execution: str, *, by: str, with_parent: bool = False) -> None:
        """Suspend an execution from outside, before its next cell; it goes on when somebody resumes it.

        Of one that waits for notebooks, those that run and are linked to it are suspended.

        Args:
            execution: Its id.
            by: Who asks for it.
            with_parent: Whether its parent is being suspended, which it follows.

        Raises:
            UnknownExecution: If there is none.
            CannotSuspend: If it waits already, has ended, or belongs to another.
        """

        def change(connection: sa.Connection) -> bool:
            segments.latest(connection, execution)
            row = executions.lock(connection, execution)
            if row is None:
                raise UnknownExecution(execution)
            if row.parent is not None and row.nested["linked"] and not with_parent:
                raise CannotSuspend(execution, row.state, row.parent)
            if row.state in ("queued", "running", "paused"):
                executions.ask_to_suspend(connection, execution, by)
                audit.note(connection, execution, "to be suspended", by, segment=row.segment)
                return True
            return False

        with reading(self.engine) as connection:
            following = [row.id for row in executions.children_of(connection, execution) if row.nested["linked"]]
        found = self._change(change)
        for child in following:
            try:
                self.suspend(child, by=by, with_parent=True)
            except CannotSuspend:
                continue
            found = True
        if not found:
            raise CannotSuspend(execution, self.state(execution))

    def retry(
        self,
        execution: str,
        *,
        by: str,
        from_step: str | None = None,
        notebook: str | None = None,
        force: bool = False,
        attached_to: str | None = None,
    ) -> Restart:
        """Let an execution that has ended go on from a checkpoint; what finished before it is not run again.

        An answer that could not be used because the next segment did not start is used now. A step that
        failed because nobody answered it in time runs again, and asks again.

        Args:
            execution: Its id. Without `from_step` and `notebook` it must have failed.
            by: Who asks for it.
            from_step: The step to run again, with all that follows; otherwise it goes on from its last checkpoint.
            notebook: Path of an edited notebook that takes the place of the one that ran. If a cell before the
                checkpoint was changed, it goes back to the last checkpoint before that cell.
            force: Whether a snapshot of other versions may be restored from now on, and the next segment may go on
                without variables that did not come back.
            attached_to: The process that will run it itself.

        Returns:
            Where it goes on; nothing has run yet.

        Raises:
            UnknownExecution: If there is none.
            CannotRetry: If it is in another state.
            NotebookGone: If somebody removed its stored notebook; nothing has changed then.
            InvalidStep: If there is no such step, or it was not reached.
            OutputInUse: If another execution has taken its output since.
            PauseflowError: If the edited notebook cannot be run.
        """
        from pauseflow_nb.engine.retry_fork import retry  # lazily: few executions need it

        return retry(
            self, execution, by=by, from_step=from_step, notebook=notebook, force=force, attached_to=attached_to
        )

    def fork(
        self,
        execution: str,
        *,
        by: str,
        from_step: str | None = None,
        output: str | None = None,
        attached_to: str | None = None,
    ) -> str:
        """Start a sibling from a checkpoint: the same notebook and variables, and an output and links of its own.

        Args:
            execution: Id of the source, in whatever state; nothing of it changes.
            by: Who asks for it.
            from_step: The step that the sibling begins with. None: the last checkpoint; of an execution that waits,
                the sibling waits for the same answer.
            output: Its output; the default is named after that of the source.
            attached_to: The process that will run it itself.

        Returns:
            The sibling's id.

        Raises:
            UnknownExecution: If there is none.
            CannotRetry: If it has ended, has not failed, and no step was named.
            InvalidStep: If there is no such step, or it was not reached.
            InvalidParameter: If the output cannot be written.
            OutputInUse: If another execution that has not ended owns the output.
            QuotaReached: If the storage holds as much as it may.
            DiskNearlyFull: If its disk has too little room.
        """
        from pauseflow_nb.engine.retry_fork import fork  # lazily: few executions need it

        return fork(self, execution, by=by, from_step=from_step, output=_whole(output), attached_to=attached_to)

    def sweep(self, execution: str | None = None) -> int:
        """Let the clock settle what is due, and tidy up what processes that died have left.

        That is: notebooks of executions that ended without a kernel are finished, and executions attached
        to a process that nobody knows any more are left to the workers.

        Args:
            execution: Only this one.

        Returns:
            How many suspensions were settled. While nothing is due this is four plain reads.
        """
        # As many more as there are that cannot be settled: they stay due, and must not hide those behind them.
        more = len(self._unfit)
        with reading(self.engine) as connection:
            due = suspensions.due(connection, execution, 100 + more)
            unfinished = executions.to_record(connection, 20 + more)
            reminders = suspensions.to_remind(connection, execution, 20 + more)
            abandoned = [] if execution is not None else executions.abandoned(connection, 20 + more)
        settled = [
            self._attempt(claim, lambda: self._change(lambda connection: self._clock(connection, claim)))  # noqa: B023
            for claim in due
        ]
        for id_ in unfinished:
            if execution in (None, id_):
                self._attempt(id_, lambda: finish_notebook.finish_notebook(self.engine, self.files, id_))  # noqa: B023
        for id_ in abandoned:
            self._attempt(id_, lambda: self.detach(id_))  # noqa: B023
        if reminders:
            from pauseflow_nb.engine.reminders import remind  # lazily: few suspensions have any

            for claim in reminders:
                self._attempt(claim, lambda: remind(self, claim))  # noqa: B023
        return sum(map(bool, settled))

    def _attempt(self, what: Claim | str, act: Callable[[], T]) -> T | None:
        """Do one of many things; one that cannot be done is logged the first time, and does not keep the others back."""
        try:
            done = act()
        except (StoreUnavailable, StorageFull):
            raise
        except Exception as problem:  # noqa: BLE001  (whatever is wrong with a row is wrong with that row alone)
            if what not in self._unfit:
                execution = what if isinstance(what, str) else what.execution
                log.warning("left %s alone: %s", execution, problem, extra={"execution": execution})
            self._unfit.add(what)
            return None
        self._unfit.discard(what)
        return done

    def attach(self, execution: str, process: str) -> bool:
        """Take an execution over from the workers, or from a process that is gone.

        Returns:
            False if it has ended, or somebody who is alive runs it.

        Raises:
            UnknownExecution: If there is none.
        """

        def change(connection: sa.Connection) -> bool:
            segment = segments.latest(connection, execution)
            row = executions.lock(connection, execution)
            if segment is None or row is None:
                raise UnknownExecution(execution)
            alive = {found.id for kind in _RUNNERS for found in workers.alive(connection, kind, SILENCE)}
            runs_elsewhere = segment.state == "running" and segment.worker in alive
            if row.state in FINAL or row.attached_to in alive - {process} or runs_elsewhere:
                return False
            if segment.bound is not None and row.attached_to != process:
                lose(connection, segment, row, process)
                return False
            workers.beat(connection, process, "attached", None)
            executions.attach(connection, execution, process)
            audit.note(connection, execution, "attached", process, segment=segment.n)
            if segment.state != "ended":
                # Its job, if there is one, has nothing to do any more.
                segments.release(connection, segment, crashed=segment.state == "running", new_job=True)
                executions.set_state(connection, execution, "queued")
            return True

        return self._change(change)

    def detach(self, execution: str, *, process: str | None = None) -> None:
        """Leave an execution to the workers, from its last checkpoint.

        Args:
            execution: Its id.
            process: Only if it is still attached to this one.
        """

        def change(connection: sa.Connection) -> None:
            segment = segments.latest(connection, execution)
            row = executions.lock(connection, execution)
            if segment is None or row is None or row.attached_to is None or process not in (None, row.attached_to):
                return
            executions.attach(connection, execution, None)
            if row.state in FINAL:
                return
            audit.note(connection, execution, "detached", row.attached_to, segment=segment.n)
            if segment.bound is not None:
                # The kernel that it needs ends with the process, or has ended.
                lose(connection, segment, row, row.attached_to)
                return
            if segment.state == "running":
                # The process that ran it is dead, or gives it up.
                segments.release(connection, segment, crashed=True)
                steps.interrupt(connection, execution, segment.n, segment.first_cell)
                executions.set_state(connection, execution, "queued")
            if segment.state != "ended":
                self.jobs.enqueue(connection, execution, segment.n, segment.job)

        self._change(change)

    # Processes

    def register(self, process: str, kind: str, url: str | None = None) -> None:
        """Say that a process is there; it must `beat` from now on. See `engine.presence.Presence`."""
        self._change(lambda connection: workers.add(connection, process, kind, url))

    def beat(self, process: str, kind: str, url: str | None = None) -> None:
        """Say that a process is alive."""
        self._change(lambda connection: workers.beat(connection, process, kind, url))

    def leave(self, process: str) -> None:
        """Say that a process ends."""
        self._change(lambda connection: workers.remove(connection, process))

    def only_waits(self, execution: str) -> bool:
        """Whether it waits, with all that it has started: nothing goes on before an answer or the clock.

        Raises:
            UnknownExecution: If there is none.
        """
        with reading(self.engine) as connection:
            states = {self._row(connection, execution).state}
            states |= {row.state for row in children.unended_below(connection, execution)}
            # Without one that is open, all the notebooks that it waits for have ended.
            return states <= _WAITING and bool(children.open_below(connection, execution))

    def suspension(self, claim: Claim) -> Row | None:
        """Read a suspension; if its time is over, the clock settles it first."""
        for _ in range(2):
            with reading(self.engine) as connection:
                row = suspensions.find(connection, claim)
                if row is None or row.state != "open" or row.deadline is None or row.deadline > now(connection):
                    return row
            self.sweep(claim.execution)
        return row

    # Within the engine

    def judge_early(
        self, claim: Claim, request: SuspensionRequest, known: Mapping[int, Verdict], *, seconds: float
    ) -> dict[int, Verdict]:
        """Judge the callbacks that came before their step had ended, ahead of the transaction that ends it.

        Args:
            claim: The suspension that there will be; its action does not matter.
            request: What it will ask.
            known: What was found before.
            seconds: Time by the clock for all of them; what is not checked by then is refused.

        Returns:
            What was found about each, by its id, `known` included.
        """
        deadline = time.monotonic() + seconds
        with reading(self.engine) as connection:
            execution = executions.find(connection, claim.execution)
            if execution is None:
                raise UnknownExecution(claim.execution)
            question = Question.asked_by(claim.step, request, executions.starter(execution))
            early = suspensions.kept(connection, claim.execution, claim.segment)
        found = dict(known)
        for one in early:
            if (one.step, one.ordinal) != (claim.step, claim.ordinal) or one.id in found:
                continue
            with reading(self.engine) as connection:
                callback = Callback(one.action, suspensions.envelope_of(connection, one), one.by)
            found[one.id] = judge(question, callback, self.checker, seconds=deadline - time.monotonic())
            if found[one.id].refusal is None and request.approvals == 1:
                # It settles the suspension, and those after it are late.
                break
        return found

    def _judge(self, claim: Claim, callback: Callback) -> Verdict | None:
        with reading(self.engine) as connection:
            suspension = suspensions.find(connection, claim)
            execution = executions.find(connection, claim.execution)
        if suspension is None or execution is None or suspension.state != "open":
            return None
        return judge(Question.of(suspension, executions.starter(execution)), callback, self.checker)

    def settling(self, connection: sa.Connection) -> Settling:
        """Give the rules of settling for one transaction."""
        return Settling(connection, self.jobs.enqueue)

    def change(self, change: Callable[[sa.Connection], T]) -> T:
        """Make a change in one transaction that may queue jobs. It may be called twice, and is committed once."""
        return self._change(change)

    def _change(self, change: Callable[[sa.Connection], T]) -> T:
        def attempt() -> T:
            with transaction(self.engine) as connection:
                return change(connection)

        return self.jobs.ready(attempt)

    def add(
        self,
        connection: sa.Connection,
        execution: str,
        plan: Plan,
        document: str,
        *,
        attached_to: str | None,
        **more: Any,
    ) -> None:
        """Add a queued execution in the caller's transaction; see `start`.

        Args:
            connection: The transaction, which must run under `change`.
            execution: Its id.
            plan: What to run.
            document: The stored notebook's name.
            attached_to: The process that will run it itself.
            more: Other columns of its row.
        """
        executions.add(
            connection,
            execution,
            by=plan.created_by,
            notebook=plan.notebook,
            document=document,
            parameters=plan.inputs,
            steps=plan.steps,
            kernel=plan.kernel,
            interpreter=plan.interpreter,
            cwd=plan.cwd,
            options=plan.options,
            cells_total=plan.cells,
            attached_to=attached_to,
            **more,
        )
        segments.add(connection, execution, 0, first_cell=0)
        if attached_to is None:
            self.jobs.enqueue(connection, execution, 0, 0)

    def _cancel_children(self, execution: str) -> None:
        """Cancel what a cancelled execution has started, each in a transaction of its own: see `nested`."""
        with reading(self.engine) as connection:
            if self._row(connection, execution).state != "cancelled":
                return
            following = [row for row in executions.children_of(connection, execution) if row.nested["linked"]]
        for child in following:
            if child.state not in FINAL:
                self.cancel(child.id, by=f"parent:{execution}")

    def _clock(self, connection: sa.Connection, due: Claim) -> bool:
        segments.lock(connection, due.execution, due.segment)
        executions.lock(connection, due.execution)
        suspension = suspensions.lock(connection, due)
        if suspension is None or suspension.state != "open":
            return False
        return self.settling(connection).clock(suspension)

    def _choose(self, connection: sa.Connection, execution: str, step: str | None) -> Row:
        state = self._row(connection, execution).state
        found = children.open_below(connection, execution)
        if step is not None:
            found = [one for one in found if one.is_at(step)] or [one for one in found if one.is_below(step)]
        if not found:
            raise NotSuspended(execution, state, step)
        if len(found) > 1:
            raise AmbiguousSuspension(execution, [one.address for one in found])
        return found[0].row

    def _refuse_if_owned(self, connection: sa.Connection, output: str | None) -> None:
        owner = None if output is None else executions.owner_of(connection, output)
        if owner is not None:
            raise OutputInUse(str(output), owner.id, owner.state)


def _whole(output: str | None) -> str | None:
    """Name an output so that two ways to write one path are one owner."""
    return output if output is None or "://" in output else str(follow(Path(output)))


def _claim_of(suspension: Row, action: str) -> Claim:
    return Claim(suspension.execution, suspension.segment, suspension.step, suspension.ordinal, action)
