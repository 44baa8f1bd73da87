"""The record of each suspension in the notebook: a card that waits, then the question with what was decided.

It stays: a step that runs again has the questions of its earlier runs above its outputs, folded.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from nbformat import NotebookNode

from pauseflow_nb.durations import spoken
from pauseflow_nb.forms.secrets import hide_secrets
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import PauseAnswer, SuspensionRequest, Unsaved, Wake, answer_in
from pauseflow_nb.runner import card_text, cell_statuses
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.record_outputs import facts_of, kind_of, record, records_in

__all__ = [
    "Decision",
    "Place",
    "close_document",
    "copy_of_card",
    "decision_of",
    "decision_of_pause",
    "put_back",
    "put_card",
    "put_decision",
    "refuse",
    "reset",
]


@dataclass(frozen=True)
class Place:
    """Which suspension of an execution it is."""

    #: Empty if it was suspended from outside.
    step: str
    run: int = 1
    segment: int = 0
    ordinal: int = 0


@dataclass(frozen=True)
class Decision:
    """What became of a suspension."""

    #: Who or what decided, and when, for people.
    sentence: str
    #: `"resume"`, `"cancel"`, `"timeout"`, or how the execution ended.
    action: str = ""
    #: `"clock"`, `"link"`, `"user:NAME"`, …
    by: str = ""
    #: How that is known: `"link"`, `"login"`, `"account"`; empty: nobody has noted it.
    known_by: str = ""
    #: When, ISO 8601 in UTC.
    at: str = ""
    comment: str = ""
    answer: JSON = None
    #: Everybody who approved, in order.
    approvals: list[dict[str, JSON]] | None = None


def put_card(
    document: Document, cell: int, place: Place, request: SuspensionRequest, unsaved: Iterable[Unsaved] = ()
) -> None:
    """Append the card that says what a suspended step waits for, and which variables will not come back."""
    unsaved = list(unsaved)
    said = [str(each) for each in unsaved if each.fate != "replayed"]
    if any(each.fate == "lost" for each in unsaved):
        said.append("Its kernel is kept alive meanwhile; if that ends, the execution fails (kernel-lost).")
    facts: dict[str, Any] = {
        **asdict(place),
        "question": {
            "kind": request.kind,
            "title": request.title,
            "message": request.message,
            "data": request.data,
            "schema": request.schema,
            "deadline": _moment_of(request),
            "until": _deadline(request),
            "notebooks": [child.name for child in request.children],
            "labels": request.labels,
        },
        "unsaved": said,
        "refused": [],
        "decision": None,
    }
    outputs = document.cells[cell].outputs
    _forget_earlier(document, cell, facts)
    outputs.append(_output(facts))
    document.changed(cell)


def put_decision(document: Document, step: str, decision: Decision) -> bool:
    """Write below the question of a step's waiting card what was decided; False if no card of it waits."""
    for cell, output in _cards(document, step):
        facts = facts_of(output)
        answer = hide_secrets(decision.answer, facts["question"].get("schema"))
        said = asdict(decision)
        # A text that somebody sends is the answer and its comment alike.
        said["answer"] = None if answer == decision.comment else answer
        said["approvals"] = decision.approvals or []
        # In place: the list of a cell that paused in its middle goes on growing.
        output.update(_output({**facts, "decision": said}))
        document.cells[cell].metadata["papermill"]["status"] = "completed"
        document.changed(cell)
        return True
    return False


def reset(document: Document, first: int) -> None:
    """Forget what an earlier attempt left in the cells from this one on, but for what people decided there."""
    decided = {index: _decided(cell) for index, cell in enumerate(document.cells[first:], first)}
    cell_statuses.reset(document, first)
    for index, all_facts in decided.items():
        if all_facts:
            document.cells[index].outputs = [_earlier(all_facts)]


def copy_of_card(document: Document, step: str) -> tuple[int, NotebookNode] | None:
    """Copy the cell that holds a step's waiting card, to be put back if the answer turns out to be none."""
    found = _cards(document, step)
    return (found[-1][0], deepcopy(document.cells[found[-1][0]])) if found else None


def put_back(
    document: Document, index: int, cell: NotebookNode, decision: Decision, errors: Iterable[Mapping[str, JSON]]
) -> None:
    """Let a cell wait again as it did, and say what was wrong with the answer."""
    status, waiting = cell_statuses.status_of(cell), [each for each in cell.outputs if _is_waiting(each)]
    document.cells[index] = cell
    for card in waiting:
        step = facts_of(card)["step"]
        put_decision(document, step, decision)
        refuse(document, step, errors)
    cell.metadata["papermill"]["status"] = status
    document.changed(index)


def refuse(document: Document, step: str, errors: Iterable[Mapping[str, JSON]]) -> None:
    """Let the question that a step was answered last wait again, and say what was wrong with the answer."""
    found = [each for each in records_in(document, "suspension") if facts_of(each[1])["step"] == step]
    if not found or facts_of(found[-1][1])["decision"] is None:
        return
    cell, output = found[-1]
    facts = facts_of(output)
    refused = {key: facts["decision"][key] for key in ("by", "known_by", "at", "answer")}
    refused["errors"] = [dict(error) for error in errors]
    output.update(_output({**facts, "decision": None, "refused": [*facts["refused"], refused]}))
    document.changed(cell)


def close_document(document: Document, step: str, decision: Decision) -> None:
    """Finish the document of an execution that ended while it waited: cancelled, or timed out.

    Args:
        document: Its stored document.
        step: The step that waited.
        decision: What ended it.
    """
    put_decision(document, step, decision)
    cell_statuses.close(document)


def decision_of_pause(answer: PauseAnswer) -> Decision:
    """Say who or what ended a pause, and when."""
    envelope = answer.envelope or {}
    one = {"by": answer.by, "at": answer.at, "comment": envelope.get("comment")}
    one |= {key: envelope[key] for key in ("known_by", "via") if envelope.get(key)}
    given = envelope.get("approvals")
    approvals = given if isinstance(given, list) and given else [one]
    return _decision("pause", answer.action, approvals, answer_in(envelope) or None)


def decision_of(wake: Wake, envelope: Mapping[str, JSON] | None = None) -> Decision:
    """Say who or what ended a suspension, and when.

    Args:
        wake: What woke the segment.
        envelope: The answer, also where the clock gave it.
    """
    facts = envelope or wake.callback or {}
    one: dict[str, JSON] = {"by": wake.by, "at": wake.at, "known_by": facts.get("known_by"), "via": facts.get("via")}
    return _decision(wake.kind, "resume", wake.approvals or [one], answer_in(envelope or wake.callback or {}) or None)


def _decision(kind: str, action: str, approvals: list[dict[str, JSON]], answer: JSON) -> Decision:
    last = approvals[-1]
    return Decision(
        sentence=card_text.sentence_of(kind, action, approvals),
        action=action,
        by=str(last["by"]),
        known_by=str(last.get("known_by") or ""),
        at=str(last.get("at") or ""),
        comment=str(last.get("comment") or ""),
        answer=answer,
        approvals=approvals,
    )


def _output(facts: Mapping[str, Any]) -> NotebookNode:
    facts = {key: value for key, value in facts.items() if key != "kind"}
    return record("suspension", card_text.as_html(facts), card_text.as_text(facts), **deepcopy(facts))


def _earlier(all_facts: list[dict[str, Any]]) -> NotebookNode:
    html, text = card_text.earlier_as_html(all_facts), card_text.earlier_as_text(all_facts)
    return record("earlier", html, text, suspensions=all_facts)


def _decided(cell: NotebookNode) -> list[dict[str, Any]]:
    """What was decided in a cell, the oldest first; that the clock ran a step again was nobody's decision."""
    found: list[dict[str, Any]] = []
    for output in cell.get("outputs", []):
        if kind_of(output) == "earlier":
            found += facts_of(output)["suspensions"]
        elif kind_of(output) == "suspension" and not _is_waiting(output) and not _is_clocks(facts_of(output)):
            found.append({key: value for key, value in facts_of(output).items() if key != "kind"})
    return found


def _is_clocks(facts: Mapping[str, Any]) -> bool:
    return bool(facts["question"]["kind"] == "rerun" and facts["decision"]["by"] == "clock")


def _forget_earlier(document: Document, cell: int, facts: Mapping[str, Any]) -> None:
    """Drop from the earlier ones what an attempt after a crash asks again: it is one suspension."""
    outputs = document.cells[cell].outputs
    for output in [each for each in outputs if kind_of(each) == "earlier"]:
        left = [each for each in facts_of(output)["suspensions"] if _identity(each) != _identity(facts)]
        if left:
            output.update(_earlier(left))
        else:
            outputs.remove(output)


def _identity(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    return facts["segment"], facts["step"], facts["run"], facts["ordinal"]


def _cards(document: Document, step: str) -> list[tuple[int, NotebookNode]]:
    found = records_in(document, "suspension")
    return [each for each in found if _is_waiting(each[1]) and facts_of(each[1])["step"] == step]


def _is_waiting(output: NotebookNode) -> bool:
    return kind_of(output) == "suspension" and facts_of(output)["decision"] is None


def _moment_of(request: SuspensionRequest) -> str | None:
    if request.seconds is None:
        return None
    return (datetime.now(UTC) + timedelta(seconds=request.seconds)).isoformat(timespec="seconds")


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
