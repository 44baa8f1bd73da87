"""Add, list, pause, resume, rotate, remove and run the triggers of a store."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.engine.triggers.schedule import MISSED, OVERLAP, Schedule
from pauseflow_nb.engine.triggers.starting import Started, describe_last, start_execution
from pauseflow_nb.errors import (
    CannotStart,
    InvalidSchedule,
    LinkWithdrawn,
    PauseflowError,
    StorageFull,
    StoreUnavailable,
    TooManyStarts,
    TriggerPaused,
    UnknownLink,
    UnknownTrigger,
)
from pauseflow_nb.identity import facts_of
from pauseflow_nb.json_values import JSON
from pauseflow_nb.store import keys, triggers
from pauseflow_nb.store.database import format_time, now, reading
from pauseflow_nb.store.executions import Row

#: The possible events of an HTTP trigger.
EVENTS = ("request", "body")
#: Most characters of an Idempotency-Key; the database column is slightly longer.
_LONGEST_KEY = 255
#: Most executions of one trigger that wait for a worker: anybody may know its URL.
_MOST_QUEUED = 1000


@dataclass(frozen=True)
class NewTrigger:
    """A trigger to add."""

    #: A path, or a URL that papermill reads.
    notebook: str
    #: When it starts executions; None for an HTTP trigger.
    schedule: Schedule | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    #: Whether a request waits for `flow.respond`.
    waits: bool = False
    #: What `steps.trigger.event` holds: the whole `"request"`, or only its `"body"`.
    event: str = "request"
    #: One of `MISSED`.
    missed: str = "run"
    #: One of `OVERLAP`.
    overlap: str = "queue"
    #: Working directory of the kernels; None: the notebook's folder.
    cwd: str | None = None
    #: Kernel to use instead of the notebook's.
    kernel: str | None = None
    strict: bool = False
    checkpoint: str = "step"


def add(store: OpenStore, new: NewTrigger, *, by: str) -> dict[str, Any]:
    """Add a trigger, and return its view; the notebook is checked now, and read again at each start.

    Raises:
        InvalidSchedule: If the schedule has no future time.
        PauseflowError: If the notebook cannot be run.
    """
    from pauseflow_nb.runner.notebook import freeze  # lazily: as in `starting`

    _check_options(new)
    notebook = new.notebook if "://" in new.notebook else str(Path(new.notebook).absolute())
    freeze(notebook, new.parameters, kernel=new.kernel)
    id_ = secrets.token_hex(6)
    via = facts_of(by).get("via")
    options = {name: getattr(new, name) for name in ("kernel", "strict", "checkpoint", "waits", "event")}
    values: dict[str, Any] = {
        "kind": "http",
        "notebook": notebook,
        "cwd": new.cwd or (os.getcwd() if "://" in notebook else str(Path(notebook).parent)),  # noqa: PTH109
        "parameters": dict(new.parameters),
        "options": options | ({"created_via": via} if via is not None else {}),
        "created_by": str(by),
    }

    def insert(connection: sa.Connection) -> None:
        moment = now(connection)
        if new.schedule is not None:
            next_at = new.schedule.find_next(moment, anchor=moment)
            if next_at is None:
                raise InvalidSchedule("at", format_time(new.schedule.at), "has passed: give a time in the future")
            timing = {"schedule": new.schedule.to_json(), "missed": new.missed, "overlap": new.overlap}
            values.update(kind="schedule", next_at=next_at, **timing)
        triggers.add(connection, id=id_, created_at=moment, **values)

    store.change(insert)
    return view(store, id_)


def _check_options(new: NewTrigger) -> None:
    choices = (("missed", new.missed, MISSED), ("overlap", new.overlap, OVERLAP), ("event", new.event, EVENTS))
    for name, value, known in choices:
        if value not in known:
            raise InvalidSchedule(name, value, f"must be one of: {', '.join(known)}")
    others, owner = (
        (("missed", "overlap"), "a schedule") if new.schedule is None else (("waits", "event"), "an HTTP trigger")
    )
    for name in others:
        if getattr(new, name) != getattr(NewTrigger, name):
            raise InvalidSchedule(name, getattr(new, name), f"belongs to {owner}: leave it out")


def view(store: OpenStore, trigger: str, *, with_links: bool = True) -> dict[str, Any]:
    """Show a trigger.

    Raises:
        UnknownTrigger: If there is none.
    """
    with reading(store.engine) as connection:
        row = triggers.require(connection, trigger)
    return _view(row, _Urls(store) if with_links else None)


def list_triggers(store: OpenStore, *, with_links: bool = True) -> list[dict[str, Any]]:
    """Show all triggers, oldest first."""
    urls = _Urls(store) if with_links else None
    with reading(store.engine) as connection:
        return [_view(row, urls) for row in triggers.list_all(connection)]


def pause(store: OpenStore, trigger: str) -> None:
    """Pause a trigger, so that it starts nothing until it is resumed; one that has ended does not change.

    Raises:
        UnknownTrigger: If there is none.
    """

    def change(connection: sa.Connection) -> None:
        row = triggers.lock(connection, trigger)
        if row.state == "active":
            triggers.update(connection, trigger, state="paused", next_at=None, held_since=None)

    store.change(change)


def resume(store: OpenStore, trigger: str) -> None:
    """Resume a paused trigger; times that passed meanwhile start nothing.

    Raises:
        UnknownTrigger: If there is none.
    """

    def change(connection: sa.Connection) -> None:
        row = triggers.lock(connection, trigger)
        if row.state != "paused":
            return
        next_at = None
        if row.schedule is not None:
            next_at = Schedule.from_json(row.schedule).find_next(now(connection), anchor=row.created_at)
        is_over = row.schedule is not None and next_at is None
        triggers.update(connection, trigger, state="ended" if is_over else "active", next_at=next_at)

    store.change(change)


def remove(store: OpenStore, trigger: str) -> None:
    """Remove a trigger and its URL; executions that it has started continue.

    Raises:
        UnknownTrigger: If there is none.
    """

    def change(connection: sa.Connection) -> None:
        triggers.lock(connection, trigger)
        triggers.remove(connection, trigger)

    store.change(change)


def rotate(store: OpenStore, trigger: str) -> None:
    """Replace the URL of an HTTP trigger; the previous one is refused from now on.

    Raises:
        UnknownTrigger: If there is none.
        InvalidSchedule: If it is a schedule, which has no URL.
    """

    def change(connection: sa.Connection) -> None:
        row = triggers.lock(connection, trigger)
        if row.kind != "http":
            raise InvalidSchedule("trigger", trigger, "is a schedule, which has no URL to replace")
        triggers.update(connection, trigger, rotations=row.rotations + 1)

    store.change(change)


def run(store: OpenStore, trigger: str, *, data: JSON = None) -> str:
    """Start an execution now, also if the trigger is paused; the schedule does not change.

    Args:
        store: The store.
        trigger: Its id.
        data: The `body` of the event of an HTTP trigger.

    Returns:
        The execution's id.

    Raises:
        UnknownTrigger: If there is none.
        PauseflowError: If the notebook cannot be run.
    """
    with reading(store.engine) as connection:
        row, moment = triggers.require(connection, trigger), now(connection)
    if row.schedule is not None:
        event = {**Schedule.from_json(row.schedule).describe_time(moment), "manual": True}
    else:
        event = {"method": "POST", "path": None, "query": {}, "headers": {}, "body": data, "body_raw": None}
        event |= {"client_ip": None, "url": None, "received_at": format_time(moment), "manual": True}
        event = data if row.options.get("event") == "body" else event
    started = start_execution(store, row, event)
    assert started is not None
    return started.execution


# Requests to the URL of an HTTP trigger


def read_url(store: OpenStore, token: str) -> Row:
    """Find the trigger of a URL.

    Raises:
        UnknownLink: If this store did not sign it, or the trigger was removed.
        LinkWithdrawn: If the URL was replaced, or its key withdrawn.
        TriggerPaused: If the trigger is paused.
    """
    with reading(store.engine) as connection:
        trigger, rotations = keys.read_signer(connection).read_trigger(token)
        row = triggers.find(connection, trigger)
    if row is None:
        raise UnknownLink
    if row.rotations != rotations:
        raise LinkWithdrawn
    if row.state != "active":
        raise TriggerPaused(row.id)
    return row


def start_by_request(
    store: OpenStore, trigger: Row, event: JSON, *, key: str | None, execution: str | None = None
) -> Started:
    """Start an execution for a request.

    Args:
        store: The store.
        trigger: The row that `read_url` found.
        event: The request.
        key: Its Idempotency-Key: a second request with the same key starts nothing.
        execution: The id for the execution; None: a new one.

    Returns:
        The execution, possibly one that an earlier request has started.

    Raises:
        InvalidSchedule: If the key is too long.
        LinkWithdrawn, TriggerPaused: If the URL was replaced, or the trigger paused, meanwhile.
        TooManyStarts: If too many of its executions wait for a worker.
        CannotStart: If the notebook cannot be run; `pauseflow trigger list` says why.
    """
    if key is not None and len(key) > _LONGEST_KEY:
        raise InvalidSchedule("Idempotency-Key", f"{key[:20]}…", f"has more than {_LONGEST_KEY} characters")
    named = None if key is None else f"request {key}"
    with reading(store.engine) as connection:
        earlier = None if named is None else triggers.find_key(connection, trigger.id, named)
        is_full = triggers.count_queued(connection, trigger.id, _MOST_QUEUED) == _MOST_QUEUED
    if earlier is not None:
        return Started(earlier, is_earlier=True)
    if is_full:
        raise TooManyStarts(trigger.id, _MOST_QUEUED)

    def check(_connection: sa.Connection, row: Row) -> bool:
        if row.rotations != trigger.rotations:
            raise LinkWithdrawn
        if row.state != "active":
            raise TriggerPaused(row.id)
        return True

    try:
        started = start_execution(store, trigger, event, key=named, execution=execution, check=check)
    except (LinkWithdrawn, TriggerPaused, StoreUnavailable, UnknownTrigger):
        raise
    except PauseflowError as problem:
        store.change(lambda connection, why=problem: _note_failure(connection, trigger.id, why))  # type: ignore[misc]
        if isinstance(problem, StorageFull):
            raise
        raise CannotStart(trigger.id) from problem
    assert started is not None
    return started


def read_response(store: OpenStore, execution: str) -> tuple[JSON, str] | None:
    """Read the response of an execution, if it has one, and its state; None if it was removed."""
    with reading(store.engine) as connection:
        return triggers.read_response(connection, execution)


def _note_failure(connection: sa.Connection, trigger: str, problem: PauseflowError) -> None:
    triggers.lock(connection, trigger)
    triggers.update(connection, trigger, last=describe_last(connection, "failed", problem=problem))


class _Urls:
    """Makes URLs with the current base URL and key."""

    def __init__(self, store: OpenStore) -> None:
        self._base, self._signer = store.base_url(), store.signer

    def make(self, row: Row) -> str:
        return f"{self._base}/pauseflow/start/{self._signer.trigger_token(row.id, row.rotations)}"


def _view(row: Row, urls: _Urls | None) -> dict[str, Any]:
    schedule = None
    if row.schedule is not None:
        stored = dict.fromkeys(("cron", "zone", "every_seconds", "at")) | row.schedule
        schedule = {**stored, "at": format_time(stored["at"])}
    return {
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "notebook": row.notebook,
        "cwd": row.cwd,
        "parameters": row.parameters,
        "schedule": schedule,
        "missed": row.missed,
        "overlap": row.overlap,
        "waits": bool(row.options.get("waits")),
        "event": row.options.get("event", "request") if row.kind == "http" else None,
        "next_at": format_time(row.next_at),
        "last": row.last,
        "created_at": format_time(row.created_at),
        "created_by": row.created_by,
        "url": urls.make(row) if urls is not None and row.kind == "http" else None,
    }
