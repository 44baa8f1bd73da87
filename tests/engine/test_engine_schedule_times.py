"""The times of a schedule, over daylight saving both ways."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from pauseflow_nb.engine.triggers.schedule import Schedule
from pauseflow_nb.errors import InvalidDuration, InvalidSchedule

BERLIN = ZoneInfo("Europe/Berlin")


def times(cron: str, start: str, count: int, zone: str = "Europe/Berlin") -> list[str]:
    """The next times after a local time, in the zone, with their offsets."""
    schedule = Schedule.read(cron=cron, zone=zone)
    moment: float | None = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone)).timestamp()
    found = []
    for _ in range(count):
        assert moment is not None
        moment = schedule.find_next(moment, anchor=0)
        assert moment is not None
        found.append(datetime.fromtimestamp(moment, ZoneInfo(zone)).strftime("%d %H:%M:%S %z"))
    return found


def test_working_days_are_in_the_zone() -> None:
    assert times("0 8 * * 1-5", "2026-11-26T08:00", 3) == [
        "27 08:00:00 +0100",
        "30 08:00:00 +0100",
        "01 08:00:00 +0100",
    ]


def test_a_sixth_field_in_front_is_the_second() -> None:
    assert times("*/20 0 8 * * *", "2026-11-26T07:59", 4) == [
        *("26 08:00:00 +0100", "26 08:00:20 +0100", "26 08:00:40 +0100", "27 08:00:00 +0100")
    ]


def test_a_time_that_the_clock_leaves_out_comes_right_after_it_once() -> None:
    """On 29 March 2026, 02:00 is followed by 03:00."""
    assert times("30 2 * * *", "2026-03-28T00:00", 3) == ["28 02:30:00 +0100", "29 03:00:00 +0200", "30 02:30:00 +0200"]


def test_a_time_that_comes_twice_starts_once() -> None:
    """On 25 October 2026, 02:00 to 03:00 comes twice."""
    assert times("30 2 * * *", "2026-10-24T00:00", 3) == ["24 02:30:00 +0200", "25 02:30:00 +0200", "26 02:30:00 +0100"]


def test_every_hour_comes_in_each_hour_that_there_is() -> None:
    assert times("0 * * * *", "2026-03-29T00:30", 3) == ["29 01:00:00 +0100", "29 03:00:00 +0200", "29 04:00:00 +0200"]
    assert times("0 * * * *", "2026-10-25T01:30", 3) == ["25 02:00:00 +0200", "25 02:00:00 +0100", "25 03:00:00 +0100"]


@pytest.mark.parametrize("offset_seconds", [0.0, 0.001, 0.5, 59.999])
def test_a_time_is_never_found_twice(offset_seconds: float) -> None:
    schedule = Schedule.read(cron="* * * * *")
    first = datetime(2026, 11, 26, 8, tzinfo=BERLIN).timestamp()

    assert schedule.find_next(first + offset_seconds, anchor=0) == first + 60


def test_an_interval_counts_from_its_anchor_and_knows_no_daylight_saving() -> None:
    schedule = Schedule.read(every="10m")

    assert [schedule.find_next(after, anchor=1000.0) for after in (900.0, 1000.0, 1599.0, 1600.0, 9999.0)] == [
        *(1600.0, 1600.0, 1600.0, 2200.0, 10000.0)
    ]


def test_a_single_time_is_read_in_its_zone_and_comes_once() -> None:
    schedule = Schedule.read(at="2030-07-01T08:00", zone="Europe/Berlin")
    moment = datetime(2030, 7, 1, 8, tzinfo=BERLIN).timestamp()

    assert schedule == Schedule.read(at="2030-07-01T06:00Z", zone="Europe/Berlin")
    assert (schedule.find_next(moment - 1, anchor=0), schedule.find_next(moment, anchor=0)) == (moment, None)


def test_the_event_has_the_time_in_the_zone() -> None:
    event = Schedule.read(cron="0 8 * * *", zone="Europe/Berlin").describe_time(1_780_293_600.0)

    assert (event["timestamp"], event["due"]) == (1_780_293_600, "2026-06-01T08:00:00+02:00")
    assert (event["cron"], event["timezone"], event["interval_seconds"]) == ("0 8 * * *", "Europe/Berlin", None)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"cron": "99 * * * *"}, "has a bad minute: write five fields"),
        ({"cron": "every day"}, "cron='every day'"),
        ({"cron": ""}, "cron=''"),
        ({"cron": "* * * * * * *"}, "cron="),
        ({"cron": "0 0 30 2 *"}, "cron="),
        ({"cron": "* * */20 * 1L"}, "never occurs after now"),
        ({"cron": "0 8 * * *", "zone": "Berlin"}, "is not a time zone"),
        ({"cron": "0 8 * * *", "zone": "../../etc/passwd"}, "is not a time zone"),
        ({"cron": "0 8 * * *", "zone": "Europe"}, "is not a time zone"),
        ({"every": "10ms"}, "must be at least 1s"),
        ({"every": "10m", "zone": "Europe/Berlin"}, "the same in every time zone"),
        ({"at": "tomorrow"}, "must be a time such as"),
        ({"at": "2030-01-01T00:00", "every": "10m"}, "must be exactly one of: cron, every, at"),
        ({}, "must be exactly one of: cron, every, at"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_write(words: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidSchedule) as refused:
        Schedule.read(**words)

    assert sentence in str(refused.value)


@pytest.mark.parametrize("every", ["10", "soon", "0s", "500d"])
def test_an_interval_needs_a_unit_and_bounds(every: str) -> None:
    with pytest.raises(InvalidDuration):
        Schedule.read(every=every)
