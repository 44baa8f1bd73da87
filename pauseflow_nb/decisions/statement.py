"""Make, sign and check the statements of an execution: in-toto statements in DSSE envelopes, signed with Ed25519.

Sources: in-toto attestation framework, Statement v1; Dead Simple Signing Envelope v1.0.2; RFC 8032.
"""

import base64
import binascii
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pauseflow_nb.decisions.digests import CellDigest, CellList, to_canonical
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
#: Predicate of a statement about a notebook that waits again. It is not a record: the next one replaces it.
WAITING = "https://pauseflow-nb.org/waiting/v1"
#: Keys in the notebook's metadata, under `pauseflow`: the records' envelopes, oldest first; the one of `WAITING`.
DECISIONS, WAITS = "decisions", "waiting"


@dataclass(frozen=True)
class Statement:
    """The contents of one record."""

    #: `DECIDED`, `ENDED` or `WAITING`.
    kind: str
    execution: str
    #: Number of the record within the execution, from 1, without gaps.
    number: int
    #: `digest_payload` of the previous record; None for the first one.
    previous: str | None
    #: The cells that it is about, in order.
    cells: CellList
    #: The other facts: the question, the answer, who decided and when.
    facts: Mapping[str, JSON]

    def to_json(self) -> dict[str, JSON]:
        """Write it as an in-toto statement."""
        found: dict[str, JSON] = json.loads(self.to_canonical())
        return found

    def to_canonical(self) -> bytes:
        """Write it as canonical JSON (RFC 8785), which is what is signed."""
        return _join(self.write_around_cells(), self.cells)

    def write_around_cells(self) -> list[bytes]:
        """Write the texts before, between and after the two lists of cells."""
        members = {"execution": self.execution, "number": self.number, "previous": self.previous, **self.facts}
        # The names of members are ASCII, which RFC 8785 sorts as Python does.
        before = to_canonical({name: each for name, each in members.items() if name < "cells"})
        after = to_canonical({name: each for name, each in members.items() if name > "cells"})
        kind = to_canonical(self.kind)
        return [
            b'{"_type":"%s","predicate":{%s"cells":' % (_STATEMENT.encode(), before[1:-1] + (b"," * (before != b"{}"))),
            b',%s,"predicateType":%s,"subject":' % (after[1:], kind),
            b"}",
        ]

    @classmethod
    def from_json(cls, value: Any) -> "Statement":
        """Read what `to_json` wrote.

        Raises:
            InvalidRecord: If it is not such a statement, or its subjects are not the cells that it lists.
        """
        try:
            statement = cls._parse(value)
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise InvalidRecord(f"it is not a statement of pauseflow ({type(problem).__name__}: {problem})") from None
        if statement.kind not in (DECIDED, ENDED, WAITING) or statement.to_json() != value:
            raise InvalidRecord("its subjects are not the cells that it lists")
        return statement

    @classmethod
    def from_brief(cls, brief: Any) -> "Statement":
        """Read `Signed.brief`, the statement without its cells; the signature is not checked.

        Raises:
            InvalidRecord: If it is not a signed statement.
        """
        try:
            payload = brief["payload"]
            # Earlier versions stored it with its cells.
            text = "[]".join(payload) if isinstance(payload, list) else base64.b64decode(payload)
            return cls._parse(json.loads(text))
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise InvalidRecord(f"it is not a signed statement ({type(problem).__name__}: {problem})") from None

    @classmethod
    def _parse(cls, value: Any) -> "Statement":
        facts = dict(value["predicate"])
        return cls(
            kind=str(value["predicateType"]),
            execution=str(facts.pop("execution")),
            number=int(facts.pop("number")),
            previous=facts.pop("previous"),
            cells=CellList.of(map(CellDigest.from_json, facts.pop("cells"))),
            facts=facts,
        )

    def summarize(self) -> dict[str, JSON]:
        """Return its number, kind and facts, without the digests of the cells."""
        return {"number": self.number, "kind": "decision" if self.kind == DECIDED else "end", **self.facts}


@dataclass(frozen=True)
class Signed:
    """A signed statement as it is stored: without its cells, which other statements may share."""

    #: The DSSE envelope, whose payload is a list of the texts around the lists of cells; see `expand`.
    brief: dict[str, Any]
    #: The digest by which the next record refers to it.
    digest: str


def sign(statement: Statement, private: "Ed25519PrivateKey") -> Signed:
    """Sign a statement."""
    around = statement.write_around_cells()
    payload = _join(around, statement.cells)
    brief = _envelope(
        [text.decode() for text in around], private.sign(_encode_for_signing(payload)), _name_key(private)
    )
    return Signed(brief, hashlib.sha256(payload).hexdigest())


def expand(brief: Any, cells: CellList) -> Any:
    """Put the cells into the envelope of a signed statement.

    Returns:
        The DSSE envelope, as JSON. A damaged one is returned unchanged: `open_envelope` reports it.
    """
    try:
        payload = _join([text.encode() for text in brief["payload"]], cells)
    except (KeyError, TypeError, ValueError, AttributeError):
        return brief
    return {**brief, "payload": base64.b64encode(payload).decode()}


def _join(around: Sequence[bytes], cells: CellList) -> bytes:
    before, between, after = around
    return b"".join([before, cells.cells, between, cells.subjects, after])


def open_envelope(envelope: Any, keys: Sequence["Ed25519PublicKey"]) -> Statement:
    """Check an envelope's signature and read its statement.

    Args:
        envelope: The DSSE envelope, as JSON.
        keys: Any of these may have signed it.

    Raises:
        InvalidRecord: If it is not an envelope, or none of the keys has signed it.
    """
    from cryptography.exceptions import InvalidSignature  # lazily: kernels do not check envelopes

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
                key.verify(signature, _encode_for_signing(payload))
            except InvalidSignature:
                continue
            if envelope != _envelope(base64.b64encode(payload).decode(), signature, key_id(key)):
                raise InvalidRecord("parts of its envelope that are not signed were changed")
            try:
                return Statement.from_json(json.loads(payload))
            except ValueError as problem:
                raise InvalidRecord(f"its payload is not JSON ({problem})") from None
    known = ", ".join(sorted(key_id(key)[:16] for key in keys))
    named = ", ".join(name[:16] for name, _ in signatures)
    raise InvalidRecord(f"its signature, by key {named or 'without a name'}, is not valid for any key given ({known})")


@functools.lru_cache(maxsize=4)
def _name_key(private: "Ed25519PrivateKey") -> str:
    return key_id(private.public_key())


def _envelope(payload: JSON, signature: bytes, key: str) -> dict[str, JSON]:
    return {
        "payloadType": _PAYLOAD,
        "payload": payload,
        "signatures": [{"keyid": key, "sig": base64.b64encode(signature).decode()}],
    }


def digest_payload(envelope: Mapping[str, Any]) -> str:
    """Digest the payload of an envelope; the next record refers to it by this digest."""
    try:
        return hashlib.sha256(base64.b64decode(envelope["payload"])).hexdigest()
    except (KeyError, TypeError, binascii.Error):
        return ""


def summarize(signed: Signed) -> dict[str, JSON]:
    """Return the contents of a stored record without the digests of the cells; its signature is not checked."""
    try:
        statement, key = Statement.from_brief(signed.brief), signed.brief["signatures"][0]["keyid"]
    except (InvalidRecord, KeyError, IndexError, TypeError) as problem:
        return {"problem": f"this record cannot be read ({problem})"}
    return {**statement.summarize(), "execution": statement.execution, "digest": signed.digest, "key": key}


def key_id(key: "Ed25519PublicKey") -> str:
    """Return the id of a key, as `pauseflow keys list` shows it: SHA-256 of its 32 bytes, in hexadecimal."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def _encode_for_signing(payload: bytes) -> bytes:
    """Return the bytes that DSSE signs (its pre-authentication encoding)."""
    kind = _PAYLOAD.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
