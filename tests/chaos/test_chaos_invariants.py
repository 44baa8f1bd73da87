"""That a chaos run finds what it looks for, and that a seed always gives the same run."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from chaos import witness
from chaos.clients import Answer
from chaos.invariants import find_violations
from chaos.plan import FAULTS, make_plan
from engine.stage import Stage

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.links import Claim
from pauseflow_nb.settings import Settings
from pauseflow_nb.store.database import transaction


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_everything_in_a_run_follows_from_its_seed(database: str) -> None:
    plans = [make_plan(seed, database) for seed in range(50)]

    assert plans == [make_plan(seed, database) for seed in range(50)]
    assert len({str(plan) for plan in plans}) == 50
    hit = {fault.kind for plan in plans for fault in plan.faults}
    assert hit == FAULTS.keys() - (
        {"restart-database", "cut-database", "shift-clock"} if database == "sqlite" else set()
    ) - ({"break-storage", "slow-storage"} if database == "sqlite" else set())


def test_a_fault_that_is_switched_off_is_in_no_run() -> None:
    plans = [make_plan(seed, "postgresql", without=["kill-worker"]) for seed in range(50)]

    assert "kill-worker" not in {fault.kind for plan in plans for fault in plan.faults}


class Planted:
    """A store in which a suspension was answered, and what a client and a step have seen of that."""

    def __init__(self, queue: Queue, folder: Path) -> None:
        witness.install(queue.engine)
        self.queue, self.stage, self.folder = queue, Stage(queue), folder
        self.execution = self.stage.start("%%step ask", "%%step last", notebook=str(folder / "00-deadline.ipynb"))
        self.claim = Claim(self.execution, 0, "ask", 0, "resume")
        self.answers: list[Answer] = []

    def suspend(self) -> None:
        from engine.stage import suspend

        self.stage.script.steps["ask"] = suspend()
        self.stage.play(self.execution)
        self.write("begin", "ask")
        self.write("end", "ask")

    def answer(self, nonce: str = "n1", *, status: int | None = None) -> None:
        got, body = self.stage.send(self.execution, "resume", {"nonce": nonce})
        url = f"http://127.0.0.1/pauseflow/resume/{self.queue.signer.token(self.claim)}"
        self.answers.append(Answer(url, "resume", nonce, status or got, body, 0.0, 0.0))

    def write(self, what: str, step: str, *, attempt: int = 1) -> None:
        facts = {
            "what": what,
            "execution": self.execution,
            "step": step,
            "run": 1,
            "attempt": attempt,
            "pid": 1,
            "at": 0.0,
        }
        with (self.folder / "log").open("a") as log:
            log.write(json.dumps(facts) + "\n")

    def sql(self, statement: str) -> None:
        with transaction(self.queue.engine) as connection:
            connection.execute(sa.text(statement))

    def violations(self) -> list[str]:
        world: Any = SimpleNamespace(queue=self.queue, log=self.folder / "log")
        return find_violations(world, self.answers, None).violations


@pytest.fixture
def settings(settings_without_tables: Settings) -> Settings:
    """Settings of a store of its own: the witness adds tables and triggers, which no other test may find."""
    return settings_without_tables


@pytest.fixture
def planted(queue: Queue, tmp_path: Path) -> Planted:
    return Planted(queue, tmp_path)


def test_where_nothing_is_wrong_nothing_is_found(planted: Planted) -> None:
    planted.suspend()
    planted.answer()
    planted.answer("n2")

    assert planted.violations() == []


def _settle_again(planted: Planted) -> None:
    planted.sql("UPDATE suspensions SET state = 'open'")
    planted.sql("UPDATE suspensions SET state = 'settled'")


def _run_again(planted: Planted) -> None:
    planted.sql("UPDATE steps SET state = 'running', attempts = 2")
    planted.sql("UPDATE steps SET state = 'suspended'")


def _forget_answer(planted: Planted) -> None:
    planted.sql("UPDATE suspensions SET state = 'void', action = NULL")


def _hear_another(planted: Planted) -> None:
    planted.sql("""UPDATE steps SET exports = '{"$resume_data": {"body": {"nonce": "another"}}}'""")


def _lose_notebook(planted: Planted) -> None:
    planted.queue.files.write(f"{planted.execution}/x.ipynb", b"{}")
    planted.sql(f"UPDATE executions SET document = '{planted.execution}/x.ipynb'")


@pytest.mark.every(3)
@pytest.mark.parametrize(
    ("plant", "sentence"),
    [
        (_settle_again, "was settled 2 times"),
        (_run_again, "was suspended, and became running"),
        (_forget_answer, "got 200, but the suspension is"),
        (_hear_another, "got 200, but the notebook heard another"),
        (_lose_notebook, "is no notebook"),
        (lambda planted: planted.write("begin", "ask"), "ran 2 times"),
        (lambda planted: planted.write("begin", "ask", attempt=2), "the store knows of 1 attempts"),
        (lambda planted: planted.answer("n2", status=500), "got 500"),
        (lambda planted: planted.sql("UPDATE executions SET state = 'failed'"), "has failed"),
    ],
)
def test_a_planted_fault_is_found(planted: Planted, plant: Callable[[Planted], None], sentence: str) -> None:
    planted.suspend()
    planted.answer()
    plant(planted)

    assert any(sentence in violation for violation in planted.violations())


def test_a_winner_that_only_one_client_may_be_is_found_twice(planted: Planted) -> None:
    planted.suspend()
    planted.answer()
    planted.answers.append(planted.answers[0])

    assert any("2 clients were told" in violation for violation in planted.violations())
