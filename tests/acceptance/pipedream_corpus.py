"""The workflows of tests/data/pipedream: the service that they call, and what each of them exports on Pipedream."""

import json
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).parents[1] / "data" / "pipedream"
EXPECTED: dict[str, dict[str, Any]] = json.loads((CORPUS / "expected.json").read_text(encoding="utf-8"))


def pack_export(target: Path) -> Path:
    """Make the archive that a project's export is."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((CORPUS / "export").rglob("*.json")):
            archive.write(path, path.relative_to(CORPUS / "export").as_posix())
    return target


@dataclass
class Api:
    """A service on loopback: it echoes, fails at first, and has jobs that are done at the third look."""

    url: str = ""
    requests: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    _seen: Counter[str] = field(default_factory=Counter)

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        self.requests.append(f"{method} {path}")
        self.authorizations += filter(None, [headers.get("Authorization")])
        self._seen[path] += 1
        if path.startswith("/job/"):
            return 200, {"status": "DONE", "result": "42 rows"} if self._seen[path] >= 3 else {"status": "RUNNING"}
        if path == "/flaky":
            return (503, {"error": "later"}) if self._seen[path] < 3 else (200, {"text": "at last"})
        if path.startswith("/echo"):
            seen = {"method": method, "path": path, "authorization": headers.get("Authorization")}
            return 200, {**seen, "kind": headers.get("X-Kind"), "body": json.loads(body) if body else None}
        if path.startswith("/hook/") or path == "/keep":
            return 200, {"taken": True}
        return 404, {"error": "no such path"}


@contextmanager
def serve_api() -> Iterator[Api]:
    """Answer on loopback until the end of the block."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, answer = api.answer(self.command, self.path, self.headers, body)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - its name in http.server

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
