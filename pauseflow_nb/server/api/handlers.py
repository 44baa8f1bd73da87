"""The REST API under /pauseflow/api, behind Jupyter's own login and authoriser; `openapi.yaml` describes it.

Looking needs `read` on the resource `pauseflow`, changing needs `execute`. Links are shown only to
those who may execute: a link is as good as the right to use it.
"""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import ensure_async
from tornado.http1connection import HTTP1Connection
from tornado.web import HTTPError, RequestHandler, authenticated, stream_request_body

from pauseflow_nb.engine.authorization import who_may
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import BodyTooLarge, InvalidAnswer, InvalidParameter
from pauseflow_nb.identity import Who
from pauseflow_nb.json_values import JSON
from pauseflow_nb.runner.masking import Mask
from pauseflow_nb.server.api.health import HealthHandler
from pauseflow_nb.server.api.login import who_is
from pauseflow_nb.server.api.start_request import StartRequest, inside, inspect, start
from pauseflow_nb.server.http_errors import RETRY_AFTER_SECONDS, status_of
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.public.bodies import parse_json
from pauseflow_nb.server.public.rate_limit import IDLE_SECONDS, check_length
from pauseflow_nb.server.public.responses import error_answer, write_json
from pauseflow_nb.server.public.upload import INLINE_BYTES
from pauseflow_nb.server.registration import Standing
from pauseflow_nb.store.executions import STATES

__all__ = ["LARGEST_BODY", "ROUTES", "api_routes"]

RESOURCE = "pauseflow"

Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])

#: In bytes, and all of it in memory; the largest request starts a notebook with its parameters.
LARGEST_BODY = 4 * 1024**2

#: Why those may not answer who may only look: action → sentence.
_ONLY_LOOKING = dict.fromkeys(("resume", "cancel"), "you may look at executions here, but not answer")

#: The most executions on one page of the list.
_MOST = 500


def _may(action: str) -> Callable[[Method], Method]:
    """Let only those call a method who are signed in, and whom the authoriser lets do this."""

    def guard(method: Method) -> Method:
        return cast("Method", authenticated(authorized(action, RESOURCE)(method)))

    return guard


@stream_request_body
class _Api(APIHandler):
    """What all of them share: who asks, what they sent, what our errors mean."""

    auth_resource = RESOURCE

    def initialize(self, queue: LazyQueue) -> None:
        self._lazy = queue

    def set_default_headers(self) -> None:
        super().set_default_headers()
        # There may be links in it.
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:  # type: ignore[override]  # typed as if it could return something else
        """Refuse before the body is read: what is too large, and what comes from elsewhere."""
        self._received = bytearray()
        connection = self.request.connection
        assert isinstance(connection, HTTP1Connection)
        connection.set_max_body_size(LARGEST_BODY)
        connection.set_body_timeout(IDLE_SECONDS)
        check_length(self.request.headers, LARGEST_BODY)
        await super().prepare()

    def data_received(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._received += chunk

    async def may_execute(self) -> bool:
        """Whether whoever asks may act, and so may see links."""
        asked = self.authorizer.is_authorized(self, self.current_user, "execute", RESOURCE)
        return bool(await ensure_async(asked))

    async def shown(self, view: dict[str, JSON]) -> JSON:
        """Make a view of an execution what the user may see of it, and say whether the user may answer."""
        may_execute = await self.may_execute()
        for suspension in cast("list[dict[str, JSON]]", view["suspended"]):
            suspension["refusals"] = self._refusals(view, suspension) if may_execute else dict(_ONLY_LOOKING)
        # A step may have exported a link.
        return view if may_execute else Mask().value(view)

    def _refusals(self, view: dict[str, JSON], suspension: dict[str, JSON]) -> JSON:
        approvals, created_by = cast("dict[str, JSON]", suspension["approvals"]), str(view["created_by"])
        return {action: who_may(approvals, created_by, action, self.by()) for action in _ONLY_LOOKING}

    def by(self) -> Who:
        """Who asks, for the audit trail."""
        return who_is(self.current_user, self.identity_provider)

    def _root(self) -> Path:
        return Path(self.settings["server_root_dir"])

    async def body(self, *known: str) -> dict[str, JSON]:
        """The request's JSON object; empty if there is no body.

        Args:
            known: The fields it may have; none: any.
        """
        value = await self._lazy.compute(_parsed, bytes(self._received))
        if not isinstance(value, dict):
            raise InvalidParameter("body", "must be a JSON object")
        unknown = set(value) - set(known)
        if known and unknown:
            raise InvalidParameter(min(unknown), f"is not known here; what is: {', '.join(known)}")
        return value

    async def write_view(self, execution: str, status: int = 200) -> None:
        """Answer with an execution."""
        links = await self.may_execute()
        view = await self._lazy.call(Queue.view, execution, with_links=links)
        write_json(self, status, await self.shown(view))

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
        # `message` is what Jupyter's own front ends look for.
        errors = {"errors": error.errors} if isinstance(error, InvalidAnswer) else {}
        write_json(self, status, {"error": sentence, "message": sentence, **errors})
        self.finish()

    def log_exception(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # What our errors say goes to whoever asked; a traceback in the log helps nobody.
        if error is None or status_of(error) is None:
            super().log_exception(kind, error, traceback)


class ExecutionsHandler(_Api):
    """All executions."""

    SUPPORTED_METHODS = ("GET", "POST")

    @_may("read")
    async def get(self) -> None:
        """List them, the newest first: `?state=`, `?q=`, `?limit=`, `?offset=`."""
        states = [state for given in self.get_query_arguments("state") for state in given.split(",") if state]
        unknown = set(states) - set(STATES)
        if unknown:
            raise InvalidParameter("state", f"has no {min(unknown)!r}; what there is: {', '.join(STATES)}")
        limit = self._number("limit", 50, most=_MOST)
        offset = self._number("offset", 0)
        found = await self._lazy.call(
            Queue.list,
            states=states or None,
            text=self.get_query_argument("q", "") or None,
            limit=limit + 1,
            offset=offset,
            with_links=await self.may_execute(),
        )
        more = offset + limit if len(found) > limit else None
        shown = [await self.shown(view) for view in found[:limit]]
        write_json(self, 200, {"executions": shown, "next_offset": more})

    @_may("execute")
    async def post(self) -> None:
        """Start one."""
        request = StartRequest.read(await self.body())
        execution = await self._lazy.call(start, self._root(), request, self.by())
        self.set_header("Location", f"{self.base_url}pauseflow/api/executions/{execution}")
        await self.write_view(execution, 201)

    def _number(self, name: str, default: int, most: int | None = None) -> int:
        text = self.get_query_argument(name, str(default))
        # Not more digits than a database's integer has.
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise InvalidParameter(name, f"must be a whole number, not {text!r}")
        return int(text) if most is None else min(int(text), most)


class InspectHandler(_Api):
    """What a notebook takes."""

    SUPPORTED_METHODS = ("POST",)

    @_may("execute")
    async def post(self) -> None:
        """Inspect a notebook, given as `{"notebook"}`, its path, or as `{"content"}`."""
        body = await self.body("notebook", "content")
        write_json(
            self, 200, await self._lazy.compute(inspect, self._root(), _text_of(body, "notebook"), body.get("content"))
        )


class ExecutionHandler(_Api):
    """One execution."""

    SUPPORTED_METHODS = ("GET",)

    @_may("read")
    async def get(self, execution: str) -> None:
        """Show it; with `?history=1` every run of every step, too."""
        history = self.get_query_argument("history", "0")
        if history not in {"0", "1"}:
            raise InvalidParameter("history", f"must be 0 or 1, not {history!r}")
        links = await self.may_execute()
        view = await self._lazy.call(Queue.view, execution, with_links=links, history=history == "1")
        write_json(self, 200, await self.shown(view))


class ResumeHandler(_Api):
    """Answer what it waits for."""

    SUPPORTED_METHODS = ("POST",)

    @_may("execute")
    async def post(self, execution: str) -> None:
        """Resume with `{"step", "data"}`, or `{"step", "form"}` with what stands in the form; all optional."""
        if len(self.request.body) > INLINE_BYTES:
            raise BodyTooLarge(INLINE_BYTES)
        body = await self.body("step", "data", "form")
        step, form = _step_of(body), _form_of(body)
        answer = await self._lazy.answer(
            execution, Queue.resume, execution, step=step, data=body.get("data"), form=form, by=self.by()
        )
        write_json(self, answer.status, answer.body)


class CancelHandler(_Api):
    """Cancel it in whatever state it is."""

    SUPPORTED_METHODS = ("POST",)

    @_may("execute")
    async def post(self, execution: str) -> None:
        """Cancel, with `{"text"}` as the reason."""
        text = _text_of(await self.body("text"), "text")
        await self._lazy.call(Queue.cancel, execution, by=self.by(), text=text)
        await self.write_view(execution)


class SuspendHandler(_Api):
    """Suspend it from outside."""

    SUPPORTED_METHODS = ("POST",)

    @_may("execute")
    async def post(self, execution: str) -> None:
        """Suspend it before its next cell."""
        await self._lazy.call(Queue.suspend, execution, by=self.by())
        await self.write_view(execution)


class RetryHandler(_Api):
    """Let it go on from a checkpoint."""

    SUPPORTED_METHODS = ("POST",)

    @_may("execute")
    async def post(self, execution: str) -> None:
        """Retry, with `{"from", "notebook", "force"}`, all optional."""
        body = await self.body("from", "notebook", "force")
        from_step, notebook = _text_of(body, "from"), _text_of(body, "notebook")
        path = None if notebook is None else str(inside(self._root(), "notebook", notebook))
        force = body.get("force", False)
        if not isinstance(force, bool):
            raise InvalidParameter("force", "must be true or false")
        await self._lazy.call(Queue.retry, execution, by=self.by(), from_step=from_step, notebook=path, force=force)
        await self.write_view(execution)


class ForkHandler(_Api):
    """Start a sibling of it."""

    SUPPORTED_METHODS = ("POST",)

    @_may("execute")
    async def post(self, execution: str) -> None:
        """Fork, with `{"from", "output"}`, both optional; the answer is the sibling."""
        body = await self.body("from", "output")
        output = _text_of(body, "output")
        path = None if output is None else str(inside(self._root(), "output", output))
        sibling = await self._lazy.call(
            Queue.fork, execution, by=self.by(), from_step=_text_of(body, "from"), output=path
        )
        self.set_header("Location", f"{self.base_url}pauseflow/api/executions/{sibling}")
        await self.write_view(sibling, 201)


class OutputsHandler(_Api):
    """The executed notebook as it is now."""

    SUPPORTED_METHODS = ("GET",)

    @_may("read")
    async def get(self, execution: str) -> None:
        """Return the notebook's JSON."""
        text = await self._lazy.call(_outputs, execution)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.write(text)


class EventsHandler(_Api):
    """The audit trail."""

    SUPPORTED_METHODS = ("GET",)

    @_may("read")
    async def get(self, execution: str) -> None:
        """List who changed what, and when, oldest first."""
        write_json(self, 200, {"events": await self._lazy.call(Queue.audit, execution)})


#: Path in the words of OpenAPI → handler.
ROUTES: dict[str, type[RequestHandler]] = {
    "/pauseflow/api/health": HealthHandler,
    "/pauseflow/api/inspect": InspectHandler,
    "/pauseflow/api/executions": ExecutionsHandler,
    "/pauseflow/api/executions/{execution}": ExecutionHandler,
    "/pauseflow/api/executions/{execution}/resume": ResumeHandler,
    "/pauseflow/api/executions/{execution}/cancel": CancelHandler,
    "/pauseflow/api/executions/{execution}/suspend": SuspendHandler,
    "/pauseflow/api/executions/{execution}/retry": RetryHandler,
    "/pauseflow/api/executions/{execution}/fork": ForkHandler,
    "/pauseflow/api/executions/{execution}/outputs": OutputsHandler,
    "/pauseflow/api/executions/{execution}/events": EventsHandler,
}


def api_routes(
    queue: LazyQueue, standing: Callable[[], Standing]
) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Make the routes; `standing` says whether the server is ready."""
    more: dict[type[RequestHandler], dict[str, Any]] = {HealthHandler: {"standing": standing}}
    return [
        (path.replace("{execution}", "([^/]+)"), handler, {"queue": queue, **more.get(handler, {})})
        for path, handler in ROUTES.items()
    ]


def _parsed(body: bytes) -> JSON:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = None
    return {} if text is not None and not text.strip() else parse_json("the body", text)


def _text_of(body: dict[str, JSON], field: str) -> str | None:
    value = body.get(field)
    if not isinstance(value, str | None):
        raise InvalidParameter(field, "must be text")
    return value


def _step_of(body: dict[str, JSON]) -> str | None:
    """The step to resume: its name, its `address`, or its `path` as a list."""
    step = body.get("step")
    if step is None or isinstance(step, str):
        return step
    names = [name for name in step if isinstance(name, str)] if isinstance(step, list) else []
    if not names or len(names) < len(cast("list[JSON]", step)):
        raise InvalidParameter("step", "must be the name of a step, or the path of one as a list")
    return ".".join(names)


def _form_of(body: dict[str, JSON]) -> dict[str, list[str]] | None:
    """Take what stands in a form: input name → texts, as a browser sends one."""
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


def _outputs(queue: Queue, execution: str) -> str:
    # The runner masks what it writes; a store may hold what an older version wrote.
    return Mask().text(queue.document(execution).decode())
