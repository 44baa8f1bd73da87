"""Sign and verify the tokens in links: one token can send one callback.

A token names an execution, a segment, a step, an ordinal within the step, an action, and how often the
execution's links were revoked before. The attempt is not in it: a link that was mailed before a crash
stays valid after it.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from pauseflow_nb.actions import LINK_NAMES
from pauseflow_nb.errors import InvalidValue, LinkWithdrawn, UnknownLink
from pauseflow_nb.protocol import Links

#: The actions of links; `approve` opens the page on which a person chooses.
ACTIONS = tuple(LINK_NAMES)


@dataclass(frozen=True)
class Claim:
    """The contents of a verified token."""

    execution: str
    segment: int
    step: str
    ordinal: int
    action: str
    #: How often the links of the execution had been revoked when this one was made.
    revocations: int = 0
    #: Number of the key that signed the token; None for a claim that was not read from a token.
    key: int | None = field(default=None, compare=False)


class Signer:
    """Signs with the newest key and verifies with all that are not withdrawn."""

    def __init__(self, keys: Sequence[str], *, withdrawn: Collection[int] = ()) -> None:
        """Take the keys of a store.

        Args:
            keys: All secrets, oldest first; the first one has the number 1.
            withdrawn: Numbers of the keys that are not valid any more. Their tokens are still recognised.

        Raises:
            InvalidValue: If no key can sign.
        """
        valid = [number for number in range(1, len(keys) + 1) if number not in withdrawn]
        if not valid:
            raise InvalidValue("keys", len(keys), "must include one that is not withdrawn")
        self._valid = tuple(reversed(valid))
        self._tokens = {number: _Tokens(key, salt="pauseflow.link", **_HASHING) for number, key in _numbered(keys)}
        self._triggers = {number: _Tokens(key, salt="pauseflow.trigger", **_HASHING) for number, key in _numbered(keys)}
        self._digests = {number: _Tokens(key, salt="pauseflow.manifest", **_HASHING) for number, key in _numbered(keys)}

    def token(self, claim: Claim) -> str:
        """Sign a claim; the result has letters, digits, `-`, `_` and one dot, which is neither first nor last."""
        facts = [claim.execution, claim.segment, claim.step, claim.ordinal, claim.action, claim.revocations]
        return self._tokens[self._valid[0]].dumps(facts)

    def read(self, token: str, action: str) -> Claim:
        """Verify a token in constant time.

        Raises:
            UnknownLink: If we did not sign it, or signed it for another action.
            LinkWithdrawn: If the key that signed it was withdrawn.
        """
        for number, tokens in self._tokens.items():
            claim = _claim(_load(tokens, token))
            if claim is not None and claim.action == action:
                if number not in self._valid:
                    raise LinkWithdrawn
                return replace(claim, key=number)
        raise UnknownLink

    def links(
        self, base_url: str, execution: str, segment: int, step: str, ordinal: int = 0, *, revocations: int = 0
    ) -> Links:
        """Make all links of one suspension; a link that its question does not allow is refused when it is called."""
        base = base_url.rstrip("/")
        claims = {action: Claim(execution, segment, step, ordinal, action, revocations) for action in ACTIONS}
        return {
            LINK_NAMES[action]: f"{base}/pauseflow/{action}/{self.token(claim)}" for action, claim in claims.items()
        }

    def trigger_token(self, trigger: str, rotations: int) -> str:
        """Sign the URL of a trigger, with the number of its replacements; same alphabet as `token`."""
        return self._triggers[self._valid[0]].dumps([trigger, rotations])

    def read_trigger(self, token: str) -> tuple[str, int]:
        """Verify the token in the URL of a trigger in constant time; returns its id and the number of replacements.

        Raises:
            UnknownLink: If we did not sign it.
            LinkWithdrawn: If the key that signed it was withdrawn.
        """
        for number, tokens in self._triggers.items():
            match _load(tokens, token):
                case [str(trigger), int(rotations)]:
                    if number not in self._valid:
                        raise LinkWithdrawn
                    return trigger, rotations
        raise UnknownLink

    def sign_manifest(self, execution: str, digest: str) -> str:
        """Sign a snapshot's digest for one execution: another execution's snapshot does not verify."""
        return self._digests[self._valid[0]].dumps([execution, digest])

    def is_manifest_signed(self, execution: str, digest: str, signature: str) -> bool:
        """Whether this signature was made for this digest and execution, with a key that is not withdrawn."""
        return any(_load(self._digests[number], signature) == [execution, digest] for number in self._valid)


class _Tokens(URLSafeSerializer):
    """Never compresses: a compressed token begins with a dot, which web servers take for a hidden file."""

    def dump_payload(self, obj: Any) -> bytes:
        return base64_encode(self.serializer.dumps(obj))


#: itsdangerous defaults to SHA-1 and to a derivation of Django's.
_HASHING: dict[str, Any] = {"signer_kwargs": {"digest_method": hashlib.sha256, "key_derivation": "hmac"}}


def _numbered(keys: Sequence[str]) -> list[tuple[int, str]]:
    return list(enumerate(keys, start=1))


def _claim(facts: object) -> Claim | None:
    match facts:
        case [str(execution), int(segment), str(step), int(ordinal), str(action)]:
            # Made by a version that could not revoke links.
            return Claim(execution, segment, step, ordinal, action)
        case [str(execution), int(segment), str(step), int(ordinal), str(action), int(revocations)]:
            return Claim(execution, segment, step, ordinal, action, revocations)
    return None


def _load(serializer: URLSafeSerializer, text: str) -> object:
    try:
        # Base64 ignores the last bits and foreign characters: an altered signature could decode to the same bytes.
        signature = text.rpartition(".")[2]
        if base64_encode(base64_decode(signature)).decode() != signature:
            return None
        return serializer.loads(text)
    except (BadData, UnicodeError):  # UnicodeError: text that no encoding can hold, so not ours either
        return None
