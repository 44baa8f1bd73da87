"""Start executions by requests to the URLs of HTTP triggers: /pauseflow/start/TOKEN."""

import asyncio
import base64
import secrets
import time
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.triggers.managing import read_response, read_url, start_by_request
from pauseflow_nb.engine.triggers.starting import Started
from pauseflow_nb.errors import StoreUnavailable, TooManyWaiting
from pauseflow_nb.json_values import JSON, dump_json
from pauseflow_nb.links import Claim
from pauseflow_nb.server.public.bodies import Body
from pauseflow_nb.server.public.envelope import envelope
from pauseflow_nb.server.public.negotiation import may_act, wants_html
from pauseflow_nb.server.public.receiving import METHODS, Receiver
from pauseflow_nb.server.public.responses import write_error_response, write_json
from pauseflow_nb.server.public.upload import Sink
from pauseflow_nb.store.executions import FINAL, Row

#: Seconds that a request waits for `flow.respond`.
WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.1
_WAITING = frozenset({"suspended", "waiting", "paused"})

_NO_GET = "this URL starts a workflow, and a GET from a browser or a preview does not: send a POST"


class StartHandler(Receiver):
    """One request to the URL of an HTTP trigger."""

    _trigger: Row | None = None
    _is_disconnected = False

    async def read_token(self) -> None:
        """Find the trigger, and choose the id of the execution, which a large body belongs to."""
        self._trigger = await self._lazy.call(read_url, self.path_args[0])
        self._execution = secrets.token_hex(6)

    def open_sink(self, queue: Queue) -> Sink:
        """Open a file in the folder of the execution that will be started."""
        return queue.bodies.open(Claim(self._execution, 0, "trigger", 0, "start"))

    def on_connection_close(self) -> None:
        """Stop waiting for a response that nobody would receive."""
        self._is_disconnected = True
        super().on_connection_close()

    async def act(self, _token: str) -> None:
        """Answer a request of any method."""
        if not self.received_all():
            return
        method = self.request.method or ""
        links = (await self._lazy.call(lambda queue: queue)).settings.links
        if method == "OPTIONS":
            self.set_header("Allow", ", ".join(METHODS))
            self.set_status(204)
        elif method == "HEAD":
            # Some senders check in this way whether the URL exists.
            self.set_status(200)
        elif may_act(method, self.request.headers, links):
            await self._start()
        else:
            self.set_header("Allow", "POST, PUT, PATCH, DELETE, HEAD, OPTIONS")
            write_error_response(self, 405, _NO_GET, html=wants_html(self.request.headers))

    get = head = post = put = patch = delete = options = allow_unauthenticated(act)

    async def _start(self) -> None:
        assert self._trigger is not None
        if not self._trigger.options.get("waits"):
            started = await self._start_execution()
            facts = {"already": True} if started.is_earlier else {}
            write_json(self, 202, {"id": started.execution, "trigger": self._trigger.id, **facts})
            return
        if not self._limits.waiting.begin(self._key):
            await self._forget()
            raise TooManyWaiting
        try:
            await self._respond((await self._start_execution()).execution)
        finally:
            self._limits.waiting.end(self._key)

    async def _start_execution(self) -> Started:
        assert self._upload is not None
        assert self._trigger is not None
        is_used = False
        try:
            body = await self.parse()
            is_body = self._trigger.options.get("event") == "body"
            event = body.value if is_body else self._describe(body)
            key = self.request.headers.get("Idempotency-Key") or None
            started = await self._lazy.call(start_by_request, self._trigger, event, key=key, execution=self._execution)
            is_used = not started.is_earlier
        except StoreUnavailable:
            # The store may have added the execution before it stopped answering. Otherwise `gc` removes the files.
            is_used = True
            raise
        finally:
            if not is_used:
                await self._forget()
        return started

    async def _forget(self) -> None:
        """Remove the body of a request that starts nothing, with the folder of the execution."""
        assert self._upload is not None
        is_stored = self._upload.is_large
        await super()._forget()
        if is_stored:
            await self._lazy.call(lambda queue: queue.files.remove(self._execution))

    def _describe(self, body: Body) -> dict[str, JSON]:
        assert self._upload is not None
        event = envelope(self.request, body, by="link")
        del event["by"]
        received = self._upload.small_body
        if not self._upload.is_large and (body.raw is None or body.raw.encode() != received):
            # Signatures are made over the bytes, and the text of some bodies is not equivalent to them.
            event["body_bytes"] = {"$base64": base64.b64encode(received).decode("ascii"), "size": len(received)}
        return {**event, "manual": False}

    async def _respond(self, execution: str) -> None:
        """Write the execution's response; if it does not respond in time or ends before, write its state."""
        begin = time.monotonic()
        state = "queued"
        while not self._is_disconnected:
            found = await self._lazy.call(read_response, execution)
            if found is None:
                break
            response, state = found
            if isinstance(response, dict):
                write_response(self, response)
                return
            if state in FINAL | _WAITING or (waited := time.monotonic() - begin) > WAIT_SECONDS:
                break
            # The longer it has taken, the less an additional delay matters.
            await asyncio.sleep(_POLL_SECONDS + waited / 20)
        status = {"completed": 200, "failed": 500, "cancelled": 500}.get(state, 202)
        error = {"error": "the workflow ended before it responded"} if status == 500 else {}
        write_json(self, status, {"id": execution, "state": state, **error})


def write_response(handler: StartHandler, response: dict[str, Any]) -> None:
    """Write the response of a notebook, without rights on this server's pages."""
    body, headers = response["body"], response["headers"]
    handler.set_status(response["status"])
    if response.get("is_bytes"):
        kind, data = "application/octet-stream", base64.b64decode(body["$base64"])
    elif isinstance(body, str):
        kind, data = "text/plain; charset=UTF-8", body.encode()
    else:
        kind, data = "application/json; charset=UTF-8", b"" if body is None else dump_json(body).encode()
    handler.set_header("Content-Type", kind)
    for name, value in headers.items():
        handler.set_header(name, value)
    # A browser must never run it as a page of the Jupyter server.
    handler.set_header("Content-Security-Policy", "sandbox")
    if response["status"] not in (204, 205, 304):
        handler.write(data)
    else:
        handler.clear_header("Content-Type")
