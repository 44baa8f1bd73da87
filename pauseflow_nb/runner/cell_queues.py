"""Find the queues that a notebook names: one in its metadata, and one in the header of each step that needs another."""

from nbformat import NotebookNode

from pauseflow_nb.cells import find_steps
from pauseflow_nb.errors import InvalidNotebook, InvalidValue
from pauseflow_nb.queues import DEFAULT_QUEUE, QueuePlan, check_queue
from pauseflow_nb.runner.cell_statuses import NOT_RUN


def read_queue(notebook: NotebookNode, path: str) -> str | None:
    """Read the queue that a notebook's metadata names, `{"pauseflow": {"queue": "gpu"}}`; None: it names none.

    Raises:
        InvalidNotebook: If it cannot be a name.
    """
    ours = notebook.metadata.get("pauseflow")
    name = ours.get("queue") if isinstance(ours, dict) else None
    try:
        return None if name is None else check_queue(name)
    except InvalidValue as problem:
        raise InvalidNotebook(path, f"the queue {name!r} in its metadata {problem.problem}") from None


def plan_queues(notebook: NotebookNode, queue: str | None, *, is_python: bool) -> QueuePlan:
    """Plan which queue each cell runs in.

    Args:
        notebook: The notebook.
        queue: Its own queue; None: the default one.
        is_python: Whether its kernel is one of Python; others have no steps.
    """
    runs = [
        (at, cell.source)
        for at, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and cell.source.strip() and not NOT_RUN & set(cell.metadata.get("tags", []))
    ]
    headers = find_steps(runs) if is_python else {}
    named = {at: header.options.queue for at, header in headers.items() if header.kind == "step"}
    return QueuePlan.make(queue or DEFAULT_QUEUE, ((at, at in named, named.get(at)) for at, _ in runs))
