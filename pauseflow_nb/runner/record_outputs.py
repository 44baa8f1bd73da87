"""Outputs of our own in the cells of an executed notebook: what was asked and decided, and what a kernel lost.

They are part of the record: a cell that clears its outputs leaves them. What they say stands in their metadata,
too, for programs. None of them holds a link: whoever can read the file could act with it.
"""

from typing import Any

from nbformat import NotebookNode

from pauseflow_nb.runner.document import Document

__all__ = ["facts_of", "is_record", "kind_of", "record", "records_in"]


def record(kind: str, html: str, plain: str, **facts: Any) -> NotebookNode:
    """Make an output.

    Args:
        kind: `"suspension"`, `"earlier"`, `"losses"` or `"ending"`.
        html: What front ends show.
        plain: The same as text.
        facts: The same for programs, as JSON values.
    """
    return NotebookNode(
        output_type="display_data",
        data=NotebookNode({"text/html": html, "text/plain": plain}),
        metadata=NotebookNode(pauseflow=NotebookNode(kind=kind, **facts)),
    )


def kind_of(output: NotebookNode) -> str:
    """Tell the kind of a record; empty for an output of the notebook's own."""
    return str(facts_of(output).get("kind", ""))


def facts_of(output: NotebookNode) -> dict[str, Any]:
    """Read what a record says, for programs."""
    found = output.get("metadata", {}).get("pauseflow")
    return found if isinstance(found, dict) else {}


def is_record(output: NotebookNode) -> bool:
    """Whether an output is ours, and stays when the cell clears its outputs."""
    return bool(kind_of(output))


def records_in(document: Document, kind: str) -> list[tuple[int, NotebookNode]]:
    """Find all records of a kind, with the index of their cell."""
    cells = enumerate(document.cells)
    return [(index, output) for index, cell in cells for output in cell.get("outputs", []) if kind_of(output) == kind]
