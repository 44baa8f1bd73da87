"""Many senders at the same moment: each gets the result of its own answer, and most of them share a transaction."""

import threading
from http.client import HTTPConnection
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from pauseflow_nb.engine.group_commit import Answer
from pauseflow_nb.engine.settling import Response
from pauseflow_nb.settings import Settings
from pauseflow_nb.store.database import transaction

if TYPE_CHECKING:
    from conftest import WaitUntil
    from server.conftest import Stage

SENDERS = 32

Reply = tuple[int, dict[str, Any]]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    flags = {"data_dir": tmp_path / "data"}
    if request.param == "postgresql":
        flags["db"] = request.getfixturevalue("shared_database").empty()
    return Settings.load(flags=flags, environment={})


class Senders:
    """Send each path an answer, all at the same moment, each over a connection of its own."""

    def __init__(self, base: str, paths: list[str]) -> None:
        self._address = str(urlsplit(base).hostname), int(urlsplit(base).port or 0)
        self._start = threading.Barrier(len(paths))
        self.replies: list[Reply | None] = [None] * len(paths)
        self._threads = [threading.Thread(target=self._send, args=pair) for pair in enumerate(paths)]
        for thread in self._threads:
            thread.start()

    def _send(self, number: int, path: str) -> None:
        connection = HTTPConnection(*self._address, timeout=120)
        connection.connect()
        self._start.wait()
        connection.request("POST", f"/{path}", dumps({"n": number}), {"Content-Type": "application/json"})
        response = connection.getresponse()
        self.replies[number] = response.status, loads(response.read())
        connection.close()

    def finish(self) -> list[Reply]:
        for thread in self._threads:
            thread.join()
        return [reply for reply in self.replies if reply is not None]


def settled_lines(stage: "Stage", execution: str) -> int:
    return [line["what"] for line in stage.queue.audit(execution)].count("settled")


def test_what_comes_while_the_database_is_busy_shares_a_transaction(
    stage: "Stage", base: str, wait_until: "WaitUntil", monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first answer of a store makes the job tables.
    assert Senders(base, [stage.link("resume", stage.suspended())]).finish()[0][0] == 200
    ids = [stage.suspended() for _ in range(SENDERS)]
    waiting: list[Answer] = []
    ask = stage.queue.settling.ask

    async def note(answer: Answer) -> Response:
        waiting.append(answer)
        return await ask(answer)

    monkeypatch.setattr(stage.queue.settling, "ask", note)
    commits: list[object] = []

    with transaction(stage.queue.engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("LOCK TABLE segments IN EXCLUSIVE MODE")
        senders = Senders(base, [stage.link("resume", each) for each in ids])
        wait_until(lambda: len(waiting) == SENDERS, description="all answers wait")
        sa.event.listen(stage.queue.engine, "commit", commits.append)
    replies = senders.finish()

    assert [status for status, _ in replies] == [200] * SENDERS
    assert [body["execution"] for _, body in replies] == ids
    # That of the test, that of those which came first, and that of all others.
    assert len(commits) <= 3
    for number, execution in enumerate(ids):
        assert settled_lines(stage, execution) == len(stage.queue.decisions(execution)) == 1
        assert stage.resume_data(execution)["body"] == {"n": number}


def test_each_of_them_gets_the_result_of_its_own_answer(stage: "Stage", base: str) -> None:
    usual = [stage.suspended() for _ in range(SENDERS - 10)]
    damaged, overdue, cancelled, early, of_two, refused, twice = (
        stage.suspended(),
        stage.suspended(seconds=60.0),
        stage.suspended(),
        stage.begun(),
        stage.suspended(approvals=2),
        stage.suspended(schema={"type": "integer"}),
        stage.suspended(),
    )
    stage.make_overdue(overdue)
    with transaction(stage.queue.engine) as connection:
        connection.exec_driver_sql(f"UPDATE steps SET exports = '[1]' WHERE execution = '{damaged}'")
    others = [damaged, overdue, early, of_two, refused, twice, twice, twice]
    paths = [stage.link("resume", each) for each in (*usual, *others)]
    paths += [stage.link("cancel", cancelled), stage.link("resume", "0" * 12)]

    replies = Senders(base, paths).finish()

    statuses = [status for status, _ in replies]
    assert statuses[: len(usual)] == [200] * len(usual)
    assert statuses[len(usual) :] == [500, 410, 202, 202, 422, 200, 200, 200, 200, 404]
    assert sorted(bool(body.get("already")) for _, body in replies[len(usual) + 5 : -2]) == [False, True, True]
    assert [stage.queue.state(each) for each in (damaged, overdue, cancelled)] == [
        "suspended",
        "cancelled",
        "cancelled",
    ]
    for execution in (*usual, twice):
        assert settled_lines(stage, execution) == len(stage.queue.decisions(execution)) == 1
    assert settled_lines(stage, damaged) == 0


def test_who_went_away_after_sending_stops_nobody(stage: "Stage", base: str, wait_until: "WaitUntil") -> None:
    ids = [stage.suspended() for _ in range(4)]
    address = str(urlsplit(base).hostname), int(urlsplit(base).port or 0)

    with transaction(stage.queue.engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("LOCK TABLE segments IN EXCLUSIVE MODE")
        for execution in ids[:3]:
            gone = HTTPConnection(*address)
            gone.request("POST", f"/{stage.link('resume', execution)}", "{}", {"Content-Type": "application/json"})
            gone.close()
        last = Senders(base, [stage.link("resume", ids[3])])

    assert [status for status, _ in last.finish()] == [200]
    # What was sent whole counts: its sender finds that out when it sends it again.
    wait_until(lambda: {stage.queue.state(each) for each in ids} == {"queued"}, description="all answers are settled")
    assert Senders(base, [stage.link("resume", ids[0])]).finish()[0][1]["already"] is True
