"""Make, sign and check the statements of an execution: in-toto statements in DSSE envelopes, signed with Ed25519.

Sources: in-toto attestation framework, Statement v1; Dead Simple Signing Envelope v1.0.2; RFC 8032.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pauseflow_nb.decisions.digests import CellDigest, CellList, to_canonical, write_object
from pauseflow_nb.errors import InvalidRecord
from pauseflow_nb.json_values import JSON

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_STATEMENT = "https://in-toto.io/Statement/v1"
_PAYLOAD = "application/vnd.in-toto+json"
#: Predicate of a statement about one decision.
DECIDED = "https://pauseflow-nb.org/decision/v1"
#: Predicate of a statement about the end of an execution.
ENDED = "https://pauseflow-nb.org/end/v1"
#: Key of the notebook's metadata, under `pauseflow`, that holds the envelopes, oldest first.
DECISIONS = "decisions"

_WHOLE = "notebook"


@dataclass(frozen=True)
class Statement:
    """What one record says."""

    #: `DECIDED` or `ENDED`.
    kind: str
    execution: str
    #: From 1, without a gap, within the execution.
    number: int
    #: `payload_digest` of the record before it; None for the first one.
    previous: str | None
    #: The cells that it is about, in order.
    cells: CellList
    #: The rest: the question, the answer, who decided and when.
    facts: Mapping[str, JSON]

    def to_json(self) -> dict[str, JSON]:
        """Write it as an in-toto statement."""
        return {
            "_type": _STATEMENT,
            "subject": self._subjects(),
            "predicateType": self.kind,
            "predicate": {"cells": list(self.cells.listed), **self._predicate()},
        }

    def to_canonical(self) -> bytes:
        """Write it as RFC 8785 has it: what is signed."""
        predicate = {name: to_canonical(each) for name, each in self._predicate().items()}
        parts: dict[str, Any] = {"_type": _STATEMENT, "predicateType": self.kind}
        return write_object(
            {
                **{name: to_canonical(each) for name, each in parts.items()},
                "predicate": write_object({**predicate, "cells": _write_texts(self.cells.listed)}),
                "subject": _write_texts(self._subjects()),
            }
        )

    def _subjects(self) -> list[JSON]:
        return [{"digest": {"sha256": self.cells.digest}, "name": _WHOLE}, *self.cells.to_subjects()]

    def _predicate(self) -> dict[str, JSON]:
        return {"execution": self.execution, "number": self.number, "previous": self.previous, **self.facts}

    @classmethod
    def from_json(cls, value: Any) -> "Statement":
        """Read what `to_json` wrote.

        Raises:
            InvalidRecord: If it is not such a statement, or its subjects are not the cells that it lists.
        """
        try:
            facts = dict(value["predicate"])
            statement = cls(
                kind=str(value["predicateType"]),
                execution=str(facts.pop("execution")),
                number=int(facts.pop("number")),
                previous=facts.pop("previous"),
                cells=CellList.of(map(CellDigest.from_json, facts.pop("cells"))),
                facts=facts,
            )
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise InvalidRecord(f"it is not a statement of pauseflow ({type(problem).__name__}: {problem})") from None
        if statement.kind not in (DECIDED, ENDED) or statement.to_json() != value:
            raise InvalidRecord("its subjects are not the cells that it lists")
        return statement

    def summarise(self) -> dict[str, JSON]:
        """Say what it holds, without the digests of the cells: its number, its kind, and its facts."""
        return {"number": self.number, "kind": "decision" if self.kind == DECIDED else "end", **self.facts}


def sign(statement: Statement, private: "Ed25519PrivateKey") -> dict[str, JSON]:
    """Sign a statement.

    Returns:
        The DSSE envelope, as JSON.
    """
    payload = statement.to_canonical()
    return _envelope(payload, private.sign(_signed_bytes(payload)), private.public_key())


def _write_texts(value: Sequence[Any]) -> bytes:
    """Write lists of texts, and objects with sorted names, as RFC 8785 has them; without a look at each."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode() if text.isascii() else to_canonical(value)


def open_envelope(envelope: Any, keys: Sequence["Ed25519PublicKey"]) -> Statement:
    """Check an envelope's signature and read its statement.

    Args:
        envelope: The DSSE envelope, as JSON.
        keys: Any of these may have signed it.

    Raises:
        InvalidRecord: If it is not an envelope, or none of the keys has signed it.
    """
    from cryptography.exceptions import InvalidSignature  # lazily: a kernel never checks one

    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [
            (str(each.get("keyid", "")), base64.b64decode(each["sig"], validate=True))
            for each in envelope["signatures"]
        ]
        is_ours = envelope["payloadType"] == _PAYLOAD
    except (KeyError, TypeError, AttributeError, binascii.Error) as problem:
        raise InvalidRecord(f"it is not a signed envelope ({type(problem).__name__}: {problem})") from None
    if not is_ours:
        raise InvalidRecord(f"its payload is of type {envelope['payloadType']!r}, not {_PAYLOAD!r}")
    for key in keys:
        for _, signature in signatures:
            try:
                key.verify(signature, _signed_bytes(payload))
            except InvalidSignature:
                continue
            if envelope != _envelope(payload, signature, key):
                raise InvalidRecord("parts of its envelope that are not signed were changed")
            try:
                return Statement.from_json(json.loads(payload))
            except ValueError as problem:
                raise InvalidRecord(f"its payload is not JSON ({problem})") from None
    known = ", ".join(sorted(key_id(key)[:16] for key in keys))
    named = ", ".join(name[:16] for name, _ in signatures)
    raise InvalidRecord(f"its signature, by key {named or 'without a name'}, is not valid for any key given ({known})")


def _envelope(payload: bytes, signature: bytes, key: "Ed25519PublicKey") -> dict[str, JSON]:
    return {
        "payloadType": _PAYLOAD,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key_id(key), "sig": base64.b64encode(signature).decode()}],
    }


def payload_digest(envelope: Mapping[str, Any]) -> str:
    """Digest the payload of an envelope: what the record after it names as the one before."""
    try:
        return hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest()
    except (KeyError, TypeError, binascii.Error):
        return ""


def summarise(envelope: Mapping[str, Any]) -> dict[str, JSON]:
    """Say what a record of the store holds, without the digests of the cells; its signature is not checked."""
    try:
        statement = Statement.from_json(json.loads(base64.b64decode(envelope["payload"])))
        digest, key = payload_digest(envelope), envelope["signatures"][0]["keyid"]
    except (InvalidRecord, KeyError, IndexError, TypeError, ValueError) as problem:
        return {"problem": f"this record cannot be read ({problem})"}
    return {**statement.summarise(), "execution": statement.execution, "digest": digest, "key": key}


def key_id(key: "Ed25519PublicKey") -> str:
    """Name a key: SHA-256 of its 32 bytes, in hexadecimal, as `pauseflow keys list` shows it."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def _signed_bytes(payload: bytes) -> bytes:
    """Give the bytes that DSSE signs (its pre-authentication encoding)."""
    kind = _PAYLOAD.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
