"""Still more in any order: pauses with a live kernel, fresh cells, secrets, nested notebooks, beside the same model."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa
from engine.any_order import CELLS, MOST_RUNS, STEPS, Asked, Key, Run, Try, runs, tries
from engine.any_order_of_all import AnyOrderOfAll
from engine.stage import saved
from hypothesis import strategies as st
from hypothesis.stateful import consumes, invariant, multiple, precondition, rule

from pauseflow_nb.engine.attempt_end import Ending
from pauseflow_nb.engine.recording import Recording
from pauseflow_nb.engine.secret_checks import find_secrets
from pauseflow_nb.errors import MissingSecret
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import ChildRequest, Failure, Outcome, PauseAnswer, PauseQuestion, SuspensionRequest
from pauseflow_nb.runner.observer import SegmentEnd
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import FINAL
from pauseflow_nb.store.tables import callbacks
from pauseflow_nb.user_secrets.providers import Providers

__all__ = ["AnyOrderOfPauses"]

#: Ordinal of the first pause of a step; its suspensions have lower ones.
_FIRST_PAUSE = 1001


@dataclass
class Child:
    """A nested execution of the model."""

    run: Run
    parent: Run
    #: What the parent waits for.
    key: Key
    linked: bool
    check: bool


@dataclass
class Facts:
    """What the model knows of an execution beyond `Run`."""

    #: What nested it.
    nested: Child | None = None
    children: list[Child] = field(default_factory=list)
    #: Whether the fresh cells have run again since the answer that began the segment.
    is_checked: bool = False


class AnyOrderOfPauses(AnyOrderOfAll):
    """`flow.pause`, drift, secrets that are missing, `flow.run_notebook`, `flow.exit`, cells of other queues."""

    #: A notebook that steps run, set by the test.
    child: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.facts: dict[str, Facts] = {}

    def _facts(self, run: Run) -> Facts:
        return self.facts.setdefault(run.id, Facts())

    # People

    @rule(
        run=runs,
        action=st.sampled_from(["resume", "cancel", "send_back"]),
        step=st.sampled_from(STEPS),
        pauses=st.integers(0, 1),
    )
    def answer_pause(self, run: Run, action: str, step: str, pauses: int) -> None:
        """Somebody answers a kernel that waits."""
        self.answer(run, action, 0, step, _FIRST_PAUSE + pauses)

    @rule(run=runs)
    def cancel(self, run: Run) -> None:
        """Somebody cancels the execution, and so the notebooks that it runs."""
        super().cancel(run)
        if run.state == "cancelled":
            self._cancel_children(run)

    @rule(run=runs)
    def retry(self, run: Run) -> None:
        """Somebody retries what has failed; a step that was suspended runs again from the beginning."""
        if run.state != "failed":
            return
        is_checked, asks_again = self._facts(run).is_checked, any(key[0] == run.segment for key in run.asked)
        super().retry(run)
        self._facts(run).is_checked = is_checked and run.answered is not None
        if asks_again:
            for step in STEPS[run.start :]:
                run.ended.pop(step, None)

    # Processes

    @precondition(lambda self: len(self.all) < MOST_RUNS)
    @rule(target=runs, crashes=st.booleans())
    def start_answered(self, crashes: bool) -> Any:
        """An answer wakes an execution: much depends on that, and chance seldom leads to it."""
        run = self.start()
        first = self.claim(run)
        self.begin_step(first)
        self.suspend(first, "suspend", "resume")
        self.answer(run, "resume", 0, STEPS[0])
        if crashes:
            second = self.claim(run)
            self.begin_step(second)
            self.pause(second)
            self.give_back(second, "dies")
        return run

    @rule(attempt=tries)
    def pause(self, attempt: Try) -> None:
        """The step asks and waits with its kernel, or looks whether there is an answer."""
        run = attempt.run
        if not self._is_in_step(attempt):
            return
        key = (attempt.segment, STEPS[attempt.cell], _FIRST_PAUSE + attempt.pauses)
        found: list[PauseAnswer | None] = []
        question, recording = self._question(attempt, key), Recording(attempt.attempt)
        if not self._counts(attempt, lambda: found.append(recording.find_answer(question, attempt.cell))):
            return
        asked = run.asked.setdefault(key, Asked("pause", "fail", attempt.cell))
        if asked.action is None:
            run.state = "paused"
            if asked.is_due:
                self._settle(run, key, "timeout")
        assert (None if found[0] is None else found[0].action) == asked.action
        attempt.pauses += asked.action is not None

    @rule(attempt=tries)
    def refuse_answer_to_pause(self, attempt: Try) -> None:
        """The notebook's own validators refuse the answer that the kernel has got."""
        run = attempt.run
        if not attempt.pauses or not self._is_in_step(attempt):
            return
        key = (attempt.segment, STEPS[attempt.cell], _FIRST_PAUSE + attempt.pauses - 1)
        if attempt.counts and run.asked[key].action != "resume":
            return
        question = self._question(attempt, key, refusals=1, errors=[{"path": "", "message": "no"}])
        recording = Recording(attempt.attempt)
        if self._counts(attempt, lambda: recording.find_answer(question, attempt.cell)):
            run.asked[key].action, run.state = None, "paused"
        attempt.pauses -= 1

    @rule(attempt=consumes(tries))
    def end_by_cancelled_pause(self, attempt: Try) -> None:
        """The step does not catch that its pause was cancelled."""
        run = attempt.run
        if not attempt.pauses or not self._is_in_step(attempt):
            return
        step = STEPS[attempt.cell]
        asked = run.asked.get((attempt.segment, step, _FIRST_PAUSE + attempt.pauses - 1))
        if attempt.counts and (asked is None or asked.action != "cancel"):
            return
        failure = Failure("Cancelled", "somebody cancelled", attempt.cell, step)
        if self._ended(attempt, SegmentEnd("failed", run.checkpoint, None, failure)):
            self._end(run, "cancelled", "link")

    @rule(attempt=consumes(tries))
    def exit(self, attempt: Try) -> None:
        """The step asks to end the execution."""
        run = attempt.run
        if not self._is_in_step(attempt):
            return
        outcome = Outcome("exited", STEPS[attempt.cell], run.ended.get(STEPS[attempt.cell], 0) + 1, snapshot=saved())
        if self._ended(attempt, SegmentEnd("exited", attempt.cell + 1, outcome)):
            self._end(run, "completed", "exit")

    @rule(attempt=consumes(tries))
    def hand_over(self, attempt: Try) -> None:
        """The next cell belongs to another queue."""
        run = attempt.run
        if attempt.counts and run.is_begun:
            return
        end = SegmentEnd("handed over", attempt.cell, Outcome("finished", "", 0, snapshot=saved()))
        got = Ending(attempt.attempt).end(end, attempt.document)
        assert got == ("released" if attempt.counts else "fenced")
        if got == "released":
            self._void_pauses(run)
            run.checkpoint, run.crashes, run.job = attempt.cell, 0, run.job + 1
            run.is_running, run.state = False, "queued"

    @rule(attempt=tries, has_secret=st.booleans())
    def look_up_secrets(self, attempt: Try, has_secret: bool) -> None:
        """Before a kernel starts, the secrets of all coming cells are looked up."""
        run, segment = attempt.run, attempt.attempt.segment
        if attempt.cell != segment.first_cell or (attempt.counts and run.is_begun):
            return
        providers = Providers(environment={"PAUSEFLOW_SECRET_TOKEN": "very-secret"} if has_secret else {})
        try:
            found = find_secrets(attempt.attempt.execution, segment, attempt.document, providers)
        except MissingSecret as problem:
            assert not has_secret
            assert segment.first_cell < len(CELLS)
            failure = Failure("MissingSecret", str(problem))
            assert Ending(attempt.attempt).fail("environment", failure) == ("ended" if attempt.counts else "fenced")
            if attempt.counts:
                self._end(run, "failed", "environment")
        else:
            assert found == (["TOKEN"] if segment.first_cell < len(CELLS) else [])

    @rule(attempt=tries, is_saved=st.booleans())
    def check_fresh_cells(self, attempt: Try, is_saved: bool) -> None:
        """The fresh cells run again after an answer, and show what they showed."""
        run = attempt.run
        if attempt.counts and not self._is_at_answer(attempt):
            return
        outcome = Outcome("finished", "", 0, snapshot=saved()) if is_saved else None
        recording, checks = Recording(attempt.attempt), [_check(is_drift=False)]
        if (
            self._counts(attempt, lambda: recording.on_checks(checks, attempt.cell, outcome, attempt.document))
            and is_saved
        ):
            self._facts(run).is_checked, run.crashes = True, 0

    @rule(attempt=consumes(tries))
    def drift(self, attempt: Try) -> None:
        """The fresh cells show other values: the question is open again."""
        run = attempt.run
        if attempt.counts and not self._is_at_answer(attempt):
            return
        end = SegmentEnd("drifted", attempt.cell, checks=[_check(is_drift=True)])
        if self._ended(attempt, end):
            self._reopened(run)

    @rule(
        target=runs,
        attempt=consumes(tries),
        how=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=2),
    )
    def run_notebooks(self, attempt: Try, how: list[tuple[bool, bool]]) -> Any:
        """The step has come to its end, and runs other notebooks."""
        run = attempt.run
        if not self._is_in_step(attempt):
            return multiple()
        wanted = [
            ChildRequest(str(self.child), {}, f"child {number}", linked=linked, check=check)
            for number, (linked, check) in enumerate(how)
        ]
        key, counted = (run.segment, STEPS[attempt.cell], 0), attempt.counts
        self._ask(attempt, SuspensionRequest("notebook", on_timeout="resume", children=wanted))
        if not counted:
            return multiple()
        with reading(self.queue.engine) as connection:
            ids = _find_children(connection, run, key)
        for each in wanted:
            child = Child(Run(ids[each.name]), run, key, each.linked, each.check)
            self._facts(child.run).nested = child
            self._facts(run).children.append(child)
            self.all.append(child.run)
        if run.state == "cancelled":
            self._cancel_children(run)
        return multiple(*(child.run for child in self._facts(run).children[-len(wanted) :]))

    # What must be

    @invariant()
    def what_came_early_is_judged(self) -> None:
        """Nothing that came early waits for a segment that has ended."""
        with reading(self.queue.engine) as connection:
            where = (callbacks.c.execution.in_([run.id for run in self.all]), callbacks.c.verdict.is_(None))
            found = {
                (row.execution, row.segment) for row in connection.execute(sa.select(callbacks).where(*where)).all()
            }
        going = {(run.id, run.segment) for run in self.all if run.state in ("queued", "running", "paused")}
        assert found <= going

    # The model

    def _answered(self, run: Run, key: Key, action: str) -> int:
        asked = run.asked.get(key)
        if asked is not None and asked.action is None and (asked.kind, action) == ("notebook", "resume"):
            return 409
        status = super()._answered(run, key, action)
        if status == 200 and run.state == "cancelled":
            self._cancel_children(run)
        return status

    def _settle(self, run: Run, key: Key, action: str) -> None:
        asked = run.asked[key]
        if asked.kind == "pause":
            asked.action = action
            run.state = "running" if run.state == "paused" else run.state
        elif (asked.kind, action) == ("notebook", "timeout"):
            self._gather(run, key)
        else:
            super()._settle(run, key, action)

    def _gather(self, run: Run, key: Key) -> None:
        """A worker looks whether all notebooks that a step waits for have ended."""
        asked, children = run.asked[key], [child for child in self._facts(run).children if child.key == key]
        asked.is_due = False
        if any(child.run.state not in FINAL for child in children):
            return
        asked.action = "resume"
        if any(child.check and child.run.state != "completed" for child in children):
            run.ended[key[1]] -= 1
            self._end(run, "failed", "error")
        else:
            self._queue(run, asked.cell + 1)

    def _queue(self, run: Run, first_cell: int) -> None:
        super()._queue(run, first_cell)
        self._facts(run).is_checked = False

    def _end(self, run: Run, state: str, reason: str | None) -> None:
        super()._end(run, state, reason)
        nested = self._facts(run).nested
        if nested is not None and (asked := nested.parent.asked[nested.key]).action is None:
            asked.is_due = True

    def _cancel_children(self, run: Run) -> None:
        for child in self._facts(run).children:
            if child.linked and child.run.state not in FINAL:
                self._end(child.run, "cancelled", "parent")
                self._cancel_children(child.run)

    def _reopened(self, run: Run) -> None:
        self._void_pauses(run)
        super()._reopened(run)

    def _void_pauses(self, run: Run) -> None:
        if run.open is not None and run.open[1].kind == "pause":
            run.open[1].action = "void"

    def _is_in_step(self, attempt: Try) -> bool:
        """Whether the attempt runs a step; one that does not count believes so anywhere."""
        return attempt.cell < len(STEPS) and (attempt.run.is_begun or not attempt.counts)

    def _question(self, attempt: Try, key: Key, **more: Any) -> PauseQuestion:
        request = SuspensionRequest("pause", seconds=3600.0, on_timeout="fail")
        return PauseQuestion(key[1], attempt.run.ended.get(key[1], 0) + 1, key[2], request, **more)

    def _is_at_answer(self, attempt: Try) -> bool:
        return self._is_before_cells(attempt) and not self._facts(attempt.run).is_checked


def _find_children(connection: sa.Connection, run: Run, key: Key) -> dict[str, str]:
    from pauseflow_nb.store import suspensions

    row = suspensions.find(connection, Claim(run.id, *key, ""))
    assert row is not None
    return dict(row.data)


def _check(*, is_drift: bool) -> dict[str, Any]:
    value = {"old": "7", "new": "8" if is_drift else "7", "reason": "7 became 8" if is_drift else None}
    where = {"name": "price", "cell": 0, "at": "2026-01-01T00:00:00+00:00", "tolerance": None, "on_drift": "ask"}
    return {**where, **value, "old_digest": "a", "new_digest": "b", "is_drift": is_drift, "rows": []}
