"""Check a step's response to the request that started its execution."""

import base64
import re
from collections.abc import Mapping
from typing import Any

from pauseflow_nb.errors import InvalidValue
from pauseflow_nb.json_values import JSON, dump_json
from pauseflow_nb.kernel.exports import as_json
from pauseflow_nb.kernel.secret import MASK

#: Largest body, in bytes.
_LARGEST_BODY = 1024 * 1024
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_BYTES = (bytes, bytearray, memoryview)
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

#: Largest size of all headers together, in bytes: proxies and clients refuse more.
_LARGEST_HEADERS = 4 * 1024

#: They belong to the server: a cookie would be one of Jupyter's own address, and the rest describes the connection, holds
#: for every page of the address, or tells a proxy in front of the server what to do.
_NOT_OURS = frozenset(
    {"set-cookie", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "trailer", "te"}
    | {"content-security-policy", "clear-site-data", "service-worker-allowed", "strict-transport-security"}
    | {"set-cookie2", "x-content-type-options", "alt-svc", "expect-ct", "public-key-pins", "origin-agent-cluster"}
    | {"nel", "report-to", "reporting-endpoints", "set-login", "accept-ch", "speculation-rules"}
    | {"x-sendfile", "x-lighttpd-send-file"}
)
_NOT_OURS_BEGIN = ("proxy-", "x-accel-")


def make_response(
    status: int | Mapping[str, Any] = 200, headers: Mapping[str, Any] | None = None, body: Any = None
) -> dict[str, JSON]:
    """Read the arguments of `flow.respond`.

    Raises:
        InvalidValue, NotJSON: Naming the argument.
    """
    if isinstance(status, Mapping):
        fields = dict(status)
        # A response of ours is always sent at once.
        fields.pop("immediate", None)
        unknown = set(fields) - {"status", "headers", "body"}
        if unknown or headers is not None or body is not None:
            raise InvalidValue("respond", sorted(map(str, unknown)), "must be one mapping of status, headers and body")
        return make_response(fields.get("status", 200), fields.get("headers"), fields.get("body"))
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
        raise InvalidValue("status", status, "must be a whole number from 200 to 599")
    made = _make_body(body)
    if _measure(body, made) > _LARGEST_BODY:
        raise InvalidValue("body", "…", "must have at most 1 MiB: store it elsewhere, and respond with its address")
    response: dict[str, JSON] = {"status": status, "headers": _check_headers(headers or {}), "body": made}
    # A JSON value that looks like encoded bytes is sent unchanged.
    return {**response, "is_bytes": True} if isinstance(body, _BYTES) else response


def _make_body(body: Any) -> JSON:
    if isinstance(body, _BYTES):
        data = _mask(bytes(body).decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        return {"$base64": base64.b64encode(data).decode("ascii"), "size": len(data)}
    return as_json("body", body)


def _mask(text: str) -> str:
    return MASK.text(text) if MASK else text


def _measure(body: Any, made: JSON) -> int:
    """Count the bytes that are sent."""
    if isinstance(body, _BYTES):
        return memoryview(body).nbytes
    return len((made if isinstance(made, str) else dump_json(made)).encode())


def _check_headers(headers: Any) -> dict[str, JSON]:
    if not isinstance(headers, Mapping):
        raise InvalidValue("headers", headers, "must be a mapping of names to texts")
    checked: dict[str, JSON] = {}
    for name, value in headers.items():
        text = str(value) if isinstance(value, (str, int, float)) else None
        if not isinstance(name, str) or not _TOKEN.fullmatch(name) or text is None or not _VALUE.fullmatch(text):
            raise InvalidValue("headers", {name: value}, "is not a header: write a name and one line of text")
        if name.lower() in _NOT_OURS or name.lower().startswith(_NOT_OURS_BEGIN):
            raise InvalidValue("headers", name, "cannot be set by a notebook: leave it out")
        # The mask has characters that headers cannot contain.
        checked[name] = _mask(text).replace("•", "*")
    if sum(len(f"{name}: {text}\r\n") for name, text in checked.items()) > _LARGEST_HEADERS:
        raise InvalidValue("headers", "…", "must have at most 4 KiB in all: put the rest into the body")
    return checked
