"""The card in a notebook that waits, and the sentence that takes its place once it was decided.

Neither holds a link: whoever can read the file could act with it.
"""

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from html import escape

from nbformat import NotebookNode

from pauseflow_nb import schemas
from pauseflow_nb.durations import spoken
from pauseflow_nb.identity import in_words
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import PauseAnswer, SuspensionRequest, Unsaved, Wake
from pauseflow_nb.runner import statuses
from pauseflow_nb.runner.document import Document

__all__ = ["close_document", "copy_of_card", "decision_of", "put_back", "put_card", "put_decision", "sentence_of_pause"]

# Enough to see what is asked; the approval page shows the whole.
_LONGEST_DATA = 2000

_WAITING = "border-left:4px solid #c77700;padding:.4em .8em"
_DECIDED = "border-left:4px solid #777;padding:.4em .8em"


def put_card(
    document: Document, cell: int, step: str, request: SuspensionRequest, unsaved: Iterable[Unsaved] = ()
) -> None:
    """Append the card that says what a suspended step waits for, and which variables will not come back."""
    title = request.title or f"Step {step} {_waits_for(request)}"
    lines = [request.message, f"{_waits_for(request).capitalize()}." if request.title else None, _deadline(request)]
    unsaved = list(unsaved)
    said = [*filter(None, lines), *(str(each) for each in unsaved if each.fate != "replayed")]
    if any(each.fate == "lost" for each in unsaved):
        said.append("Its kernel is kept alive meanwhile; if that ends, the execution fails (kernel-lost).")
    data = "" if request.data is None else _shortened(request.data)
    html = f"<strong>{escape(title)}</strong>" + "".join(f"<br>{escape(line)}" for line in said)
    html += f"<pre>{escape(data)}</pre>" if data else ""
    plain = "\n".join([title, *said, *([data] if data else [])])
    card = NotebookNode(
        output_type="display_data",
        data=NotebookNode({"text/html": f'<div style="{_WAITING}">{html}</div>', "text/plain": plain}),
        metadata=NotebookNode(pauseflow=NotebookNode(card=True, step=step)),
    )
    document.cells[cell].outputs.append(card)
    document.changed(cell)


def put_decision(document: Document, step: str, sentence: str) -> bool:
    """Replace the waiting card of a step with the sentence; False if no card of it is there."""
    for cell, output in _cards(document, step):
        html = f'<div style="{_DECIDED}">{escape(sentence)}</div>'
        output["data"] = NotebookNode({"text/html": html, "text/plain": sentence})
        output["metadata"] = NotebookNode(pauseflow=NotebookNode(decision=True, step=step))
        outputs = document.cells[cell].outputs
        # In place: the list of a cell that paused in its middle goes on growing.
        outputs[:] = [each for each in outputs if not _is_refusal(each)]
        document.cells[cell].metadata["papermill"]["status"] = "completed"
        document.changed(cell)
        return True
    return False


def copy_of_card(document: Document, step: str) -> tuple[int, NotebookNode] | None:
    """Copy the cell that holds a step's waiting card, to be put back if the answer turns out to be none."""
    found = _cards(document, step)
    return (found[-1][0], deepcopy(document.cells[found[-1][0]])) if found else None


def put_back(document: Document, index: int, cell: NotebookNode, errors: Iterable[Mapping[str, JSON]]) -> None:
    """Let a cell wait again, and say what was wrong with the answer."""
    said = f"The answer was refused: {schemas.in_words(errors)}."
    cell.outputs = [output for output in cell.outputs if not _is_refusal(output)]
    note = NotebookNode(
        output_type="display_data",
        data=NotebookNode(
            {"text/html": f'<div style="{_WAITING}">{escape(said)}</div>', "text/plain": said},
        ),
        metadata=NotebookNode(pauseflow=NotebookNode(refusal=True)),
    )
    cell.outputs.append(note)
    document.cells[index] = cell
    document.changed(index)


def close_document(document: Document, step: str, sentence: str) -> None:
    """Finish the document of an execution that ended while it waited: cancelled, or timed out.

    Args:
        document: Its stored document.
        step: The step that waited.
        sentence: What takes the card's place: `"Cancelled by user:ann at 2026-11-20 10:00 UTC."`
    """
    put_decision(document, step, sentence)
    statuses.close(document)


def sentence_of_pause(answer: PauseAnswer) -> str:
    """Say who or what ended a pause, and when."""
    what = {"resume": "Resumed", "cancel": "Cancelled"}.get(answer.action, "Timed out, as told")
    facts = answer.envelope or {}
    return f"{what} by {_said({**facts, 'by': answer.by, 'at': answer.at, 'comment': None})}."


def decision_of(wake: Wake) -> str:
    """Say who or what ended a suspension, and when."""
    what = {"suspend": "Resumed", "delay": "Continued", "rerun": "Run again", "notebook": "Continued"}.get(
        wake.kind, "Resumed"
    )
    known = {key: value for key, value in (wake.callback or {}).items() if key in ("known_by", "via")}
    approvals = wake.approvals or [{**known, "by": wake.by, "at": wake.at}]
    return f"{what} by {', '.join(map(_said, approvals))}."


def _said(approval: Mapping[str, JSON]) -> str:
    by = str(approval["by"])
    who = {"clock": "the clock", "notebooks": "the end of its notebooks", "": "unknown"}.get(by, in_words(by, approval))
    comment = approval.get("comment")
    return who + _at(str(approval["at"])) + (f" (“{comment}”)" if comment else "")


def _at(moment: str) -> str:
    try:
        return f" at {datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return ""


def _cards(document: Document, step: str) -> list[tuple[int, NotebookNode]]:
    return [
        (index, output)
        for index, cell in enumerate(document.cells)
        for output in cell.get("outputs", [])
        if _is_card(output, step)
    ]


def _is_refusal(output: NotebookNode) -> bool:
    return bool(output.get("metadata", {}).get("pauseflow", {}).get("refusal"))


def _is_card(output: NotebookNode, step: str) -> bool:
    noted = output.get("metadata", {}).get("pauseflow", {})
    return bool(noted.get("card") and noted.get("step") == step)


def _waits_for(request: SuspensionRequest) -> str:
    if request.kind == "rerun":
        return "will run again"
    if request.kind == "delay":
        return "waits for the clock"
    if request.kind == "notebook":
        return f"waits for {', '.join(child.name for child in request.children)}"
    return "waits for an answer"


def _deadline(request: SuspensionRequest) -> str | None:
    if request.seconds is None:
        return None
    span = timedelta(seconds=request.seconds)
    until = f"{datetime.now(UTC) + span:%Y-%m-%d %H:%M:%S} UTC ({spoken(span)})"
    if request.kind == "rerun":
        return f"At {until} at the latest, or earlier by its link."
    if request.kind == "delay":
        return f"Until {until}."
    then = {"cancel": "it is cancelled", "fail": "it fails", "resume": "it goes on"}.get(request.on_timeout, "")
    return f"Until {until}; then {then}." if then else f"Until {until}."


def _shortened(data: JSON) -> str:
    text = json.dumps(data, indent=2, ensure_ascii=False)
    return text if len(text) <= _LONGEST_DATA else text[:_LONGEST_DATA] + " …"
