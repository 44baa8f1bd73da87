"""Write the card of each suspension into the notebook: first the open question, then also the decision.

Cards stay in the notebook: a step that runs again has the cards of its earlier runs above its outputs, folded.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from nbformat import NotebookNode

from pauseflow_nb.durations import format_duration
from pauseflow_nb.forms.secrets import hide_secrets
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import PauseAnswer, SuspensionRequest, Unsaved, Wake, extract_answer, has_answer
from pauseflow_nb.runner import card_text, cell_statuses
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.record_outputs import facts_of, kind_of, record, records_in


@dataclass(frozen=True)
class Place:
    """Identifies a suspension within an execution."""

    #: Empty for a suspension from outside.
    step: str
    run: int = 1
    segment: int = 0
    ordinal: int = 0


@dataclass(frozen=True)
class Decision:
    """How a suspension was settled."""

    #: Who or what decided, and when, in words: `ann (login) at 2026-11-20 10:30:00 UTC`.
    by_whom: str
    #: `"resume"`, `"approve"`, `"send_back"`, `"cancel"`, `"timeout"`, or how the execution ended.
    action: str
    #: `"clock"`, `"link"`, `"user:NAME"`, …
    by: str = ""
    #: How the person was identified: `"link"`, `"login"`, `"account"`; empty if that was not recorded.
    known_by: str = ""
    #: When, ISO 8601 in UTC.
    at: str = ""
    comment: str = ""
    answer: JSON = None
    #: Whether there is an answer, which may be null.
    has_answer: bool = False
    #: All approvals, in order.
    approvals: list[dict[str, JSON]] | None = None


def write_card(
    document: Document,
    cell: int,
    place: Place,
    request: SuspensionRequest,
    unsaved: Iterable[Unsaved] = (),
    *,
    notes: Iterable[str] = (),
) -> None:
    """Append the card of a suspension: what its step waits for, and which variables are not saved.

    Args:
        document: The notebook.
        cell: Index of the cell that shows it.
        place: Identifies the suspension.
        request: The step's request to wait.
        unsaved: Variables that are not in the snapshot.
        notes: Sentences about other things that were not saved, if the cell's own outputs do not have them.
    """
    unsaved = list(unsaved)
    sentences = [str(each) for each in unsaved if each.fate != "replayed"]
    if any(each.fate == "lost" for each in unsaved):
        sentences.append("Its kernel is kept alive meanwhile; if that ends, the execution fails (kernel-lost).")
    sentences += notes
    facts: dict[str, Any] = {
        **asdict(place),
        "question": {
            "kind": request.kind,
            "title": request.title,
            "message": request.message,
            "data": request.data,
            "schema": request.schema,
            "deadline": _format_deadline(request),
            "until": _describe_deadline(request),
            "notebooks": [child.name for child in request.children],
            "labels": request.labels,
            "allow": request.allow,
        },
        "unsaved": sentences,
        "refused": [],
        "decision": None,
    }
    outputs = document.cells[cell].outputs
    _remove_repeated(document, cell, facts)
    outputs.append(_output(facts))
    document.changed(cell)


def write_decision(document: Document, step: str, decision: Decision) -> bool:
    """Add a decision to the waiting card of a step; returns False if it has no waiting card."""
    for cell, output in _find_waiting_cards(document, step):
        facts = facts_of(output)
        decided = make_facts(decision, facts["question"])
        # In place, because a cell that paused within its code keeps adding outputs.
        output.update(_output({**facts, "decision": decided}))
        document.cells[cell].metadata["papermill"]["status"] = "completed"
        document.changed(cell)
        return True
    return False


def make_facts(decision: Decision, question: Mapping[str, Any]) -> dict[str, Any]:
    """Make the facts of a decision for its card and its signed record.

    Args:
        decision: The decision.
        question: Its question: `kind`, `schema` and `labels`.
    """
    facts = {**vars(decision)}
    by_whom = facts.pop("by_whom")
    done = card_text.name_decision_on(question, decision.action, decision.by)
    # A plain text is both the answer and its comment.
    is_comment = bool(decision.comment) and decision.answer == decision.comment
    return {
        **facts,
        "sentence": f"{done} by {by_whom}.",
        "answer": None if is_comment else hide_secrets(decision.answer, question.get("schema")),
        "has_answer": decision.has_answer and not is_comment,
        "approvals": decision.approvals or [],
    }


def find_question(document: Document, place: Place) -> dict[str, Any]:
    """Find the question on the card of a suspension; empty if there is no such card."""
    for _, output in records_in(document, "suspension"):
        facts = facts_of(output)
        if _identify(facts) == _identify(asdict(place)):
            return dict(facts["question"])
    return {}


def has_card(document: Document, place: Place) -> bool:
    """Whether a cell shows the card of a suspension, also among earlier ones."""
    found = [facts_of(output) for _, output in records_in(document, "suspension")]
    for _, output in records_in(document, "earlier"):
        found += facts_of(output)["suspensions"]
    return any(_identify(facts) == _identify(asdict(place)) for facts in found)


def reset(document: Document, first: int) -> None:
    """Remove the outputs of an earlier attempt from this cell and all below it, except the decisions of people."""
    decided = {index: _find_decided(cell) for index, cell in enumerate(document.cells[first:], first)}
    cell_statuses.reset(document, first)
    for index, all_facts in decided.items():
        if all_facts:
            document.cells[index].outputs = [_make_earlier(all_facts)]


def copy_card(document: Document, step: str) -> tuple[int, NotebookNode] | None:
    """Copy the cell with the waiting card of a step, so that `restore_card` can restore it if the answer is refused."""
    found = _find_waiting_cards(document, step)
    return (found[-1][0], deepcopy(document.cells[found[-1][0]])) if found else None


def restore_card(
    document: Document,
    index: int,
    cell: NotebookNode,
    decision: Decision,
    errors: Iterable[Mapping[str, JSON]],
    *,
    drift: list[dict[str, Any]] | None = None,
) -> None:
    """Restore a waiting cell, and show on its card why the answer does not count.

    Args:
        document: The notebook.
        index: Index of the cell.
        cell: The copy made by `copy_card`.
        decision: The answer.
        errors: The errors of the notebook's validators, or sentences about values that have changed.
        drift: Values of fresh cells that differ from those that were shown.
    """
    status, waiting = cell_statuses.status_of(cell), [each for each in cell.outputs if _is_waiting(each)]
    document.cells[index] = cell
    for card in waiting:
        step = facts_of(card)["step"]
        write_decision(document, step, decision)
        refuse(document, step, errors, drift=drift)
    cell.metadata["papermill"]["status"] = status
    document.changed(index)


def refuse(
    document: Document,
    step: str,
    errors: Iterable[Mapping[str, JSON]],
    *,
    drift: list[dict[str, Any]] | None = None,
) -> None:
    """Reopen the last decided card of a step, and show on it why the answer was refused."""
    found = [each for each in records_in(document, "suspension") if facts_of(each[1])["step"] == step]
    if not found or facts_of(found[-1][1])["decision"] is None:
        return
    cell, output = found[-1]
    facts = facts_of(output)
    refused = {key: facts["decision"][key] for key in ("by", "known_by", "at", "answer")}
    refused["errors"] = [dict(error) for error in errors]
    if drift is not None:
        refused["is_drift"] = True
    question = facts["question"] if drift is None else {**facts["question"], "drift": drift}
    reopened = {"question": question, "decision": None, "refused": [*facts["refused"], refused]}
    output.update(_output({**facts, **reopened}))
    document.changed(cell)


def close_document(document: Document, step: str, decision: Decision) -> None:
    """Complete the document of an execution that was cancelled, or timed out, while it waited."""
    write_decision(document, step, decision)
    cell_statuses.close(document)


def describe_pause_decision(answer: PauseAnswer) -> Decision:
    """Describe who or what ended a pause, and when."""
    envelope = answer.envelope or {}
    approval = {"by": answer.by, "at": answer.at, "comment": envelope.get("comment")}
    approval |= {key: envelope[key] for key in ("known_by", "via") if envelope.get(key)}
    approvals = envelope.get("approvals")
    approvals = approvals if isinstance(approvals, list) and approvals else [approval]
    return describe_approval(answer.action, approvals, envelope)


def describe_decision(wake: Wake, envelope: Mapping[str, JSON] | None = None) -> Decision:
    """Describe who or what ended a suspension, and when.

    Args:
        wake: What woke the segment.
        envelope: The answer, also if the clock gave it.
    """
    if wake.sent_back is not None:
        data, comment = wake.sent_back.get("data"), wake.sent_back.get("comment")
        # A comment that came in a field of its own is not also an answer.
        answer = {} if data in (None, {"comment": comment}) else {"body": data}
        return describe_approval("send_back", wake.approvals, answer)
    facts = envelope or wake.callback or {}
    approval: dict[str, JSON] = {
        "by": wake.by,
        "at": wake.at,
        "known_by": facts.get("known_by"),
        "via": facts.get("via"),
    }
    return describe_approval("resume", wake.approvals or [approval], facts)


def describe_approval(action: str, approvals: list[dict[str, JSON]], envelope: Mapping[str, JSON]) -> Decision:
    """Describe the decision of the last of several people, and name all of them."""
    last, is_answered = approvals[-1], has_answer(envelope)
    return Decision(
        by_whom=", ".join(map(card_text.describe_approval, approvals)),
        action=action,
        by=str(last["by"]),
        known_by=str(last.get("known_by") or ""),
        at=str(last.get("at") or ""),
        comment=str(last.get("comment") or ""),
        answer=extract_answer(envelope) if is_answered else None,
        has_answer=is_answered,
        approvals=approvals,
    )


def _output(facts: Mapping[str, Any]) -> NotebookNode:
    facts = {key: value for key, value in facts.items() if key != "kind"}
    return record("suspension", card_text.render_html(facts), card_text.render_text(facts), **deepcopy(facts))


def _make_earlier(all_facts: list[dict[str, Any]]) -> NotebookNode:
    html, text = card_text.render_earlier_html(all_facts), card_text.render_earlier_text(all_facts)
    return record("earlier", html, text, suspensions=all_facts)


def _find_decided(cell: NotebookNode) -> list[dict[str, Any]]:
    """Find the decided cards of a cell, the oldest first, without those of reruns that the clock started."""
    found: list[dict[str, Any]] = []
    for output in cell.get("outputs", []):
        if kind_of(output) == "earlier":
            found += facts_of(output)["suspensions"]
        elif kind_of(output) == "suspension" and not _is_waiting(output) and not _is_rerun_by_clock(facts_of(output)):
            found.append({key: value for key, value in facts_of(output).items() if key != "kind"})
    return found


def _is_rerun_by_clock(facts: Mapping[str, Any]) -> bool:
    return bool(facts["question"]["kind"] == "rerun" and facts["decision"]["by"] == "clock")


def _remove_repeated(document: Document, cell: int, facts: Mapping[str, Any]) -> None:
    """Remove earlier cards of the same suspension: an attempt after a crash asks its question again."""
    outputs = document.cells[cell].outputs
    for output in [each for each in outputs if kind_of(each) == "earlier"]:
        left = [each for each in facts_of(output)["suspensions"] if _identify(each) != _identify(facts)]
        if left:
            output.update(_make_earlier(left))
        else:
            outputs.remove(output)


def _identify(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    return facts["segment"], facts["step"], facts["run"], facts["ordinal"]


def _find_waiting_cards(document: Document, step: str) -> list[tuple[int, NotebookNode]]:
    found = records_in(document, "suspension")
    return [each for each in found if _is_waiting(each[1]) and facts_of(each[1])["step"] == step]


def _is_waiting(output: NotebookNode) -> bool:
    return kind_of(output) == "suspension" and facts_of(output)["decision"] is None


def _format_deadline(request: SuspensionRequest) -> str | None:
    if request.seconds is None:
        return None
    return (datetime.now(UTC) + timedelta(seconds=request.seconds)).isoformat(timespec="seconds")


def _describe_deadline(request: SuspensionRequest) -> str | None:
    if request.seconds is None:
        return None
    span = timedelta(seconds=request.seconds)
    until = f"{datetime.now(UTC) + span:%Y-%m-%d %H:%M:%S} UTC ({format_duration(span)})"
    if request.kind == "rerun":
        return f"At {until} at the latest, or earlier by its link."
    if request.kind == "delay":
        return f"Until {until}."
    then = {"cancel": "it is cancelled", "fail": "it fails", "resume": "it continues"}.get(request.on_timeout, "")
    return f"Until {until}; then {then}." if then else f"Until {until}."
