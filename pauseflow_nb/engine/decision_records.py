"""Make the signed records of an execution: what was shown, who decided, how it ended.

Each record is made in the transaction of what it records, so there is no decision without its record.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pauseflow_nb.decisions.digests import CellDigest, CellList, digest_json
from pauseflow_nb.decisions.statement import DECIDED, DECISIONS, ENDED, WAITING, WAITS, Statement, expand, sign
from pauseflow_nb.json_values import JSON
from pauseflow_nb.store import audit, decisions, executions, keys, segments, steps
from pauseflow_nb.store.damaged_rows import time_or_none
from pauseflow_nb.store.executions import FINAL, Row

if TYPE_CHECKING:
    from pauseflow_nb.runner.cards import Decision
    from pauseflow_nb.runner.document import Document


def note_shown(
    connection: sa.Connection,
    execution: str,
    place: Mapping[str, JSON],
    question: Mapping[str, JSON],
    cells: Iterable[CellDigest],
    *,
    rules: Mapping[str, JSON] | None = None,
    environment: str | None = None,
    fresh: list[dict[str, JSON]] | None = None,
    document: str | None = None,
) -> dict[str, JSON]:
    """Record what a question is about.

    Args:
        connection: The transaction that stores the suspension.
        execution: Id of the execution.
        place: The suspension of the card: step, run, segment, ordinal. A fork keeps the card.
        question: The question on its card: title, message, data, schema, deadline.
        cells: Digests of all cells so far.
        rules: Who may answer, and how many people must approve; None if any one answer is enough.
        environment: Digest of the snapshot's manifest, which names Python and its packages.
        fresh: Values of the fresh cells so far.
        document: Name of the stored notebook with exactly these cells, or None.

    Returns:
        `{digest, suspension, question, rules, cells, document, parameters, exports, environment}`; `cells` is the digest
        by which the store has the list of them.
    """
    row = executions.find(connection, execution)
    known = CellList.of(cells)
    decisions.add_cells(connection, execution, known)
    parts: dict[str, JSON] = {
        "question": dict(question),
        "rules": None if rules is None else dict(rules),
        "cells": known.digest,
        "parameters": digest_json({} if row is None else row.parameters),
        "exports": digest_json(
            {step: briefing.exports for step, briefing in steps.brief_steps(connection, execution).items()}
        ),
        "environment": environment,
        **({"fresh": list(fresh)} if fresh else {}),
    }
    return {**parts, "document": document, "suspension": dict(place), "digest": digest_json(parts)}


def list_shown_cells(connection: sa.Connection, suspension: Row) -> list[CellDigest]:
    """List the digests of the cells that a question is about."""
    cells = _shown_cells(suspension.shown or {})
    if isinstance(cells, str):
        cells = decisions.find_cells(connection, {(suspension.execution, cells)})[suspension.execution, cells]
    return cells.read()


def add_errors(shown: Mapping[str, JSON] | None, errors: list[dict[str, JSON]]) -> dict[str, JSON] | None:
    """Add the errors of the last answer to the question, which is asked again."""
    return None if shown is None else {**shown, "digest": digest_json([shown["digest"], errors])}


@dataclass(frozen=True)
class MadeDecision:
    """A decision to record."""

    #: The suspension that it decides.
    suspension: Row
    #: The decision, as the notebook shows it.
    decision: "Decision"
    #: Digest of the question that the sender saw; None if the request had none.
    seen: str | None
    #: Whether it settles the suspension; False for one approval of several.
    is_final: bool = True

    def to_record(self) -> "_Record":
        """Return the facts for its record."""
        from pauseflow_nb.runner.cards import make_facts  # lazily: a server that settles nothing needs no notebooks

        suspension, shown = self.suspension, dict[str, Any](self.suspension.shown or {})
        question = shown.get("question") or _question(suspension)
        facts = make_facts(self.decision, question)
        return _record_about(
            suspension.execution,
            shown,
            {
                "suspension": _place(suspension, shown),
                "question": question,
                "asked": time_or_none(suspension.since),
                "decision" if self.is_final else "approval": facts,
                "seen": self.seen is not None and self.seen == shown.get("digest"),
            },
        )


def add_drift(suspension: Row, checks: list[dict[str, JSON]], fresh: list[dict[str, JSON]]) -> dict[str, JSON]:
    """Add the old and the new values to the question, which is asked again."""
    shown: dict[str, Any] = suspension.shown or {"digest": None}
    drift = [check for check in checks if check["is_drift"]]
    question = {**(shown.get("question") or _question(suspension)), "drift": drift}
    digest = digest_json([shown["digest"], drift])
    return {**shown, "question": question, "drift": drift, "fresh": fresh, "digest": digest}


def record_reopening(
    connection: sa.Connection,
    suspension: Row,
    shown: Mapping[str, Any],
    document: "Document",
    checks: list[dict[str, JSON]] | None = None,
) -> None:
    """Sign that the last decision no longer counts, because the question is asked again.

    Args:
        connection: The transaction.
        suspension: The suspension that is open again.
        shown: The new contents of its question.
        document: The notebook, which gets the records.
        checks: The checks of fresh cells, if values have changed; None if the notebook refused the answer.
    """
    found: dict[str, Any] = {} if checks is None else {"checks": checks}
    facts = {"suspension": _place(suspension, shown), "decision": None, **found}
    _add(connection, [_record_about(suspension.execution, shown, facts)])
    enter_records(connection, suspension.execution, document)


def record_checks(connection: sa.Connection, execution: str, checks: list[dict[str, JSON]]) -> None:
    """Sign the last decision again, with the checks of the fresh cells when it took effect."""
    for record in reversed(decisions.list_brief(connection, execution)):
        last = Statement.from_brief(record.signed.brief)
        if last.facts.get("decision"):
            facts = {name: each for name, each in last.facts.items() if name != "continues"}
            cells = last.cells if record.cells is None else record.cells
            _add(connection, [_Record(execution, DECIDED, cells, {**facts, "checks": checks})])
            return


def withdraw_decisions(
    connection: sa.Connection, execution: str, standing: Collection[tuple[str, int]], document: "Document"
) -> None:
    """Sign which decisions no longer count, because the execution goes back to a point before them.

    Args:
        connection: The transaction; it holds the execution's row.
        execution: Id of the execution.
        standing: Step and number of each run whose decisions still count.
        document: The notebook that continues. A decision without a step counts as long as a cell shows it.
    """
    from pauseflow_nb.runner.cards import Place, has_card  # lazily: see above

    found = [Statement.from_brief(each.signed.brief).facts for each in decisions.list_brief(connection, execution)]
    newest = {digest_json(facts["suspension"]): facts for facts in found if "suspension" in facts}
    for facts in newest.values():
        place: Any = facts["suspension"]
        counts = (place["step"], place["run"]) in standing if place["step"] else has_card(document, Place(**place))
        if not counts and not facts.get("withdrawn"):
            known = {name: facts.get(name) for name in ("suspension", "question")}
            withdrawn = {**known, "decision": None, "withdrawn": True}
            _add(connection, [_Record(execution, DECIDED, CellList.of([]), withdrawn)])


def record_decision(
    connection: sa.Connection, suspension: Row, decision: "Decision", *, seen: str | None, is_final: bool = True
) -> None:
    """Sign and add one decision, and name its record in the audit trail."""
    records = sign_decisions(connection, [MadeDecision(suspension, decision, seen, is_final)])
    decisions.add_all(connection, records)
    name_records(connection, describe_records(records))


def sign_decisions(connection: sa.Connection, made: Sequence[MadeDecision]) -> list[decisions.Record]:
    """Sign decisions, at most one for each execution; the caller holds the executions' rows, and adds the records."""
    return _sign(connection, [each.to_record() for each in made]) if made else []


def describe_records(records: Iterable[decisions.Record]) -> dict[str, dict[str, JSON]]:
    """Return execution → facts of its record for the audit trail: the number of the record, and its digest."""
    return {each.execution: {"record": each.number, "digest": each.signed.digest} for each in records}


def name_records(connection: sa.Connection, signed: Mapping[str, Mapping[str, JSON]]) -> None:
    """Add the records to the lines of the audit trail that this transaction has already written."""
    if signed:
        audit.add_details(connection, signed, "settled", "approved", *FINAL)


def seal(connection: sa.Connection, execution: str, state: str, document: "Document") -> None:
    """Sign the notebook with all its cards at the end of an execution, if it has any decisions.

    A notebook that is already signed is not signed again.
    """
    newest = decisions.find_newest(connection, [execution]).get(execution)
    if newest is not None:
        record = _record_end(execution, state, document)
        if not record.is_in(newest):
            _add(connection, [record])
        enter_records(connection, execution, document)


def sign_waiting(connection: sa.Connection, execution: str, document: "Document", *, source: str | None = None) -> None:
    """Sign the contents of a notebook that waits again, if it has earlier decisions: its cells have changed since.

    Args:
        connection: The transaction, or any for a fork.
        execution: Id of the execution.
        document: Its notebook, which gets the records and the statement.
        source: For a fork without records: the execution that it was forked from.
    """
    newest = decisions.find_newest(connection, [source or execution]).get(source or execution)
    if newest is None:
        return
    enter_records(connection, source or execution, document)
    earlier = Statement.from_brief(newest.signed.brief).execution
    facts: dict[str, JSON] = {} if earlier == execution else {"continues": earlier}
    cells = CellList.of(document.digest_cells())
    statement = Statement(WAITING, execution, newest.number + 1, newest.signed.digest, cells, facts)
    envelope = expand(sign(statement, keys.signing_key(connection)).brief, cells)
    document.metadata["pauseflow"] = {**document.metadata["pauseflow"], WAITS: envelope}
    document.changed()


def is_sealed(connection: sa.Connection, execution: str, state: str, document: "Document") -> bool:
    """Whether a notebook is the one that was signed at the end of its execution, or has no decisions to sign."""
    newest = decisions.find_newest(connection, [execution]).get(execution)
    return newest is None or _record_end(execution, state, document).is_in(newest)


def _record_end(execution: str, state: str, document: "Document") -> "_Record":
    cells = CellList.of(document.digest_cells(with_cards=True))
    return _Record(execution, ENDED, cells, {"state": state, "widgets": document.digest_widgets()})


def enter_records(connection: sa.Connection, execution: str, document: "Document") -> None:
    """Write all records of an execution into its notebook."""
    found = decisions.list_all(connection, execution)
    if found != document.metadata.get("pauseflow", {}).get(DECISIONS, []):
        forget_waiting(document)
        document.metadata["pauseflow"] = {**document.metadata.get("pauseflow", {}), DECISIONS: found}
        document.changed()


def count_unwritten(connection: sa.Connection, row: Row) -> int:
    """Count the newest records that no worker has written into the notebook of an execution yet."""
    last = segments.find_last_begun(connection, row.id)
    if row.state in FINAL:
        is_awaited = row.record_due is not None
    else:
        is_awaited = row.state == "paused" or last is None or last.state == "ended"
    if not is_awaited:
        return 0
    # Somebody else may end a segment, and its worker then writes nothing more.
    is_cut_short = last is not None and (last.ended_at is None or last.how == "cancelled")
    written = None if last is None else last.attempt_at if is_cut_short else last.ended_at
    return decisions.count_since(connection, row.id, written or 0.0)


def forget_waiting(document: "Document") -> None:
    """Remove the statement of `sign_waiting` from a notebook that continues."""
    if document.metadata.get("pauseflow", {}).pop(WAITS, None) is not None:
        document.changed()


@dataclass(frozen=True)
class _Record:
    execution: str
    kind: str
    #: The cells of the record, or the digest of cells that are already in the store.
    cells: CellList | str
    facts: dict[str, JSON]

    def is_in(self, record: decisions.Record) -> bool:
        """Whether a stored record has the same contents."""
        statement = Statement.from_brief(record.signed.brief)
        cells = statement.cells.digest if record.cells is None else record.cells
        own = self.cells if isinstance(self.cells, str) else self.cells.digest
        return (statement.kind, statement.execution, cells) == (self.kind, self.execution, own) and all(
            statement.facts.get(name) == value for name, value in self.facts.items()
        )


def _record_about(execution: str, shown: Mapping[str, Any], facts: dict[str, Any]) -> _Record:
    """Make a record about a question, with what was shown."""
    names = ("question", "rules", "parameters", "exports", "environment", *(["fresh"] if "fresh" in shown else []))
    known = {"shown": shown.get("digest"), **{name: shown.get(name) for name in names}}
    return _Record(execution, DECIDED, _shown_cells(shown), {**known, **facts})


def _shown_cells(shown: Mapping[str, Any]) -> CellList | str:
    cells = shown.get("cells", [])
    # Earlier versions stored the list itself, or nothing.
    return cells if isinstance(cells, str) else CellList.of(map(CellDigest.from_json, cells))


def _place(suspension: Row, shown: Mapping[str, Any]) -> dict[str, JSON]:
    own = {name: getattr(suspension, name) for name in ("step", "run", "segment", "ordinal")}
    return dict(shown.get("suspension") or own)


def _add(connection: sa.Connection, records: Sequence[_Record]) -> None:
    """Sign and add records, at most one for each execution."""
    decisions.add_all(connection, _sign(connection, records))


def _sign(connection: sa.Connection, records: Sequence[_Record]) -> list[decisions.Record]:
    newest = decisions.find_newest(connection, [each.execution for each in records])
    key = keys.signing_key(connection)
    lists = _find_cells(connection, records)
    made = []
    for each, cells in zip(records, lists, strict=True):
        number, previous, facts = 1, None, each.facts
        if (last := newest.get(each.execution)) is not None:
            number, previous = last.number + 1, last.signed.digest
            # A fork begins with the records of its source.
            earlier = Statement.from_brief(last.signed.brief).execution
            facts = facts if earlier == each.execution else {**facts, "continues": earlier}
        signed = sign(Statement(each.kind, each.execution, number, previous, cells, facts), key)
        made.append(decisions.Record(each.execution, number, signed, cells.digest))
    return made


def _find_cells(connection: sa.Connection, records: Sequence[_Record]) -> list[CellList]:
    """Find the cells of records, and add cells to the store that it does not have."""
    found = decisions.find_cells(
        connection, {(each.execution, each.cells) for each in records if isinstance(each.cells, str)}
    )
    lists = []
    for each in records:
        if isinstance(each.cells, str):
            lists.append(found[each.execution, each.cells])
        else:
            decisions.add_cells(connection, each.execution, each.cells)
            lists.append(each.cells)
    return lists


def _question(suspension: Row) -> dict[str, JSON]:
    """Read the question from the row, for suspensions of earlier versions, which did not record what was shown."""
    return {name: getattr(suspension, name) for name in ("kind", "title", "message", "data", "schema")}
