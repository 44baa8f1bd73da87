"""Define the plan of an execution: which notebook is run, and how. It becomes the execution's first rows."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import sqlalchemy as sa

from pauseflow_nb.engine.jobs import Jobs
from pauseflow_nb.json_values import JSON
from pauseflow_nb.queues import QueuePlan
from pauseflow_nb.store import executions, segments
from pauseflow_nb.store.segments import NewSegment

if TYPE_CHECKING:
    from pauseflow_nb.runner.notebook import Frozen


@dataclass(frozen=True)
class Plan:
    """A frozen notebook, and how to run it."""

    #: The notebook's path as the user gave it.
    notebook: str
    #: The frozen notebook, with its parameters injected.
    document: bytes
    output: str | None
    inputs: dict[str, JSON]
    #: Number of cells.
    cells: int
    steps: list[str]
    kernel: str
    #: Path of the kernel's Python interpreter, if it is a Python kernel.
    interpreter: str | None
    cwd: str
    #: `"user:NAME"`.
    created_by: str
    #: strict, checkpoint, start_timeout, execution_timeout
    options: dict[str, JSON] = field(default_factory=dict)
    #: Which queue each cell runs in.
    queues: QueuePlan = field(default_factory=QueuePlan)

    @classmethod
    def of(
        cls,
        frozen: "Frozen",
        *,
        notebook: str,
        cwd: str,
        created_by: str,
        options: dict[str, JSON],
        output: str | None = None,
    ) -> Self:
        """Plan to run a frozen notebook."""
        return cls(
            notebook=notebook,
            document=frozen.document,
            output=output,
            inputs=frozen.inputs,
            cells=frozen.cells,
            steps=frozen.steps,
            kernel=frozen.kernel,
            interpreter=frozen.interpreter,
            cwd=cwd,
            created_by=created_by,
            options=options,
            queues=frozen.queues,
        )


def plan_notebook(
    notebook: str,
    parameters: dict[str, JSON],
    *,
    cwd: str,
    created_by: str,
    options: dict[str, JSON],
    kernel: str | None = None,
    queue: str | None = None,
) -> Plan:
    """Plan to run a notebook without an output, for a trigger or for a step of another notebook.

    `queue` is for a notebook whose metadata name no queue; None: the default queue.

    Raises:
        PauseflowError: As `runner.notebook.freeze` does, if the notebook cannot be run with these parameters.
    """
    # Lazily: only this needs notebooks.
    from pauseflow_nb.runner.notebook import freeze

    frozen = freeze(notebook, parameters, kernel=kernel, queue=queue)
    return Plan.of(frozen, notebook=notebook, cwd=cwd, created_by=created_by, options=options)


def add_execution(
    connection: sa.Connection,
    jobs: Jobs,
    execution: str,
    plan: Plan,
    document: str,
    *,
    attached_to: str | None,
    **more: Any,
) -> None:
    """Add a queued execution in the caller's transaction.

    Args:
        connection: The transaction, made by `OpenStore.change`.
        jobs: The queue of the store.
        execution: Its id.
        plan: The notebook, and how to run it.
        document: The stored notebook's name.
        attached_to: The process that will run it itself; None: any worker.
        more: Values of other columns of its row.
    """
    executions.add(
        connection,
        execution,
        by=plan.created_by,
        notebook=plan.notebook,
        document=document,
        parameters=plan.inputs,
        steps=plan.steps,
        kernel=plan.kernel,
        interpreter=plan.interpreter,
        cwd=plan.cwd,
        options=plan.options,
        cells_total=plan.cells,
        attached_to=attached_to,
        queues=plan.queues.stored,
        **more,
    )
    segments.add_all(connection, [NewSegment(execution, 0, 0)])
    if attached_to is None:
        jobs.enqueue(connection, execution, 0, 0)
