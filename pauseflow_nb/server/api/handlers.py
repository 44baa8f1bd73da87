"""Serve the REST API under /pauseflow/api, behind the login and the authoriser of Jupyter; `openapi.yaml` describes it.

Reading needs the action `read` on the resource `pauseflow`, changing needs `execute`. Only users who may execute see links,
because everybody who has a link can use it.
"""

import re
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import ensure_async
from tornado.http1connection import HTTP1Connection
from tornado.web import HTTPError, RequestHandler, stream_request_body

from pauseflow_nb.engine.authorization import who_may
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.retry_fork import fork, retry
from pauseflow_nb.errors import BodyTooLarge, InvalidAnswer, InvalidParameter
from pauseflow_nb.identity import Who
from pauseflow_nb.json_values import JSON
from pauseflow_nb.runner.masking import Mask
from pauseflow_nb.server.api.health import HealthHandler
from pauseflow_nb.server.api.metrics import CONTENT_TYPE_LATEST, write_metrics
from pauseflow_nb.server.api.start_request import StartRequest, inspect, resolve_path, start
from pauseflow_nb.server.http_errors import RETRY_AFTER_SECONDS, status_of
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.login import RESOURCE, identify, require_permission
from pauseflow_nb.server.public.bodies import parse_json
from pauseflow_nb.server.public.rate_limit import IDLE_SECONDS, check_length
from pauseflow_nb.server.public.responses import error_answer, write_json
from pauseflow_nb.server.public.upload import INLINE_BYTES
from pauseflow_nb.server.registration import Readiness
from pauseflow_nb.store.executions import STATES

__all__ = ["LARGEST_BODY", "ROUTES", "api_routes"]

#: In bytes; bodies are read into memory, and the largest ones have the parameters of a notebook.
LARGEST_BODY = 4 * 1024**2

#: Why those may not answer who may only look.
_ONLY_LOOKING = "you may look at executions here, but not answer"

#: The most executions on one page of the list.
_MOST = 500


@stream_request_body
class _Api(APIHandler):
    """Shared by all handlers: the user, the body of the request, and the mapping of errors."""

    auth_resource = RESOURCE

    def initialize(self, queue: LazyQueue) -> None:
        self._lazy = queue

    def set_default_headers(self) -> None:
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
        if self.current_user is None:
            # Jupyter asks after the body has come, which takes memory.
            raise HTTPError(403)

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
        return {action: who_may(approvals, created_by, action, who, allow) for action in allow}

    def identify_user(self) -> Who:
        """Identify the user, for the audit trail."""
        return identify(self.current_user, self.identity_provider)

    def _root(self) -> Path:
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
            raise InvalidParameter(min(unknown), f"is no field of this request; its fields are: {', '.join(known)}")
        return value

    async def write_view(self, execution: str, status: int = 200) -> None:
        """Write an execution as the response."""
        links = await self.may_execute()
        view = await self._lazy.call(Queue.view, execution, with_links=links)
        write_json(self, status, await self.mask_for_user(view))

    def write_error(self, status_code: int, **info: Any) -> None:
        error = info.get("exc_info", (None, None, None))[1]
        if isinstance(error, HTTPError):
            sentence = error.log_message or error.reason or self._reason
            status = status_code
        else:
            status, sentence = error_answer(error, status_code)
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
        # The response has the message of our own errors; a traceback in the log would add nothing.
        if error is None or status_of(error) is None:
            super().log_exception(kind, error, traceback)


class ExecutionsHandler(_Api):
    """All executions."""

    SUPPORTED_METHODS = ("GET", "POST")

    @require_permission("read")
    async def get(self) -> None:
        """List executions, the newest first: `?state=`, `?q=`, `?after=`, `?limit=`, `?offset=`."""
        states = [state for value in self.get_query_arguments("state") for state in value.split(",") if state]
        unknown = set(states) - set(STATES)
        if unknown:
            raise InvalidParameter("state", f"must be one of {', '.join(STATES)}, not {min(unknown)!r}")
        limit = self._read_number("limit", 50, most=_MOST)
        offset = self._read_number("offset", 0)
        found = await self._lazy.call(
            Queue.list,
            states=states or None,
            text=self.get_query_argument("q", "") or None,
            after=self.get_query_argument("after", "") or None,
            limit=limit + 1,
            offset=offset,
            with_links=await self.may_execute(),
        )
        more = offset + limit if len(found) > limit else None
        shown = [await self.mask_for_user(view) for view in found[:limit]]
        write_json(self, 200, {"executions": shown, "next_offset": more})

    @require_permission("execute")
    async def post(self) -> None:
        """Start an execution."""
        request = StartRequest.read(await self.read_body())
        execution = await self._lazy.call(start, self._root(), request, self.identify_user())
        self.set_header("Location", f"{self.base_url}pauseflow/api/executions/{execution}")
        await self.write_view(execution, 201)

    def _read_number(self, name: str, default: int, most: int | None = None) -> int:
        text = self.get_query_argument(name, str(default))
        # At most as many digits as an integer of the database has.
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise InvalidParameter(name, f"must be a whole number, not {text!r}")
        return int(text) if most is None else min(int(text), most)


class InspectHandler(_Api):
    """What a notebook takes."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self) -> None:
        """Inspect a notebook, given as `{"notebook"}`, its path, or as `{"content"}`."""
        body = await self.read_body("notebook", "content")
        write_json(
            self,
            200,
            await self._lazy.compute(inspect, self._root(), _read_text(body, "notebook"), body.get("content")),
        )


class ExecutionHandler(_Api):
    """One execution."""

    SUPPORTED_METHODS = ("GET",)

    @require_permission("read")
    async def get(self, execution: str) -> None:
        """Show the execution; with `?history=1` also every run of every step."""
        history = self.get_query_argument("history", "0")
        if history not in {"0", "1"}:
            raise InvalidParameter("history", f"must be 0 or 1, not {history!r}")
        links = await self.may_execute()
        view = await self._lazy.call(Queue.view, execution, with_links=links, history=history == "1")
        write_json(self, 200, await self.mask_for_user(view))


class ResumeHandler(_Api):
    """Answer an execution that waits."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self, execution: str) -> None:
        """Resume with `{"step", "data"}`, or `{"step", "form"}` with what stands in the form; all optional."""
        if len(self.request.body) > INLINE_BYTES:
            raise BodyTooLarge(INLINE_BYTES)
        body = await self.read_body("step", "data", "form", "shown")
        step, form = _read_step(body), _read_form(body)
        answer = await self._lazy.answer(
            execution,
            Queue.resume,
            execution,
            step=step,
            data=body.get("data"),
            form=form,
            by=self.identify_user(),
            seen=_read_text(body, "shown"),
        )
        write_json(self, answer.status, answer.body)


class SendBackHandler(_Api):
    """Send a question back."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self, execution: str) -> None:
        """Send back with `{"step", "comment", "shown"}`, all optional."""
        body = await self.read_body("step", "comment", "shown")
        said = {"step": _read_step(body), "comment": _read_text(body, "comment"), "seen": _read_text(body, "shown")}
        answer = await self._lazy.answer(execution, Queue.send_back, execution, **said, by=self.identify_user())
        write_json(self, answer.status, answer.body)


class CancelHandler(_Api):
    """Cancel an execution in any state."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self, execution: str) -> None:
        """Cancel, with `{"text"}` as the reason."""
        text = _read_text(await self.read_body("text"), "text")
        await self._lazy.call(Queue.cancel, execution, by=self.identify_user(), text=text)
        await self.write_view(execution)


class SuspendHandler(_Api):
    """Suspend an execution."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self, execution: str) -> None:
        """Suspend the execution before its next cell."""
        await self._lazy.call(Queue.suspend, execution, by=self.identify_user())
        await self.write_view(execution)


class RetryHandler(_Api):
    """Continue an execution from a checkpoint."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self, execution: str) -> None:
        """Retry, with `{"from", "notebook", "force"}`, all optional."""
        body = await self.read_body("from", "notebook", "force")
        from_step, notebook = _read_text(body, "from"), _read_text(body, "notebook")
        path = None if notebook is None else str(resolve_path(self._root(), "notebook", notebook))
        force = body.get("force", False)
        if not isinstance(force, bool):
            raise InvalidParameter("force", "must be true or false")
        await self._lazy.call(
            retry, execution, by=self.identify_user(), from_step=from_step, notebook=path, force=force
        )
        await self.write_view(execution)


class ForkHandler(_Api):
    """Fork an execution."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self, execution: str) -> None:
        """Fork, with `{"from", "output"}`, both optional; the response is the fork."""
        body = await self.read_body("from", "output")
        output = _read_text(body, "output")
        path = None if output is None else str(resolve_path(self._root(), "output", output))
        sibling = await self._lazy.call(
            fork, execution, by=self.identify_user(), from_step=_read_text(body, "from"), output=path
        )
        self.set_header("Location", f"{self.base_url}pauseflow/api/executions/{sibling}")
        await self.write_view(sibling, 201)


class DecisionsHandler(_Api):
    """The signed records."""

    SUPPORTED_METHODS = ("GET",)

    @require_permission("read")
    async def get(self, execution: str) -> None:
        """List the records of the execution, oldest first: DSSE envelopes."""
        write_json(self, 200, {"decisions": await self._lazy.call(Queue.decisions, execution)})


class OutputsHandler(_Api):
    """The executed notebook in its current state."""

    SUPPORTED_METHODS = ("GET",)

    @require_permission("read")
    async def get(self, execution: str) -> None:
        """Return the notebook's JSON."""
        text = await self._lazy.call(_read_outputs, execution)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.write(text)


class EventsHandler(_Api):
    """The audit trail."""

    SUPPORTED_METHODS = ("GET",)

    @require_permission("read")
    async def get(self, execution: str) -> None:
        """List the changes of the execution, oldest first."""
        write_json(self, 200, {"events": await self._lazy.call(Queue.audit, execution)})


class MetricsHandler(_Api):
    """Counts of executions, late work and processes, for Prometheus."""

    SUPPORTED_METHODS = ("GET",)

    @require_permission("read")
    async def get(self) -> None:
        """Return the counts of this moment."""
        self.finish(write_metrics(await self._lazy.call(Queue.count)), set_content_type=CONTENT_TYPE_LATEST)


#: Path as in OpenAPI → handler.
ROUTES: dict[str, type[RequestHandler]] = {
    "/pauseflow/api/health": HealthHandler,
    "/pauseflow/api/metrics": MetricsHandler,
    "/pauseflow/api/inspect": InspectHandler,
    "/pauseflow/api/executions": ExecutionsHandler,
    "/pauseflow/api/executions/{execution}": ExecutionHandler,
    "/pauseflow/api/executions/{execution}/resume": ResumeHandler,
    "/pauseflow/api/executions/{execution}/send_back": SendBackHandler,
    "/pauseflow/api/executions/{execution}/cancel": CancelHandler,
    "/pauseflow/api/executions/{execution}/suspend": SuspendHandler,
    "/pauseflow/api/executions/{execution}/retry": RetryHandler,
    "/pauseflow/api/executions/{execution}/fork": ForkHandler,
    "/pauseflow/api/executions/{execution}/outputs": OutputsHandler,
    "/pauseflow/api/executions/{execution}/events": EventsHandler,
    "/pauseflow/api/executions/{execution}/decisions": DecisionsHandler,
}


def api_routes(
    queue: LazyQueue, readiness: Callable[[], Readiness]
) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Make the routes; `readiness` says whether the server is ready."""
    more: dict[type[RequestHandler], dict[str, Any]] = {HealthHandler: {"readiness": readiness}}
    return [
        (path.replace("{execution}", "([^/]+)"), handler, {"queue": queue, **more.get(handler, {})})
        for path, handler in ROUTES.items()
    ]


def _parse_body(body: bytes) -> JSON:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = None
    return {} if text is not None and not text.strip() else parse_json("the body", text)


def _read_text(body: dict[str, JSON], field: str) -> str | None:
    value = body.get(field)
    if not isinstance(value, str | None):
        raise InvalidParameter(field, "must be text")
    return value


def _read_step(body: dict[str, JSON]) -> str | None:
    """Read the step to resume: its name, its `address`, or its `path` as a list."""
    step = body.get("step")
    if step is None or isinstance(step, str):
        return step
    names = [name for name in step if isinstance(name, str)] if isinstance(step, list) else []
    if not names or len(names) < len(cast("list[JSON]", step)):
        raise InvalidParameter("step", "must be the name of a step, or the path of one as a list")
    return ".".join(names)


def _read_form(body: dict[str, JSON]) -> dict[str, list[str]] | None:
    """Read the entries of a form: input name → texts, as a browser sends them."""
    form = body.get("form")
    if form is None:
        return None
    if "data" in body:
        raise InvalidParameter("form", "cannot be sent together with data")
    is_form = isinstance(form, dict) and all(
        isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in form.values()
    )
    if not is_form:
        raise InvalidParameter("form", "must be an object of lists of texts")
    return cast("dict[str, list[str]]", form)


def _read_outputs(queue: Queue, execution: str) -> str:
    # The runner masks what it writes, but an older version may have written this document.
    return Mask().text(queue.document(execution).decode())
