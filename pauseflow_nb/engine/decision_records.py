"""Make the signed records of an execution: what was shown, who decided, how it ended.

Each runs in the transaction of what it records, so a decision has its record or was not made.
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pauseflow_nb.decisions.digests import CellDigest, CellList, digest_json
from pauseflow_nb.decisions.statement import DECIDED, DECISIONS, ENDED, Statement, payload_digest, sign
from pauseflow_nb.json_values import JSON
from pauseflow_nb.store import audit, decisions, executions, keys, steps
from pauseflow_nb.store.damaged_rows import time_or_none
from pauseflow_nb.store.executions import FINAL, Row

if TYPE_CHECKING:
    from pauseflow_nb.runner.cards import Decision
    from pauseflow_nb.runner.document import Document

#: What a statement says of itself, beside its facts.
_OF_STATEMENT = frozenset({"execution", "number", "previous", "cells", "continues"})


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
    """Note what a question is asked about.

    Args:
        connection: The transaction that stores the suspension.
        execution: Id of the execution.
        place: Which suspension the card is of: step, run, segment, ordinal. A fork keeps the card.
        question: What its card asks: title, message, data, schema, deadline.
        cells: Digests of all cells so far.
        rules: Who may answer, and how many must; None if any answer is enough.
        environment: Digest of the snapshot's manifest, which names Python and its packages.
        fresh: Values of the fresh cells so far.
        document: Name of the stored notebook that has exactly these cells; None: none has.

    Returns:
        `{digest, suspension, question, rules, cells, wholes, document, parameters, exports, environment}`.
    """
    row = executions.find(connection, execution)
    known = CellList.of(cells)
    parts: dict[str, JSON] = {
        "question": dict(question),
        "rules": None if rules is None else dict(rules),
        "cells": list(known.listed),
        "parameters": digest_json({} if row is None else row.parameters),
        "exports": digest_json(
            {step: briefing.exports for step, briefing in steps.brief_steps(connection, execution).items()}
        ),
        "environment": environment,
        **({"fresh": list(fresh)} if fresh else {}),
    }
    digest = digest_json({**parts, "cells": known.digest})
    return {
        **parts,
        "wholes": list(known.wholes),
        "document": document,
        "suspension": dict(place),
        "digest": digest,
    }


def add_errors(shown: Mapping[str, JSON] | None, errors: list[dict[str, JSON]]) -> dict[str, JSON] | None:
    """Change what is shown: the question is asked again, with the errors of the last answer."""
    return None if shown is None else {**shown, "digest": digest_json([shown["digest"], errors])}


@dataclass(frozen=True)
class MadeDecision:
    """A decision that is to be recorded."""

    #: What was decided.
    suspension: Row
    #: The decision, as the notebook shows it.
    decision: "Decision"
    #: The digest of what the sender had before him; None if the request carried none.
    seen: str | None
    #: Whether it settles the suspension; False for one approval of several.
    is_final: bool = True

    def to_record(self) -> "_Record":
        """Write what its record says."""
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
    """Change what is shown: the question is asked again, with the old and the new values side by side."""
    shown: dict[str, Any] = suspension.shown or {"digest": None}
    drift = [check for check in checks if check["is_drift"]]
    question = {**(shown.get("question") or _question(suspension)), "drift": drift}
    digest = digest_json([shown["digest"], drift])
    return {**shown, "question": question, "drift": drift, "fresh": fresh, "digest": digest}


def record_reopening(
    connection: sa.Connection,
    suspension: Row,
    shown: dict[str, Any],
    checks: list[dict[str, JSON]],
    document: "Document",
) -> None:
    """Sign that the last decision does not count, because the values that it was about have changed."""
    facts = {"suspension": _place(suspension, shown), "decision": None, "checks": checks}
    _add(connection, [_record_about(suspension.execution, shown, facts)])
    enter_records(connection, suspension.execution, document)


def record_checks(connection: sa.Connection, execution: str, checks: list[dict[str, JSON]]) -> None:
    """Sign the last decision once more, with what the fresh cells found when it took effect."""
    found = map(_read_predicate, reversed(decisions.list_all(connection, execution)))
    last = next((each for each in found if each.get("decision")), None)
    if last is not None:
        cells = CellList.of(map(CellDigest.from_json, last["cells"]))
        facts = {name: each for name, each in last.items() if name not in _OF_STATEMENT}
        _add(connection, [_Record(execution, DECIDED, cells, {**facts, "checks": checks})])


def record_decision(
    connection: sa.Connection, suspension: Row, decision: "Decision", *, seen: str | None, is_final: bool = True
) -> None:
    """Sign a decision, add it to the records of the execution, and name it in the audit trail; see `record_decisions`."""
    signed = record_decisions(connection, [MadeDecision(suspension, decision, seen, is_final)])
    name_records(connection, signed)


def record_decisions(
    connection: sa.Connection, made: Sequence[MadeDecision], moment: float | None = None
) -> dict[str, dict[str, JSON]]:
    """Sign decisions, and add each to the records of its execution.

    Args:
        connection: The transaction that settles; it holds the executions' rows.
        made: At most one of each execution.
        moment: When they are recorded; None: now.

    Returns:
        What the line of the audit trail about each must say, by execution: its number and the digest of what was signed.
    """
    return _add(connection, [each.to_record() for each in made], moment) if made else {}


def name_records(connection: sa.Connection, signed: Mapping[str, Mapping[str, JSON]]) -> None:
    """Name records in the lines of the audit trail that the same transaction has written before."""
    if signed:
        audit.add_details(connection, signed, "settled", "approved", *FINAL)


def seal(connection: sa.Connection, execution: str, state: str, document: "Document") -> None:
    """Sign the notebook as it is at the end of an execution, with all its cards, if anything was decided in it.

    Args:
        connection: The transaction; it holds the execution's row.
        execution: Id of the execution.
        state: How it ended.
        document: Its notebook, which gets all the records.
    """
    if decisions.list_all(connection, execution):
        cells = CellList.of(document.digest_cells(with_cards=True))
        facts: dict[str, JSON] = {"state": state, "widgets": document.digest_widgets()}
        _add(connection, [_Record(execution, ENDED, cells, facts)])
        enter_records(connection, execution, document)


def enter_records(connection: sa.Connection, execution: str, document: "Document") -> None:
    """Write all records of an execution into its notebook."""
    found = decisions.list_all(connection, execution)
    own = document.metadata.get("pauseflow", {})
    if found != own.get(DECISIONS, []):
        document.metadata["pauseflow"] = {**own, DECISIONS: found}
        document.changed()


@dataclass(frozen=True)
class _Record:
    execution: str
    kind: str
    cells: CellList
    facts: dict[str, JSON]


def _record_about(execution: str, shown: Mapping[str, Any], facts: dict[str, Any]) -> _Record:
    """Write a record about a question, with what was shown."""
    names = ("question", "rules", "parameters", "exports", "environment", *(["fresh"] if "fresh" in shown else []))
    known = {"shown": shown.get("digest"), **{name: shown.get(name) for name in names}}
    return _Record(execution, DECIDED, _shown_cells(shown), {**known, **facts})


def _shown_cells(shown: Mapping[str, Any]) -> CellList:
    if "wholes" in shown:
        return CellList(shown["cells"], shown["wholes"])
    # An earlier version noted it, or nothing was noted.
    return CellList.of(map(CellDigest.from_json, shown.get("cells", [])))


def _place(suspension: Row, shown: Mapping[str, Any]) -> dict[str, JSON]:
    own = {name: getattr(suspension, name) for name in ("step", "run", "segment", "ordinal")}
    return dict(shown.get("suspension") or own)


def _add(
    connection: sa.Connection, records: Sequence[_Record], moment: float | None = None
) -> dict[str, dict[str, JSON]]:
    """Sign and add records, at most one of each execution.

    Returns:
        What the audit trail says of each, by execution: its number and the digest of what was signed.
    """
    last = decisions.find_newest(connection, [each.execution for each in records])
    key = keys.signing_key(connection)
    signed: dict[str, dict[str, JSON]] = {}
    envelopes = []
    for each in records:
        number, before = last.get(each.execution, (0, None))
        facts = each.facts
        if before is not None and (earlier := _read_execution(before)) != each.execution:
            facts = {**facts, "continues": earlier}
        previous = None if before is None else payload_digest(before)
        envelope = sign(Statement(each.kind, each.execution, number + 1, previous, each.cells, facts), key)
        envelopes.append((each.execution, number + 1, envelope))
        signed[each.execution] = {"record": number + 1, "digest": payload_digest(envelope)}
    decisions.add_all(connection, envelopes, moment)
    return signed


def _read_execution(envelope: Mapping[str, Any]) -> str:
    """Read which execution a record of ours is of: a fork begins with those of what it was forked from."""
    return str(_read_predicate(envelope)["execution"])


def _read_predicate(envelope: Mapping[str, Any]) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return dict(payload["predicate"])


def _question(suspension: Row) -> dict[str, JSON]:
    """Take the question from the row: that of an earlier version, which noted nothing of what it showed."""
    return {name: getattr(suspension, name) for name in ("kind", "title", "message", "data", "schema")}
