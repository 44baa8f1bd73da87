"""Clients that send slowly, never end, or hang up: nobody else has to wait, and no log fills with errors."""

import asyncio
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from tornado.httpserver import HTTPServer

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.server.listener import Listener
from pauseflow_nb.server.public.rate_limit import LinkLimits, OpenRequests, RateLimit
from pauseflow_nb.server.public.upload import Upload

if TYPE_CHECKING:
    from server.conftest import Send, Stage

Serve = Callable[[LinkLimits], str]
WaitUntil = Callable[..., None]


@pytest.fixture
def serve(queue: Queue) -> Iterator[Serve]:
    listeners: list[Listener] = []

    def start(limits: LinkLimits) -> str:
        listeners.append(Listener(queue, 0, limits=limits))
        return listeners[-1].start()

    yield start
    for listener in listeners:
        listener.stop()


class Client:
    """A connection whose bytes the test sends itself."""

    def __init__(self, base: str) -> None:
        address = urlsplit(base)
        self.socket = socket.create_connection((address.hostname, address.port), timeout=60)

    def send(self, text: str) -> "Client":
        self.socket.sendall(text.encode())
        return self

    def answer(self) -> str:
        """Read to the end of the connection."""
        parts = []
        while part := self.socket.recv(65536):
            parts.append(part)
        self.socket.close()
        return b"".join(parts).decode()

    def reset(self) -> None:
        """End the connection at once, with whatever is on its way."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def begun(path: str, length: int = 10) -> str:
    return f"POST /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\r\n"


def test_a_body_that_does_not_come_gets_408_and_settles_nothing(serve: Serve, stage: "Stage", send: "Send") -> None:
    base = serve(LinkLimits(patience_seconds=0.1))
    execution = stage.suspended()
    link = stage.link("resume", execution)

    answer = Client(base).send(begun(link) + "{").answer()

    assert answer.startswith("HTTP/1.1 408 ")
    assert "send the whole request again" in answer
    assert stage.queue.state(execution) == "suspended"
    assert send("POST", f"{base}/{link}", json={"a": 1}).code == 200


def test_a_chunked_body_that_does_not_end_gets_408(serve: Serve, stage: "Stage") -> None:
    base = serve(LinkLimits(patience_seconds=0.1))
    link = stage.link("resume", stage.suspended())
    head = f"POST /{link} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n5\r\n"

    assert Client(base).send(head).answer().startswith("HTTP/1.1 408 ")


def test_a_large_body_that_stops_half_way_leaves_no_file(serve: Serve, stage: "Stage", tmp_path: Path) -> None:
    base = serve(LinkLimits(patience_seconds=0.3))
    link = stage.link("resume", stage.suspended())

    answer = Client(base).send(begun(link, 3 * 1024**2) + "x" * (2 * 1024**2)).answer()

    assert answer.startswith("HTTP/1.1 408 ")
    assert [path for path in tmp_path.rglob("bodies/*") if path.is_file()] == []


def test_a_server_that_stops_while_bodies_are_written_leaves_no_file(
    queue: Queue, stage: "Stage", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener(queue, 0, limits=LinkLimits())
    base, link = listener.start(), stage.link("resume", stage.suspended())
    is_writing, is_closed = threading.Event(), threading.Event()

    def add(upload: Upload, chunk: bytes, original: Callable[..., None] = Upload.add) -> None:
        if upload.blocks_for(chunk):
            is_writing.set()
            assert is_closed.wait(60)
        original(upload, chunk)

    async def close(server: HTTPServer, original: Callable[..., Any] = HTTPServer.close_all_connections) -> None:
        closing = asyncio.ensure_future(original(server))
        await asyncio.sleep(0)
        is_closed.set()
        await closing

    monkeypatch.setattr(Upload, "add", add)
    monkeypatch.setattr(HTTPServer, "close_all_connections", close)
    client = Client(base).send(begun(link, 3 * 1024**2) + "x" * (2 * 1024**2))
    assert is_writing.wait(60)
    listener.stop()

    assert [path for path in tmp_path.rglob("bodies/*") if path.is_file()] == []
    client.socket.close()


def test_an_unknown_link_whose_body_does_not_come_is_closed(serve: Serve) -> None:
    base = serve(LinkLimits(patience_seconds=0.1))

    answer = Client(base).send(begun("pauseflow/resume/unknown") + "{").answer()

    assert answer.startswith("HTTP/1.1 404 ")


def test_one_address_may_send_so_many_bodies_at_once_and_more_when_they_have_ended(
    serve: Serve, stage: "Stage", send: "Send"
) -> None:
    base = serve(LinkLimits(open=OpenRequests(most=2)))
    execution = stage.suspended()
    link = stage.link("resume", execution)
    first, second = (Client(base).send(begun(link) + "{") for _ in range(2))
    # A request without a body is answered meanwhile, and this one only after the two have begun.
    assert send("GET", f"{base}/pauseflow/api/health").code == 200

    refused = Client(base).send(begun(link) + "{").answer()
    settled = first.send('"a":  1} ').answer()
    second.socket.close()

    assert refused.startswith("HTTP/1.1 429 ")
    assert settled.startswith("HTTP/1.1 200 ")
    assert stage.queue.state(execution) == "queued"


def test_a_request_that_went_away_is_counted_no_more(
    serve: Serve, stage: "Stage", send: "Send", wait_until: WaitUntil
) -> None:
    base = serve(LinkLimits(open=OpenRequests(most=1)))
    link = stage.link("resume", stage.suspended())
    gone = Client(base).send(begun(link) + "{")
    assert send("GET", f"{base}/pauseflow/api/health").code == 200
    gone.socket.close()

    wait_until(lambda: send("POST", f"{base}/{link}", json={}).code == 200, description="the next one is taken")


@pytest.mark.parametrize(
    ("path", "body", "burst"),
    [
        ("LINK", f"Content-Length: {1 << 40}\r\n\r\n", 400),
        ("LINK", f"Content-Length: {1 << 40}\r\n\r\n{{", 400),
        ("LINK", "Content-Length: 10\r\n\r\n", 0),
        ("LINK", "Transfer-Encoding: chunked\r\n\r\n", 0),
        ("pauseflow/resume/unknown", "Content-Length: 10\r\n\r\n", 400),
        ("pauseflow/resume/unknown", "Transfer-Encoding: chunked\r\n\r\n", 400),
        ("pauseflow/resume/unknown", "\r\n", 400),
        ("LINK", "\r\n", 0),
    ],
)
def test_a_sender_who_hangs_up_before_the_refusal_is_no_error(
    serve: Serve, stage: "Stage", send: "Send", caplog: pytest.LogCaptureFixture, path: str, body: str, burst: int
) -> None:
    has_come, has_gone = threading.Event(), threading.Event()

    def clock() -> float:
        # The limit asks for the time in the event loop, which stands still until the sender has gone.
        has_come.set()
        assert has_gone.wait(60)
        return time.monotonic()

    base = serve(LinkLimits(requests=RateLimit(burst=burst, per_second=0.001, clock=clock)))
    path = path.replace("LINK", stage.link("resume", stage.suspended()))
    client = Client(base)
    # Then it is known that the server waits for the headers, and so learns at once that the connection has ended.
    assert send("GET", f"{base}/pauseflow/api/health").code == 200
    client.send(f"POST /{path} HTTP/1.1\r\nHost: x\r\n{body}")
    assert has_come.wait(60)
    client.reset()
    has_gone.set()

    assert send("GET", f"{base}/pauseflow/api/health").code == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_senders_who_hang_up_at_any_moment_are_no_errors(
    queue: Queue, stage: "Stage", caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    listener = Listener(queue, 0, limits=LinkLimits())
    base, link = listener.start(), stage.link("resume", stage.suspended())
    chunked = f"POST /{link} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    large = f"{1 << 19:x}\r\n{'x' * (1 << 19)}\r\n"
    # The server takes 4 MiB.
    requests = (begun(link, 1 << 40), begun("pauseflow/resume/unknown"), begun(link), chunked + large * 9)

    for request in requests * 25:
        Client(base).send(request).reset()

    # Only then has it met the end of each of them.
    listener.stop()
    assert [path for path in tmp_path.rglob("bodies/*") if path.is_file()] == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_unknown_links_have_one_limit_for_all_addresses_and_known_ones_are_not_held_up(
    serve: Serve, stage: "Stage", send: "Send"
) -> None:
    base = serve(LinkLimits(unknown=RateLimit(per_second=0.001, burst=2)))
    execution = stage.suspended()
    guesses = [send("POST", f"{base}/pauseflow/resume/guess{n}") for n in range(3)]

    assert [guess.code for guess in guesses] == [404, 404, 429]
    assert int(guesses[2].headers["Retry-After"]) > 0
    assert send("POST", f"{base}/{stage.link('resume', execution)}").code == 200


def test_open_requests_are_limited_for_each_address_and_for_all() -> None:
    count = OpenRequests(most=2, most_in_all=3)

    assert [count.begin(address) for address in ("a", "a", "a", "b", "c")] == [True, True, False, True, False]
    count.end("a")
    assert count.begin("c")
    for address in ("a", "b", "c"):
        count.end(address)
    assert count._open == {}
