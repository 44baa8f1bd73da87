"""Share what all handlers of the REST API do: the user, the body of the request, and the mapping of errors.

Reading needs the action `read` on the resource `pauseflow`, changing needs `execute`. Only users who may execute see links,
because everybody who has a link can use it.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, cast

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import ensure_async
from tornado.http1connection import HTTP1Connection
from tornado.web import HTTPError, stream_request_body

from pauseflow_nb.engine.authorization import find_refusal
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import InvalidAnswer, InvalidParameter
from pauseflow_nb.identity import Who
from pauseflow_nb.json_values import JSON
from pauseflow_nb.runner.masking import Mask
from pauseflow_nb.server.http_errors import RETRY_AFTER_SECONDS, status_of
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.login import RESOURCE, identify
from pauseflow_nb.server.public.bodies import parse_json
from pauseflow_nb.server.public.rate_limit import IDLE_SECONDS, check_length
from pauseflow_nb.server.public.responses import find_error_response, write_json

#: In bytes; bodies are read into memory, and the largest ones have the parameters of a notebook.
LARGEST_BODY = 4 * 1024**2

#: Why a request without a token or a cookie is refused.
_NOT_SIGNED_IN = (
    "you are not signed in: send the header `Authorization: token TOKEN`, with the token that the server printed when it "
    "started; requests to links need none"
)

#: Why a user who may only read may not answer.
_ONLY_LOOKING = "you may look at executions here, but not answer"


@stream_request_body
class ApiHandler(APIHandler):
    """Shared by all handlers: the user, the body of the request, and the mapping of errors."""

    auth_resource = RESOURCE

    def initialize(self, queue: LazyQueue) -> None:
        """Take the queue."""
        self._lazy = queue

    def set_default_headers(self) -> None:
        """Set what every response carries, errors too."""
        super().set_default_headers()
        # Responses may contain links.
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:  # type: ignore[override]  # the base class has a wider return type
        """Refuse a request before its body is read, if it is too large, from another origin, or not signed in."""
        self._received = bytearray()
        connection = self.request.connection
        assert isinstance(connection, HTTP1Connection)
        connection.set_max_body_size(LARGEST_BODY)
        connection.set_body_timeout(IDLE_SECONDS)
        check_length(self.request.headers, LARGEST_BODY)
        await super().prepare()
        # Jupyter asks after the body has come, which takes memory.
        self._require_user()

    def check_xsrf_cookie(self) -> None:
        """Say first that nobody is signed in: a program with a wrong token has no use for a sentence about cookies."""
        # Tornado asks before anybody knows who the user is, and Jupyter asks again.
        if hasattr(self, "_jupyter_current_user"):
            self._require_user()
        super().check_xsrf_cookie()

    def _require_user(self) -> None:
        if self.current_user is None:
            raise HTTPError(403, _NOT_SIGNED_IN)

    def data_received(self, chunk: bytes) -> None:
        """Add a piece of the body."""
        self._received += chunk

    async def may_execute(self) -> bool:
        """Whether the user may execute, and so may see links."""
        allowed = self.authorizer.is_authorized(self, self.current_user, "execute", RESOURCE)
        return bool(await ensure_async(allowed))

    async def mask_for_user(self, view: dict[str, JSON]) -> JSON:
        """Mask links in a view unless the user may execute, and say whether the user may answer."""
        may_execute = await self.may_execute()
        for suspension in cast("list[dict[str, JSON]]", view["suspended"]):
            suspension["refusals"] = self._refusals(view, suspension, may_execute=may_execute)
        # A step may have exported a link.
        return view if may_execute else Mask().value(view)

    def _refusals(self, view: dict[str, JSON], suspension: dict[str, JSON], *, may_execute: bool) -> JSON:
        allow = cast("list[str]", suspension["allow"])
        if not may_execute:
            return dict.fromkeys(allow, _ONLY_LOOKING)
        approvals, created_by = cast("dict[str, JSON]", suspension["approvals"]), str(view["created_by"])
        who = self.identify_user()
        return {action: find_refusal(approvals, created_by, action, who, allow) for action in allow}

    def identify_user(self) -> Who:
        """Identify the user, for the audit trail."""
        return identify(self.current_user, self.identity_provider)

    def root(self) -> Path:
        """Return the server's root directory, outside of which no notebook is read or written."""
        return Path(self.settings["server_root_dir"])

    async def read_body(self, *known: str) -> dict[str, JSON]:
        """Read the JSON object in the body; empty if there is no body.

        Args:
            known: Names of the allowed fields; without any, all fields are allowed.
        """
        value = await self._lazy.compute(_parse_body, bytes(self._received))
        if not isinstance(value, dict):
            raise InvalidParameter("body", "must be a JSON object")
        unknown = set(value) - set(known)
        if known and unknown:
            raise InvalidParameter(min(unknown), f"is not a field of this request; its fields are: {', '.join(known)}")
        return value

    async def write_view(self, execution: str, status: int = 200) -> None:
        """Write an execution as the response."""
        links = await self.may_execute()
        view = await self._lazy.call(Queue.view, execution, with_links=links)
        write_json(self, status, await self.mask_for_user(view))

    def write_error(self, status_code: int, **info: Any) -> None:
        """Write an error as JSON."""
        error = info.get("exc_info", (None, None, None))[1]
        if isinstance(error, HTTPError):
            sentence = error.log_message or error.reason or self._reason
            status = status_code
        else:
            status, sentence = find_error_response(error, status_code)
        if status in {429, 503}:
            self.set_header("Retry-After", str(RETRY_AFTER_SECONDS))
        if status == 405:
            self.set_header("Allow", ", ".join(self.SUPPORTED_METHODS))
        # Front ends of Jupyter read `message`.
        errors = {"errors": error.errors} if isinstance(error, InvalidAnswer) else {}
        write_json(self, status, {"error": sentence, "message": sentence, **errors})
        self.finish()

    def log_exception(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Log only errors that are not ours."""
        # The response has the message of our own errors; a traceback in the log would add nothing.
        if error is None or status_of(error) is None:
            super().log_exception(kind, error, traceback)


def _parse_body(body: bytes) -> JSON:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = None
    return {} if text is not None and not text.strip() else parse_json("the body", text)
