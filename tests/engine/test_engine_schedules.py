"""Schedules start executions: once for all workers, with a clock that the test sets."""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from engine.stage import at_once, notebook

from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.triggers import managing
from pauseflow_nb.engine.triggers.due import start_due
from pauseflow_nb.engine.triggers.managing import NewTrigger
from pauseflow_nb.engine.triggers.schedule import Schedule
from pauseflow_nb.errors import InvalidSchedule, NotebookNotFound, UnknownTrigger
from pauseflow_nb.settings import Settings
from pauseflow_nb.store import tables
from pauseflow_nb.store.database import now, reading


@dataclass
class Calendar:
    """The time by which schedules are due, which moves only when the test says so."""

    queue: Queue
    folder: Path
    moment: float = 0.0

    def add(self, **words: Any) -> str:
        """Add a schedule that begins to count now."""
        path = self.folder / "in.ipynb"
        path.write_bytes(notebook("%%step a\n1"))
        options = {name: words.pop(name) for name in ("missed", "overlap", "parameters") if name in words}
        new = NewTrigger(str(path), Schedule.read(**words), **options)
        added = managing.add(self.queue, new, by="user:ann")
        with reading(self.queue.engine) as connection:
            row = connection.execute(sa.select(tables.triggers).where(tables.triggers.c.id == added["id"])).one()
        self.moment = row.created_at
        return str(added["id"])

    def pass_time(self, seconds: float) -> list[str]:
        """Let time pass, and let a worker look; gives the executions that it started."""
        self.moment += seconds
        return start_due(self.queue, read_time=lambda _connection: self.moment)

    def view(self, trigger: str) -> dict[str, Any]:
        return managing.view(self.queue, trigger)


@pytest.fixture
def calendar(queue: Queue, tmp_path: Path) -> Calendar:
    return Calendar(queue, tmp_path)


def test_nothing_starts_before_its_time(calendar: Calendar) -> None:
    calendar.add(every="10m")

    assert [calendar.pass_time(599), len(calendar.pass_time(2))] == [[], 1]


def test_what_it_starts_is_an_execution_of_who_made_the_trigger(calendar: Calendar) -> None:
    trigger = calendar.add(every="10m", parameters={"alpha": 0.6})
    (execution,) = calendar.pass_time(600)

    view = calendar.queue.view(execution)
    assert (view["state"], view["created_by"], view["parameters"]) == ("queued", "user:ann", {"alpha": 0.6})
    assert view["trigger"] == {"id": trigger, "kind": "schedule"}
    last = calendar.view(trigger)["last"]
    assert (last["what"], last["execution"]) == ("started", execution)


def test_workers_that_look_at_once_start_one(calendar: Calendar, settings: Settings) -> None:
    calendar.add(every="10m", overlap="allow")
    others = [Queue.open(settings) for _ in range(3)]
    try:
        for _ in range(5):
            calendar.moment += 600
            read = [lambda _connection: calendar.moment] * 3
            found = at_once(*(lambda q=q, r=r: start_due(q, read_time=r) for q, r in zip(others, read, strict=True)))
            assert sum(map(len, found)) == 1
    finally:
        for each in others:
            each.close()


def test_the_next_time_follows_the_one_before_without_drift(calendar: Calendar) -> None:
    calendar.add(every="10m", overlap="allow")

    assert [len(calendar.pass_time(seconds)) for seconds in (605, 594, 1, 599, 1)] == [1, 0, 1, 0, 1]


def test_the_first_time_counts_from_the_same_moment_as_all_others(calendar: Calendar) -> None:
    trigger = calendar.add(every="10m")

    assert datetime.fromisoformat(calendar.view(trigger)["next_at"]).timestamp() == pytest.approx(
        calendar.moment + 600, abs=0.001
    )


def test_it_goes_on_where_it_was_after_a_restart(calendar: Calendar, settings: Settings) -> None:
    calendar.add(every="10m", overlap="allow")
    calendar.pass_time(600)
    again = Queue.open(settings)
    try:
        moment = calendar.moment + 600
        assert len(start_due(again, read_time=lambda _connection: moment)) == 1
        assert start_due(calendar.queue, read_time=lambda _connection: moment) == []
    finally:
        again.close()


def test_several_missed_times_start_one_execution(calendar: Calendar) -> None:
    trigger = calendar.add(every="10m")

    assert len(calendar.pass_time(6 * 3600)) == 1
    assert calendar.pass_time(1) == []
    following = datetime.fromisoformat(calendar.view(trigger)["next_at"]).timestamp()
    assert following - calendar.moment == pytest.approx(599, abs=1)


def test_missed_times_can_be_skipped(calendar: Calendar) -> None:
    trigger = calendar.add(every="10m", missed="skip")

    assert calendar.pass_time(6 * 3600 + 300) == []
    assert calendar.view(trigger)["last"]["what"] == "missed"
    assert len(calendar.pass_time(300)) == 1


def test_a_time_that_is_only_a_little_late_is_not_missed(calendar: Calendar) -> None:
    calendar.add(every="10m", missed="skip")

    assert len(calendar.pass_time(630)) == 1


def test_a_time_waits_for_the_execution_before_it_to_end(calendar: Calendar) -> None:
    trigger = calendar.add(every="10m", overlap="queue")
    (first,) = calendar.pass_time(600)

    assert [calendar.pass_time(seconds) for seconds in (600, 1, 600)] == [[], [], []]
    last = calendar.view(trigger)["last"]
    assert (last["what"], last["execution"]) == ("queued", first)
    calendar.queue.cancel(first, by="user:ann")
    assert (len(calendar.pass_time(1)), calendar.pass_time(1)) == (1, [])


def test_what_was_queued_is_not_missed(calendar: Calendar) -> None:
    calendar.add(every="10m", overlap="queue", missed="skip")
    (first,) = calendar.pass_time(600)
    calendar.pass_time(600)
    calendar.moment += 3600
    calendar.queue.cancel(first, by="user:ann")

    assert len(calendar.pass_time(0)) == 1


def test_a_time_can_be_skipped_while_the_execution_before_has_not_ended(calendar: Calendar) -> None:
    trigger = calendar.add(every="10m", overlap="skip")
    (first,) = calendar.pass_time(600)

    assert calendar.pass_time(600) == []
    last = calendar.view(trigger)["last"]
    assert (last["what"], last["execution"]) == ("skipped", first)
    calendar.queue.cancel(first, by="user:ann")
    assert (calendar.pass_time(300), len(calendar.pass_time(300))) == ([], 1)


def test_executions_may_overlap(calendar: Calendar) -> None:
    calendar.add(every="10m", overlap="allow")

    assert [len(calendar.pass_time(600)) for _ in range(3)] == [1, 1, 1]


def test_a_single_time_ends_the_trigger(calendar: Calendar) -> None:
    in_an_hour = datetime.fromtimestamp(datetime.now(UTC).timestamp() + 3600, UTC).isoformat()
    trigger = calendar.add(at=in_an_hour)

    assert len(calendar.pass_time(3601)) == 1
    assert calendar.pass_time(10**6) == []
    view = calendar.view(trigger)
    assert (view["state"], view["next_at"]) == ("ended", None)


def test_a_single_time_that_has_passed_is_refused(calendar: Calendar) -> None:
    with pytest.raises(InvalidSchedule, match="has passed"):
        calendar.add(at="2020-01-01T00:00")


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        ("2026-03-28T12:00", ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]),
        ("2026-10-24T12:00", ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]),
    ],
)
def test_daylight_saving_starts_each_day_once(calendar: Calendar, begin: str, expected: list[str]) -> None:
    """A worker that looks every ten minutes, for two days around each change of the clock."""
    zone = "Europe/Berlin"
    trigger = calendar.add(cron="30 2 * * *", zone=zone, overlap="allow")
    schedule = Schedule.read(cron="30 2 * * *", zone=zone)
    from zoneinfo import ZoneInfo

    calendar.moment = datetime.fromisoformat(begin).replace(tzinfo=ZoneInfo(zone)).timestamp()
    with calendar.queue.engine.begin() as connection:
        first = schedule.find_next(calendar.moment, anchor=0)
        connection.execute(tables.triggers.update().where(tables.triggers.c.id == trigger).values(next_at=first))
    due = []
    for _ in range(6 * 44):
        for execution in calendar.pass_time(600):
            with reading(calendar.queue.engine) as connection:
                where = tables.starts.c.execution == execution
                due.append(connection.execute(sa.select(tables.starts.c.event).where(where)).scalar_one()["due"])

    assert due == expected


def test_a_paused_schedule_starts_nothing_and_skips_what_passed(calendar: Calendar) -> None:
    trigger = calendar.add(every="10m")
    managing.pause(calendar.queue, trigger)

    assert calendar.pass_time(3600) == []
    assert calendar.view(trigger)["state"] == "paused"
    managing.resume(calendar.queue, trigger)
    view = calendar.view(trigger)
    assert view["state"] == "active"
    with reading(calendar.queue.engine) as connection:
        assert datetime.fromisoformat(view["next_at"]).timestamp() > now(connection)


def test_a_removed_schedule_starts_nothing(calendar: Calendar) -> None:
    trigger = calendar.add(every="10m")
    managing.remove(calendar.queue, trigger)

    assert calendar.pass_time(3600) == []
    with pytest.raises(UnknownTrigger):
        calendar.view(trigger)


def test_a_notebook_that_is_gone_is_said_in_the_list_and_the_next_time_comes(calendar: Calendar) -> None:
    trigger = calendar.add(every="10m")
    other = calendar.add(every="10m")
    (calendar.folder / "in.ipynb").unlink()

    assert calendar.pass_time(600) == []
    (first, second) = managing.list_triggers(calendar.queue)
    assert {first["id"], second["id"]} == {trigger, other}
    assert first["last"]["what"] == second["last"]["what"] == "failed"
    assert "in.ipynb" in first["last"]["text"]
    (calendar.folder / "in.ipynb").write_bytes(notebook("1"))
    assert len(calendar.pass_time(600)) == 2


def test_the_notebook_is_read_when_its_time_comes(calendar: Calendar) -> None:
    calendar.add(every="10m")
    (calendar.folder / "in.ipynb").write_bytes(notebook("%%step another\n1", "2"))
    (execution,) = calendar.pass_time(600)

    assert calendar.queue.view(execution)["cells"]["total"] == 2


def test_a_notebook_that_is_not_there_is_refused_when_it_is_added(calendar: Calendar) -> None:
    with pytest.raises(NotebookNotFound):
        managing.add(calendar.queue, NewTrigger(str(calendar.folder / "no.ipynb")), by="user:ann")
    assert managing.list_triggers(calendar.queue) == []


def test_a_row_that_cannot_be_read_is_paused_and_the_others_go_on(calendar: Calendar) -> None:
    bad, _good = calendar.add(every="10m"), calendar.add(every="10m")
    with calendar.queue.engine.begin() as connection:
        where = tables.triggers.c.id == bad
        connection.execute(tables.triggers.update().where(where).values(schedule={"moon": "full"}))

    assert len(calendar.pass_time(600)) == 1
    (first, _) = managing.list_triggers(calendar.queue)
    assert (first["state"], first["last"]["what"]) == ("paused", "failed")


def test_the_clock_of_a_worker_starts_what_is_due(calendar: Calendar) -> None:
    trigger = calendar.add(every="10m")
    with calendar.queue.engine.begin() as connection:
        where = tables.triggers.c.id == trigger
        connection.execute(tables.triggers.update().where(where).values(next_at=now(connection) - 1))
    Clock(calendar.queue).sweep()

    assert calendar.view(trigger)["last"]["what"] == "started"


def test_running_one_now_leaves_its_schedule_as_it_is(calendar: Calendar) -> None:
    trigger = calendar.add(every="10m")
    before = calendar.view(trigger)["next_at"]
    execution = managing.run(calendar.queue, trigger)

    assert calendar.queue.state(execution) == "queued"
    assert calendar.view(trigger)["next_at"] == before
    with reading(calendar.queue.engine) as connection:
        event = connection.execute(sa.select(tables.starts.c.event)).scalar_one()
    assert event["manual"] is True


def test_a_trigger_that_is_removed_while_it_starts_leaves_nothing(calendar: Calendar) -> None:
    trigger = calendar.add(every="10m")
    gone = threading.Event()

    def read_time(_connection: sa.Connection) -> float:
        if not gone.is_set():
            gone.set()
            managing.remove(calendar.queue, trigger)
        return calendar.moment + 600

    assert start_due(calendar.queue, read_time=read_time) == []
    assert calendar.queue.list() == []
    assert list(calendar.queue.files.folders()) == []
