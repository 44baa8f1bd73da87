"""Users and queues have no more executions and bytes than the settings allow."""

from collections.abc import Callable, Iterator

import pytest
from engine.stage import Stage, plan, suspend

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.retry_fork import fork, retry
from pauseflow_nb.errors import AllowanceReached
from pauseflow_nb.queues import QueuePlan
from pauseflow_nb.settings import Settings

Limited = Callable[..., Stage]


@pytest.fixture
def limited(settings: Settings) -> Iterator[Limited]:
    """The stage with other settings."""
    opened: list[Queue] = []

    def open_stage(**limits: object) -> Stage:
        flags = {"data_dir": settings.data_dir, "db": settings.db, **limits}
        opened.append(Queue.open(Settings.load(flags=flags, environment={})))
        return Stage(opened[-1])

    yield open_stage
    for queue in opened:
        queue.close()


def test_a_user_starts_no_more_than_may_run_or_wait(limited: Limited) -> None:
    stage = limited(executions_per_user=2)
    first = stage.suspended()
    stage.start("%%step a")

    with pytest.raises(AllowanceReached, match="user ann has 2 executions that have not ended, and no more than 2 are"):
        stage.start("%%step a")
    assert stage.queue.start(plan("%%step a", created_by="user:bob"))
    stage.queue.cancel(first, by="user:ann")
    assert stage.start("%%step a")


def test_nothing_is_left_of_what_was_refused(limited: Limited) -> None:
    stage = limited(executions_per_user=0)
    with pytest.raises(AllowanceReached):
        stage.start("%%step a")

    assert stage.queue.list() == []
    assert stage.queue.files.folders() == []


def test_a_queue_takes_no_more_than_it_may_whoever_starts_them(limited: Limited) -> None:
    stage = limited(executions_per_queue=1)
    gpu = QueuePlan("gpu")
    stage.queue.start(plan("%%step a", queues=gpu))

    with pytest.raises(
        AllowanceReached, match="queue gpu has 1 execution that has not ended, and no more than 1 is allowed"
    ):
        stage.queue.start(plan("%%step a", queues=gpu, created_by="user:bob"))
    assert stage.queue.start(plan("%%step a", queues=QueuePlan("gpu2", ((0, "gpu"),))))
    assert stage.start("%%step a")


def test_a_user_whose_executions_hold_too_much_starts_no_more(limited: Limited) -> None:
    stage = limited(bytes_per_user="2 KB")
    stage.start("%%step a\n" + "#" * 3000)

    with pytest.raises(AllowanceReached, match=r"the executions of user ann hold .* MB, and no more than 0.0 MB are"):
        stage.start("%%step a")
    assert stage.queue.start(plan("%%step a", created_by="user:bob"))


def test_a_retry_and_a_fork_count_as_well(limited: Limited) -> None:
    stage = limited(executions_per_user=1)
    stage.script.steps["a"] = lambda _briefing: (_ for _ in ()).throw(ValueError("it broke"))
    failed = stage.start("%%step a")
    stage.play(failed)
    stage.script.steps["a"] = suspend()
    running = stage.start("%%step a")

    with pytest.raises(AllowanceReached):
        retry(stage.queue, failed, by="user:ann")
    with pytest.raises(AllowanceReached):
        fork(stage.queue, running, by="user:ann")
