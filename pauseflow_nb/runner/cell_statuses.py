"""What became of each cell, kept where papermill keeps it: `cell.metadata.papermill`.

Papermill's words are `pending`, `running`, `completed` and `failed`. Ours beside them tell truly
what it does not know: `suspended`, `interrupted` (its kernel ended or was stopped) and `not run`.
"""

from datetime import UTC, datetime

from nbformat import NotebookNode

from pauseflow_nb.runner.document import Document

__all__ = [
    "close",
    "note_ended",
    "note_notebook_ended",
    "note_notebook_started",
    "note_running_again",
    "note_started",
    "reset",
    "status_of",
]


def reset(document: Document, first: int) -> None:
    """Forget what an earlier attempt left in the cells from this one on."""
    for index, cell in enumerate(document.cells[first:], first):
        cell.metadata["papermill"] = NotebookNode(
            exception=None, start_time=None, end_time=None, duration=None, status="pending"
        )
        cell.metadata.pop("pauseflow", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        document.changed(index)


def status_of(cell: NotebookNode) -> str:
    """Read a cell's status; `pending` if nothing was noted."""
    return str(cell.metadata.get("papermill", {}).get("status", "pending"))


def note_started(document: Document, index: int) -> None:
    """Note that a cell runs from now on."""
    noted = document.cells[index].metadata.setdefault("papermill", NotebookNode())
    noted.update(exception=False, start_time=_now(), end_time=None, duration=None, status="running")
    document.changed(index)


def note_ended(document: Document, index: int, status: str, *, has_error: bool = False) -> None:
    """Note how a cell ended; one that never started gets no times."""
    noted = document.cells[index].metadata.setdefault("papermill", NotebookNode())
    if noted.get("start_time"):
        noted["end_time"] = _now()
        noted["duration"] = _seconds_between(noted["start_time"], noted["end_time"])
    noted["status"] = status
    if status != "not run":
        noted["exception"] = has_error
    document.changed(index)


def note_running_again(document: Document, index: int) -> None:
    """Note that a cell which waited in its middle is running still."""
    document.cells[index].metadata["papermill"]["status"] = "running"
    document.changed(index)


def close(document: Document) -> None:
    """Tell of the cells that will never run that they did not, and note the end of the notebook."""
    for index, cell in enumerate(document.cells):
        if status_of(cell) == "pending":
            note_ended(document, index, "not run")
    note_notebook_ended(
        document, has_error=any(status_of(cell) in {"failed", "interrupted"} for cell in document.cells)
    )


def note_notebook_started(document: Document, execution: str) -> None:
    """Note the beginning; a later segment keeps that of the first."""
    noted = document.metadata.setdefault("papermill", NotebookNode())
    if not noted.get("start_time"):
        noted["start_time"] = _now()
    noted.update(end_time=None, duration=None, exception=None)
    document.metadata.setdefault("pauseflow", NotebookNode())["execution"] = execution
    document.changed()


def note_notebook_ended(document: Document, *, has_error: bool) -> None:
    """Note the end; the duration counts the time it waited, too."""
    noted = document.metadata.setdefault("papermill", NotebookNode())
    noted["end_time"] = _now()
    if noted.get("start_time"):
        noted["duration"] = _seconds_between(noted["start_time"], noted["end_time"])
    noted["exception"] = True if has_error else None
    document.changed()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _seconds_between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
