"""Sign and verify the tokens in links: one token can send one callback.

A token names an execution, a segment, a step, an ordinal within the step and an action. The attempt
is not in it: a link that was mailed before a crash stays good after it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass

from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from pauseflow_nb.errors import InvalidValue, UnknownLink
from pauseflow_nb.protocol import Links

__all__ = ["ACTIONS", "Claim", "Signer"]

#: What a link can do; `approve` opens the page from which a person resumes or cancels.
ACTIONS = ("resume", "cancel", "approve")

_NAMES = {"resume": "resume_url", "cancel": "cancel_url", "approve": "approval_url"}


@dataclass(frozen=True)
class Claim:
    """What a verified token says."""

    execution: str
    segment: int
    step: str
    ordinal: int
    action: str


class Signer:
    """Signs with the newest key and verifies with all of them, so that keys can be rotated."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take the keys, oldest first; at least one."""
        if not keys:
            raise InvalidValue("keys", keys, "must hold a key")
        # itsdangerous defaults to SHA-1 and to a derivation of Django's.
        options = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        self._tokens = URLSafeSerializer(list(keys), salt="pauseflow.link", signer_kwargs=options)
        self._digests = URLSafeSerializer(list(keys), salt="pauseflow.manifest", signer_kwargs=options)

    def token(self, claim: Claim) -> str:
        """Sign a claim; the result is URL-safe and may contain dots."""
        return self._tokens.dumps(astuple(claim)).rstrip()

    def read(self, token: str, action: str) -> Claim:
        """Verify a token in constant time.

        Raises:
            UnknownLink: If we did not sign it, or signed it for another action.
        """
        match _loaded(self._tokens, token):
            case [str(execution), int(segment), str(step), int(ordinal), str(signed_action)]:
                claim = Claim(execution, segment, step, ordinal, signed_action)
            case _:
                raise UnknownLink
        if claim.action != action:
            raise UnknownLink
        return claim

    def links(self, base_url: str, execution: str, segment: int, step: str, ordinal: int = 0) -> Links:
        """Make the three links of one suspension."""
        base = base_url.rstrip("/")
        return {
            _NAMES[action]: f"{base}/pauseflow/{action}/{self.token(Claim(execution, segment, step, ordinal, action))}"
            for action in ACTIONS
        }

    def sign_manifest(self, execution: str, digest: str) -> str:
        """Sign a snapshot's digest for one execution: another execution's snapshot does not verify."""
        return self._digests.dumps([execution, digest])

    def is_manifest_signed(self, execution: str, digest: str, signature: str) -> bool:
        """Whether this signature was made for this digest and execution."""
        return bool(_loaded(self._digests, signature) == [execution, digest])


def _loaded(serializer: URLSafeSerializer, text: str) -> object:
    try:
        # Base64 ignores the last bits and foreign letters: an altered signature could still be the same one.
        signature = text.rpartition(".")[2]
        if base64_encode(base64_decode(signature)).decode() != signature:
            return None
        return serializer.loads(text)
    except (BadData, UnicodeError):  # UnicodeError: text that no encoding can hold, so not ours either
        return None
