"""The envelope of a callback: what the notebook finds in `steps.NAME["$resume_data"]`."""

import time
from collections.abc import Mapping

from tornado.httputil import HTTPServerRequest

from pauseflow_nb.json_values import JSON
from pauseflow_nb.runner.masking import Mask
from pauseflow_nb.server.public.bodies import Body, parse_pairs
from pauseflow_nb.store.views import iso

__all__ = ["envelope", "query_of"]

#: Headers that carry the sender's own secrets, and words in the names of others that do: `X-Api-Key`, `X-Amz-Security-Token`.
#: Signatures such as `X-Hub-Signature-256` stay: a notebook checks them.
_SECRET_WORDS = frozenset(
    {"auth", "authentication", "authorization", "bearer", "cookie", "credential", "credentials", "jwt", "key", "otp"}
    | {"passphrase", "passwd", "password", "pat", "pwd", "secret", "session", "sessionid", "token"}
)
#: The same, where a name is written as one word.
_SECRET_ENDINGS = ("apikey", "accesskey", "authkey", "secretkey", "password", "secret", "token")
#: Finds tokens by their shape. To tell it each request's own token would cost more time than the rest of the envelope.
_MASK = Mask()


def envelope(request: HTTPServerRequest, body: Body, *, by: str) -> dict[str, JSON]:
    """Describe a request without its secrets: cookies, authorization, and the token wherever it stands.

    Args:
        request: The request. Its `remote_ip` follows `X-Forwarded-For` only where the server trusts that.
        body: The parsed body.
        by: Who sends it: `"link"` or `"user:NAME"`.
    """
    return {
        "method": request.method or "",
        "path": _MASK.text(request.path),
        "query": _MASK.value(query_of(request.query)),
        "headers": _headers(request.headers),
        "body": body.value,
        "body_raw": body.raw,
        "client_ip": request.remote_ip or "",
        "url": _MASK.text(_unescaped(request.full_url())),
        "received_at": iso(time.time()),
        "by": by,
    }


def query_of(query: str) -> dict[str, JSON]:
    """Parse a request's query, as tornado has it."""
    return parse_pairs(_unescaped(query))


def _unescaped(text: str) -> str:
    """Read what a client did not escape, as curl does not, as UTF-8; tornado reads it as Latin-1."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def _headers(headers: Mapping[str, str]) -> dict[str, JSON]:
    # Lower case, as Pipedream hands them over. Proxies repeat the path, and so the token, in headers of their own.
    return {name.lower(): _MASK.text(value) for name, value in headers.items() if not _is_secret(name.lower())}


def _is_secret(name: str) -> bool:
    words = name.replace("_", "-").split("-")
    # Only the client made this key, and it opens nothing.
    if name in ("idempotency-key", "x-idempotency-key", "sec-websocket-key"):
        return False
    return bool(_SECRET_WORDS & set(words)) or name.endswith(_SECRET_ENDINGS)
