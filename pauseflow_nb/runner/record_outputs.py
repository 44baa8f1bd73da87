"""Make and find our own outputs in an executed notebook: questions with their decisions, and notices.

A cell that clears its outputs leaves these records. Their metadata have the same facts for programs. No record contains a
link, because everybody who can read the file could use it.
"""

from typing import Any

from nbformat import NotebookNode

from pauseflow_nb.runner.document import Document


def record(kind: str, html: str, plain: str, **facts: Any) -> NotebookNode:
    """Make a record.

    Args:
        kind: `"suspension"`, `"earlier"`, `"losses"`, `"lost"`, `"fresh"` or `"ending"`.
        html: The text that front ends show.
        plain: The same as plain text.
        facts: The same for programs, as JSON values.
    """
    return NotebookNode(
        output_type="display_data",
        data=NotebookNode({"text/html": html, "text/plain": plain}),
        metadata=NotebookNode(pauseflow=NotebookNode(kind=kind, **facts)),
    )


def kind_of(output: NotebookNode) -> str:
    """Read the kind of a record; empty for any other output."""
    return str(facts_of(output).get("kind", ""))


def facts_of(output: NotebookNode) -> dict[str, Any]:
    """Read the facts of a record; empty for any other output."""
    found = output.get("metadata", {}).get("pauseflow")
    return found if isinstance(found, dict) else {}


def is_record(output: NotebookNode) -> bool:
    """Whether an output is a record, which stays when the cell clears its outputs."""
    return bool(kind_of(output))


def records_in(document: Document, kind: str) -> list[tuple[int, NotebookNode]]:
    """Find all records of a kind, with the index of their cell."""
    cells = enumerate(document.cells)
    return [(index, output) for index, cell in cells for output in cell.get("outputs", []) if kind_of(output) == kind]
