"""Show executions as `--json`, the REST API and Python all show them."""

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.actions import LINK_NAMES, USUAL_ACTIONS, allowed_links, button_labels, name_decision
from pauseflow_nb.forms.controls import draw_json
from pauseflow_nb.json_values import JSON, dump_compact, dump_json
from pauseflow_nb.links import Claim
from pauseflow_nb.protocol import Links, Loss, merge_exports, waiting_state
from pauseflow_nb.queues import QueuePlan, describe_missing_worker
from pauseflow_nb.store import steps as runs
from pauseflow_nb.store import workers
from pauseflow_nb.store.damaged_rows import make_damaged_view, require_shape
from pauseflow_nb.store.database import format_time, now
from pauseflow_nb.store.executions import Row, name_children
from pauseflow_nb.store.tables import executions, segments, suspensions
from pauseflow_nb.store.triggers import name_starts

#: Makes the links of one suspension; its action is left empty.
LinksOf = Callable[[Claim], Links]


def make_views(
    connection: sa.Connection, ids: list[str], *, links: LinksOf | None = None, history: bool = False
) -> list[dict[str, Any]]:
    """Show executions, in the order of their ids; unknown ids are left out.

    One that cannot be shown, because something that the database holds of it is damaged or from another version, has
    `problem` among its keys, which says why; of the others what can be read is there, and the rest is empty.

    Args:
        connection: The database, outside of a transaction that writes.
        ids: Which ones.
        links: Makes the links of what waits; None leaves them out (None in their place).
        history: Whether to add all steps in order, every run of every step, and every suspension.
    """
    try:
        return _all_views(connection, ids, links=links, history=history)
    except Exception:  # noqa: BLE001  (looked at one by one, whatever it is)
        connection.rollback()
    shown: list[dict[str, Any]] = []
    for id_ in ids:
        try:
            shown += _all_views(connection, [id_], links=links, history=history)
        except Exception as problem:  # noqa: BLE001
            connection.rollback()
            shown += make_damaged_view(connection, id_, problem)
    return shown


def _all_views(
    connection: sa.Connection, ids: list[str], *, links: LinksOf | None, history: bool
) -> list[dict[str, Any]]:
    moment = now(connection)
    rows = {row.id: row for row in connection.execute(sa.select(executions).where(executions.c.id.in_(ids)))}
    of_segments = _group(connection, segments, ids, segments.c.n)
    of_suspensions = _group(connection, suspensions, ids, suspensions.c.segment)
    served = _list_served(connection) if any(row.state == "queued" for row in rows.values()) else set()
    of_steps = {key: list(group) for key, group in _group_by_execution(runs.list_runs(connection, ids))}
    of_triggers = name_starts(connection, ids)
    views = [
        _view(
            connection,
            rows[id_],
            of_segments.get(id_, []),
            of_suspensions.get(id_, []),
            of_steps.get(id_, []),
            trigger=of_triggers.get(id_),
            moment=moment,
            links=links,
            history=history,
            served=served,
        )
        for id_ in ids
        if id_ in rows
    ]
    for view in views:
        require_shape(view)
    # A number that no JSON holds is found now, and not when the reply is written.
    dump_compact(views)
    return views


def _view(
    connection: sa.Connection,
    row: Row,
    its_segments: list[Row],
    its_suspensions: list[Row],
    its_runs: list[Row],
    *,
    trigger: dict[str, JSON] | None,
    moment: float,
    links: LinksOf | None,
    history: bool,
    served: set[str],
) -> dict[str, Any]:
    queue = QueuePlan.parse(row.queues).find(its_segments[-1].first_cell if its_segments else 0)
    is_left = row.state == "queued" and row.attached_to is None and queue not in served
    view: dict[str, Any] = {
        "id": row.id,
        "notebook": row.notebook,
        "output": row.output,
        "parameters": row.parameters,
        "state": row.state,
        "reason": row.reason,
        "created_at": format_time(row.created_at),
        "started_at": format_time(row.started_at),
        "ended_at": format_time(row.ended_at),
        "created_by": row.created_by,
        "trigger": trigger,
        "parent": row.parent,
        "segment": row.segment,
        "queue": queue,
        # A sentence, if it is queued and no worker serves its queue.
        "no_worker": describe_missing_worker(queue) if is_left else None,
        "kernel_bound": _list_kernel_variables(row, its_segments),
        "losses": list_losses(its_segments),
        "cells": {"done": row.cells_done, "total": row.cells_total},
        "steps": _steps(its_runs, its_suspensions),
        "suspended": [
            shown
            for found in its_suspensions
            if found.state == "open"
            for shown in (_suspension(found, links, row.revocations), *_nested(connection, found, links))
        ],
        "usage": _compute_usage(its_segments, its_suspensions, moment),
        "error": row.error,
    }
    if history:
        view["history"] = {
            "steps": row.steps,
            "runs": [_run(found) for found in its_runs],
            "suspensions": [{**_suspension(found, None, 0), **_settled(found)} for found in its_suspensions],
        }
    return view


def _list_served(connection: sa.Connection) -> set[str]:
    return {queue for worker in workers.list_alive(connection, "worker") for queue in workers.list_queues(worker)}


def _list_kernel_variables(row: Row, its_segments: list[Row]) -> list[str]:
    """Name the variables for which an execution that has not ended keeps its kernel."""
    last = its_segments[-1] if its_segments and row.ended_at is None else None
    return [] if last is None else [each["name"] for each in last.bound or []]


def list_losses(its_segments: Iterable[Row]) -> list[dict[str, Any]]:
    """Show what kernels could not restore; `text` says it in a sentence."""
    found = [(row.n, Loss.from_dict(each)) for row in its_segments for each in row.losses or []]
    return [
        {
            "segment": n,
            "name": loss.name or None,
            "type": loss.type_name or None,
            "reason": loss.reason,
            "needed_by": loss.needed_by,
            "text": str(loss),
        }
        for n, loss in found
    ]


def _steps(its_runs: list[Row], its_suspensions: list[Row]) -> dict[str, Any]:
    became = {(row.step, row.run): _derive_step_state(row) for row in its_suspensions}
    budgets = {row.step: row.max_retries for row in its_suspensions if row.max_retries is not None}
    shown: dict[str, Any] = {}
    for row in its_runs:
        before = shown.get(row.step, {})
        has_ended = row.state in runs.ENDED or row.state == "failed"
        shown[row.step] = {
            "state": became.get((row.step, row.run), row.state) if row.state == "suspended" else row.state,
            "runs": row.run,
            # With those that `max_retries` still allows; None: it never requested a rerun.
            "most_runs": max(budgets[row.step] + 1, row.run) if row.step in budgets else None,
            "started_at": format_time(row.started_at),
            "ended_at": format_time(row.ended_at),
            # A run under way has published nothing yet: what the one before it did stands.
            "exports": merge_exports(row.exports) if has_ended or not before else before["exports"],
            "notes": row.notes,
            "unsaved": row.unsaved,
        }
    return shown


def _derive_step_state(suspension: Row) -> str:
    """Derive the state of a step from its suspension: one that was answered is finished."""
    if suspension.state == "open":
        return waiting_state(suspension.kind)
    if suspension.state == "void" or suspension.action == "cancel":
        return "cancelled"
    if suspension.action in ("resume", "send_back") or suspension.kind != "suspend":
        return "finished"
    return {"resume": "finished", "fail": "failed"}.get(suspension.on_timeout, "cancelled")


def _suspension(row: Row, links: LinksOf | None, revocations: int) -> dict[str, Any]:
    allow = allowed_actions(row.rules)
    made: Mapping[str, str | None] = {}
    if links is not None and row.kind != "notebook":
        made = allowed_links(links(Claim(row.execution, row.segment, row.step, row.ordinal, "", revocations)), allow)
    return {
        "execution": row.execution,
        "path": [row.step] if row.step else [],
        "address": write_address((), row.step) or None,
        "step": row.step or None,
        "kind": row.kind,
        "since": format_time(row.since),
        "deadline": format_time(row.deadline),
        "on_timeout": row.on_timeout,
        "title": row.title,
        "message": row.message,
        "data": row.data,
        "data_as_text": format_data(row.data),
        "shown": None if row.shown is None else row.shown["digest"],
        "schema": row.schema,
        "form": draw_json(row.schema),
        "allow": allow,
        "labels": view_labels(row),
        "errors": row.errors,
        "drift": (row.shown or {}).get("drift") or [],
        "approvals": view_approvals(row.rules, row.given),
        **{name: made.get(name) for name in LINK_NAMES.values()},
    }


def _nested(connection: sa.Connection, row: Row, links: LinksOf | None) -> list[dict[str, Any]]:
    """Show what the notebooks wait for that a suspension waits for; the path begins with the step that started them."""
    if row.kind != "notebook":
        return []
    names = name_children(connection, row.execution, step=row.step, segment=row.segment)
    views = make_views(connection, list(names), links=links)
    return [
        {**shown, "path": [row.step, *shown["path"]], "address": write_address([names[view["id"]]], shown["address"])}
        for view in views
        for shown in view["suspended"]
    ]


def write_address(names: Iterable[str], step: str | None) -> str:
    """Write where something waits, as `--step` takes it: the names of the notebooks that lead there, and the step."""
    return ".".join([*names, *([step] if step else [])])


def view_approvals(rules: dict[str, Any] | None, approvals: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Show who may approve a suspension, and who did: `needed`, `given`, `approvers`, `self_approval`."""
    rules = rules or {}
    return {
        "needed": rules.get("approvals", 1),
        "given": approvals or [],
        "approvers": rules.get("approvers"),
        "self_approval": rules.get("self_approval", True),
    }


def has_rules(rules: dict[str, Any] | None) -> bool:
    """Whether a question says who may answer it, and not only what its buttons say."""
    return any(key not in ("labels", "allow") for key in rules or ())


def view_labels(row: Row) -> dict[str, str]:
    """Say what the buttons of a question say, by action."""
    own, allow = (row.rules or {}).get("labels"), allowed_actions(row.rules)
    return button_labels(row.kind, has_schema=row.schema is not None, own=own, allow=allow)


def name_settlement(row: Row, action: str, by: str) -> str:
    """Name what was decided on a suspension, in the words that every page and card uses."""
    return name_decision(row.kind, action, by=by, own=view_labels(row))


def allowed_actions(rules: dict[str, Any] | None) -> list[str]:
    """List what an answer may do, in the order of the buttons."""
    return list((rules or {}).get("allow") or USUAL_ACTIONS)


def format_data(data: JSON) -> dict[str, Any]:
    """Write data as it is shown, with all digits: `rows` of name and text if it is flat, otherwise one `text`."""
    if data is None or data in ({}, []) or isinstance(data, str):
        return {"rows": [], "text": data or None}
    if isinstance(data, dict) and not any(isinstance(value, (dict, list)) for value in data.values()):
        rows = [[name, each if isinstance(each, str) else dump_json(each)] for name, each in data.items()]
        return {"rows": rows, "text": None}
    return {"rows": [], "text": dump_json(data, indent=2)}


def _settled(row: Row) -> dict[str, Any]:
    return {
        "segment": row.segment,
        "state": row.state,
        "action": row.action,
        "settled_by": row.settled_by,
        "settled_at": format_time(row.settled_at),
    }


def _run(row: Row) -> dict[str, Any]:
    return {
        "step": row.step,
        "run": row.run,
        "segment": row.segment,
        "state": row.state,
        "attempts": row.attempts,
        "started_at": format_time(row.started_at),
        "ended_at": format_time(row.ended_at),
        "exports": merge_exports(row.exports),
        "notes": row.notes,
        "unsaved": row.unsaved,
        "error": row.failure,
    }


def _compute_usage(its_segments: list[Row], its_suspensions: list[Row], moment: float) -> dict[str, Any]:
    listed = [
        {
            "segment": row.n,
            "state": row.how or row.state,
            "started_at": format_time(row.started_at),
            "ended_at": format_time(row.ended_at),
            "attempts": row.attempt,
            "compute_seconds": round(_compute(row, moment), 3),
        }
        for row in its_segments
    ]
    waited = sum((row.settled_at or moment) - row.since for row in its_suspensions)
    return {
        "compute_seconds": round(sum(_compute(row, moment) for row in its_segments), 3),
        "suspended_seconds": round(max(waited, 0.0), 3),
        # Once for each answer: a retry that uses it again wakes nothing.
        "wakeups": len({(row.wake["step"], row.wake["at"]) for row in its_segments if row.wake and row.attempt > 0}),
        "segments": listed,
    }


def _compute(row: Row, moment: float) -> float:
    running = max(moment - row.attempt_at, 0.0) if row.state == "running" else 0.0
    return float(row.compute_seconds + running)


def _group(
    connection: sa.Connection, table: sa.Table, ids: list[str], order: sa.ColumnElement[Any]
) -> dict[str, list[Row]]:
    statement = sa.select(table).where(table.c.execution.in_(ids)).order_by(order)
    return {key: list(group) for key, group in _group_by_execution(connection.execute(statement))}


def _group_by_execution(rows: Iterable[Row]) -> Iterable[tuple[str, Iterable[Row]]]:
    # Sorting is stable: within an execution the order stays.
    return groupby(sorted(rows, key=attrgetter("execution")), key=attrgetter("execution"))
