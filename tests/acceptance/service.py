"""The external service that the example notebooks talk to: a real HTTP server on loopback."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from acceptance.web import send, wait_until


@dataclass
class Service:
    """What the notebooks talk to: it fails when told to, has a job to poll, calls back, and takes mail."""

    #: Requests to /completions that are answered 503 before one succeeds.
    failures: int = 0
    #: Looks at a job until it is done.
    looks: int = 2
    #: What /prices/DJIA answers.
    price: float = 100.0
    #: What was sent to /orders.
    orders: list[dict[str, Any]] = field(default_factory=list)
    #: Whether /transcriptions calls back.
    calls_back: bool = True
    #: Path of each request, in order.
    requests: list[str] = field(default_factory=list)
    #: Done with a message before the sender gets its answer.
    on_mail: Callable[[dict[str, str]], None] = field(default=lambda _: None)
    mail: list[dict[str, str]] = field(default_factory=list)
    callbacks: list[tuple[int, Any]] = field(default_factory=list)
    #: The header `Authorization` of each request.
    authorizations: list[str] = field(default_factory=list)
    url: str = ""

    def answer(self, method: str, path: str, message: Any) -> tuple[int, Any]:
        self.requests.append(f"{method} {path}")
        seen = self.requests.count(f"{method} {path}")
        if path == "/completions":
            return (503, {"error": "try later"}) if seen <= self.failures else (200, {"text": "This is a test."})
        if path == "/jobs":
            return 200, {"id": "job-7", "status": "QUEUED"}
        if path == "/jobs/job-7":
            is_done = seen >= self.looks
            return 200, {"id": "job-7", "status": "DONE" if is_done else "RUNNING", "result": "a mean for each century"}
        if path == "/transcriptions":
            return 202, {"accepted": True}
        if path == "/prices/DJIA":
            return 200, {"price": self.price}
        if path == "/orders":
            self.orders.append(message)
            return 200, {"placed": True}
        if path == "/mailbox":
            self.on_mail(message)
            self.mail.append(message)
            return 200, {"sent": True}
        return 404, {"error": "no such path"}

    def after_answer(self, path: str, message: Any) -> None:
        if path == "/transcriptions" and self.calls_back:
            self.callbacks.append(send(message["resume_url"], {"text": "spoken words"}))

    def next_mail(self) -> dict[str, str]:
        letter: dict[str, str] = wait_until(lambda: self.mail and self.mail.pop(0), "a message arrived")
        return letter


@contextmanager
def serve(state: Service) -> Iterator[None]:
    """Answer on loopback until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply(None)

        def do_POST(self) -> None:
            self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def reply(self, message: Any) -> None:
            state.authorizations.append(self.headers.get("Authorization", ""))
            status, answer = state.answer(self.command, self.path, message)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
            state.after_answer(self.path, message)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
