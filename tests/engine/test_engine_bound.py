"""An execution that can go on in one kernel only: who may begin it, what its loss means, where a retry begins."""

from dataclasses import replace

import pytest
from engine.stage import ME, Stage, die, plan, suspend

from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.ownership import attach, detach
from pauseflow_nb.engine.retry_fork import fork, retry
from pauseflow_nb.engine.run_segment import Segments
from pauseflow_nb.errors import CannotRetry
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Briefing, Outcome, Unsaved
from pauseflow_nb.runner.control import Control
from pauseflow_nb.runner.kernels.keeper import Keeper
from pauseflow_nb.store import segments, workers
from pauseflow_nb.store.database import reading

CELLS = ("%%step first", "%%step make", "%%step ask", "%%step last")
LOCK = Unsaved("lock", "_thread.lock", "a lock belongs to this process", "lost", 1)


def bound(_briefing: Briefing) -> Outcome:
    return replace(suspend()(_briefing), unsaved=[LOCK])


class Kept(Keeper):
    """Has a kernel for the first who asks; the script that plays it needs none."""

    def __init__(self) -> None:
        super().__init__()
        self.left = [object()]

    def take(self, _execution: str) -> object:  # type: ignore[override]
        return self.left.pop() if self.left else None


def start(stage: Stage) -> str:
    """An execution that waits in the step `ask` with its kernel; the second step made what only that has."""
    stage.script.steps["ask"] = bound
    execution = stage.start(*CELLS)
    assert stage.play(execution) == "ended"
    assert stage.queue.view(execution)["kernel_bound"] == ["lock"]
    return execution


def reason(stage: Stage, execution: str) -> tuple[str, str]:
    view = stage.queue.view(execution)
    return view["state"], (view["reason"] or {}).get("kind", "")


def test_without_its_kernel_it_fails_when_it_is_answered(stage: Stage) -> None:
    execution = start(stage)
    stage.send(execution, segment=0)
    assert stage.play(execution) == "ended"

    assert reason(stage, execution) == ("failed", "kernel-lost")
    error = stage.queue.view(execution)["error"]
    assert "lock (_thread.lock, made in cell 2; a lock belongs to this process)" in error["message"]
    assert f"`pauseflow retry {execution} --from make`" in error["message"]
    assert [step for step, _, _ in stage.script.ran] == ["first", "make", "ask"]


@pytest.mark.parametrize("is_answered", [False, True])
def test_it_fails_when_the_process_that_keeps_its_kernel_leaves_it(stage: Stage, *, is_answered: bool) -> None:
    execution = start(stage)
    if is_answered:
        stage.send(execution, segment=0)
    computed = stage.queue.view(execution)["usage"]["compute_seconds"]
    page = stage.queue.claim_page(Claim(execution, 0, "ask", 0, "approve"))
    detach(stage.queue, execution, process=ME)

    assert page is not None
    assert page["kernel_bound"] == ([] if is_answered else ["lock"])
    assert reason(stage, execution) == ("failed", "kernel-lost")
    view = stage.queue.view(execution)
    assert (view["suspended"], view["kernel_bound"]) == ([], [])
    assert view["usage"]["compute_seconds"] == computed
    assert stage.send(execution, segment=0)[0] == 410


def test_who_takes_it_over_from_a_process_that_is_gone_gets_nothing(stage: Stage) -> None:
    execution = start(stage)
    stage.queue.change(lambda connection: workers.remove(connection, ME))

    assert not attach(stage.queue, execution, "another")
    assert reason(stage, execution) == ("failed", "kernel-lost")


def test_a_process_that_is_not_registered_any_more_is_noticed_by_every_sweep(stage: Stage) -> None:
    execution = start(stage)
    stage.queue.change(lambda connection: workers.remove(connection, ME))
    Clock(stage.queue).sweep()

    assert reason(stage, execution) == ("failed", "kernel-lost")


def test_a_worker_keeps_it_from_the_others_while_it_waits_with_its_kernel(stage: Stage) -> None:
    stage.script.steps["ask"] = bound
    execution = stage.queue.start(plan(*CELLS))
    stage.queue.change(lambda connection: workers.beat(connection, "a:worker", "worker"))
    worker = Segments(stage.queue, "a:worker", run=stage.script, keeper=Keeper())
    assert worker.run(execution, 0, Control(), job=0) == "ended"
    stage.send(execution, segment=0)

    other = Segments(stage.queue, "b:worker", run=stage.script, keeper=Keeper())
    assert other.run(execution, 1, Control(), job=0) == "nothing"
    assert [row.id for row in worker.look_after_kernels()] == [execution]
    assert stage.queue.has_runner(execution)


def test_one_that_needs_its_kernel_no_more_is_everybodys_again(stage: Stage) -> None:
    execution = start(stage)
    stage.send(execution, segment=0)
    with reading(stage.queue.engine) as connection:
        row = segments.find(connection, execution, 1)
    assert row is not None
    assert row.bound[0]["name"] == "lock"

    stage.script.steps["last"] = suspend()
    assert Segments(stage.queue, ME, run=stage.script, keeper=Kept()).run(execution, 1, Control()) == "ended"
    assert stage.queue.view(execution)["kernel_bound"] == []
    detach(stage.queue, execution, process=ME)

    assert reason(stage, execution) == ("suspended", "")


def test_a_kernel_that_dies_when_it_goes_on_is_lost_and_the_step_is_not_run_in_another(stage: Stage) -> None:
    execution = start(stage)
    stage.send(execution, segment=0)
    stage.script.steps["last"] = die
    assert Segments(stage.queue, ME, run=stage.script, keeper=Kept()).run(execution, 1, Control()) == "ended"

    assert reason(stage, execution) == ("failed", "kernel-lost")
    assert [step for step, _, _ in stage.script.ran] == ["first", "make", "ask", "last"]


def test_a_retry_does_not_go_on_in_the_kernel_of_what_it_repeats(stage: Stage) -> None:
    execution, keeper = start(stage), Kept()
    stage.queue.cancel(execution, by="user:ann")
    retry(stage.queue, execution, by="user:ann", from_step="make", attached_to=ME)
    assert Segments(stage.queue, ME, run=stage.script, keeper=keeper).run(execution, 1, Control()) == "ended"

    assert len(keeper.left) == 1
    assert stage.queue.state(execution) == "suspended"


def test_a_retry_begins_before_what_the_kernel_alone_had(stage: Stage) -> None:
    execution = start(stage)
    detach(stage.queue, execution, process=ME)
    restart = retry(stage.queue, execution, by="user:ann", attached_to=ME)

    assert (restart.after, restart.again) == ("first", ("make", "ask"))
    assert str(restart).startswith("the kernel that had lock has ended, so it continues after step 'first'")
    stage.script.steps["ask"] = suspend()
    assert stage.play(execution) == "ended"
    assert [step for step, _, _ in stage.script.ran] == ["first", "make", "ask", "make", "ask"]
    assert stage.queue.state(execution) == "suspended"


def test_a_sibling_makes_it_anew(stage: Stage) -> None:
    # By the first cell: the script that plays the kernel leaves no snapshots to copy.
    stage.script.steps["ask"] = lambda briefing: replace(bound(briefing), unsaved=[replace(LOCK, cell=0)])
    execution = stage.start(*CELLS)
    stage.play(execution)
    sibling = fork(stage.queue, execution, by="user:ann", attached_to=ME)

    assert stage.queue.state(execution) == "suspended"
    assert stage.play(sibling) == "ended"
    assert [step for step, _, _ in stage.script.ran] == ["first", "make", "ask"] * 2


def test_it_can_be_cancelled(stage: Stage) -> None:
    execution = start(stage)
    stage.queue.cancel(execution, by="user:ann")

    assert reason(stage, execution) == ("cancelled", "user")
    assert stage.queue.view(execution)["kernel_bound"] == []
    with pytest.raises(CannotRetry):
        retry(stage.queue, execution, by="user:ann")


def test_beyond_the_setting_no_kernel_may_be_kept_and_the_kernel_is_told_why(stage: Stage) -> None:
    def may_keep(keeper: Keeper | None) -> tuple[bool, str]:
        execution = stage.start("%%step a")
        Segments(stage.queue, ME, run=stage.script, keeper=keeper).run(execution, 0, Control())
        briefing = stage.script.briefings[-1]
        return briefing.may_keep, briefing.unkept

    full = "its kernel cannot wait instead: 0 are kept already, see the setting `kept_kernels`"
    assert may_keep(Keeper(1)) == (True, "")
    assert may_keep(Keeper(0)) == (False, full)
    assert may_keep(None) == (False, "its kernel cannot wait instead: this command ends at the pause")
