"""Read and write one row for each run of each step: when it ran, how it ended, what it published."""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import sqlalchemy as sa

from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import Failure, Outcome, SnapshotRef, StepBriefing
from pauseflow_nb.store.database import now
from pauseflow_nb.store.executions import Row
from pauseflow_nb.store.many_rows import name_keys, select_among, update_many
from pauseflow_nb.store.tables import steps

#: What names a run: execution, step, number.
Run: TypeAlias = tuple[str, str, int]

_KEY = (steps.c.execution, steps.c.step, steps.c.run)
_EXPORTS = sa.select(*_KEY, steps.c.exports).where(select_among(*_KEY))

#: States of a run that has ended by itself; one that failed or was interrupted is begun again under its number.
ENDED = ("finished", "suspended", "exited")


def begin(connection: sa.Connection, execution: str, segment: int, step: str, *, run: int, cell: int) -> None:
    """Note that a run begins, or begins again."""
    row = _one(connection, execution, step, run)
    values = {"segment": segment, "cell": cell, "state": "running", "started_at": now(connection), "ended_at": None}
    if row is None:
        blank = {"exports": {}, "notes": [], "unsaved": [], "attempts": 1}
        connection.execute(steps.insert().values(execution=execution, step=step, run=run, **values, **blank))
    else:
        values["attempts"] = row.attempts + 1
        connection.execute(steps.update().where(*_is(execution, step, run)).values(**values, failure=None))


def end(connection: sa.Connection, execution: str, segment: int, outcome: Outcome, cell: int) -> None:
    """Note how a run ended, and what it published."""
    from dataclasses import asdict

    if _one(connection, execution, outcome.step, outcome.run) is None:
        begin(connection, execution, segment, outcome.step, run=outcome.run, cell=cell)
    connection.execute(
        steps.update()
        .where(*_is(execution, outcome.step, outcome.run))
        .values(
            segment=segment,
            state=outcome.kind,
            ended_at=now(connection),
            exports=outcome.exports,
            notes=outcome.notes,
            unsaved=[asdict(variable) for variable in outcome.unsaved],
            failure=None if outcome.failure is None else asdict(outcome.failure),
        )
    )


def checkpoint(
    connection: sa.Connection, execution: str, step: str, run: int, *, snapshot: SnapshotRef, signature: str
) -> None:
    """Note the variables that a run left: one can go back to them."""
    values = {"snapshot": snapshot.name, "digest": snapshot.digest, "signature": signature}
    connection.execute(steps.update().where(*_is(execution, step, run)).values(**values))


def forget(connection: sa.Connection, execution: str, first_cell: int) -> None:
    """Let the steps from this cell on begin anew, with their first run.

    That they were begun before stays known: their next attempt is not the first.
    """
    after = (steps.c.execution == execution, steps.c.cell >= first_cell)
    connection.execute(steps.delete().where(*after, steps.c.run > 1))
    values: dict[str, JSON] = {"exports": {}, "notes": [], "unsaved": [], "failure": None}
    values |= {"snapshot": None, "digest": None, "signature": None}
    statement = steps.update().where(*after).values(state="interrupted", ended_at=now(connection), **values)
    connection.execute(statement)


def move(connection: sa.Connection, execution: str, cells: Mapping[str, int]) -> None:
    """Say where the steps stand in an edited notebook; those that are not in it any more are dropped."""
    connection.execute(steps.delete().where(steps.c.execution == execution, steps.c.step.not_in(list(cells))))
    for step, cell in cells.items():
        where = (steps.c.execution == execution, steps.c.step == step)
        connection.execute(steps.update().where(*where).values(cell=cell))


def copy(connection: sa.Connection, rows: Iterable[Row], execution: str, signed: Mapping[str, tuple[str, str]]) -> None:
    """Copy runs of one execution to another, as what happened in its first segment.

    Args:
        connection: The caller's transaction.
        rows: The runs.
        execution: Id of the other execution.
        signed: Digest and signature of the other execution's snapshots, by name.
    """
    for row in rows:
        digest, signature = signed.get(row.snapshot, (None, None))
        own = {"execution": execution, "segment": 0, "digest": digest, "signature": signature}
        snapshot = row.snapshot if digest is not None else None
        connection.execute(steps.insert().values({**row._mapping, **own, "snapshot": snapshot}))  # noqa: SLF001  (SQLAlchemy's public name for a row as a mapping)


def fail(connection: sa.Connection, execution: str, segment: int, failure: Failure | None) -> None:
    """Note that the run which is under way in a segment ended without an outcome of its own."""
    from dataclasses import asdict

    connection.execute(
        steps.update()
        .where(steps.c.execution == execution, steps.c.segment == segment, steps.c.state == "running")
        .values(
            state="failed" if failure else "interrupted",
            ended_at=now(connection),
            failure=None if failure is None else asdict(failure),
        )
    )


def fail_ended(connection: sa.Connection, execution: str, step: str, run: int, failure: Failure) -> None:
    """Note that a run which had ended has failed after all, because of what it started."""
    from dataclasses import asdict

    statement = steps.update().where(*_is(execution, step, run))
    connection.execute(statement.values(state="failed", failure=asdict(failure)))


def interrupt(connection: sa.Connection, execution: str, segment: int, first_cell: int) -> None:
    """Note that what a segment ran from this cell on will be run again."""
    where = (steps.c.execution == execution, steps.c.segment == segment, steps.c.cell >= first_cell)
    connection.execute(steps.update().where(*where).values(state="interrupted", ended_at=now(connection)))


def has_ended(connection: sa.Connection, execution: str, segment: int, step: str) -> bool:
    """Whether the step's run in this segment has ended."""
    where = (steps.c.execution == execution, steps.c.segment == segment, steps.c.step == step)
    found = connection.execute(sa.select(steps.c.state).where(*where)).scalars()
    return any(state in (*ENDED, "failed") for state in found)


def export(connection: sa.Connection, execution: str, step: str, run: int, **values: JSON) -> None:
    """Publish more values for a run that has ended."""
    found = find_exports(connection, [(execution, step, run)])
    set_exports(connection, {one: {**published, **values} for one, published in found.items()})


def find_exports(connection: sa.Connection, runs: Iterable[Run]) -> dict[Run, dict[str, JSON]]:
    """Read what runs have published; runs that do not exist are left out."""
    named = set(runs)
    found = [(row[:3], row.exports) for row in connection.execute(_EXPORTS, name_keys(named))] if named else []
    return {run: exports for run, exports in found if run in named}


def set_exports(connection: sa.Connection, exports: Mapping[Run, Mapping[str, JSON]]) -> None:
    """Change what runs have published."""
    rows = [
        {"execution": execution, "step": step, "run": run, "exports": dict(values)}
        for (execution, step, run), values in exports.items()
    ]
    if rows:
        update_many(connection, steps, rows)


def withdraw(connection: sa.Connection, execution: str, step: str, run: int, name: str) -> None:
    """Take back a value that was published for a run."""
    row = _one(connection, execution, step, run)
    if row is not None:
        exports = {key: value for key, value in row.exports.items() if key != name}
        connection.execute(steps.update().where(*_is(execution, step, run)).values(exports=exports))


def brief_steps(connection: sa.Connection, execution: str) -> dict[str, StepBriefing]:
    """Build the briefing of each step that has begun, without links."""
    briefings: dict[str, StepBriefing] = {}
    for row in list_runs(connection, [execution]):
        before = briefings.get(row.step, StepBriefing())
        if row.state in ENDED:
            briefings[row.step] = StepBriefing(runs=row.run, exports=row.exports)
        else:
            briefings[row.step] = StepBriefing(before.runs, row.attempts, before.exports)
    return briefings


def list_runs(connection: sa.Connection, executions: Iterable[str]) -> list[Row]:
    """Read all runs of all steps, in the order of the notebook and then of the runs."""
    where = steps.c.execution.in_(list(executions))
    return list(connection.execute(sa.select(steps).where(where).order_by(steps.c.cell, steps.c.step, steps.c.run)))


def _one(connection: sa.Connection, execution: str, step: str, run: int) -> Row | None:
    return connection.execute(sa.select(steps).where(*_is(execution, step, run))).first()


def _is(execution: str, step: str, run: int) -> tuple[sa.ColumnElement[bool], ...]:
    return steps.c.execution == execution, steps.c.step == step, steps.c.run == run
