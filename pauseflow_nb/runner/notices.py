"""Write notices into the notebook: what a kernel could not restore, why no cell ran, which outputs were lost."""

from dataclasses import asdict
from html import escape

from nbformat import NotebookNode

from pauseflow_nb.printable import printable_lines
from pauseflow_nb.protocol import Loss
from pauseflow_nb.runner import cell_statuses
from pauseflow_nb.runner.card_text import WRONG, render_box
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.record_outputs import kind_of, record

_LOST = "The outputs of this cell were lost: the notebook could not be stored after the cell had run."


def write_losses(document: Document, first: int, losses: list[Loss]) -> None:
    """Show above the first cell of a segment what could not be restored."""
    title = "Not everything could be restored after the pause:"
    html, plain = _render_list(title, [str(loss) for loss in losses])
    _write_notice(document, first, record("losses", html, plain, losses=[asdict(loss) for loss in losses]))


def write_ending(document: Document, first: int, sentence: str) -> None:
    """Show above the first cell of a segment why none of its cells ran."""
    text = printable_lines(sentence)
    _write_notice(document, first, record("ending", render_box(escape(text), WRONG), text, text=text))


def complete_cells(document: Document, done: int, failed: int | None = None) -> None:
    """Set the statuses of cells that ran after the notebook was last stored, and say that their outputs are missing.

    Args:
        document: The notebook, as last stored.
        done: How many cells have succeeded.
        failed: Index of the cell that failed, if one did.
    """
    ended = dict.fromkeys(cell_statuses.list_missing(document, done), "completed")
    if failed is not None and cell_statuses.status_of(document.cells[failed]) in {"pending", "running"}:
        ended[failed] = "failed"
    for index, status in ended.items():
        cell = document.cells[index]
        if cell_statuses.NOT_RUN & set(cell.metadata.get("tags", [])):
            cell_statuses.note_ended(document, index, "not run")
            continue
        cell_statuses.note_ended(document, index, status, has_error=status == "failed")
        if cell.cell_type == "code" and cell.source.strip():
            _write_notice(document, index, record("lost", render_box(_LOST, WRONG), _LOST, text=_LOST))


def _write_notice(document: Document, first: int, notice: NotebookNode) -> None:
    code = [index for index, cell in enumerate(document.cells) if cell.cell_type == "code"]
    # A segment may begin below the last code cell; then the last code cell shows the notice.
    index = next((index for index in code if index >= first), code[-1] if code else None)
    if index is None:
        return
    outputs = document.cells[index].outputs
    outputs[:] = [notice, *(output for output in outputs if kind_of(output) != kind_of(notice))]
    document.changed(index)


def _render_list(title: str, sentences: list[str]) -> tuple[str, str]:
    lines = [printable_lines(sentence) for sentence in sentences]
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in lines)
    html = f'<strong>{escape(title)}</strong><ul style="margin:.2em 0">{items}</ul>'
    return render_box(html, WRONG), "\n".join([title, *(f"- {sentence}" for sentence in lines)])
