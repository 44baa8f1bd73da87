"""Note the status of each cell where papermill notes it: in `cell.metadata.papermill`.

The statuses of papermill are `pending`, `running`, `completed` and `failed`. We add `suspended`, `interrupted` (the kernel
ended or was stopped) and `not run`.
"""

from datetime import UTC, datetime

from nbformat import NotebookNode

from pauseflow_nb.runner.document import Document

#: Tags of cells that are not run: ours, and nbclient's.
NOT_RUN = {"interactive-only", "skip-execution"}


def reset(document: Document, first: int) -> None:
    """Remove outputs and statuses of an earlier attempt from this cell and all below it."""
    for index, cell in enumerate(document.cells[first:], first):
        cell.metadata["papermill"] = NotebookNode(
            exception=None, start_time=None, end_time=None, duration=None, status="pending"
        )
        cell.metadata.pop("pauseflow", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        document.changed(index)


def status_of(cell: NotebookNode) -> str:
    """Read the status of a cell; `pending` if it has none."""
    return str(cell.metadata.get("papermill", {}).get("status", "pending"))


def note_started(document: Document, index: int) -> None:
    """Note that a cell has started."""
    papermill = document.cells[index].metadata.setdefault("papermill", NotebookNode())
    papermill.update(exception=False, start_time=_now(), end_time=None, duration=None, status="running")
    document.changed(index)


def note_ended(document: Document, index: int, status: str, *, has_error: bool = False) -> None:
    """Note the final status of a cell; a cell that never started gets no times."""
    papermill = document.cells[index].metadata.setdefault("papermill", NotebookNode())
    if papermill.get("start_time"):
        papermill["end_time"] = _now()
        papermill["duration"] = _seconds_between(papermill["start_time"], papermill["end_time"])
    papermill["status"] = status
    if status != "not run":
        papermill["exception"] = has_error
    document.changed(index)


def note_running_again(document: Document, index: int) -> None:
    """Note that a cell runs again after a pause within it."""
    document.cells[index].metadata["papermill"]["status"] = "running"
    document.changed(index)


def close(document: Document) -> None:
    """Note the end of the notebook, and `not run` for the cells that have not run."""
    for index, cell in enumerate(document.cells):
        if status_of(cell) == "pending":
            note_ended(document, index, "not run")
    note_notebook_ended(
        document, has_error=any(status_of(cell) in {"failed", "interrupted"} for cell in document.cells)
    )


def is_closed(document: Document) -> bool:
    """Whether the notebook says that it has ended."""
    return bool(document.metadata.get("papermill", {}).get("end_time"))


def list_missing(document: Document, done: int) -> list[int]:
    """List those of the first cells that have run, although the notebook does not say so."""
    return [index for index in range(done) if status_of(document.cells[index]) in {"pending", "running"}]


def note_notebook_started(document: Document, execution: str) -> None:
    """Note the start of the notebook; later segments leave the time of the first."""
    papermill = document.metadata.setdefault("papermill", NotebookNode())
    if not papermill.get("start_time"):
        papermill["start_time"] = _now()
    papermill.update(end_time=None, duration=None, exception=None)
    document.metadata.setdefault("pauseflow", NotebookNode())["execution"] = execution
    document.changed()


def note_notebook_ended(document: Document, *, has_error: bool) -> None:
    """Note the end of the notebook; its duration includes the time for which it waited."""
    papermill = document.metadata.setdefault("papermill", NotebookNode())
    papermill["end_time"] = _now()
    if papermill.get("start_time"):
        papermill["duration"] = _seconds_between(papermill["start_time"], papermill["end_time"])
    papermill["exception"] = True if has_error else None
    document.changed()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _seconds_between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
