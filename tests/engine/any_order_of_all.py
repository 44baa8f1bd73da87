"""More of what can happen to executions in any order: what is rarer, beside the model of `any_order`."""

from typing import Any, ClassVar

import pytest
from engine.any_order import MOST_RUNS, STEPS, AnyOrder, Asked, Key, Run, Try, make_plan, runs, tries
from engine.stage import saved
from hypothesis import strategies as st
from hypothesis.stateful import consumes, multiple, precondition, rule

from pauseflow_nb.actions import ACTIONS
from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.retry_fork import fork
from pauseflow_nb.errors import AllowanceReached, CannotRetry, CannotSuspend, LinkWithdrawn
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Outcome, SuspensionRequest
from pauseflow_nb.runner.observer import SegmentEnd
from pauseflow_nb.store.executions import FINAL

__all__ = ["MOST", "AnyOrderOfAll"]

#: Executions that a user may have at once in the store with a limit.
MOST = 3


class AnyOrderOfAll(AnyOrder):
    """Send back, refuse, suspend from outside, links that are withdrawn, forks, limits."""

    #: The same store with a limit, set by the test.
    limited: ClassVar[Queue]

    def __init__(self) -> None:
        super().__init__()
        #: Execution → how often its links were revoked.
        self.revoked: dict[str, int] = {}
        #: Token → its execution, segment and step, action, and how many keys and revocations there were.
        self.tokens: list[tuple[str, Run, Key, str, int, int]] = []
        self.withdrawn = 0

    # People

    @precondition(lambda self: len(self.all) < MOST_RUNS)
    @rule(target=runs)
    def start_within_limit(self) -> Any:
        """Somebody starts an execution where each user may have few at once."""
        count = sum(run.state not in FINAL for run in self.all)
        if count >= MOST:
            with pytest.raises(AllowanceReached):
                self.limited.start(make_plan())
            return multiple()
        run = Run(self.limited.start(make_plan()))
        self.all.append(run)
        return run

    @rule(run=runs, action=st.sampled_from(["resume", "cancel"]), back=st.integers(0, 2))
    def answer_operator(self, run: Run, action: str, back: int) -> None:
        """Somebody lets an execution go on that was suspended from outside, or ends it."""
        self.answer(run, action, back, "")

    @rule(run=runs, back=st.integers(0, 1), step=st.sampled_from(STEPS))
    def send_back(self, run: Run, back: int, step: str) -> None:
        """Somebody sends a step back, whether its author allows that or not."""
        self.answer(run, "send_back", back, step)

    @rule(run=runs)
    def suspend_from_outside(self, run: Run) -> None:
        """Somebody asks that it be suspended before its next cell."""
        if run.state in ("queued", "running"):
            self.queue.suspend(run.id, by="user:ann")
        else:
            with pytest.raises(CannotSuspend):
                self.queue.suspend(run.id, by="user:ann")

    @rule(run=runs, back=st.integers(0, 1), step=st.sampled_from(STEPS), action=st.sampled_from(ACTIONS))
    def sign_link(self, run: Run, back: int, step: str, action: str) -> None:
        """A link is shown to somebody."""
        key, revoked = (max(run.segment - back, 0), step, 0), self.revoked.get(run.id, 0)
        token = self.queue.signer.token(Claim(run.id, *key, action, revoked))
        self.tokens.append((token, run, key, action, self.withdrawn, revoked))

    @rule(which=st.integers(0, 30))
    def call_link(self, which: int) -> None:
        """Somebody calls a link that was shown."""
        if which >= len(self.tokens):
            return
        token, run, key, action, withdrawn, revoked = self.tokens[which]
        envelope = {"method": "POST", "body": {"said": action}}
        if (withdrawn, revoked) != (self.withdrawn, self.revoked.get(run.id, 0)):
            with pytest.raises(LinkWithdrawn):
                self.queue.settle(self.queue.signer.read(token, action), Callback(action, envelope, "link"))  # type: ignore[arg-type]
            return
        response = self.queue.settle(self.queue.signer.read(token, action), Callback(action, envelope, "link"))  # type: ignore[arg-type]
        assert response.status == self._answered(run, key, action), (key, action, response)

    @rule(run=runs)
    def revoke(self, run: Run) -> None:
        """Somebody revokes all links of an execution; what came early through them is dropped."""
        self.queue.revoke(run.id, by="user:ann")
        self.revoked[run.id] = self.revoked.get(run.id, 0) + 1
        run.early.clear()

    @rule(withdraw=st.booleans())
    def rotate_keys(self, withdraw: bool) -> None:
        """An operator rotates the keys, and may withdraw the old ones."""
        self.queue.rotate_keys(by="user:root", withdraw=withdraw)
        if withdraw:
            self.withdrawn += 1
            for run in self.all:
                run.early.clear()

    @precondition(lambda self: len(self.all) < MOST_RUNS)
    @rule(target=runs, run=runs)
    def fork(self, run: Run) -> Any:
        """Somebody starts a sibling from the first cell; nothing of the source changes."""
        if run.state in ("completed", "cancelled"):
            with pytest.raises(CannotRetry):
                fork(self.queue, run.id, by="user:ann")
            return multiple()
        if run.ended or run.asked:
            # It would copy the snapshots, and no kernel has made any.
            return multiple()
        sibling = Run(fork(self.queue, run.id, by="user:ann"))
        self.all.append(sibling)
        return sibling

    # Processes

    @rule(attempt=consumes(tries), on=st.sampled_from(["cancel", "fail", "resume"]))
    def suspend_with_send_back(self, attempt: Try, on: str) -> None:
        """The step asks something that may be sent back."""
        run = attempt.run
        if attempt.cell == len(STEPS) or (attempt.counts and not run.is_begun):
            return
        labels = {"resume": "Ship it", "send_back": "Once more"}
        self._ask(
            attempt, SuspensionRequest("suspend", on_timeout=on, seconds=3600.0, allow=list(ACTIONS), labels=labels)
        )

    @rule(attempt=consumes(tries))
    def suspend_before_cell(self, attempt: Try) -> None:
        """The worker does what somebody has asked from outside."""
        run = attempt.run
        if attempt.cell == len(STEPS) or (attempt.counts and run.is_begun):
            return
        outcome = Outcome(
            "suspended", "", 0, suspension=SuspensionRequest("operator", on_timeout="cancel"), snapshot=saved()
        )
        if self._ended(attempt, SegmentEnd("suspended", attempt.cell, outcome)):
            key = (run.segment, "", 0)
            early = run.early.pop(key, [])
            self._void(run)
            run.asked[key] = Asked("operator", "cancel", attempt.cell - 1)
            run.checkpoint, run.is_running, run.state, run.crashes = attempt.cell, False, "suspended", 0
            for action in early[:1]:
                self._settle(run, key, action)

    @rule(attempt=consumes(tries))
    def refuse_answer(self, attempt: Try) -> None:
        """The notebook's own validators refuse the answer that began the segment: the question is open again."""
        run = attempt.run
        if attempt.counts and not self._is_before_cells(attempt):
            return
        errors: list[dict[str, Any]] = [{"path": "", "message": "no"}]
        if self._ended(attempt, SegmentEnd("refused", attempt.cell, errors=errors)):
            self._reopened(run)

    # The model

    def _is_before_cells(self, attempt: Try) -> bool:
        """Whether an answer to a question has begun the segment, and no cell has run since its beginning."""
        run = attempt.run
        if run.answered is None or run.is_begun or not attempt.cell == run.checkpoint == run.start:
            return False
        return run.asked[run.answered].kind in ("suspend", "operator")

    def _reopened(self, run: Run) -> None:
        """The question whose answer began the segment is open again."""
        assert run.answered is not None
        run.asked[run.answered].action, run.answered = None, None
        run.is_running, run.state = False, "suspended"
        run.early.clear()
