"""Start an execution of a trigger's notebook, only once for each key."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from pauseflow_nb.engine.open_store import OpenStore
from pauseflow_nb.engine.plan import Plan, add_execution, plan_notebook
from pauseflow_nb.engine.start_checks import require_allowance, require_room
from pauseflow_nb.errors import InvalidNotebook, StoreUnavailable
from pauseflow_nb.identity import Who
from pauseflow_nb.json_values import JSON
from pauseflow_nb.store import triggers
from pauseflow_nb.store.database import format_time, now
from pauseflow_nb.store.executions import Row

#: Options of a trigger that its executions take over.
RUN_OPTIONS = ("strict", "checkpoint", "start_timeout", "execution_timeout", "created_via")


@dataclass(frozen=True)
class Started:
    """An execution that a trigger has started."""

    execution: str
    #: Whether the same key had started it before.
    is_earlier: bool


def start_execution(
    store: OpenStore,
    trigger: Row,
    event: JSON,
    *,
    key: str | None = None,
    execution: str | None = None,
    check: Callable[[sa.Connection, Row], bool] = lambda _connection, _row: True,
    changes: Callable[[sa.Connection, Row], dict[str, object]] = lambda _connection, _row: {},
) -> Started | None:
    """Start an execution of the trigger's notebook, which is read now.

    Args:
        store: The store.
        trigger: The trigger's row, as read before.
        event: The value of `steps.trigger.event`.
        key: At most one execution is started for each key.
        execution: The id for the execution, whose folder may already hold the body of a request; None: a new one.
        check: Called with the locked row; tells whether to start.
        changes: Called with the locked row; returns more columns to change in the same transaction.

    Returns:
        The execution, possibly one that this key has started before; None if `check` returned False.

    Raises:
        UnknownTrigger: If the trigger was removed.
        PauseflowError: If the notebook cannot be run, or the storage has no room.
    """
    plan = _plan(trigger)
    require_allowance(store, plan.created_by, plan.queues.home)
    require_room(store, len(plan.document))
    execution = execution or secrets.token_hex(6)
    document = f"{execution}/start-{secrets.token_hex(4)}.ipynb"
    store.files.write(document, plan.document)

    def insert(connection: sa.Connection) -> Started | None:
        row = triggers.lock(connection, trigger.id)
        earlier = None if key is None else triggers.find_key(connection, row.id, key)
        if earlier is not None:
            return Started(earlier, is_earlier=True)
        if not check(connection, row):
            return None
        add_execution(connection, store.jobs, execution, plan, document, output=None, attached_to=None)
        triggers.add_start(connection, execution, trigger=row.id, kind=row.kind, event=event, key=key)
        last = describe_last(connection, "started", execution=execution)
        triggers.update(connection, row.id, **{"last": last, **changes(connection, row)})
        return Started(execution, is_earlier=False)

    try:
        started = store.change(insert)
    except StoreUnavailable:
        # The store may have added the execution before it stopped answering. Otherwise `gc` removes the files.
        raise
    except BaseException:
        store.files.remove(execution)
        raise
    if started is None or started.is_earlier:
        store.files.remove(execution)
    return started


def describe_last(
    connection: sa.Connection,
    what: str,
    *,
    due: float | None = None,
    execution: str | None = None,
    problem: Exception | None = None,
) -> dict[str, JSON]:
    """Describe the result of the last due time or request, for the list of triggers."""
    text = None if problem is None else str(problem)
    return {
        "what": what,
        "at": format_time(now(connection)),
        "due": format_time(due),
        "execution": execution,
        "text": text,
    }


def _plan(trigger: Row) -> Plan:
    if Path(trigger.notebook).is_fifo():
        # Reading a pipe would wait for a writer, and block all other triggers.
        raise InvalidNotebook(trigger.notebook, "it is a pipe, which can be read only once")
    return plan_notebook(
        trigger.notebook,
        trigger.parameters,
        kernel=trigger.options.get("kernel"),
        cwd=trigger.cwd,
        created_by=Who(trigger.created_by, via=trigger.options.get("created_via")),
        options={name: trigger.options[name] for name in RUN_OPTIONS if name in trigger.options},
    )
