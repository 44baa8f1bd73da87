"""Start the notebooks that a step runs, and collect their results when all have ended.

The parent waits in a suspension of the kind `notebook`. A child that ends makes it due, and the clock, which settles
what is due, checks whether others still run. So no transaction holds the rows of two executions.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.engine.plan import Plan, add_execution, plan_notebook
from pauseflow_nb.engine.start_checks import require_room
from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import ChildRequest, SuspensionRequest, merge_exports
from pauseflow_nb.queues import QueuePlan
from pauseflow_nb.store import executions, steps, suspensions
from pauseflow_nb.store.database import reading
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.views import write_address

#: Most levels of nested executions, which also stops a notebook that runs itself.
_DEEPEST = 20


@dataclass(frozen=True)
class Child:
    """A nested execution that can be started."""

    id: str
    plan: Plan
    document: str
    request: ChildRequest


@dataclass(frozen=True)
class Gathered:
    """The results of the nested executions of a suspension."""

    #: Whether one of them has not ended yet.
    is_incomplete: bool
    #: Child's name → its steps' exports.
    exports: dict[str, JSON]
    #: Sentences about those that failed or were cancelled although they must not.
    problem: str | None


@dataclass(frozen=True)
class Open:
    """An open suspension of an execution or of one nested in it."""

    row: Row
    #: Names of the nested notebooks on the way, and the step, separated by dots.
    address: str
    #: Steps that lead to it.
    path: tuple[str, ...]

    def is_named(self, step: str) -> bool:
        """Whether a user's name for a step means this one: its name, its address, or its path with dots."""
        return step in (self.row.step, self.address, ".".join(self.path))

    def is_inside(self, step: str) -> bool:
        """Whether it is below the step that a user names."""
        return any(step in (self.path[n], ".".join(self.path[: n + 1])) for n in range(len(self.path)))


def prepare(store: OpenStore, parent: Row, requests: list[ChildRequest]) -> list[Child]:
    """Freeze and store the notebooks; nothing is started yet.

    Raises:
        PauseflowError: If one of them cannot be run; the others are removed.
    """
    if _count_above(store, parent) >= _DEEPEST:
        raise InvalidValue("run_notebook", requests[0].notebook, f"would be nested more than {_DEEPEST} deep")
    made: list[Child] = []
    try:
        for request in requests:
            plan = _plan(parent, request)
            require_room(store, len(plan.document))
            id_ = secrets.token_hex(6)
            document = f"{id_}/start-{secrets.token_hex(4)}.ipynb"
            store.files.write(document, plan.document)
            made.append(Child(id_, plan, document, request))
    except BaseException:
        for child in made:
            store.files.remove(child.id)
        raise
    return made


def start_children(
    store: OpenStore, connection: sa.Connection, parent: Row, suspension: Row, children: list[Child]
) -> None:
    """Add the nested executions, in the transaction that suspends their parent."""
    for place, child in enumerate(children):
        nested: dict[str, JSON] = {
            "place": place,
            "step": suspension.step,
            "segment": suspension.segment,
            "run": suspension.run,
            "name": child.request.name,
            "linked": child.request.linked,
            "check": child.request.check,
        }
        add_execution(
            connection,
            store.jobs,
            child.id,
            child.plan,
            child.document,
            attached_to=parent.attached_to,
            parent=parent.id,
            nested=nested,
        )


def gather(connection: sa.Connection, suspension: Row) -> Gathered:
    """Collect the results of the nested executions of a suspension."""
    children = executions.list_children(
        connection, suspension.execution, step=suspension.step, segment=suspension.segment
    )
    exports: dict[str, JSON] = {}
    problems: list[str] = []
    for row in children:
        briefings = steps.brief_steps(connection, row.id)
        shown = {name: merge_exports(run.exports) for name, run in briefings.items() if run.runs or run.exports}
        exports[row.nested["name"]] = shown
        if row.nested["check"] and row.state != "completed":
            problems.append(_problem(row))
    notebooks: dict[str, Any] = {
        row.nested["name"]: {"id": row.id, "state": row.state, "error": row.error} for row in children
    }
    incomplete = any(row.ended_at is None for row in children)
    return Gathered(incomplete, {**exports, "$notebooks": notebooks}, "; ".join(problems) or None)


def list_open_below(connection: sa.Connection, execution: str) -> list[Open]:
    """List the open suspensions of an execution and of its nested executions."""
    return list(_list_open_below(connection, execution, (), ()))


def list_unended_below(connection: sa.Connection, execution: str) -> list[Row]:
    """List the nested executions that have not ended, at every depth."""
    found = [row for row in executions.list_children(connection, execution) if row.ended_at is None]
    return found + [below for row in found for below in list_unended_below(connection, row.id)]


def _list_open_below(
    connection: sa.Connection, execution: str, names: tuple[str, ...], path: tuple[str, ...]
) -> Iterator[Open]:
    for row in suspensions.list_open(connection, execution):
        there = (*path, row.step) if row.step else path
        if row.kind != "notebook":
            yield Open(row, write_address(names, row.step), there)
            continue
        for child in executions.list_children(connection, execution, step=row.step, segment=row.segment):
            yield from _list_open_below(connection, child.id, (*names, child.nested["name"]), there)


def _plan(parent: Row, request: ChildRequest) -> Plan:
    return plan_notebook(
        request.notebook,
        request.parameters,
        cwd=parent.cwd,
        created_by=parent.created_by,
        options={name: value for name, value in parent.options.items() if name not in ("force", "goes_without")},
        queue=QueuePlan.parse(parent.queues).home,
    )


def _count_above(store: OpenStore, row: Row) -> int:
    depth, above = 0, row.parent
    with reading(store.engine) as connection:
        while above is not None and depth < _DEEPEST:
            found = executions.find(connection, above)
            depth, above = depth + 1, None if found is None else found.parent
    return depth


def _problem(row: Row) -> str:
    error, reason = row.error or {}, row.reason or {}
    sentence = f"{error['type']}: {error['message']}" if error else reason.get("text")
    why = f": {sentence}" if sentence else ""
    return f"notebook '{row.nested['name']}' ({row.id}) is {row.state}{why}"


def name_ids(request: SuspensionRequest, children: list[Child]) -> SuspensionRequest:
    """Add the ids of the executions that a suspension waits for to its data."""
    return replace(request, data={child.request.name: child.id for child in children})
