"""An S3 server on loopback: moto's, behind a front that counts, slows down and breaks what passes through it.

moto copies a whole object for each range of it, so the front answers requests for a range from a copy of its own.
"""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

__all__ = ["Fault", "ObjectStore", "Passed", "open_object_store"]

BUCKET = "pauseflow"
#: What the front does to a request: answer 500 or 404, end the connection in the middle of the body, send half of the
#: body as if it were all, change a byte of it, or wait for `released`.
Fault = Literal["", "error", "gone", "cut", "short", "damage", "hold"]
_SENT = 64 << 10
_HOP = {"connection", "transfer-encoding", "keep-alive", "expect"}


@dataclass(frozen=True)
class Passed:
    """One request."""

    method: str
    path: str
    range: str
    #: Bytes of the bodies of the request and of the response.
    sent: int
    received: int


@dataclass
class ObjectStore:
    """The server, as a client and a test see it."""

    port: int
    #: All requests, in the order in which they ended.
    passed: list[Passed] = field(default_factory=list)
    #: Called with method, path and range.
    fault: Callable[[str, str, str], Fault] = lambda _method, _path, _range: ""
    #: Seconds before each response.
    latency: float = 0.0
    #: Bytes per second of each response; 0: as fast as it goes.
    speed: float = 0.0
    #: Lets go what is held.
    released: threading.Event = field(default_factory=threading.Event)
    copies: dict[str, bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"s3://{BUCKET}/store"

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to find it."""
        return {
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
        }

    def count(self, method: str, ending: str = "") -> int:
        """Bytes that passed in the bodies of such requests, in both directions."""
        found = [each for each in self.passed if each.method == method and each.path.endswith(ending)]
        return sum(each.sent + each.received for each in found)


@contextlib.contextmanager
def open_object_store() -> Iterator[ObjectStore]:
    """Run the server, with a bucket, until the end of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        behind = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(behind)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = ObjectStore(0)
    front = _Front(("127.0.0.1", 0), _make_handler(store, behind))
    store.port = front.server_address[1]
    thread = threading.Thread(target=front.serve_forever, daemon=True)
    thread.start()
    try:
        _make_bucket(behind)
        yield store
    finally:
        store.released.set()
        front.shutdown()
        front.server_close()
        process.kill()
        process.wait()


class _Front(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients go away, and faults are made on purpose."""


def _make_handler(store: ObjectStore, behind: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

        def _pass(self) -> None:
            body = self._read_body()
            path, wanted = self.path.partition("?")[0], self.headers.get("Range", "")
            fault = store.fault(self.command, path, wanted)
            if fault == "hold":
                store.released.wait()
            time.sleep(store.latency)
            status, headers, data = self._ask(body, path, wanted)
            if fault == "error":
                status, headers, data = 500, {}, b"<Error><Code>InternalError</Code></Error>"
            if fault == "gone":
                status, headers, data = 404, {}, b"<Error><Code>NoSuchKey</Code></Error>"
            if fault == "short":
                data = data[: len(data) // 2]
            if fault == "damage":
                data = data[:-1] + bytes([data[-1] ^ 1])
            self._answer(status, headers, data, is_cut=fault == "cut")
            store.passed.append(Passed(self.command, path, wanted, len(body), len(data)))

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815 - names that the library calls

        def _read_body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _ask(self, body: bytes, path: str, wanted: str) -> tuple[int, dict[str, str], bytes]:
            if self.command in {"PUT", "POST", "DELETE"}:
                store.copies.pop(path, None)
            if not (wanted and self.command == "GET"):
                return self._ask_moto(body, self.path, drop_range=False)
            with store.lock:
                if path not in store.copies:
                    status, headers, data = self._ask_moto(b"", path, drop_range=True)
                    if status != http.client.OK:
                        return status, headers, data
                    store.copies[path] = data
            data = store.copies[path]
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            end = min(int(last) + 1, len(data))
            return 206, {"Content-Range": f"bytes {first}-{end - 1}/{len(data)}"}, data[int(first) : end]

        def _ask_moto(self, body: bytes, path: str, *, drop_range: bool) -> tuple[int, dict[str, str], bytes]:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            if drop_range:
                headers.pop("Range", None)
            if body:
                headers["Content-Length"] = str(len(body))
            connection = http.client.HTTPConnection("127.0.0.1", behind, timeout=120)
            try:
                connection.request(self.command, path, body, headers)
                found = connection.getresponse()
                kept = {n: v for n, v in found.getheaders() if n.lower() not in {*_HOP, "date", "server"}}
                return found.status, kept, found.read()
            finally:
                connection.close()

        def _answer(self, status: int, headers: dict[str, str], data: bytes, *, is_cut: bool) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            length = next((v for n, v in headers.items() if n.lower() == "content-length"), "0")
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(data)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if is_cut:
                self.wfile.write(data[: len(data) // 2])
                self.close_connection = True
                return
            for at in range(0, len(data), _SENT):
                began = time.monotonic()
                part = data[at : at + _SENT]
                self.wfile.write(part)
                if store.speed:
                    time.sleep(max(0.0, len(part) / store.speed - (time.monotonic() - began)))

    return Handler


def _make_bucket(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("PUT", f"/{BUCKET}", headers={"Host": "s3.amazonaws.com"})
            assert connection.getresponse().status == http.client.OK
        except OSError:
            assert time.monotonic() < deadline, "the S3 server does not answer"
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()


def clear_clients() -> None:
    """Forget the connections that this process has to a server of an earlier test."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


def set_environment(store: ObjectStore) -> None:
    """Let clients in this process find the server."""
    os.environ.update(store.environment)
