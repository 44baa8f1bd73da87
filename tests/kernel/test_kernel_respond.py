"""`flow.respond` and `flow.send.http`, as cells call them."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pauseflow_nb.kernel import responding
from pauseflow_nb.user_secrets.secret_mask import SecretMask


def by_hand(kernel: Any, call: str) -> dict[str, Any]:
    """What a request would get."""
    ran = kernel.run(f"%%step a\n{call}")
    assert ran.error is None, ran.error
    text = ran.shown.partition("would get: ")[2]
    found: dict[str, Any] = json.loads(text[: text.rindex("}") + 1])
    return found


@pytest.mark.parametrize(
    "call",
    [
        "flow.respond(201, {'X-A': 'b'}, {'ok': True})",
        "flow.respond(status=201, headers={'X-A': 'b'}, body={'ok': True})",
        "flow.respond({'status': 201, 'headers': {'X-A': 'b'}, 'body': {'ok': True}})",
        "def handler(pd):\n    pd.respond({'status': 201, 'headers': {'X-A': 'b'}, 'body': {'ok': True}, 'immediate': True})",
    ],
)
def test_by_hand_it_shows_what_a_request_would_get(kernel: Any, call: str) -> None:
    assert by_hand(kernel, call) == {"status": 201, "headers": {"X-A": "b"}, "body": {"ok": True}}


def test_bytes_are_base64_and_nothing_is_nothing(kernel: Any) -> None:
    sent = by_hand(kernel, "flow.respond(body=b'\\x00\\xff')")
    assert (sent["body"], sent["is_bytes"]) == ({"$base64": "AP8=", "size": 2}, True)
    assert by_hand(kernel, "flow.respond()") == {"status": 200, "headers": {}, "body": None}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("99", "status=99 must be a whole number from 200 to 599"),
        ("True", "status=True must be"),
        ("'200'", "status='200' must be"),
        ("200, {'Set-Cookie': 'a=b'}", "cannot be set by a notebook"),
        ("200, {'content-security-policy': ''}", "cannot be set by a notebook"),
        ("200, {'X-A': 'b\\r\\nSet-Cookie: a=b'}", "is not a header"),
        ("200, {'X A': 'b'}", "is not a header"),
        ("200, {'X-A': None}", "is not a header"),
        ("200, {'NEL': '{}'}", "cannot be set by a notebook"),
        ("200, {'Report-To': '{}'}", "cannot be set by a notebook"),
        ("200, {'Alt-Svc': 'clear'}", "cannot be set by a notebook"),
        ("200, {'X-Content-Type-Options': ''}", "cannot be set by a notebook"),
        ("200, {'X-Accel-Redirect': '/internal'}", "cannot be set by a notebook"),
        ("200, {'Proxy-Authenticate': 'Basic'}", "cannot be set by a notebook"),
        ("200, {'X-A': 'b' * 5000}", "at most 4 KiB in all"),
        ("200, {f'X-{i}': 'b' for i in range(1000)}", "at most 4 KiB in all"),
        ("200, [('X-A', 'b')]", "must be a mapping"),
        ("200, {}, {1, 2}", "body"),
        ("200, {}, 'x' * 2_000_000", "at most 1 MiB"),
        ("200, {}, b'x' * (2**20 + 1)", "at most 1 MiB"),
        ("200, {}, ['ä' * 2**19]", "at most 1 MiB"),
        ("{'code': 200}", "must be one mapping of status, headers and body"),
    ],
)
def test_what_cannot_be_sent_is_an_error_at_the_call(kernel: Any, arguments: str, sentence: str) -> None:
    assert sentence in str(kernel.run(f"%%step a\nflow.respond({arguments})").error)


def test_a_secret_in_a_header_or_in_bytes_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = SecretMask()
    mask.add("correct-horse-battery")
    monkeypatch.setattr(responding, "MASK", mask)
    made = responding.make_response(200, {"X-Key": "Bearer correct-horse-battery"}, b"\xff correct-horse-battery")

    assert made["headers"] == {"X-Key": "Bearer ****"}
    assert base64.b64decode(made["body"]["$base64"]) == b"\xff " + "••••".encode()


@pytest.mark.parametrize("body", ["b'x' * 2**20", "'ä' * 2**19"])
def test_a_body_of_a_mebibyte_is_sent(kernel: Any, body: str) -> None:
    assert kernel.run(f"%%step a\nflow.respond(body={body})").error is None


def test_it_needs_a_step(kernel: Any) -> None:
    assert type(kernel.run("flow.respond()").error).__name__ == "NotInStep"


class Inbox(BaseHTTPRequestHandler):
    """Takes any request, and refuses what goes to `/no`."""

    requests: list[tuple[str, str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.requests.append((self.command, self.path, dict(self.headers), body))
        self.send_response(503 if self.path == "/no" else 200)
        self.end_headers()

    do_GET = do_PUT = do_POST  # noqa: N815 (names that the library asks for)

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def inbox() -> Iterator[ThreadingHTTPServer]:
    handler = type("Handler", (Inbox,), {"requests": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def requests_to(inbox: Any) -> Any:
    return inbox.RequestHandlerClass.requests


def test_a_request_is_sent_with_json_headers_and_query(kernel: Any, inbox: Any) -> None:
    url = f"http://127.0.0.1:{inbox.server_port}/hook"
    call = f"flow.send.http(method='PUT', url='{url}', data={{'n': 1}}, headers={{'X-A': 'b'}}, params={{'q': 'ä'}}, auth=('u', 'p'))"
    assert kernel.run(f"%%step a\n{call}").error is None

    ((method, path, headers, body),) = requests_to(inbox)
    assert (method, path, json.loads(body)) == ("PUT", "/hook?q=%C3%A4", {"n": 1})
    assert (headers["X-A"], headers["Content-Type"]) == ("b", "application/json")
    assert headers["Authorization"] == "Basic dTpw"


def test_pipedreams_one_mapping_is_sent_too(kernel: Any, inbox: Any) -> None:
    url = f"http://127.0.0.1:{inbox.server_port}/hook"
    source = f"%%step a\ndef handler(pd: 'pipedream'):\n    pd.send.http({{'method': 'POST', 'url': '{url}', 'data': 'text'}})"
    assert kernel.run(source).error is None

    assert requests_to(inbox)[0][3] == b"text"


def test_what_is_not_accepted_fails_the_step(kernel: Any, inbox: Any) -> None:
    port = inbox.server_port
    assert "the server answered 503" in str(
        kernel.run(f"%%step a\nflow.send.http(url='http://127.0.0.1:{port}/no')").error
    )
    assert "was not delivered" in str(kernel.run("%%step b\nflow.send.http(url='http://127.0.0.1:1/')").error)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org", "", "example.org"])
def test_only_http_is_sent(kernel: Any, url: str) -> None:
    assert "must begin with http" in str(kernel.run(f"%%step a\nflow.send.http(url={url!r})").error)


def test_an_unknown_word_is_named(kernel: Any) -> None:
    assert "body" in str(kernel.run("%%step a\nflow.send.http({'url': 'http://127.0.0.1:1', 'body': 1})").error)
