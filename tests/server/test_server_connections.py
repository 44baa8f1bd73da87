"""Clients that open many connections and send nothing: the server stays in reach, and its log stays short."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tornado.simple_httpclient import HTTPStreamClosedError

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.server.listener import Listener
from pauseflow_nb.server.public.rate_limit import OpenRequests, RateLimit
from pauseflow_nb.settings import Settings

if TYPE_CHECKING:
    from server.conftest import Send, Stage

WaitUntil = Callable[..., None]

#: Fewer than a flood has connections.
FILES = 256
PROGRAM = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))
from pauseflow_nb.server.serve import serve
from pauseflow_nb.settings import Settings
serve(Settings.load(), port=0, start_worker=False)
"""


@pytest.fixture
def crowd() -> Iterator[ExitStack]:
    """Closes all connections in the end."""
    with ExitStack() as stack:
        yield stack


def connect(base: str, crowd: ExitStack, host: str = "127.0.0.1") -> socket.socket:
    address = urlsplit(base)
    connection = socket.create_connection((str(address.hostname), address.port), 60, (host, 0))
    return crowd.enter_context(connection)


def is_served(send: "Send", base: str) -> bool:
    # Until the server has noticed that a connection was closed, it turns the next one away.
    with suppress(HTTPStreamClosedError, ConnectionError):
        return send("GET", f"{base}/pauseflow/api/health").code == 200
    return False


def test_one_address_may_have_so_many_connections_and_another_one_then_when_one_has_ended(
    queue: Queue, send: "Send", crowd: ExitStack, wait_until: WaitUntil
) -> None:
    listener = Listener(queue, 0, connections=OpenRequests(most=3, most_in_all=100))
    base = listener.start()
    crowd.callback(listener.stop)
    first, *_ = [connect(base, crowd) for _ in range(3)]

    assert connect(base, crowd).recv(1) == b""
    first.close()

    wait_until(lambda: is_served(send, base), description="a connection that is served")
    # The connection of a request that has been answered counts no more either.
    for _ in range(5):
        wait_until(lambda: is_served(send, base), description="the next one")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second address of this machine")
def test_an_address_with_too_many_connections_keeps_nobody_else_out(queue: Queue, crowd: ExitStack) -> None:
    listener = Listener(queue, 0, connections=OpenRequests(most=2, most_in_all=3))
    base = listener.start()
    crowd.callback(listener.stop)
    for _ in range(4):
        connect(base, crowd)

    other = connect(base, crowd, "127.0.0.2")
    other.sendall(b"GET /pauseflow/api/health HTTP/1.1\r\nHost: x\r\n\r\n")

    assert other.recv(12) == b"HTTP/1.1 200"
    assert connect(base, crowd, "127.0.0.3").recv(1) == b""


def test_chunks_beyond_their_rate_are_read_later_and_hold_up_nobody_else(
    queue: Queue, stage: "Stage", send: "Send", crowd: ExitStack
) -> None:
    listener = Listener(queue, 0, chunks=RateLimit(per_second=100, burst=5))
    base = listener.start()
    crowd.callback(listener.stop)
    first, second = stage.suspended(), stage.suspended()
    begun = time.monotonic()
    slow = connect(base, crowd)
    head = f"POST /{stage.link('resume', first)} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    slow.sendall(f"{head}{'1{0}5{0}'.format(chr(13) + chr(10)) * 20}0\r\n\r\n".encode())

    assert send("POST", f"{base}/{stage.link('resume', second)}", json={"a": 1}).code == 200
    assert slow.recv(12) == b"HTTP/1.1 200"
    assert time.monotonic() - begun >= 1
    assert stage.resume_data(first)["body"] == "5" * 20


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="limits the files of a process")
def test_more_connections_than_a_process_may_have_open_fill_no_log(
    settings: Settings, tmp_path: Path, send: "Send", crowd: ExitStack, wait_until: WaitUntil
) -> None:
    environment = {**os.environ, "PAUSEFLOW_DATA_DIR": str(settings.data_dir), "JUPYTER_RUNTIME_DIR": str(tmp_path)}
    log = tmp_path / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=written
        )
    crowd.callback(process.communicate)
    crowd.callback(process.kill)
    assert process.stdout is not None
    base = process.stdout.readline().decode().split()[4].rstrip("/")

    connections = [connect(base, crowd) for _ in range(FILES + 50)]
    # The last ones are closed by the server, which thus has seen all.
    assert connections[-1].recv(1) == b""
    for connection in connections:
        connection.close()

    wait_until(lambda: is_served(send, base), description="an answer")
    assert log.read_text() == ""
