"""Run the service that notebooks 5, 6, 7, 9 and 10 send requests to: `python service.py`, and stop it with Ctrl-C.

It needs nothing but Python. Its job computes with the sunspots in data/, its transcription is the first sentence of
Lincoln's Gettysburg Address (1863), and its prices are the closes of the Dow Jones in October 1929, a day each minute.
"""

import csv
import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import mean
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

DATA = Path(__file__).parent / "data"
SPEECH = (
    "Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty, "
    "and dedicated to the proposition that all men are created equal."
)
#: How often a job is looked at until it is done, and which request for a completion is the first that succeeds.
LOOKS = 2
SUCCESS = 3


class Service(ThreadingHTTPServer):
    """What it has been asked so far."""

    def __init__(self, port: int = 8000, call_back_after: float = 5) -> None:
        """Listen on this machine only; seconds until a transcription is sent to its link."""
        super().__init__(("127.0.0.1", port), Handler)
        self.call_back_after = call_back_after
        self.looks, self.completions = itertools.count(1), itertools.count(1)

    def answer(self, method: str, path: str, message: Any) -> tuple[int, dict[str, Any]]:
        """Give the status and the JSON of the answer to a request."""
        status, reply = 200, dict[str, Any]()
        match method, path.strip("/").split("/"):
            case "POST", ["completions"]:
                is_busy = next(self.completions) % SUCCESS
                status, reply = (503, {"error": "busy, try later"}) if is_busy else (200, {"text": "This is a test."})
            case "POST", ["jobs"]:
                reply = {"id": "sunspots", "status": "QUEUED"}
            case "GET", ["jobs", name]:
                is_done = next(self.looks) % LOOKS == 0
                result = {"status": "DONE", "result": mean_of_centuries()} if is_done else {"status": "RUNNING"}
                reply = {"id": name, **result}
            case "GET", ["prices", _]:
                closes = read_closes()
                reply = {"price": closes[int(time.time() // 60) % len(closes)]}
            case "POST", ["orders"]:
                reply = {"placed": True}
            case "POST", ["transcriptions"]:
                threading.Timer(self.call_back_after, call_back, [message["resume_url"]]).start()
                status, reply = 202, {"accepted": True}
            case _:
                status, reply = 404, {"error": "no such path"}
        return status, reply


class Handler(BaseHTTPRequestHandler):
    """Reads JSON and answers with JSON."""

    server: Service

    def do_GET(self) -> None:
        """Answer a request without a body."""
        self._reply(None)

    def do_POST(self) -> None:
        """Answer a request with JSON."""
        self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _reply(self, message: Any) -> None:
        status, answer = self.server.answer(self.command, self.path, message)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def mean_of_centuries() -> dict[str, float]:
    """Compute the mean number of sunspots in the years of each century."""
    centuries: dict[str, list[float]] = {}
    for row in csv.DictReader((DATA / "sunspots.csv").read_text().splitlines()):
        centuries.setdefault(f"{row['year'][:2]}00s", []).append(float(row["number"]))
    return {century: round(mean(numbers), 1) for century, numbers in centuries.items()}


def read_closes() -> list[float]:
    """Read the closes of the Dow Jones Industrial Average, in order of their days."""
    return [float(row["close"]) for row in csv.DictReader((DATA / "dow.csv").read_text().splitlines())]


def call_back(url: str) -> None:
    """Send the transcription to a link, as the service would when it is ready."""
    body = json.dumps({"text": SPEECH}).encode()
    try:
        urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=30).close()
    except URLError as problem:
        print(f"the link was not reached ({problem.reason}): by hand, press *As if it called back* below the cell")


if __name__ == "__main__":
    with Service() as service:
        print("serving http://127.0.0.1:8000 for the notebooks; Ctrl-C stops it")
        service.serve_forever()
