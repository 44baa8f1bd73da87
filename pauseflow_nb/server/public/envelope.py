"""Make the envelope of a callback, which the notebook reads as `steps.NAME["$resume_data"]`."""

import time
from collections.abc import Mapping

from tornado.httputil import HTTPServerRequest

from pauseflow_nb.json_values import JSON
from pauseflow_nb.runner.masking import Mask
from pauseflow_nb.server.public.bodies import Body, parse_pairs
from pauseflow_nb.store.database import format_time

#: Words in the names of headers that contain secrets of the sender, such as `X-Api-Key` and `X-Amz-Security-Token`. Signatures
#: such as `X-Hub-Signature-256` stay, because a notebook may check them.
_SECRET_WORDS = frozenset(
    {"auth", "authentication", "authorization", "bearer", "cookie", "credential", "credentials", "jwt", "key", "otp"}
    | {"passphrase", "passwd", "password", "pat", "pwd", "secret", "session", "sessionid", "token"}
)
#: Endings of such names that are written as one word.
_SECRET_ENDINGS = ("apikey", "accesskey", "authkey", "secretkey", "password", "secret", "token")
#: Finds tokens by their shape: to compile an expression for the token of each request would take longer than the rest.
_MASK = Mask()


def envelope(request: HTTPServerRequest, body: Body, *, by: str) -> dict[str, JSON]:
    """Describe a request without its secrets: cookies, authorization headers, and the token wherever it appears.

    Args:
        request: The request. Its `remote_ip` follows `X-Forwarded-For` only where the server trusts that.
        body: The parsed body.
        by: The sender: `"link"` or `"user:NAME"`.
    """
    return {
        "method": request.method or "",
        "path": _MASK.text(request.path),
        "query": _MASK.value(parse_query(request.query)),
        "headers": _clean_headers(request.headers),
        "body": body.value,
        "body_raw": body.raw,
        "client_ip": request.remote_ip or "",
        "url": _MASK.text(_decode_unescaped(request.full_url())),
        "received_at": format_time(time.time()),
        "by": by,
    }


def parse_query(query: str) -> dict[str, JSON]:
    """Parse the query of a request, in the encoding of tornado."""
    return parse_pairs(_decode_unescaped(query))


def _decode_unescaped(text: str) -> str:
    """Decode characters that the client did not escape (curl does not) as UTF-8; tornado decodes them as Latin-1."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def _clean_headers(headers: Mapping[str, str]) -> dict[str, JSON]:
    # Lower case, as in Pipedream. Proxies repeat the path, and so the token, in their own headers.
    return {name.lower(): _MASK.text(value) for name, value in headers.items() if not _is_secret(name.lower())}


def _is_secret(name: str) -> bool:
    words = name.replace("_", "-").split("-")
    # These keys are not secret.
    if name in ("idempotency-key", "x-idempotency-key", "sec-websocket-key"):
        return False
    return bool(_SECRET_WORDS & set(words)) or name.endswith(_SECRET_ENDINGS)
