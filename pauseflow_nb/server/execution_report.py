"""Write the report of an execution: one page, with nothing to load, of its decisions, its timeline and its outputs.

It is for people who were not involved, such as auditors. Outputs are sanitised as on the approval page.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from markupsafe import Markup

from pauseflow_nb import identity
from pauseflow_nb.decisions.verification import Verification, verify
from pauseflow_nb.errors import StoreDamaged
from pauseflow_nb.forms.markdown import as_html
from pauseflow_nb.json_values import dump_json
from pauseflow_nb.runner.card_text import name_decision_on
from pauseflow_nb.server.public.outputs import show_outputs
from pauseflow_nb.server.public.page import render
from pauseflow_nb.server.public.wording import describe_start, list_parameters

if TYPE_CHECKING:
    from pauseflow_nb.engine.reader import Reader

_KNOWN_BY = {
    "login": "who had signed in",
    "account": "by the account of the operating system that gave the command",
    "link": "by nothing but the link: anyone who had it",
}
#: Details of the audit trail that the page shows elsewhere, or that mean nothing to people.
_NOT_LISTED = frozenset({"digest", "attempt", "kind"})


@dataclass(frozen=True)
class Report:
    """The page, and the result of its check."""

    html: str
    #: What was changed since it was signed, one sentence each.
    problems: list[str]


@dataclass(frozen=True)
class _Decision:
    heading: str
    title: str
    message: Markup | None
    #: Question, decision and identity of the record: names with texts.
    question: list[tuple[str, str]]
    decided: list[tuple[str, str]]
    proof: list[tuple[str, str]]


@dataclass(frozen=True)
class _Event:
    at: str
    what: str
    by: str
    details: str


@dataclass(frozen=True)
class _Cell:
    number: int
    #: Source of a code cell; None for other cells, whose text is in `parts`.
    source: str | None
    parts: list[Markup]


def make_report(store: "Reader", execution: str) -> Report:
    """Write the report of an execution as it is now.

    Raises:
        UnknownExecution: If there is none.
        NotebookGone: If its executed notebook was removed.
        StoreDamaged: If its rows cannot be read.
    """
    view = store.view(execution, with_links=False)
    if "problem" in view:
        raise StoreDamaged(view["problem"])
    document = json.loads(store.document(execution))
    check = _check(store, execution, document) if view["decisions"] else None
    html = render(
        "report.html",
        view=view,
        notebook=PurePath(view["notebook"]).name,
        started=describe_start(view),
        ended=view["ended_at"] and _format_moment(view["ended_at"]),
        reason=(view["reason"] or {}).get("text"),
        parameters=list_parameters(view["parameters"]),
        check=check,
        keys=sorted({str(each["key"]) for each in view["decisions"] if "key" in each}),
        decisions=[_describe_record(each) for each in view["decisions"]],
        events=[_describe_event(each) for each in store.audit(execution)],
        cells=list(_show_cells(document["cells"])),
    )
    return Report(html, [] if check is None else check.problems)


def _check(store: "Reader", execution: str, document: Mapping[str, Any]) -> Verification:
    keys = [load_pem_public_key(store.public_key(key["id"]).encode()) for key in store.list_keys()]
    recorded, unwritten = store.decisions(execution), store.count_unwritten_decisions(execution)
    return verify(document, keys, recorded=recorded, unwritten=unwritten)  # type: ignore[arg-type]  # all are of Ed25519


def _describe_record(record: Mapping[str, Any]) -> _Decision:
    if "problem" in record:
        return _Decision(f"A record: {record['problem']}", "", None, [], [], [])
    heading = f"Record {record['number']}"
    proof = [("Digest of the record", record["digest"]), ("Key", record["key"]), ("Execution", record["execution"])]
    decision = record.get("decision") or record.get("approval")
    if decision is None and "suspension" not in record:
        return _Decision(f"{heading}: the end, {record['state']}", "", None, [], [], proof)
    question, step = record["question"], record["suspension"]["step"]
    where = f"{heading}, step {step}" if step else heading
    if record.get("withdrawn"):
        what, decided = "does not count any more, for the execution went back before it", []
    elif decision is None:
        what, decided = "asked again", list(_describe_checks(record))
    elif record.get("checks"):
        what, decided = "checked when the answer took effect", list(_describe_checks(record))
    else:
        done = name_decision_on(question, decision["action"], decision["by"])
        what = "one approval of several" if "approval" in record else done
        decided = list(_describe_decision(record, decision, question))
    return _Decision(
        heading=f"{where}: {what}",
        title=question.get("title") or "",
        message=as_html(question["message"]) if question.get("message") else None,
        question=list(_describe_question(record, question)),
        decided=decided,
        proof=[*proof, ("Digest of what was shown", record.get("shown") or "none")],
    )


def _describe_question(record: Mapping[str, Any], question: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    data = question.get("data")
    if isinstance(data, Mapping):
        yield from ((str(name), _format_text(each)) for name, each in data.items())
    elif data is not None:
        yield "Data", dump_json(data)
    if record.get("asked"):
        yield "Asked", _format_moment(record["asked"])
    if question.get("deadline"):
        yield "Deadline", _format_moment(question["deadline"])
    rules = record.get("rules") or {}
    if rules.get("approvals", 1) > 1:
        yield "Approvals needed", str(rules["approvals"])
    if rules.get("approvers"):
        yield "May answer", ", ".join(map(str, rules["approvers"]))
    if rules.get("self_approval") is False:
        yield "May not answer", "the person who started the run"


def _describe_decision(
    record: Mapping[str, Any], decision: Mapping[str, Any], question: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    label = (question.get("labels") or {}).get(decision["action"])
    if label and decision["by"] != "clock":
        yield "Button", label
    answer, comment = decision.get("answer"), decision.get("comment")
    if decision.get("has_answer", answer is not None) and answer != {"comment": comment}:
        yield "Answer", _format_text(answer)
    if comment:
        yield "Comment", comment
    approvals = decision.get("approvals") or [decision]
    for each in approvals:
        yield "Decided by", _format_name(each) + (f", {_format_moment(each['at'])}" if each.get("at") else "")
    if decision.get("known_by") and len(approvals) == 1:
        yield "Known", _KNOWN_BY.get(decision["known_by"], decision["known_by"])
    if decision["by"] != "clock":
        seen = "yes: the answer named the digest of what was shown"
        yield "Seen", seen if record.get("seen") else "not known: the answer did not name what was shown"


def _describe_checks(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Describe the checks of fresh cells, for an answer that took effect or did not count."""
    for check in record.get("checks") or ():
        yield f"{check['name']}, found {_format_moment(check['at'])}", check["reason"]


def _format_name(facts: Mapping[str, Any]) -> str:
    return identity.describe_actor(str(facts.get("by") or ""), facts)


def _describe_event(line: Mapping[str, Any]) -> _Event:
    step = f", step {line['step']}" if line.get("step") else ""
    listed = {key: each for key, each in line["details"].items() if each is not None and key not in _NOT_LISTED}
    what = listed.pop("decision", None) or line["what"]
    if what != line["what"]:
        del listed["action"]
    checks = listed.pop("checks", None) or []
    details = [f"{key}: {_format_text(each)}" for key, each in listed.items()]
    details += [f"{check['name']}: {check['reason']}" for check in checks]
    details += [line["problem"]] if line.get("problem") else []
    return _Event(
        _format_moment(line["at"]).removesuffix(" UTC"), f"{what}{step}", _format_name(line), ", ".join(details)
    )


def _show_cells(cells: list[dict[str, Any]]) -> Iterator[_Cell]:
    for number, cell in enumerate(cells, 1):
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            yield _Cell(number, source, list(show_outputs(cell.get("outputs", []))))
        else:
            yield _Cell(number, None, [as_html(source)])


def _format_text(value: Any) -> str:
    return value if isinstance(value, str) else dump_json(value)


def _format_moment(iso: str) -> str:
    return iso.replace("T", " ").replace("Z", " UTC").replace("+00:00", " UTC")
