"""Send an HTTP request from within a step: `flow.send.http`."""

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from pauseflow_nb.errors import InvalidValue, NotDelivered
from pauseflow_nb.kernel.exports import as_json

_SECONDS = 30.0


def send_request(
    url: str,
    method: str = "POST",
    *,
    data: Any = None,
    headers: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    auth: Any = None,
) -> None:
    """Send an HTTP request and wait until the server has accepted it.

    Raises:
        NotDelivered: If the server did not answer within 30 s, or not with success.
        InvalidValue: If the URL is not HTTP.
    """
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidValue("url", url, "must begin with http:// or https://")
    content, kind = _encode(data)
    fields = {"User-Agent": "pauseflow", **({"Content-Type": kind} if kind else {}), **(headers or {})}
    if auth is not None:
        pair = f"{auth['username']}:{auth['password']}" if isinstance(auth, Mapping) else ":".join(auth)
        fields["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"
    if params:
        url = f"{url}{'&' if parts.query else '?'}{urlencode(params, doseq=True)}"
    request = urllib.request.Request(url, content, fields, method=method.upper())  # noqa: S310 (checked above)
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310 (checked above)
            pass
    except urllib.error.HTTPError as problem:
        problem.close()
        raise NotDelivered(parts.hostname, f"the server answered {problem.code} {problem.reason}") from None
    except (OSError, ValueError) as problem:
        raise NotDelivered(parts.hostname, str(getattr(problem, "reason", problem))) from None


def _encode(data: Any) -> tuple[bytes | None, str | None]:
    if data is None or isinstance(data, bytes):
        return data, None
    if isinstance(data, str):
        return data.encode(), "text/plain; charset=UTF-8"
    return json.dumps(as_json("data", data)).encode(), "application/json"
