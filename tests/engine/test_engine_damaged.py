"""One row that cannot be read, whatever wrote it: it is shown with its reason, and everything else goes on."""

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from engine.stage import ME, Stage, suspend

from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.gc import clean
from pauseflow_nb.engine.link_lookup import LinkTarget, Token, read_link_targets
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import StoreDamaged
from pauseflow_nb.json_values import dump_compact
from pauseflow_nb.links import Claim
from pauseflow_nb.server.api.events import Watcher
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import tables
from pauseflow_nb.store.database import reading, transaction
from pauseflow_nb.store.tables import executions

DEEP = "[" * 100_000 + "]" * 100_000

#: Table, column, and what stands there. PostgreSQL lets in less.
EVERYWHERE = {
    "infinity": ("steps", "exports", '{"$resume_data": {"body": {"x": 1e999}}}'),
    "a number too long": ("steps", "exports", f'{{"n": {"9" * 5000}}}'),
    "a state to come": ("executions", "state", "hibernating"),
    "a list for a dict": ("executions", "parameters", "[1, 2]"),
    "a text for a schema": ("suspensions", "schema", '"text"'),
    "an approval without a name": ("suspensions", "given", "[{}]"),
    "a reason without a kind": ("executions", "reason", "{}"),
    "an error that is a number": ("executions", "error", "7"),
    "a time beyond time": ("suspensions", "since", 1e300),
}
ON_SQLITE = {
    "no JSON": ("steps", "exports", "{"),
    "no JSON in the execution": ("executions", "parameters", "{'a': 1}"),
    "nothing": ("suspensions", "data", ""),
    "NaN": ("steps", "exports", '{"x": NaN}'),
    "a deep list": ("steps", "exports", DEEP),
    "a text for a time": ("executions", "created_at", "yesterday"),
    "a text for a number": ("executions", "cells_done", "many"),
}


def damaged(stage: Stage) -> dict[str, str]:
    """For each kind of damage, an execution that waits and one of whose rows has it."""
    damages = EVERYWHERE | (ON_SQLITE if stage.queue.engine.dialect.name == "sqlite" else {})
    found = {damage: stage.suspended(seconds=3600.0) for damage in damages}
    for damage, execution in found.items():
        spoil(stage, execution, *damages[damage])
    return found


def spoil(stage: Stage, execution: str, table: str, column: str, value: Any) -> None:
    own = "id" if table == "executions" else "execution"
    name = f"pauseflow.{table}" if stage.queue.engine.dialect.name == "postgresql" else table
    with transaction(stage.queue.engine) as connection:
        if isinstance(value, str):
            kind = {"state": "VARCHAR", "created_at": "TEXT", "cells_done": "TEXT"}.get(column, "JSON")
            cast = f"CAST(:value AS {kind})" if stage.queue.engine.dialect.name == "postgresql" else ":value"
        else:
            cast = ":value"
        statement = sa.text(f"UPDATE {name} SET {column} = {cast} WHERE {own} = :execution")
        assert connection.execute(statement, {"value": value, "execution": execution}).rowcount > 0


@pytest.mark.every(2)
def test_it_is_shown_with_its_reason_and_the_rest_is_there(stage: Stage) -> None:
    before = stage.suspended()
    bad = damaged(stage)
    after = stage.suspended(title="fine")

    shown = {each["id"]: each for each in stage.queue.list(with_links=True)}

    assert set(shown) == {before, *bad.values(), after}
    assert shown[after]["suspended"][0]["title"] == "fine"
    assert "problem" not in shown[before]
    for damage, execution in bad.items():
        assert "cannot be shown" in shown[execution]["problem"], damage
        assert shown[execution]["state"] == ("hibernating" if damage == "a state to come" else "suspended"), damage
        assert shown[execution].keys() == shown[before].keys() | {"problem"}, damage
        assert stage.queue.view(execution, history=True)["problem"] == shown[execution]["problem"], damage
    json.loads(dump_compact(list(shown.values())))


@pytest.mark.thorough
def test_the_clock_goes_on_with_the_others(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    # One after the other: what breaks the settling of several together would hide what another one does to it.
    for damage, execution in damaged(stage).items():
        others = [stage.suspended(seconds=60.0) for _ in range(2)]
        for each in (execution, *others):
            stage.make_overdue(each)

        clock = Clock(stage.queue)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                clock.sweep()

        assert [stage.queue.state(each) for each in others] == ["cancelled", "cancelled"], damage
        assert len([record for record in caplog.records if execution in record.getMessage()]) <= 1, damage
        with transaction(stage.queue.engine) as connection:
            connection.execute(sa.text(f"UPDATE suspensions SET deadline = NULL WHERE execution = '{execution}'"))


def test_many_that_are_damaged_do_not_hide_one_that_is_due(stage: Stage) -> None:
    stage.script.steps["ask"] = suspend(seconds=60.0)
    bad = [stage.suspended(seconds=60.0) for _ in range(3)]
    for each in bad:
        spoil(stage, each, "suspensions", "data", f'{{"n": {"9" * 5000}}}')
        stage.make_overdue(each)
    good = stage.suspended(seconds=60.0)
    stage.make_overdue(good)

    clock = Clock(stage.queue)
    clock.sweep()
    assert stage.queue.state(good) == "cancelled"
    assert len(clock._failed) == 3


def test_the_clock_forgets_what_need_not_be_done_any_more(stage: Stage) -> None:
    bad = [stage.suspended(seconds=60.0) for _ in range(2)]
    for each in bad:
        spoil(stage, each, "suspensions", "data", f'{{"n": {"9" * 5000}}}')
        stage.make_overdue(each)
    clock = Clock(stage.queue)
    clock.sweep()
    assert len(clock._failed) == 2

    stage.queue.cancel(bad[0], by="user:ann")
    clock.sweep(bad[1])
    assert len(clock._failed) == 2
    clock.sweep()
    assert [claim.execution for claim in clock._failed if isinstance(claim, Claim)] == [bad[1]]


@pytest.mark.every(2)
def test_its_state_can_be_asked_and_it_can_be_cancelled(stage: Stage) -> None:
    for damage, execution in damaged(stage).items():
        stage.queue.state(execution)

        stage.queue.cancel(execution, by="user:ann")

        assert stage.queue.state(execution) == "cancelled", damage


@pytest.mark.every(2)
def test_changes_and_the_audit_trail_are_still_told(stage: Stage) -> None:
    watcher = Watcher()
    with reading(stage.queue.engine) as connection:
        watcher.poll(connection)
    bad = damaged(stage)
    other = stage.suspended()

    with reading(stage.queue.engine) as connection:
        changed = [change["execution"] for change in watcher.poll(connection)]
    assert set(changed) == {*bad.values(), other}
    for damage, execution in bad.items():
        assert stage.whats(execution)[-1] == "suspended", damage


def test_a_line_of_the_audit_trail_that_cannot_be_read_says_so(stage: Stage) -> None:
    execution = stage.suspended()
    spoil(stage, execution, "audit", "details", f'{{"n": {"9" * 5000}}}')

    lines = stage.queue.audit(execution)

    assert all("cannot be read" in line["problem"] for line in lines)
    assert [line["what"] for line in lines][-1] == "suspended"


def test_a_missing_segment_or_notebook_hides_nothing(stage: Stage) -> None:
    execution, other = stage.suspended(), stage.suspended()
    with reading(stage.queue.engine) as connection:
        document = connection.execute(sa.text(f"SELECT document FROM executions WHERE id = '{execution}'")).scalar_one()
    stage.queue.files.remove(document)
    with transaction(stage.queue.engine) as connection:
        connection.execute(sa.text(f"DELETE FROM segments WHERE execution = '{execution}'"))

    assert {each["id"] for each in stage.queue.list()} == {execution, other}
    assert Clock(stage.queue).sweep() == 0


def test_a_child_that_is_damaged_does_not_hide_its_parent(stage: Stage) -> None:
    parent, child = stage.suspended(), stage.suspended()
    nested = '{"step": "ask", "segment": 0, "run": 1, "name": "child", "linked": true, "check": true}'
    with transaction(stage.queue.engine) as connection:
        connection.execute(
            sa.text(f"UPDATE executions SET parent = '{parent}', nested = '{nested}' WHERE id = '{child}'")
        )
        connection.execute(sa.text(f"UPDATE suspensions SET kind = 'notebook' WHERE execution = '{parent}'"))
    spoil(stage, child, "executions", "reason", "{}")

    shown = stage.queue.view(parent)

    assert "problem" not in shown
    assert [each["kind"] for each in shown["suspended"]] == ["notebook"]


@pytest.mark.every(2)
def test_cleaning_goes_on_with_the_others(stage: Stage) -> None:
    bad = damaged(stage)
    other = stage.suspended()
    stage.queue.cancel(other, by="user:ann")
    Clock(stage.queue).sweep()
    with transaction(stage.queue.engine) as connection:
        for execution in bad.values():
            ended = f"UPDATE executions SET ended_at = 1.0, record_due = NULL WHERE id = '{execution}'"
            connection.execute(sa.text(ended))

    cleaned = clean(stage.queue, older_than=timedelta(seconds=-1), grace=timedelta(0))

    assert other in cleaned.executions


def test_a_segment_that_cannot_be_read_is_given_up(stage: Stage) -> None:
    from pauseflow_nb.engine.run_segment import Segments

    execution = stage.start("%%step ask")
    spoil(stage, execution, "segments", "wake", f'{{"n": {"9" * 5000}}}')

    Segments(stage.queue, ME, run=stage.script).give_up(execution, 0, ValueError("it cannot be read"))

    assert stage.queue.state(execution) == "failed"
    Clock(stage.queue).sweep()
    with reading(stage.queue.engine) as connection:
        assert connection.execute(sa.select(executions.c.record_due)).scalar_one() is None


@pytest.mark.parametrize("value", ["[]", '{"payload": "e30="}', '{"payload": 7}', '"text"'])
def test_a_record_that_cannot_be_read_says_so_and_the_execution_is_shown(stage: Stage, value: str) -> None:
    execution = stage.suspended(seconds=3600.0)
    stage.queue.resume(execution, by="user:ann")
    spoil(stage, execution, "decisions", "envelope", value)

    view = stage.queue.view(execution)
    assert view["state"] != "unknown"
    assert "cannot be read" in view["decisions"][0]["problem"]


def test_a_link_that_was_used_is_read_beside_a_damaged_question_of_its_execution(sqlite_settings: Settings) -> None:
    """Only SQLite can hold a question that is not JSON."""
    queue = Queue.open(sqlite_settings)
    stage = Stage(queue)
    execution = stage.suspended()
    with transaction(queue.engine) as connection:
        for table in (tables.segments, tables.suspensions):
            row = connection.execute(sa.select(table)).one()
            number = "n" if table is tables.segments else "segment"
            connection.execute(table.insert().values({**row._mapping, number: 1}))
        connection.exec_driver_sql("UPDATE suspensions SET state = 'settled', action = 'resume' WHERE segment = 0")
        connection.exec_driver_sql("UPDATE suspensions SET \"schema\" = '{no' WHERE segment = 1")

    token = Token(queue.signer.token(Claim(execution, 0, "ask", 0, "resume")), "resume")
    damaged = Token(queue.signer.token(Claim(execution, 1, "ask", 0, "resume")), "resume")
    used, unread = read_link_targets(queue, [token, damaged])

    assert isinstance(used, LinkTarget)
    assert used.question is None
    assert isinstance(unread, StoreDamaged)
    queue.close()


@pytest.mark.parametrize("action", ["resume", "cancel"])
@pytest.mark.parametrize("column", ["wake", "losses"])
def test_an_answer_does_not_read_what_it_does_not_need_of_the_segment(
    sqlite_settings: Settings, column: str, action: str
) -> None:
    queue = Queue.open(sqlite_settings)
    stage = Stage(queue)
    execution = stage.suspended()
    with transaction(queue.engine) as connection:
        connection.exec_driver_sql(f"UPDATE segments SET {column} = '{{no'")

    status, _ = stage.send(execution, action)

    assert (status, queue.state(execution)) == (200, "queued" if action == "resume" else "cancelled")
    queue.close()
