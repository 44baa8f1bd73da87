"""Read a schedule, and find the times at which it starts an execution."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from pauseflow_nb.durations import parse_duration
from pauseflow_nb.errors import InvalidSchedule
from pauseflow_nb.json_values import JSON

#: What to do about a time that passed while no worker was alive.
MISSED = ("run", "skip")
#: What to do about a time that comes before the previous execution has ended.
OVERLAP = ("queue", "skip", "allow")

_FIELDS = "five fields (minute, hour, day, month, weekday), or six with the second first"


@dataclass(frozen=True)
class Schedule:
    """A cron expression in a time zone, an interval, or a single time."""

    cron: str | None = None
    #: Name of the time zone of the cron expression.
    zone: str = "UTC"
    every_seconds: float | None = None
    #: The single time, in seconds since 1970.
    at: float | None = None

    @classmethod
    def read(
        cls, *, cron: str | None = None, zone: str | None = None, every: str | None = None, at: str | None = None
    ) -> "Schedule":
        """Read a schedule as a person writes it.

        Args:
            cron: Five fields as in Debian's cron, or six with the second first.
            zone: Name of the time zone of `cron` and `at`, such as `"Europe/Berlin"`; None: UTC.
            every: A span with its unit, such as `"10m"`; at least a second.
            at: A time in ISO 8601; without an offset it is in `zone`.

        Raises:
            InvalidSchedule: If it cannot be read, or if not exactly one of the three is set.
            InvalidDuration: If the span cannot be read.
        """
        times = {name: value for name, value in (("cron", cron), ("every", every), ("at", at)) if value is not None}
        if len(times) != 1:
            raise InvalidSchedule("schedule", sorted(times), "must be exactly one of: cron, every, at")
        if zone is not None and every is not None:
            raise InvalidSchedule("tz", zone, "has no meaning for an interval, which is the same in every time zone")
        tz = _find_zone(zone or "UTC")
        if every is not None:
            seconds = parse_duration(every, what="every").total_seconds()
            if seconds < 1:
                raise InvalidSchedule("every", every, "must be at least 1s")
            return cls(every_seconds=seconds)
        if at is not None:
            return cls(at=_read_time(at, tz), zone=zone or "UTC")
        made = cls(cron=" ".join(str(cron).split()), zone=zone or "UTC")
        if made.find_next(datetime.now(UTC).timestamp(), anchor=0) is None:
            raise InvalidSchedule("cron", cron, "never occurs after now")
        return made

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Schedule":
        """Make a schedule from the result of `to_json`."""
        return cls(**stored)

    def to_json(self) -> dict[str, JSON]:
        """Return the fields that are set."""
        if self.every_seconds is not None:
            return {"every_seconds": self.every_seconds}
        return {"cron": self.cron, "zone": self.zone} if self.cron is not None else {"at": self.at, "zone": self.zone}

    def find_next(self, after: float, *, anchor: float) -> float | None:
        """Return the first time after a moment; None if there is none.

        When clocks change, cron expressions behave as in Debian's cron: a time in the skipped hour starts right
        after it, a time in the repeated hour starts once, and an expression for every hour or minute starts in each.

        Args:
            after: Seconds since 1970.
            anchor: The time from which intervals are counted.

        Raises:
            InvalidSchedule: If the cron expression cannot be read.
        """
        if self.every_seconds is not None:
            passed = max((after - anchor) // self.every_seconds, 0)
            return anchor + (passed + 1) * self.every_seconds
        if self.at is not None:
            return self.at if self.at > after else None
        return self._find_next_of_cron(after)

    def _find_next_of_cron(self, after: float) -> float | None:
        try:
            # Its times begin with the second or minute after the start.
            times = CronSim(str(self.cron), datetime.fromtimestamp(after, _find_zone(self.zone)))
        except CronSimError as problem:
            found = str(problem)
            raise InvalidSchedule("cron", self.cron, f"has a {found[:1].lower()}{found[1:]}: write {_FIELDS}") from None
        return next((moment for each in times if (moment := each.timestamp()) > after), None)

    def describe_time(self, due: float) -> dict[str, JSON]:
        """Make the event of an execution that a schedule starts."""
        local = datetime.fromtimestamp(due, _find_zone(self.zone))
        return {
            "timestamp": int(due),
            "due": local.isoformat(),
            "cron": self.cron,
            "interval_seconds": self.every_seconds,
            "timezone": self.zone,
        }


def _find_zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    # OSError: the name of a folder of the time zone database, such as "Europe".
    except (KeyError, ValueError, OSError):
        raise InvalidSchedule("tz", name, 'is not a time zone: write one such as "Europe/Berlin" or "UTC"') from None


def _read_time(text: str, zone: tzinfo) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidSchedule(
            "at", text, 'must be a time such as "2030-01-31T08:00" or "2030-01-31T08:00+02:00"'
        ) from None
    try:
        return (found.replace(tzinfo=zone) if found.tzinfo is None else found).timestamp()
    except (OverflowError, ValueError):
        raise InvalidSchedule("at", text, "is too far away") from None
