"""Requests that no client library sends, byte by byte: each gets one answer, none a 500, and none acts by mistake."""

import logging
import re
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from server.conftest import Send, Stage

HEAD = "Host: localhost\r\nConnection: close\r\n"
EMPTY = f"{HEAD}Content-Length: 0\r\n\r\n"
CHUNKED = f"{HEAD}Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n"


def exchange(base: str, request: str) -> tuple[list[int], str]:
    """Send bytes and read until the server closes; the statuses, and all that came."""
    address = urlsplit(base)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.sendall(request.encode("latin-1"))
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    answer = b"".join(parts).decode("latin-1")
    return [int(status) for status in re.findall(r"HTTP/1\.1 (\d{3})", answer)], answer


@pytest.mark.parametrize(
    "request_",
    [
        f"POST /LINK HTTP/1.1\r\n{EMPTY}",
        "POST /LINK HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
        "POST /LINK HTTP/1.0\r\n\r\n",
        f"POST /LINK HTTP/1.1\r\n{HEAD}\r\n",
        "POST /LINK HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n",
        "POST /LINK HTTP/1.1\r\nHost: [::1\r\nConnection: close\r\n\r\n",
        "POST /LINK HTTP/1.1\r\nHost: somewhere.example:99999\r\nConnection: close\r\n\r\n",
        f"POST /LINK HTTP/1.1\r\nX-Text: \xff\xfe\r\nX-Forwarded-For: \xff, 1\r\n{EMPTY}",
        f"POST /LINK HTTP/1.1\r\nX-Forwarded-Proto: javascript\r\nX-Scheme: \xff\r\n{EMPTY}",
        f"POST /LINK HTTP/1.1\r\nX-Large: {'a' * 60_000}\r\n{EMPTY}",
        f"POST /LINK HTTP/1.1\r\n{''.join(f'X-{n}: a{chr(13)}{chr(10)}' for n in range(3000))}{EMPTY}",
        f"POST /LINK HTTP/1.1\r\nAccept: {','.join(['text/html;q=nan'] * 3000)}\r\n{EMPTY}",
        f"POST /LINK HTTP/1.1\r\nAccept: text/html;q=inf;q=,;;;=\r\n{EMPTY}",
        f"POST /LINK?{'a' * 60_000} HTTP/1.1\r\n{EMPTY}",
        f"{CHUNKED}".join(["POST /LINK HTTP/1.1\r\n", "\r\n2\r\n{}\r\n0\r\n\r\n"]),
    ],
)
def test_an_odd_request_that_can_be_understood_acts(base: str, stage: "Stage", request_: str) -> None:
    execution = stage.suspended()

    statuses, _ = exchange(base, request_.replace("LINK", stage.link("resume", execution)))

    assert statuses == [200]
    assert stage.queue.state(execution) == "queued"
    assert stage.resume_data(execution)["method"] == "POST"


@pytest.mark.parametrize(
    "request_",
    [
        # Who the request is for, and how it is written
        "POST /LINK HTTP/1.1\r\nConnection: close\r\n\r\n",
        "POST /LINK HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        "POST /LINK HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
        "POST /LINK HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n",
        "GET /LINK\r\n\r\n",
        f"POST /LINK HTTP/3.9\r\n{EMPTY}",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        f"POST http://localhost/LINK HTTP/1.1\r\n{EMPTY}",
        f"POST https://a:b@elsewhere.example:99999/LINK HTTP/1.1\r\n{EMPTY}",
        f"POST /LINK#part HTTP/1.1\r\n{EMPTY}",
        f"POST /LINK/ HTTP/1.1\r\n{EMPTY}",
        f"POST /LINK%ff%zz HTTP/1.1\r\n{EMPTY}",
        f"POST /LINK%00 HTTP/1.1\r\n{EMPTY}",
        f"POST /LINK%0d%0aX:%20y HTTP/1.1\r\n{EMPTY}",
        f"POST //LINK HTTP/1.1\r\n{EMPTY}",
        f"POST /%ff/LINK HTTP/1.1\r\n{EMPTY}",
        # Methods
        f"post /LINK HTTP/1.1\r\n{EMPTY}",
        f"RESUME /LINK HTTP/1.1\r\n{EMPTY}",
        f"TRACE /LINK HTTP/1.1\r\n{EMPTY}",
        f"CONNECT /LINK HTTP/1.1\r\n{EMPTY}",
        f"OPTIONS * HTTP/1.1\r\n{EMPTY}",
        f"\xc3\xa4 /LINK HTTP/1.1\r\n{EMPTY}",
        # Headers
        f"POST /LINK HTTP/1.1\r\nX: a\0b\r\n{EMPTY}",
        f"POST /LINK HTTP/1.1\r\nX: a\rb\r\n{EMPTY}",
        f"POST /LINK HTTP/1.1\r\n: a\r\n{EMPTY}",
        f"POST /LINK HTTP/1.1\r\nno colon\r\n{EMPTY}",
        f"POST /LINK HTTP/1.1\r\nX Y : a\r\n{EMPTY}",
        f"POST /LINK HTTP/1.1\r\nCookie: a=\x01;;;=\xff\r\n{EMPTY}",
        f"POST /LINK?{'&'.join(f'a{n}=1' for n in range(3000))} HTTP/1.1\r\n{EMPTY}",
        # How long the body is
        *(
            f"POST /LINK HTTP/1.1\r\n{HEAD}Content-Length: {length}\r\n\r\n{{}}"
            for length in ("-1", "+2", "0x2", "2_0", "\xb2", "", "2, 3", "9" * 30, "9" * 5000, "2\r\nContent-Length: 3")
        ),
        f"POST /LINK HTTP/1.1\r\n{HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
        f"POST /LINK HTTP/1.1\r\n{HEAD}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n",
        f"POST /LINK HTTP/1.1\r\n{HEAD}Transfer-Encoding: identity\r\n\r\n",
        *(
            f"POST /LINK HTTP/1.1\r\n{CHUNKED}\r\n{chunks}"
            for chunks in (f"{'f' * 19}\r\n{{}}", "-1\r\n{}", "2\r\n{}XX0\r\n\r\n")
        ),
        # What the body is
        f"POST /LINK HTTP/1.1\r\n{HEAD}Content-Type: multipart/form-data\r\nContent-Length: 2\r\n\r\nab",
        f"POST /LINK HTTP/1.1\r\n{HEAD}Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab",
    ],
)
def test_a_request_that_cannot_be_understood_is_the_clients_fault_and_settles_nothing(
    base: str, stage: "Stage", caplog: pytest.LogCaptureFixture, request_: str
) -> None:
    execution = stage.suspended()
    link = stage.link("resume", execution)

    with caplog.at_level(logging.DEBUG):
        statuses, answer = exchange(base, request_.replace("LINK", link))

    assert len(statuses) == 1, answer
    assert 400 <= statuses[0] < 500 or (statuses == [204] and request_.startswith("OPTIONS"))
    assert stage.queue.state(execution) == "suspended"
    assert link.rpartition(".")[2] not in caplog.text


@pytest.mark.parametrize("rest", [f"X: {'a' * 200_000}\r\n{EMPTY}", f"{CHUNKED}\r\n{'0' * 70}2\r\n{{}}\r\n0\r\n\r\n"])
def test_a_connection_whose_bytes_never_become_a_request_is_closed(base: str, stage: "Stage", rest: str) -> None:
    execution = stage.suspended()

    try:
        statuses, _ = exchange(base, f"POST /{stage.link('resume', execution)} HTTP/1.1\r\n{rest}")
    except ConnectionError:
        statuses = []

    assert statuses == []
    assert stage.queue.state(execution) == "suspended"


@pytest.mark.parametrize("expected", ["100-continue", "something else"])
def test_what_a_client_expects_before_its_body_does_not_keep_it_from_acting(
    base: str, stage: "Stage", expected: str
) -> None:
    execution = stage.suspended()
    link = stage.link("resume", execution)
    request = f"POST /{link} HTTP/1.1\r\n{HEAD}Expect: {expected}\r\nContent-Type: application/json\r\n"

    statuses, _ = exchange(base, f"{request}Content-Length: 2\r\n\r\n{{}}")

    assert statuses[-1] == 200
    assert stage.resume_data(execution)["body"] == {}


def test_requests_sent_one_after_the_other_without_waiting_are_each_answered(base: str, stage: "Stage") -> None:
    first, second = stage.suspended(), stage.suspended()
    requests = [
        f"POST /{stage.link('resume', first)} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n12",
        f"GET /{stage.link('approve', second)} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"POST /{stage.link('resume', second)} HTTP/1.1\r\n{HEAD}Content-Length: 2\r\n\r\n34",
    ]

    statuses, _ = exchange(base, "".join(requests))

    assert statuses == [200, 200, 200]
    assert [stage.resume_data(execution)["body"] for execution in (first, second)] == ["12", "34"]


def test_what_stands_in_the_body_of_a_refused_request_is_no_request(base: str, stage: "Stage") -> None:
    execution = stage.suspended()
    hidden = f"POST /{stage.link('resume', execution)} HTTP/1.1\r\n{EMPTY}"

    statuses, _ = exchange(
        base, f"POST /pauseflow/resume/unknown HTTP/1.1\r\nHost: x\r\nContent-Length: {len(hidden)}\r\n\r\n{hidden}"
    )

    assert statuses == [404]
    assert stage.queue.state(execution) == "suspended"


def test_a_header_that_overrides_the_method_does_not_count(send: "Send", base: str, stage: "Stage") -> None:
    execution = stage.suspended()
    names = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")

    headers = {**dict.fromkeys(names, "POST"), "User-Agent": "Mozilla/5.0"}

    answer = send("GET", f"{base}/{stage.link('resume', execution)}?_method=POST", headers=headers)

    assert answer.code == 200
    assert stage.queue.state(execution) == "suspended"


def test_a_get_that_acts_says_so_whatever_its_client_has_cached(send: "Send", base: str, stage: "Stage") -> None:
    execution = stage.suspended()
    headers = {"User-Agent": "curl/8.5.0", "If-None-Match": "*", "Range": "bytes=0-1"}

    answer = send("GET", f"{base}/{stage.link('resume', execution)}", headers=headers)

    assert answer.code == 200
    assert stage.queue.state(execution) == "queued"
    assert "ETag" not in answer.headers


@pytest.mark.parametrize("request_", ["FOO PATH HTTP/1.1\r\n", "POST PATH HTTP/1.1\r\n", "GET PATH%ff HTTP/1.1\r\n"])
def test_odd_requests_for_the_health_of_the_server_are_the_clients_fault(base: str, request_: str) -> None:
    statuses, _ = exchange(base, request_.replace("PATH", "/pauseflow/api/health") + EMPTY)

    assert statuses[0] in {404, 405}
