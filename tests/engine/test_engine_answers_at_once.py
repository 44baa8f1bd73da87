"""Answers that come at the same time are settled in one transaction, and each has the result that it would have alone."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import chain, count
from typing import Any

import pytest
import sqlalchemy as sa
from engine.stage import Stage, at_once

from pauseflow_nb.decisions.statement import digest_payload
from pauseflow_nb.engine import batching
from pauseflow_nb.engine.authorization import Callback, Verdict
from pauseflow_nb.engine.batching import Batcher
from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.group_commit import Answer, NeedsOwnTransaction, settle_alone, settle_together
from pauseflow_nb.engine.ownership import detach
from pauseflow_nb.engine.retry_fork import retry
from pauseflow_nb.engine.settling import Response
from pauseflow_nb.errors import LinkWithdrawn, StoreUnavailable
from pauseflow_nb.links import Claim
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import tables
from pauseflow_nb.store.database import open_engine, reading, transaction

#: Settles all executions that are named in its arguments, from several threads at once, and prints what it was answered.
SETTLES = """
import json, sys, threading
from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.links import Claim
from pauseflow_nb.settings import Settings

queue = Queue.open(Settings.load())
answers, ids = [], sys.argv[2:]

def settle(execution, body):
    envelope = {"method": "POST", "body": body}
    claim = Claim(execution, 0, "ask", 0, "resume")
    response = queue.settle(claim, Callback("resume", envelope, "link"))
    answers.append([execution, response.status, bool(response.body.get("already"))])

calls = [threading.Thread(target=settle, args=[each, f"{sys.argv[1]}-{n}"]) for each in ids for n in range(2)]
print("ready", flush=True)
sys.stdin.readline()
for call in calls:
    call.start()
for call in calls:
    call.join()
print(json.dumps(answers), flush=True)
queue.close()
"""

#: Is killed by itself at the moment that its first argument names, while it settles the execution in the second.
DIES = """
import os, signal, sys
import sqlalchemy as sa
from pauseflow_nb.engine.authorization import Callback
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.group_commit import Answer, settle_together
from pauseflow_nb.decisions.statement import digest_payload
from pauseflow_nb.engine.authorization import Verdict
from pauseflow_nb.links import Claim
from pauseflow_nb.settings import Settings

queue = Queue.open(Settings.load())
queue.jobs.ready(queue.jobs._open)
when, ids = sys.argv[1], sys.argv[2:]

@sa.event.listens_for(queue.engine, {"before": "commit", "after": "checkin"}[when])
def _(*_arguments):
    os.kill(os.getpid(), signal.SIGKILL)

def answer(execution):
    callback = Callback("resume", {"method": "POST", "body": "from the dead"}, "link")
    return Answer(Claim(execution, 0, "ask", 0, "resume"), callback, Verdict(None))

settle_together(queue, [answer(each) for each in ids])
print("answered", flush=True)
"""


def answer(execution: str, body: Any = None, action: str = "resume", **facts: Any) -> Answer:
    claim = Claim(execution, **{"segment": 0, "step": "ask", "ordinal": 0, "action": action, **facts})
    callback = Callback(action, {"method": "POST", "body": body}, "link")  # type: ignore[arg-type]
    return Answer(claim, callback, Verdict(None))


def settle_all(stage: Stage, answers: list[Answer]) -> list[Response | Exception]:
    """Settle together what can be, and then the others alone, as the queue does."""
    found = settle_together(stage.queue, answers)
    return [
        settled_alone(stage, answer) if isinstance(result, NeedsOwnTransaction) else result
        for answer, result in zip(answers, found, strict=True)
    ]


def settled_alone(stage: Stage, answer: Answer) -> Response | Exception:
    try:
        return settle_alone(stage.queue, answer)
    except Exception as problem:  # noqa: BLE001
        return problem


def statuses(results: list[Response | Exception]) -> list[Any]:
    return [result.status if isinstance(result, Response) else type(result) for result in results]


def settled_lines(stage: Stage, execution: str) -> int:
    return stage.whats(execution).count("settled")


def assert_settled_once(stage: Stage, execution: str) -> None:
    """One decision, one line of the audit trail, one next segment, one record."""
    segments = sa.select(sa.func.count()).where(tables.segments.c.execution == execution)
    with reading(stage.queue.engine) as connection:
        assert connection.execute(segments).scalar_one() == 2
    assert settled_lines(stage, execution) == 1
    assert len(stage.queue.decisions(execution)) == 1
    assert stage.queue.view(execution)["state"] == "queued"


def test_each_of_several_executions_goes_on_with_its_own_answer(stage: Stage) -> None:
    ids = [stage.suspended(data={"n": n}) for n in range(5)]

    results = settle_together(stage.queue, [answer(each, {"for": each}) for each in ids])

    assert statuses(results) == [200] * 5
    for execution, result in zip(ids, results, strict=True):
        assert isinstance(result, Response)
        assert result.body == {"execution": execution, "step": "ask", "state": "queued", "action": "resume"}
        assert_settled_once(stage, execution)
        exports = stage.queue.view(execution)["steps"]["ask"]["exports"]
        assert (exports["$resume_data"]["body"], exports["x"]) == ({"for": execution}, 1)
        line = next(line for line in stage.queue.audit(execution) if line["what"] == "settled")
        (record,) = stage.queue.decisions(execution)
        assert (line["details"]["record"], line["details"]["digest"]) == (1, digest_payload(record))
        stage.play(execution)
        assert stage.queue.view(execution)["state"] == "completed"


def test_it_takes_one_transaction_with_the_same_statements_for_any_number_of_answers(stage: Stage) -> None:
    ids = [detached(stage) for _ in range(6)]
    settle_together(stage.queue, [answer(ids.pop())])
    commits: list[object] = []
    statements: list[str] = []
    sa.event.listen(stage.queue.engine, "commit", commits.append)
    sa.event.listen(
        stage.queue.engine, "before_cursor_execute", lambda _c, _cursor, text, *_rest: statements.append(text)
    )
    settle_together(stage.queue, [answer(ids.pop()), answer(ids.pop())])
    of_two = len(statements)

    settle_together(stage.queue, [answer(each) for each in ids])

    assert len(commits) == 2
    assert statements[of_two:] == statements[:of_two]


def detached(stage: Stage) -> str:
    """An execution that waits, and that any worker continues: its next segment is a job."""
    execution = stage.suspended()
    detach(stage.queue, execution)
    return execution


def test_what_it_writes_is_what_one_answer_alone_writes(stage: Stage) -> None:
    alone, *others = (stage.suspended(data={"n": 1}, context={"k": 2}, schema={"type": "object"}) for _ in range(3))
    settle_together(stage.queue, [answer(alone, {"comment": "fine"})])
    settle_together(stage.queue, [answer(each, {"comment": "fine"}) for each in others])

    assert everything_of(stage, others[0]) == everything_of(stage, alone)
    assert everything_of(stage, others[1]) == everything_of(stage, alone)


def everything_of(stage: Stage, execution: str) -> dict[str, Any]:
    """All rows of an execution, without ids, times and signatures."""
    found = {}
    with reading(stage.queue.engine) as connection:
        for table in (tables.executions, tables.segments, tables.suspensions, tables.steps, tables.audit):
            key = table.c.id if table is tables.executions else table.c.execution
            rows = connection.execute(sa.select(table).where(key == execution).order_by(*table.primary_key)).mappings()
            found[table.name] = [without_times(row) for row in rows]
    text = json.dumps(found, sort_keys=True).replace(execution, "ID")
    return json.loads(text)  # type: ignore[no-any-return]


def without_times(value: Any) -> Any:
    # The digest of a record is that of its execution.
    private = (
        "id",
        "document",
        "signature",
        "digest",
        "shown",
        "compute_seconds",
        "since",
        "started",
        "beat",
        "at",
        "deadline",
    )
    if isinstance(value, list):
        return [without_times(each) for each in value]
    if not hasattr(value, "items"):
        return value
    return {key: without_times(each) for key, each in value.items() if key not in private and not key.endswith("_at")}


def test_two_answers_to_one_execution_are_applied_in_the_order_in_which_they_came(stage: Stage) -> None:
    one, other = stage.suspended(), stage.suspended()
    sent = [answer(one, "a"), answer(other, "b", "cancel"), answer(one, "c"), answer(one, "d", "cancel"), answer(other)]

    results = settle_all(stage, sent)

    assert statuses(results) == [200, 200, 200, 409, 409]
    assert isinstance(results[2], Response)
    assert results[2].body["already"] is True
    assert stage.queue.view(one)["steps"]["ask"]["exports"]["$resume_data"]["body"] == "a"
    assert stage.queue.view(other)["state"] == "cancelled"


def test_an_answer_that_cannot_be_applied_spoils_no_other(stage: Stage) -> None:
    good, withdrawn, overdue, last = (stage.suspended(seconds=60.0) for _ in range(4))
    stage.make_overdue(overdue)
    sent = [
        answer(good),
        answer(withdrawn, key=1, revocations=7),
        answer("nowhere"),
        answer(overdue),
        answer(last),
    ]

    results = settle_all(stage, sent)

    assert statuses(results) == [200, LinkWithdrawn, 404, 410, 200]
    assert_settled_once(stage, good)
    assert_settled_once(stage, last)
    assert stage.queue.view(withdrawn)["state"] == "suspended"


def test_a_row_that_cannot_be_read_spoils_no_other_answer(stage: Stage) -> None:
    good, damaged, last = (stage.suspended(data={"n": 1}) for _ in range(3))
    with transaction(stage.queue.engine) as connection:
        connection.exec_driver_sql(f"UPDATE suspensions SET rules = '[1]' WHERE execution = '{damaged}'")

    results = settle_all(stage, [answer(good), answer(damaged), answer(last)])

    assert statuses(results)[::2] == [200, 200]
    assert isinstance(results[1], Exception)
    assert settled_lines(stage, good) == settled_lines(stage, last) == 1
    assert settled_lines(stage, damaged) == 0


def test_answers_of_all_kinds_at_once(stage: Stage) -> None:
    plain, early, two, stale, cancelled, refused = (
        stage.suspended(),
        stage.start("%%step first", "%%step ask"),
        stage.suspended(approvals=2),
        stage.suspended(),
        stage.suspended(),
        stage.suspended(schema={"type": "integer"}),
    )
    refusal = stage.queue.settle(Claim(refused, 0, "ask", 0, "resume"), Callback("resume", {"body": "x"}, "link"))
    old = Answer(answer(stale).claim, Callback("resume", None, "link", seen="another digest"), Verdict(None))
    ann = Answer(answer(two).claim, Callback("resume", None, "user:ann"), Verdict(None))
    bob = Answer(answer(two).claim, Callback("resume", None, "user:bob"), Verdict(None))

    results = settle_all(stage, [answer(plain), answer(early), ann, old, answer(cancelled, action="cancel"), ann, bob])

    assert refusal.status == 422
    assert statuses(results) == [200, 202, 202, 409, 200, 200, 200]
    assert [stage.queue.view(each)["state"] for each in (plain, two, stale, cancelled)] == [
        "queued",
        "queued",
        "suspended",
        "cancelled",
    ]
    assert [line["what"] for line in stage.queue.audit(two)].count("approved") == 1


def test_the_first_answers_of_a_store_make_the_job_tables(stage: Stage) -> None:
    """A change that queues a job for the first time is made twice: nobody's approval may count twice."""
    ids = [stage.suspended(approvals=2) for _ in range(2)]
    with transaction(stage.queue.engine) as connection:
        connection.execute(tables.executions.update().values(attached_to=None))
    by = [Callback("resume", None, f"user:{name}") for name in ("ann", "bob")]
    claims = [answer(each).claim for each in ids]

    first = settle_all(stage, [Answer(claim, by[0], Verdict(None)) for claim in claims])
    second = settle_all(stage, [Answer(claim, by[1], Verdict(None)) for claim in claims])

    assert (statuses(first), statuses(second)) == ([202, 202], [200, 200])
    assert [stage.whats(each).count("settled") for each in ids] == [1, 1]


def test_one_of_many_callbacks_wins_in_each_of_many_executions(stage: Stage) -> None:
    ids = [stage.suspended() for _ in range(6)]
    calls: list[Callable[[], Any]] = [
        lambda each=each, n=n: (each, stage.send(each, "cancel" if n == 2 else "resume", n))  # type: ignore[misc]
        for n in range(4)
        for each in ids
    ]

    results = at_once(*calls)

    for execution in ids:
        mine = [(status, body) for each, (status, body) in results if each == execution]
        won = [body for status, body in mine if status == 200 and not body.get("already")]
        assert len(won) == 1
        assert all(status in (200, 409, 410) for status, _ in mine)
        assert settled_lines(stage, execution) == 1
        assert len(stage.queue.decisions(execution)) == 1


def test_a_callback_or_the_clock_wins_never_both(stage: Stage) -> None:
    ids = [stage.suspended(seconds=60.0) for _ in range(6)]
    calls: list[Callable[[], Any]] = [lambda each=each: stage.send(each)[0] for each in ids]  # type: ignore[misc]

    def pass_the_deadlines() -> None:
        for each in ids:
            stage.make_overdue(each)
            Clock(stage.queue).sweep()

    results = at_once(pass_the_deadlines, *calls)[1:]

    for execution, status in zip(ids, results, strict=True):
        view = stage.queue.view(execution)
        assert (status, view["state"]) in {(200, "queued"), (410, "cancelled")}
        assert settled_lines(stage, execution) == 1


@pytest.mark.every(2)
def test_of_two_processes_one_wins_each_execution(stage: Stage, environment_of_store: dict[str, str]) -> None:
    ids = [stage.suspended() for _ in range(12)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SETTLES, name, *order],
            env=environment_of_store,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, order in (("one", ids), ("other", ids[::-1]))
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outputs = [communicate(process, "go\n") for process in processes]

    for execution in ids:
        mine = [(status, already) for each, status, already in chain(*outputs) if each == execution]
        assert sorted(mine) == [(200, False), (200, True), (200, True), (200, True)]
        assert_settled_once(stage, execution)


def communicate(process: subprocess.Popen[str], text: str) -> list[list[Any]]:
    assert process.stdin is not None
    process.stdin.write(text)
    process.stdin.flush()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return json.loads(output)  # type: ignore[no-any-return]


@pytest.mark.every(3)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_that_dies_around_the_commit_has_settled_all_or_nothing(
    stage: Stage, environment_of_store: dict[str, str], when: str
) -> None:
    ids = [stage.suspended() for _ in range(3)]
    # The job tables are there already, so that the first commit is that of the answers.
    stage.queue.jobs.register_queues(["default"], 1)
    died = subprocess.run(
        [sys.executable, "-c", DIES, when, *ids], env=environment_of_store, capture_output=True, text=True, check=False
    )

    results = [stage.send(each, body="from the living") for each in ids]

    assert (died.returncode, died.stdout) == (-signal.SIGKILL, "")
    assert [(status, bool(body.get("already"))) for status, body in results] == [(200, when == "after")] * 3
    for execution in ids:
        assert_settled_once(stage, execution)
        body = stage.queue.view(execution)["steps"]["ask"]["exports"]["$resume_data"]["body"]
        assert body == ("from the dead" if when == "after" else "from the living")


def test_when_the_database_is_gone_each_sender_gets_an_error(stage: Stage) -> None:
    ids = [stage.suspended() for _ in range(2)]

    def refuse(*_arguments: object) -> None:
        raise StoreUnavailable("the database", "it is gone")

    sa.event.listen(stage.queue.engine, "commit", refuse)
    results = settle_together(stage.queue, [answer(each) for each in ids])
    sa.event.remove(stage.queue.engine, "commit", refuse)

    assert statuses(results) == [StoreUnavailable, StoreUnavailable]
    assert [stage.queue.view(each)["state"] for each in ids] == ["suspended", "suspended"]


def test_an_execution_that_is_retried_takes_the_next_answers_with_others(stage: Stage) -> None:
    again, other = stage.suspended(), stage.suspended()
    stage.send(again, "cancel")
    retry(stage.queue, again, by="user:ann", from_step="ask", attached_to="test:1:me")
    stage.play(again)
    segment = stage.queue.view(again)["segment"]

    results = settle_all(stage, [answer(again, segment=segment), answer(other), answer(again)])

    assert statuses(results) == [200, 200, 409]
    assert settled_lines(stage, again) == 2


def test_an_answer_whose_rows_another_transaction_holds_makes_no_other_wait(stage: Stage) -> None:
    if stage.queue.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no locks of rows")
    free, held, last = (stage.suspended() for _ in range(3))
    for table, column in ((tables.segments, "execution"), (tables.executions, "id"), (tables.suspensions, "execution")):
        with transaction(stage.queue.engine) as connection:
            connection.execute(sa.select(table).where(table.c[column] == held).with_for_update())
            results = settle_together(stage.queue, [answer(free), answer(held), answer(last)])

        assert isinstance(results[1], NeedsOwnTransaction)
    assert [settled_lines(stage, each) for each in (free, held, last)] == [1, 0, 1]
    assert stage.send(held)[0] == 200
    assert_settled_once(stage, held)


def test_a_change_that_a_deadlock_undid_is_made_again(stage: Stage, wait_until: Callable[..., None]) -> None:
    if stage.queue.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer, and no deadlocks")
    one, other = stage.suspended(), stage.suspended()
    ours, theirs = threading.Event(), threading.Event()
    tries: list[int] = []

    def lock(connection: sa.Connection, execution: str) -> None:
        connection.execute(sa.select(tables.executions).where(tables.executions.c.id == execution).with_for_update())

    def lock_the_other_way_round() -> None:
        with transaction(stage.queue.engine) as connection:
            # PostgreSQL undoes the transaction that looks first.
            connection.exec_driver_sql("SET LOCAL deadlock_timeout TO '1h'")
            lock(connection, other)
            theirs.set()
            ours.wait()
            lock(connection, one)

    def is_waited_for() -> bool:
        with reading(stage.queue.engine) as connection:
            found = connection.exec_driver_sql(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            return found.first() is not None

    def change(connection: sa.Connection) -> str:
        tries.append(1)
        if len(tries) > 1:
            # Or this one may lock the row again before the other transaction, which waits for it, has woken up.
            beside.join()
        lock(connection, one)
        ours.set()
        theirs.wait()
        if len(tries) == 1:
            # PostgreSQL looks for a deadlock once in each wait.
            wait_until(is_waited_for, description="the other transaction waits for a row of this one")
        lock(connection, other)
        return "done"

    beside = threading.Thread(target=lock_the_other_way_round)
    beside.start()
    done = stage.queue.change(change)
    beside.join()

    assert (done, len(tries)) == ("done", 2)


def test_what_its_sender_has_cancelled_is_not_handled_and_stops_nothing() -> None:
    handled: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def handle(names: list[str]) -> list[str | Exception]:
        begun.set()
        go_on.wait()
        handled.extend(names)
        return [name.upper() for name in names]

    batcher = Batcher(handle, name="test", most=3)
    first = batcher.submit("first")
    begun.wait()
    others = [batcher.submit(name) for name in ("a", "b", "c", "d")]

    assert others[1].cancel()
    assert not first.cancel()
    go_on.set()
    assert [each.result() for each in (first, others[0], *others[2:])] == ["FIRST", "A", "C", "D"]
    batcher.close()
    assert handled == ["first", "a", "c", "d"]


def test_when_it_cannot_handle_them_each_gets_the_error_and_the_next_is_handled() -> None:
    def handle(names: list[str]) -> list[str | Exception]:
        if "bad" in names:
            raise ValueError(names)
        return list(names)

    batcher = Batcher(handle, name="test", most=1)
    results = [batcher.submit(name) for name in ("bad", "good")]

    assert isinstance(results[0].exception(), ValueError)
    assert results[1].result() == "good"
    batcher.close()


def test_what_comes_before_it_is_closed_is_handled_and_what_comes_later_is_refused() -> None:
    batcher: Batcher[str, str] = Batcher(lambda names: [*names], name="test", most=8)
    before = batcher.submit("before")
    batcher.close()

    assert before.result() == "before"
    with pytest.raises(StoreUnavailable, match="being stopped"):
        batcher.submit("later")


def test_what_an_event_loop_receives_in_one_go_is_handled_in_one_go() -> None:
    batches: list[list[str]] = []

    def handle(names: list[str]) -> list[str | Exception]:
        batches.append(names)
        return [ValueError(name) if name == "bad" else name.upper() for name in names]

    async def ask_all(names: str) -> list[str | BaseException]:
        return await asyncio.gather(*map(batcher.ask, names.split()), return_exceptions=True)

    batcher = Batcher(handle, name="test", most=8)
    first = asyncio.run(ask_all("a bad b"))
    second = asyncio.run(ask_all("c d"))
    batcher.close()

    assert batches == [["a", "bad", "b"], ["c", "d"]]
    assert [first[0], first[2], *second] == ["A", "B", "C", "D"]
    assert isinstance(first[1], ValueError)


@pytest.fixture
def patient_batcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Batcher[str, str], list[list[str]]]]:
    """A batcher for which each batch takes an hour, so that the next one may wait for a minute, and its batches."""
    monkeypatch.setattr(batching, "monotonic", count(step=3600).__next__)
    monkeypatch.setattr(batching, "_LONGEST_WAIT", 60.0)
    batches: list[list[str]] = []
    begun, go_on = threading.Event(), threading.Event()

    def handle(names: list[str]) -> list[str | Exception]:
        batches.append(names)
        begun.set()
        go_on.wait()
        return [*names]

    batcher = Batcher(handle, name="test", most=8)
    first = batcher.submit("first")
    begun.wait()
    batcher.submit("second")
    go_on.set()
    first.result()
    yield batcher, batches
    batcher.close()


def test_a_batch_waits_for_as_many_as_there_were_the_last_time(
    patient_batcher: tuple[Batcher[str, str], list[list[str]]],
) -> None:
    batcher, batches = patient_batcher

    assert batcher.submit("third").result() == "third"
    assert batches == [["first"], ["second", "third"]]


def test_a_batch_that_waits_is_handled_when_it_is_closed(
    patient_batcher: tuple[Batcher[str, str], list[list[str]]],
) -> None:
    batcher, batches = patient_batcher

    batcher.close()

    assert batches == [["first"], ["second"]]


def test_a_task_that_is_cancelled_before_its_turn_is_not_handled_and_the_others_are() -> None:
    handled: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def handle(names: list[str]) -> list[str | Exception]:
        begun.set()
        go_on.wait()
        handled.extend(names)
        return [*names]

    async def cancel_one() -> list[str | BaseException]:
        first = asyncio.create_task(batcher.ask("first"))
        await asyncio.to_thread(begun.wait)
        others = [asyncio.create_task(batcher.ask(name)) for name in ("a", "b")]
        await asyncio.sleep(0)
        others[0].cancel()
        first.cancel()
        await asyncio.sleep(0)
        go_on.set()
        return await asyncio.gather(first, *others, return_exceptions=True)

    batcher = Batcher(handle, name="test", most=8)
    results = asyncio.run(cancel_one())
    batcher.close()

    assert [type(each) for each in results] == [asyncio.CancelledError, asyncio.CancelledError, str]
    # The first one was being handled already.
    assert handled == ["first", "b"]


def test_what_a_loop_has_asked_for_is_handled_before_it_is_closed() -> None:
    batcher: Batcher[str, str] = Batcher(lambda names: [*names], name="test", most=8)

    async def close_at_once() -> str:
        asking = asyncio.create_task(batcher.ask("before"))
        await asyncio.sleep(0)
        batcher.close()
        return await asking

    assert asyncio.run(close_at_once()) == "before"
    with pytest.raises(StoreUnavailable, match="being stopped"):
        asyncio.run(batcher.ask("later"))


def test_threads_of_one_process_wait_for_each_other_without_trying(sqlite_settings: Settings) -> None:
    engine = open_engine(sqlite_settings.db)
    begun: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_rest: begun.append(statement))

    def write() -> None:
        with transaction(engine):
            pass

    with transaction(engine):
        waiting = threading.Thread(target=write)
        waiting.start()
        waiting.join(0.2)
        tries = begun.count("BEGIN IMMEDIATE")
    waiting.join()
    engine.dispose()

    assert tries == 1
    assert begun.count("BEGIN IMMEDIATE") == 2


def test_a_transaction_of_another_process_is_waited_for(sqlite_settings: Settings) -> None:
    engine, other = open_engine(sqlite_settings.db), open_engine(sqlite_settings.db)
    done: list[int] = []

    def write() -> None:
        with transaction(other):
            done.append(os.getpid())

    with transaction(engine):
        waiting = threading.Thread(target=write)
        waiting.start()
        waiting.join(0.1)
        before = list(done)
    waiting.join()
    engine.dispose()
    other.dispose()

    assert (before, len(done)) == ([], 1)
