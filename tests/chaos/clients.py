"""Clients of a chaos run: they answer the links that they see, each as often as the plan says, and note the replies."""

import heapq
import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from chaos import witness
from chaos.world import TOKEN, World

__all__ = ["Answer", "Clients"]

_AT_ONCE = 8
#: Seconds that a client waits for its reply.
_PATIENCE = 20.0


@dataclass(frozen=True)
class Answer:
    """What a client sent, and what came back."""

    #: A link, or the path of the API.
    url: str
    action: str
    nonce: str
    #: None: no reply came, so that nobody knows what became of it.
    status: int | None
    reply: Any
    at: float
    #: When its reply was there.
    ended: float


@dataclass
class Clients:
    """Send answers in threads of their own until they are stopped."""

    world: World
    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._due: list[tuple[float, int, str, str]] = []
        self._known: set[str] = set()
        self._number = itertools.count()
        self._plans = itertools.cycle(self.world.plan.answers)
        self._pool = ThreadPoolExecutor(_AT_ONCE, "chaos-client")
        self._thread = threading.Thread(target=self._run, name="chaos-clients", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more, and wait for all replies."""
        self._stop.set()
        self._thread.join()
        self._pool.shutdown()

    def finish(self, view: dict[str, Any]) -> None:
        """Answer what still waits, as a person does in the end."""
        for waits in view["suspended"]:
            if waits["kind"] not in ("suspend", "pause", "operator") or waits["resume_url"] is None:
                continue
            self.send(waits["resume_url"], "resume")
            if waits["approvals"]["needed"] > 1:
                self.send_signed_in(waits["execution"], waits["step"])

    def send(self, url: str, action: str, *, is_odd: bool = False) -> Answer:
        """Send one answer over a link; an odd one fits no schema."""
        nonce = f"n{next(self._number)}"
        body = {"nonce": [nonce]} if is_odd else {"nonce": nonce}
        return self._note(url, action, nonce, self._post(url, body, {}))

    def send_signed_in(self, execution: str, step: str) -> Answer:
        """Approve as a user of the server."""
        path = f"/pauseflow/api/executions/{execution}/resume"
        nonce = f"n{next(self._number)}"
        headers = {"Authorization": f"token {TOKEN}"}
        url = f"http://127.0.0.1:{self.world.port}{path}"
        sent = {"step": step, "data": {"nonce": nonce}}
        return self._note(url, "resume", nonce, self._post(url, sent, headers))

    def post(self, url: str, body: Any, headers: dict[str, str]) -> tuple[int | None, Any]:
        """Send a request, and give status and reply; None if none came."""
        return self._post(url, body, headers)[:2]

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            for line in witness.read_lines(self.world.log):
                if line.resume is None or line.cancel is None or line.resume in self._known:
                    continue
                self._known.add(line.resume)
                for after, action in next(self._plans).sent:
                    url = line.cancel if action == "cancel" else line.resume
                    heapq.heappush(self._due, (time.monotonic() + after, next(self._number), url, action))
            while self._due and self._due[0][0] <= time.monotonic():
                _, _, url, action = heapq.heappop(self._due)
                self._pool.submit(self.send, url, action, is_odd=next(self._number) % 7 == 0)

    def _note(self, url: str, action: str, nonce: str, reply: tuple[int | None, Any, float]) -> Answer:
        status, body, began = reply
        answer = Answer(url, action, nonce, status, body, began, witness.clock())
        self.answers.append(answer)
        short = json.dumps(body)[:150] if body is not None else ""
        self.world.say(f"{action} {nonce} to …{url[-12:]}: {status} {short}")
        return answer

    def _post(self, url: str, body: Any, headers: dict[str, str]) -> tuple[int | None, Any, float]:
        parts, began = urlsplit(url), witness.clock()
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE)
        try:
            sent = {"Content-Type": "application/json", "Accept": "application/json", **headers}
            connection.request("POST", parts.path, json.dumps(body), sent)
            response = connection.getresponse()
            data = response.read()
            return response.status, json.loads(data) if data else None, began
        except (OSError, HTTPException, ValueError) as problem:
            return None, str(problem), began
        finally:
            connection.close()
