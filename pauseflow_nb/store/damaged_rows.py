"""Show the readable parts of an execution whose rows are damaged, and why the rest cannot be read."""

from typing import Any

import sqlalchemy as sa

from pauseflow_nb.errors import StoreDamaged
from pauseflow_nb.json_values import dump_compact
from pauseflow_nb.queues import DEFAULT_QUEUE
from pauseflow_nb.store.database import format_time
from pauseflow_nb.store.executions import STATES
from pauseflow_nb.store.tables import executions

#: Key of a view → the type that readers rely on.
_KINDS: dict[str, type | tuple[type, ...]] = {
    "notebook": str,
    "output": (str, type(None)),
    "parameters": dict,
    "reason": (dict, type(None)),
    "error": (dict, type(None)),
    "created_at": str,
    "created_by": str,
}
_KINDS_OF_SUSPENSION: dict[str, type | tuple[type, ...]] = {
    "step": (str, type(None)),
    "kind": str,
    "title": (str, type(None)),
    "message": (str, type(None)),
    "schema": (dict, type(None)),
    "errors": (list, type(None)),
}
#: Keys of `reason`, `error` and an approval.
_KEYS = {"reason": {"kind", "by"}, "error": {"type", "message"}, "approval": {"by", "at", "comment"}}


def require_shape(view: dict[str, Any]) -> None:
    """Check the types of values in a view that a damaged row could make wrong.

    Raises:
        StoreDamaged: If a value is wrong; names its key.
    """
    if view["state"] not in STATES:
        raise StoreDamaged(f"its state {view['state']!r} is unknown here; a newer pauseflow_nb may have written it")
    _require_kinds(view, _KINDS, "")
    for name in ("reason", "error"):
        if view[name] is not None:
            _require_keys(view[name], _KEYS[name], name)
    _require_kinds(view["cells"], {"done": int, "total": int}, "cells.")
    for suspension in view["suspended"]:
        _require_kinds(suspension, _KINDS_OF_SUSPENSION, "suspended.")
        _require_kinds(suspension["approvals"], {"needed": int, "given": list}, "approvals.")
        for each in suspension["approvals"]["given"]:
            _require_keys(each, _KEYS["approval"], "approvals.given")
    for step in view["steps"].values():
        _require_kinds(step, {"exports": dict, "notes": list, "unsaved": list}, "steps.")


def make_damaged_view(connection: sa.Connection, execution: str, problem: Exception) -> list[dict[str, Any]]:
    """Show the readable parts of an execution, and `problem`; empty if there is none with this id.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: If not even its id can be read, because the database itself is damaged.
    """
    if connection.execute(sa.select(executions.c.id).where(executions.c.id == execution)).first() is None:
        return []
    found = {name: _column(connection, execution, name) for name in executions.c.keys()}  # noqa: SIM118
    return [
        {
            "id": execution,
            "notebook": _value_or(found["notebook"], str, "unknown"),
            "output": _value_or(found["output"], str, None),
            "parameters": _value_or(found["parameters"], dict, {}),
            "state": _value_or(found["state"], str, "unknown"),
            "reason": None,
            "created_at": time_or_none(found["created_at"]) or format_time(0.0),
            "started_at": time_or_none(found["started_at"]),
            "ended_at": time_or_none(found["ended_at"]),
            "created_by": _value_or(found["created_by"], str, "unknown"),
            "queue": DEFAULT_QUEUE,
            "no_worker": None,
            "trigger": None,
            "parent": _value_or(found["parent"], str, None),
            "segment": _value_or(found["segment"], int, 0),
            "kernel_bound": [],
            "losses": [],
            "cells": {name: _value_or(found[f"cells_{name}"], int, 0) for name in ("done", "total")},
            "steps": {},
            "suspended": [],
            "usage": {"compute_seconds": 0.0, "suspended_seconds": 0.0, "wakeups": 0, "segments": []},
            "error": None,
            "problem": _sentence(problem),
        }
    ]


def _sentence(problem: Exception) -> str:
    sentence = problem.problem if isinstance(problem, StoreDamaged) else f"{type(problem).__name__}: {problem}"
    return f"this execution cannot be shown: {(sentence.splitlines() or [''])[0]}"


def _column(connection: sa.Connection, execution: str, name: str) -> Any:
    try:
        statement = sa.select(executions.c[name]).where(executions.c.id == execution)
        value = connection.execute(statement).scalar()
        dump_compact(value)
    except Exception:  # noqa: BLE001  (this one is the problem, or a part of it)
        connection.rollback()
        return None
    return value


def _value_or(value: Any, kind: type, otherwise: Any) -> Any:
    return value if isinstance(value, kind) else otherwise


def time_or_none(value: Any) -> str | None:
    """Write a time in a row in ISO 8601; None if it is not a time."""
    try:
        return format_time(value)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _require_kinds(view: dict[str, Any], kinds: dict[str, Any], where: str) -> None:
    for name, kind in kinds.items():
        if not isinstance(view[name], kind):
            raise StoreDamaged(f"{where}{name} is {type(view[name]).__name__}")


def _require_keys(value: Any, keys: set[str], where: str) -> None:
    if not isinstance(value, dict) or not keys <= value.keys():
        raise StoreDamaged(f"{where} has another form than it should")
