"""The envelope of a callback: what the notebook finds in `steps.NAME["$resume_data"]`."""

import time
from collections.abc import Mapping

from tornado.httputil import HTTPServerRequest

from pauseflow_nb.json_values import JSON
from pauseflow_nb.runner.masking import MASK
from pauseflow_nb.server.bodies import Body, parse_pairs
from pauseflow_nb.store.views import iso

__all__ = ["envelope", "query_of"]

#: Headers that carry the sender's own secrets.
_PRIVATE = frozenset({"authorization", "cookie", "proxy-authorization", "x-xsrftoken", "x-csrftoken"})


def envelope(request: HTTPServerRequest, token: str, body: Body, *, by: str) -> dict[str, JSON]:
    """Describe a request without its secrets: cookies, authorization, and the token wherever it stands.

    Args:
        request: The request. Its `remote_ip` follows `X-Forwarded-For` only where the server trusts that.
        token: The link's token, to be masked.
        body: The parsed body.
        by: Who sends it: `"link"` or `"user:NAME"`.
    """
    return {
        "method": request.method or "",
        "path": _masked(request.path, token),
        "query": query_of(request.query),
        "headers": _headers(request.headers, token),
        "body": body.value,
        "body_raw": body.raw,
        "client_ip": request.remote_ip or "",
        "url": _masked(_unescaped(request.full_url()), token),
        "received_at": iso(time.time()),
        "by": by,
    }


def query_of(query: str) -> dict[str, JSON]:
    """Parse a request's query, as tornado has it."""
    return parse_pairs(_unescaped(query))


def _unescaped(text: str) -> str:
    """Read what a client did not escape, as curl does not, as UTF-8; tornado reads it as Latin-1."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def _headers(headers: Mapping[str, str], token: str) -> dict[str, JSON]:
    # Lower case, as Pipedream hands them over. Proxies repeat the path, and so the token, in headers of their own.
    return {name.lower(): _masked(value, token) for name, value in headers.items() if name.lower() not in _PRIVATE}


def _masked(text: str, token: str) -> str:
    return text.replace(token, MASK) if token else text
