"""Compare an executed notebook with its decision records, and name what was changed afterwards."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pauseflow_nb.decisions.digests import (
    CellDigest,
    digest_cell,
    digest_json,
    is_card,
    is_marker,
    to_canonical,
)
from pauseflow_nb.decisions.statement import (
    DECIDED,
    DECISIONS,
    ENDED,
    WAITING,
    WAITS,
    Statement,
    digest_payload,
    open_envelope,
)
from pauseflow_nb.errors import InvalidRecord
from pauseflow_nb.json_values import is_whole_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

#: Fact of a question that is both on its card and in its record → its name in messages; likewise for a decision.
_QUESTION = {
    "kind": "what it waits for",
    "title": "the title",
    "message": "the message",
    "data": "the data",
    "schema": "the form",
    "deadline": "the deadline",
    "until": "the sentence about the deadline",
    "notebooks": "the list of notebooks",
    "labels": "a label of a button",
    "allow": "the list of allowed actions",
    "drift": "what had changed",
}
#: Facts that are also signed if the question has no card.
_ALWAYS_SIGNED = frozenset({"kind", "title", "message", "data", "schema"})
_DECISION = {
    "action": "the decision",
    "answer": "the answer",
    "has_answer": "whether there was an answer",
    "comment": "the comment",
    "by": "who decided",
    "known_by": "how it is known who decided",
    "at": "the time of the decision",
    "approvals": "the list of approvals",
    "sentence": "the sentence about the decision",
}


@dataclass(frozen=True)
class Verification:
    """The result of a comparison."""

    #: Differences and errors, one sentence each.
    problems: list[str] = field(default_factory=list)
    #: The records with a valid signature, oldest first.
    statements: list[Statement] = field(default_factory=list)
    #: Limits of the comparison, one sentence each.
    notes: list[str] = field(default_factory=list)

    @property
    def is_valid(self) -> bool:
        """Whether there are records, and nothing was changed afterwards."""
        return not self.problems and bool(self.statements)


def verify(
    notebook: Mapping[str, Any],
    keys: Sequence["Ed25519PublicKey"],
    *,
    recorded: Sequence[Mapping[str, Any]] | None = None,
    unwritten: int = 0,
) -> Verification:
    """Compare a notebook with its records.

    Args:
        notebook: The executed notebook, as JSON of nbformat 4.5.
        keys: Public keys of the store that ran it.
        recorded: The envelopes in the store for this execution; None: do not compare with the store.
        unwritten: How many of the newest of these no worker has written into the notebook yet.
    """
    malformed = list(_find_malformed(notebook))
    if malformed:
        return Verification(malformed)
    found = notebook.get("metadata", {}).get("pauseflow")
    envelopes = found.get(DECISIONS, []) if isinstance(found, Mapping) else []
    later = _find_later(envelopes, recorded or [], unwritten)
    if not isinstance(found, Mapping) or not isinstance(envelopes, list) or not (envelopes or later):
        return Verification(["the notebook has no decision record: no decision was made, or all records were removed"])
    problems: list[str] = []
    statements = list(_open_records(envelopes, 1, keys, problems))
    made_since = list(_open_records(later, len(envelopes) + 1, keys, problems))
    waiting = list(_open_waiting(found.get(WAITS), keys, problems))
    problems += _check_chain(envelopes, [*statements, *waiting], str(found.get("execution")))
    cells = [cell for cell in notebook.get("cells", []) if not is_marker(cell)]
    problems += [] if recorded is None else _find_missing(envelopes, recorded[: len(recorded) - len(later)])
    # The notebook does not have the end that such a record covers.
    decided_since = [statement for statement in made_since if statement.kind == DECIDED]
    with_cards = bool(statements) and statements[-1].kind == ENDED and not waiting
    now = [digest_cell(cell, with_cards=with_cards) for cell in cells]
    problems += _check_cells([*statements, *decided_since, *waiting], now)
    problems += _check_questions(statements, cells)
    problems += _find_unrecorded_checks(statements, cells)
    problems += _end(statements, notebook)
    problems += [] if waiting else _check_widgets(statements, notebook)
    notes = [
        f"record {statement.number} was made after this notebook was written; the next worker that runs adds it"
        for statement in made_since
    ]
    if waiting:
        notes.append(
            "it waits: the state of widgets and how the cards of questions look are not covered before the end"
        )
    elif statements and statements[-1].kind != ENDED:
        notes.append(
            "the execution had not ended when this was written: cells after the last decision are not covered,"
            " nor the state of widgets and how the cards of questions look"
        )
    return Verification(problems, [*statements, *made_since], notes)


def _find_later(envelopes: Any, recorded: Sequence[Mapping[str, Any]], unwritten: int) -> Sequence[Mapping[str, Any]]:
    """Find the records that the notebook cannot have yet; none if it has one of them."""
    if not isinstance(envelopes, list) or not unwritten:
        return []
    here = {digest_payload(envelope) for envelope in envelopes if isinstance(envelope, Mapping)}
    later = recorded[len(recorded) - unwritten :]
    return [] if any(digest_payload(envelope) in here for envelope in later) else later


def _open_records(
    envelopes: Sequence[Any], first: int, keys: Sequence["Ed25519PublicKey"], problems: list[str]
) -> Iterator[Statement]:
    for number, envelope in enumerate(envelopes, first):
        try:
            statement = open_envelope(envelope, keys)
        except InvalidRecord as problem:
            problems.append(f"record {number} is not valid: {problem}")
            continue
        if statement.kind == WAITING:
            problems.append(f"record {number} is not a decision record: it was signed when the notebook began to wait")
        yield statement


def _open_waiting(envelope: Any, keys: Sequence["Ed25519PublicKey"], problems: list[str]) -> Iterator[Statement]:
    """Open the statement about a notebook that waits again, if there is one."""
    if envelope is None:
        return
    try:
        statement = open_envelope(envelope, keys)
    except InvalidRecord as problem:
        problems.append(f"the statement signed when it began to wait is not valid: {problem}")
        return
    if statement.kind == WAITING:
        yield statement
    else:
        problems.append("a record is in the place of the statement signed when it began to wait")


def _find_malformed(notebook: Mapping[str, Any]) -> Iterator[str]:
    """Find parts that pauseflow never writes into a notebook, and that cannot be compared."""
    if not isinstance(notebook.get("metadata", {}), Mapping):
        yield "the metadata of the notebook cannot be read"
    if type(notebook.get("nbformat")) is not int or notebook["nbformat"] != 4:
        # In another format, programs show other parts of the file than its cells.
        yield "the format of the notebook was changed: `nbformat` is not 4"
    for index, cell in enumerate(notebook.get("cells", []), 1):
        if not _is_cell(cell):
            yield f"cell {index} cannot be read"
        elif not all(map(_is_whole_card, filter(is_card, cell.get("outputs", [])))):
            yield f"cell {index}: a card in its outputs cannot be read"
        elif not is_whole_text(json.dumps(cell, ensure_ascii=False)):
            # In a digest, as in the written notebook, it is a question mark.
            yield f"cell {index} has half of a surrogate pair, which was added later"


def _is_cell(cell: Any) -> bool:
    if not isinstance(cell, Mapping) or not isinstance(cell.get("metadata", {}), Mapping):
        return False
    outputs, attachments = cell.get("outputs", []), cell.get("attachments") or {}
    is_mapped = isinstance(attachments, Mapping) and all(isinstance(each, Mapping) for each in attachments.values())
    return is_mapped and isinstance(outputs, list) and all(isinstance(each, Mapping) for each in outputs)


def _is_whole_card(output: Mapping[str, Any]) -> bool:
    facts = output["metadata"]["pauseflow"]
    if facts["kind"] == "earlier":
        folded = facts.get("suspensions")
        return isinstance(folded, list) and all(map(_is_suspension, folded))
    return facts["kind"] != "suspension" or _is_suspension(facts)


def _is_suspension(facts: Any) -> bool:
    if not isinstance(facts, Mapping) or not all(isinstance(each, (str, int)) for each in _identify(facts)):
        return False
    return all(isinstance(facts.get(name), (Mapping, type(None))) for name in ("question", "decision"))


def _check_chain(envelopes: Sequence[Any], statements: Sequence[Statement], execution: Any) -> Iterator[str]:
    """Find records that were removed, added or moved."""
    digests = {digest_payload(envelope) for envelope in envelopes if isinstance(envelope, Mapping)}
    # A fork continues the records of its original, and says so.
    own = {execution} | {statement.facts.get("continues") for statement in statements}
    for statement in statements:
        if statement.execution not in own:
            yield f"record {statement.number} is of another execution, {statement.execution}"
    numbers = [statement.number for statement in statements if statement.execution in own]
    expected = list(range(1, len(numbers) + 1))
    if numbers != expected:
        missing = sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers))
        if missing:
            yield "removed: " + ", ".join(f"record {number}" for number in missing)
        if sorted(numbers) != numbers or len(set(numbers)) < len(numbers):
            yield f"the records are out of order: {', '.join(map(str, numbers))}"
    for statement in statements:
        if statement.previous is not None and statement.previous not in digests:
            yield f"record {statement.number} refers to a previous record that is missing or was changed"


def _end(statements: Sequence[Statement], notebook: Mapping[str, Any]) -> Iterator[str]:
    """Find out whether the record of the end was removed: the notebook's metadata note that it has ended."""
    noted = notebook.get("metadata", {}).get("papermill")
    if statements and statements[-1].kind != ENDED and isinstance(noted, Mapping) and noted.get("end_time"):
        yield "removed: the record of the end, although the notebook says that it has ended"


def _check_widgets(statements: Sequence[Statement], notebook: Mapping[str, Any]) -> Iterator[str]:
    """Compare the state of the widgets with the record of the end; records of earlier versions do not cover it."""
    if statements and "widgets" in statements[-1].facts:
        widgets = notebook.get("metadata", {}).get("widgets")
        if (digest_json(widgets) if widgets else None) != statements[-1].facts["widgets"]:
            yield "what the widgets show was changed"


def _find_missing(envelopes: Sequence[Any], recorded: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Find records that only the store or only the notebook has."""
    here = {digest_payload(envelope) for envelope in envelopes if isinstance(envelope, Mapping)}
    there = [digest_payload(envelope) for envelope in recorded]
    for number, digest in enumerate(there, 1):
        if digest not in here:
            after = all(each not in here for each in there[number - 1 :])
            why = "it was removed, or made after this notebook was written" if after else "it was removed"
            yield f"record {number} is in the store but not in the notebook: {why}"
    for _ in here - set(there):
        yield "the notebook has a record that the store does not have"


def _check_cells(statements: Sequence[Statement], now: Sequence[CellDigest]) -> Iterator[str]:
    """Find cells that differ from the newest record."""
    if not statements:
        return
    then = statements[-1].cells.read()
    if now and not any(cell.id for cell in now):
        yield "the cells have lost their ids, which nbformat 4.5 has: a tool saved the notebook in an earlier format"
        now = [replace(cell, id=then[index].id if index < len(then) else "") for index, cell in enumerate(now)]
    recorded = {cell.id: cell for cell in then}
    places = {cell.id: index for index, cell in enumerate(now, 1)}
    for index, cell in enumerate(then, 1):
        if cell.id not in places:
            yield f"cell {index} ({cell.id}) was removed"
    for index, cell in enumerate(now, 1):
        if cell.id in recorded:
            yield from _find_differences(index, recorded[cell.id], cell)
        elif statements[-1].kind in (ENDED, WAITING) or index <= len(then):
            yield f"cell {index} ({cell.id}) was added"
    yield from _find_repeated(now)
    order_then = [cell.id for cell in then if cell.id in places]
    order_now = [cell.id for cell in now if cell.id in recorded]
    if sorted(order_then) == sorted(order_now) and order_then != order_now:
        moved = [id_ for id_, other in zip(order_now, order_then, strict=False) if id_ != other]
        yield "moved: " + ", ".join(f"cell {places[id_]} ({id_})" for id_ in moved)


def _find_repeated(now: Sequence[CellDigest]) -> Iterator[str]:
    places: dict[str, int] = {}
    for index, cell in enumerate(now, 1):
        if (first := places.setdefault(cell.id, index)) != index:
            yield f"cell {index} ({cell.id}) was added: it has the id of cell {first}"


def _find_differences(index: int, then: CellDigest, now: CellDigest) -> Iterator[str]:
    where = f"cell {index} ({now.id})"
    if then.kind != now.kind:
        yield f"{where} was a {then.kind} cell and is a {now.kind} cell"
    if then.source != now.source:
        yield f"{where}: its source was changed"
    for number, (before, after) in enumerate(zip(then.outputs, now.outputs, strict=False), 1):
        if before != after:
            yield f"{where}: output {number} was changed"
    if len(now.outputs) < len(then.outputs):
        yield f"{where}: {_format_output_count(len(then.outputs) - len(now.outputs))} removed"
    if len(now.outputs) > len(then.outputs):
        yield f"{where}: {_format_output_count(len(now.outputs) - len(then.outputs))} added"


def _format_output_count(count: int) -> str:
    return "1 output was" if count == 1 else f"{count} outputs were"


def _check_questions(statements: Sequence[Statement], cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Compare the cards of questions and decisions with the signed facts."""
    shown: dict[tuple[str, int, int, int], list[Mapping[str, Any]]] = {}
    for facts in _list_suspensions(cells):
        shown.setdefault(_identify(facts), []).append(facts)
    newest = {
        _identify(statement.facts["suspension"]): statement for statement in statements if statement.kind == DECIDED
    }
    # The execution went back to a point before the withdrawn ones.
    signed = {identity: each for identity, each in newest.items() if not each.facts.get("withdrawn")}
    for identity, statement in signed.items():
        where = f"step {identity[0] or 'none'}"
        if identity not in shown and _has_card(statement):
            yield f"{where}: the question and its decision (record {statement.number}) were removed from the cells"
        # There may be copies of a card: each is compared.
        for facts in shown.get(identity, []):
            names = _QUESTION if _has_card(statement) else {name: _QUESTION[name] for name in _ALWAYS_SIGNED}
            yield from _compare_facts(where, facts.get("question"), statement.facts.get("question"), names)
            yield from _compare_facts(where, facts.get("decision"), statement.facts.get("decision"), _DECISION)
    for identity in shown.keys() - signed.keys():
        if any(facts.get("decision") and _is_decision(facts) for facts in shown[identity]):
            yield f"step {identity[0] or 'none'}: the notebook shows a decision that no record has"


def _has_card(statement: Statement) -> bool:
    """Whether a question was signed with its card: there is none if no cell had run that could show it."""
    question = statement.facts.get("question")
    return isinstance(question, Mapping) and question.keys() > _ALWAYS_SIGNED


def _find_unrecorded_checks(statements: Sequence[Statement], cells: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Find checks of fresh cells that a cell shows and no record has."""
    signed = [to_canonical(check) for statement in statements for check in _listed(statement.facts)]
    for index, cell in enumerate(cells, 1):
        for output in filter(is_card, cell.get("outputs", [])):
            for check in _listed(output["metadata"]["pauseflow"]):
                if to_canonical(check) not in signed:
                    yield f"cell {index} ({cell.get('id')}): the result of running it again was changed"


def _listed(facts: Mapping[str, Any]) -> list[Any]:
    checks = facts.get("checks")
    return checks if isinstance(checks, list) else []


def _compare_facts(where: str, shown: Any, signed: Any, names: Mapping[str, str]) -> Iterator[str]:
    shown, signed = (each if isinstance(each, Mapping) else {} for each in (shown, signed))
    for key, word in names.items():
        # As bytes: in Python 1 equals True.
        if to_canonical(shown.get(key)) != to_canonical(signed.get(key)):
            yield f"{where}: {word} was changed"


def _list_suspensions(cells: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for cell in cells:
        for output in cell.get("outputs", []):
            if not is_card(output):
                continue
            facts = output["metadata"]["pauseflow"]
            if facts["kind"] == "suspension":
                yield facts
            elif facts["kind"] == "earlier":
                yield from facts.get("suspensions", [])


def _identify(facts: Any) -> tuple[str, int, int, int]:
    step, run, *place = (facts.get(key, 0) for key in ("step", "run", "segment", "ordinal"))
    # A suspension from outside has no step, and so no runs; earlier versions counted runs on its card.
    return (step, run if step else 0, *place)


def _is_decision(facts: Mapping[str, Any]) -> bool:
    """Whether a card shows a decision; the end of a delay is not one."""
    ended = (facts["decision"].get("by"), (facts.get("question") or {}).get("kind"))
    return ended not in (("notebooks", "notebook"), ("clock", "rerun"), ("clock", "delay"))
