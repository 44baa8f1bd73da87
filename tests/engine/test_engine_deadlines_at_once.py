"""Deadlines pass while people answer and several workers look for what is due: each question is decided once, and in time."""

import random
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import pytest
import sqlalchemy as sa
from engine.stage import Stage, at_once

from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.links import Claim
from pauseflow_nb.settings import Settings
from pauseflow_nb.store.database import now, reading, transaction
from pauseflow_nb.store.tables import suspensions

pytestmark = pytest.mark.slow

_AFTER = {"resume": "queued", "cancel": "cancelled", "fail": "failed"}


@pytest.fixture
def other(queue: Queue, settings: Settings) -> Iterator[Queue]:
    """The same store as another process has it."""
    assert queue.settings == settings
    other = Queue.open(settings)
    yield other
    other.close()


@pytest.mark.parametrize("seed", range(3))
def test_each_question_is_decided_once_and_nobody_is_told_anything_else(stage: Stage, other: Queue, seed: int) -> None:
    chance = random.Random(seed)
    asked = {
        stage.suspended(on_timeout=on, seconds=3600.0): on for on, _ in zip(cycle(_AFTER), range(18), strict=False)
    }
    with transaction(stage.queue.engine) as connection:
        moment = now(connection)
        for execution in asked:
            late = suspensions.update().where(suspensions.c.execution == execution)
            connection.execute(late.values(deadline=moment + chance.uniform(-0.1, 1.5)))
    replies: list[tuple[str, str, int, bool]] = []

    def answer(queue: Queue, orders: list[tuple[str, str]]) -> Callable[[], None]:
        def send() -> None:
            for execution, action in orders:
                callback = Callback(action, {"method": "POST", "body": action}, "link")  # type: ignore[arg-type]
                response = queue.settle(Claim(execution, 0, "ask", 0, action), callback)
                replies.append((execution, action, response.status, bool(response.body.get("already"))))

        return send

    def sweep(queue: Queue) -> Callable[[], None]:
        def until_nothing_is_open() -> None:
            while _count_open(queue):
                Clock(queue).sweep()

        return until_nothing_is_open

    orders = [[(each, chance.choice(["resume", "resume", "cancel"])) for each in asked] for _ in range(4)]
    for each in orders:
        chance.shuffle(each)
        # Not all are answered, and so the clock has something to do.
        del each[len(each) // 3 :]
    queues = [stage.queue, other, stage.queue, other]

    results = at_once(
        *(answer(queue, each) for queue, each in zip(queues, orders, strict=True)), *map(sweep, queues[:2])
    )

    assert [problem for problem in results if problem is not None] == []
    rows = _read_rows(stage.queue)
    for execution, on_timeout in asked.items():
        row, replied = rows[execution], [reply[1:] for reply in replies if reply[0] == execution]
        is_late = row.action == "timeout"
        assert (row.settled_at > row.deadline) == is_late or row.settled_at == row.deadline
        assert stage.queue.state(execution) == _AFTER[on_timeout if is_late else row.action]
        assert stage.whats(execution).count("settled") == 1
        assert sum(status == 200 and not already for _, status, already in replied) == (0 if is_late else bool(replied))
        assert all(action == row.action for action, status, _ in replied if status == 200)
        assert {status for _, status, _ in replied} <= ({410} if is_late else {200, 409})


def _count_open(queue: Queue) -> int:
    with reading(queue.engine) as connection:
        count = sa.select(sa.func.count()).select_from(suspensions).where(suspensions.c.state == "open")
        return connection.execute(count).scalar_one()


def _read_rows(queue: Queue) -> dict[str, Any]:
    with reading(queue.engine) as connection:
        return {row.execution: row for row in connection.execute(sa.select(suspensions))}
