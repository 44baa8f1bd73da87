"""What really happened, seen from outside: triggers of the database note each change of a state, kernels each run of a step.

The package knows nothing of both, so that neither a wrong row nor a wrong view can hide what was done.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.store.database import reading, transaction

__all__ = ["Change", "Line", "clock", "install", "read_changes", "read_lines"]

#: Table → what names a row, as JSON, and what else is noted of it.
_WATCHED = {
    "executions": (("id",), ()),
    "segments": (("execution", "n"), ("attempt", "crashes")),
    "suspensions": (("execution", "segment", "step", "ordinal"), ("action", "settled_by")),
    "steps": (("execution", "step", "run"), ("attempts",)),
}


@dataclass(frozen=True)
class Change:
    """A change of the state of one row."""

    table: str
    #: What names the row: the values of its primary key.
    key: tuple[Any, ...]
    before: str | None
    after: str
    #: Further columns, after the change.
    more: dict[str, Any]


@dataclass(frozen=True)
class Line:
    """What a step wrote down: `begin`, `link`, `end`."""

    what: str
    execution: str
    step: str
    run: int
    attempt: int
    pid: int
    #: By the clock of the machine that nobody can set.
    at: float
    #: Links, of `link`.
    resume: str | None = None
    cancel: str | None = None


def install(engine: sa.Engine) -> None:
    """Let the database note changes; the tables must be there."""
    with transaction(engine) as connection:
        for statement in _statements(engine.dialect.name):
            connection.exec_driver_sql(statement)


def read_changes(engine: sa.Engine) -> list[Change]:
    """Read all changes, in the order of their commits as far as they depend on each other."""
    with reading(engine) as connection:
        rows = connection.execute(sa.text("SELECT what, facts, before, after FROM chaos_changes ORDER BY id")).all()
    found = []
    for what, text, before, after in rows:
        facts = json.loads(text) if isinstance(text, str) else text
        key = tuple(facts[name] for name in _WATCHED[what][0])
        found.append(Change(what, key, before, after, {name: facts[name] for name in _WATCHED[what][1]}))
    return found


def read_lines(log: Path) -> list[Line]:
    """Read what steps wrote so far."""
    if not log.exists():
        return []
    # The last line may be half there.
    whole = log.read_bytes().rpartition(b"\n")[0]
    return [Line(**json.loads(line)) for line in whole.splitlines()]


def clock() -> float:
    """Read the clock of `Line.at`."""
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def _statements(dialect: str) -> Iterable[str]:
    serial = "INTEGER PRIMARY KEY AUTOINCREMENT" if dialect == "sqlite" else "BIGSERIAL PRIMARY KEY"
    yield f"CREATE TABLE chaos_changes (id {serial}, what TEXT, facts TEXT, before TEXT, after TEXT)"
    for table, (key, more) in _WATCHED.items():
        facts = ", ".join(f"'{name}', NEW.{name}" for name in (*key, *more))
        for event, before in (("INSERT", "NULL"), ("UPDATE", "OLD.state")):
            # An attempt at a step that begins is one although the state stays the same.
            is_new = "1=1" if event == "INSERT" else f"({_differs(table)})"
            if dialect == "sqlite":
                yield (
                    f"CREATE TRIGGER chaos_{table}_{event} AFTER {event} ON {table} WHEN {is_new} BEGIN "
                    f"INSERT INTO chaos_changes (what, facts, before, after) "
                    f"VALUES ('{table}', json_object({facts}), {before}, NEW.state); END"
                )
                continue
            name = f"chaos_{table}_{event}".lower()
            yield (
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                f"INSERT INTO chaos_changes (what, facts, before, after) "
                f"VALUES ('{table}', json_build_object({facts})::text, {before}, NEW.state); RETURN NEW; END $$"
            )
            yield (
                f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW WHEN ({is_new}) EXECUTE FUNCTION {name}()"
            )


def _differs(table: str) -> str:
    columns = {"segments": ("state", "attempt"), "steps": ("state", "attempts")}.get(table, ("state",))
    return " OR ".join(f"OLD.{name} <> NEW.{name}" for name in columns)
