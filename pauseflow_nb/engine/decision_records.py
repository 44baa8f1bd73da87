"""Make the signed records of an execution: what was shown, who decided, how it ended (SPEC 10).

Each runs in the transaction of what it records, so a decision has its record or was not made.
"""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from pauseflow_nb.decisions.digests import CellDigest, digest_cells, digest_json
from pauseflow_nb.decisions.statement import DECIDED, DECISIONS, ENDED, Statement, payload_digest, sign
from pauseflow_nb.json_values import JSON
from pauseflow_nb.store import audit, decisions, executions, keys, steps
from pauseflow_nb.store.damaged_rows import time_or_none
from pauseflow_nb.store.executions import FINAL, Row

if TYPE_CHECKING:
    from pauseflow_nb.runner.cards import Decision
    from pauseflow_nb.runner.document import Document

__all__ = [
    "add_drift",
    "add_errors",
    "enter_records",
    "note_shown",
    "record_checks",
    "record_decision",
    "record_reopening",
    "seal",
]


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

    Returns:
        `{digest, suspension, question, rules, cells, parameters, exports, environment}`.
    """
    row = executions.find(connection, execution)
    known = list(cells)
    parts: dict[str, JSON] = {
        "question": dict(question),
        "rules": None if rules is None else dict(rules),
        "cells": [cell.to_json() for cell in known],
        "parameters": digest_json({} if row is None else row.parameters),
        "exports": digest_json(
            {step: briefing.exports for step, briefing in steps.brief_steps(connection, execution).items()}
        ),
        "environment": environment,
        **({"fresh": list(fresh)} if fresh else {}),
    }
    return {**parts, "suspension": dict(place), "digest": digest_json({**parts, "cells": digest_cells(known)})}


def add_errors(shown: Mapping[str, JSON] | None, errors: list[dict[str, JSON]]) -> dict[str, JSON] | None:
    """Change what is shown: the question is asked again, with the errors of the last answer."""
    return None if shown is None else {**shown, "digest": digest_json([shown["digest"], errors])}


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
    _add_decision(connection, suspension.execution, shown, facts)
    enter_records(connection, suspension.execution, document)


def record_checks(connection: sa.Connection, execution: str, checks: list[dict[str, JSON]]) -> None:
    """Sign the last decision once more, with what the fresh cells found when it took effect."""
    found = map(_predicate_of, reversed(decisions.all_of(connection, execution)))
    last = next((each for each in found if each.get("decision")), None)
    if last is not None:
        cells = tuple(map(CellDigest.from_json, last["cells"]))
        facts = {name: each for name, each in last.items() if name not in _OF_STATEMENT}
        _add(connection, execution, DECIDED, cells, {**facts, "checks": checks})


def record_decision(
    connection: sa.Connection, suspension: Row, decision: "Decision", *, seen: str | None, is_final: bool = True
) -> None:
    """Sign a decision, and add it to the records of the execution; the caller holds the execution's row.

    Args:
        connection: The transaction that settles.
        suspension: What was decided.
        decision: The decision, as the notebook shows it.
        seen: The digest of what the sender had before him; None if the request carried none.
        is_final: Whether it settles the suspension; False for one approval of several.
    """
    from pauseflow_nb.runner.cards import make_facts  # lazily: a server that settles nothing needs no notebooks

    shown: dict[str, Any] = suspension.shown or {}
    facts = make_facts(decision, suspension.schema)
    signed = _add_decision(
        connection,
        suspension.execution,
        shown,
        {
            "suspension": _place(suspension, shown),
            "question": shown.get("question") or _question(suspension),
            "asked": time_or_none(suspension.since),
            "decision" if is_final else "approval": facts,
            "seen": seen is not None and seen == shown.get("digest"),
        },
    )
    audit.add_details(connection, suspension.execution, "settled", "approved", *FINAL, **signed)


def seal(connection: sa.Connection, execution: str, state: str, document: "Document") -> None:
    """Sign the notebook as it is at the end of an execution, with all its cards, if anything was decided in it.

    Args:
        connection: The transaction; it holds the execution's row.
        execution: Id of the execution.
        state: How it ended.
        document: Its notebook, which gets all the records.
    """
    if decisions.all_of(connection, execution):
        _add(connection, execution, ENDED, tuple(document.digest_cells(with_cards=True)), {"state": state})
        enter_records(connection, execution, document)


def enter_records(connection: sa.Connection, execution: str, document: "Document") -> None:
    """Write all records of an execution into its notebook."""
    found = decisions.all_of(connection, execution)
    own = document.metadata.get("pauseflow", {})
    if found != own.get(DECISIONS, []):
        document.metadata["pauseflow"] = {**own, DECISIONS: found}
        document.changed()


def _add_decision(
    connection: sa.Connection, execution: str, shown: Mapping[str, Any], facts: dict[str, Any]
) -> dict[str, JSON]:
    """Add a record about a question, with what was shown; returns what `_add` does."""
    names = ("question", "rules", "parameters", "exports", "environment", *(["fresh"] if "fresh" in shown else []))
    known = {"shown": shown.get("digest"), **{name: shown.get(name) for name in names}}
    cells = tuple(map(CellDigest.from_json, shown.get("cells", [])))
    return _add(connection, execution, DECIDED, cells, {**known, **facts})


def _place(suspension: Row, shown: Mapping[str, Any]) -> dict[str, JSON]:
    own = {name: getattr(suspension, name) for name in ("step", "run", "segment", "ordinal")}
    return dict(shown.get("suspension") or own)


def _add(
    connection: sa.Connection, execution: str, kind: str, cells: tuple[CellDigest, ...], facts: dict[str, JSON]
) -> dict[str, JSON]:
    """Sign and add a record.

    Returns:
        What the audit trail says of it: its number and the digest of what was signed.
    """
    before = decisions.all_of(connection, execution)
    previous = payload_digest(before[-1]) if before else None
    number = len(before) + 1
    if before and (earlier := _execution_of(before[-1])) != execution:
        facts = {**facts, "continues": earlier}
    statement = Statement(kind, execution, number, previous, cells, facts)
    envelope = sign(statement, keys.signing_key(connection))
    decisions.add(connection, execution, number, envelope)
    return {"record": number, "digest": payload_digest(envelope)}


def _execution_of(envelope: Mapping[str, Any]) -> str:
    """Read which execution a record of ours is of: a fork begins with those of what it was forked from."""
    return str(_predicate_of(envelope)["execution"])


def _predicate_of(envelope: Mapping[str, Any]) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return dict(payload["predicate"])


def _question(suspension: Row) -> dict[str, JSON]:
    """Take the question from the row: that of an earlier version, which noted nothing of what it showed."""
    return {name: getattr(suspension, name) for name in ("kind", "title", "message", "data", "schema")}
