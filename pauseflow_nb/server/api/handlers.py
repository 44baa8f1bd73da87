"""Serve the REST API under /pauseflow/api, behind the login and the authoriser of Jupyter; `openapi.yaml` describes it.

Reading needs the action `read` on the resource `pauseflow`, changing needs `execute`. Only users who may execute see links,
because everybody who has a link can use it.
"""

import re
from collections.abc import Callable
from typing import Any, cast

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from tornado.web import RequestHandler

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.retry_fork import fork, retry
from pauseflow_nb.errors import BodyTooLarge, InvalidParameter
from pauseflow_nb.json_values import JSON, NOTHING
from pauseflow_nb.runner.masking import Mask
from pauseflow_nb.server.api.api_handler import ApiHandler
from pauseflow_nb.server.api.health import HealthHandler
from pauseflow_nb.server.api.request_fields import read_fields, read_text, resolve_path
from pauseflow_nb.server.api.start_request import StartRequest, inspect, start
from pauseflow_nb.server.api.trigger_handlers import TRIGGER_ROUTES
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.login import require_permission
from pauseflow_nb.server.public.responses import write_json
from pauseflow_nb.server.public.upload import INLINE_BYTES
from pauseflow_nb.server.registration import Readiness
from pauseflow_nb.store.counts import Counts
from pauseflow_nb.store.executions import STATES

#: The most executions on one page of the list.
_MOST = 500


class ExecutionsHandler(ApiHandler):
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
        request = read_fields(StartRequest, await self.read_body())
        execution = await self._lazy.call(start, self.root(), request, self.identify_user())
        self.set_header("Location", f"{self.base_url}pauseflow/api/executions/{execution}")
        await self.write_view(execution, 201)

    def _read_number(self, name: str, default: int, most: int | None = None) -> int:
        text = self.get_query_argument(name, str(default))
        # At most as many digits as an integer of the database has.
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise InvalidParameter(name, f"must be a whole number from 0 to 999999999, not {text!r}")
        return int(text) if most is None else min(int(text), most)


class InspectHandler(ApiHandler):
    """The parameters and steps of a notebook."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self) -> None:
        """Inspect a notebook, given as `{"notebook"}`, its path, or as `{"content"}`."""
        body = await self.read_body("notebook", "content")
        write_json(
            self,
            200,
            await self._lazy.compute(inspect, self.root(), read_text(body, "notebook"), body.get("content")),
        )


class ExecutionHandler(ApiHandler):
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


class ResumeHandler(ApiHandler):
    """Answer an execution that waits."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self, execution: str) -> None:
        """Resume with `{"step", "data"}`, or `{"step", "form"}` with the contents of the form; all optional."""
        if len(self.request.body) > INLINE_BYTES:
            raise BodyTooLarge(INLINE_BYTES)
        body = await self.read_body("step", "data", "form", "shown")
        step, form = _read_step(body), _read_form(body)
        answer = await self._lazy.answer(
            execution,
            Queue.resume,
            execution,
            step=step,
            data=body.get("data", NOTHING),
            form=form,
            by=self.identify_user(),
            seen=read_text(body, "shown"),
        )
        write_json(self, answer.status, answer.body)


class SendBackHandler(ApiHandler):
    """Send a question back."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self, execution: str) -> None:
        """Send back with `{"step", "comment", "shown"}`, all optional."""
        body = await self.read_body("step", "comment", "shown")
        fields = {"step": _read_step(body), "comment": read_text(body, "comment"), "seen": read_text(body, "shown")}
        answer = await self._lazy.answer(execution, Queue.send_back, execution, **fields, by=self.identify_user())
        write_json(self, answer.status, answer.body)


class CancelHandler(ApiHandler):
    """Cancel an execution, unless it has ended."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self, execution: str) -> None:
        """Cancel, with `{"text"}` as the reason."""
        text = read_text(await self.read_body("text"), "text")
        await self._lazy.call(Queue.cancel, execution, by=self.identify_user(), text=text)
        await self.write_view(execution)


class SuspendHandler(ApiHandler):
    """Suspend an execution."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self, execution: str) -> None:
        """Suspend the execution before its next cell."""
        await self._lazy.call(Queue.suspend, execution, by=self.identify_user())
        await self.write_view(execution)


class RetryHandler(ApiHandler):
    """Continue an execution from a checkpoint."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self, execution: str) -> None:
        """Retry, with `{"from", "notebook", "force"}`, all optional."""
        body = await self.read_body("from", "notebook", "force")
        from_step, notebook = read_text(body, "from"), read_text(body, "notebook")
        path = None if notebook is None else str(resolve_path(self.root(), "notebook", notebook))
        force = body.get("force", False)
        if not isinstance(force, bool):
            raise InvalidParameter("force", "must be true or false")
        await self._lazy.call(
            retry, execution, by=self.identify_user(), from_step=from_step, notebook=path, force=force
        )
        await self.write_view(execution)


class ForkHandler(ApiHandler):
    """Fork an execution."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self, execution: str) -> None:
        """Fork, with `{"from", "output"}`, both optional; the response is the fork."""
        body = await self.read_body("from", "output")
        output = read_text(body, "output")
        path = None if output is None else str(resolve_path(self.root(), "output", output))
        sibling = await self._lazy.call(
            fork, execution, by=self.identify_user(), from_step=read_text(body, "from"), output=path
        )
        self.set_header("Location", f"{self.base_url}pauseflow/api/executions/{sibling}")
        await self.write_view(sibling, 201)


class DecisionsHandler(ApiHandler):
    """The signed records."""

    SUPPORTED_METHODS = ("GET",)

    @require_permission("read")
    async def get(self, execution: str) -> None:
        """List the records of the execution, oldest first: DSSE envelopes."""
        write_json(self, 200, {"decisions": await self._lazy.call(Queue.decisions, execution)})


class OutputsHandler(ApiHandler):
    """The executed notebook in its current state."""

    SUPPORTED_METHODS = ("GET",)

    @require_permission("read")
    async def get(self, execution: str) -> None:
        """Return the notebook's JSON."""
        text = await self._lazy.call(_read_outputs, execution)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.write(text)


class EventsHandler(ApiHandler):
    """The audit trail."""

    SUPPORTED_METHODS = ("GET",)

    @require_permission("read")
    async def get(self, execution: str) -> None:
        """List the changes of the execution, oldest first."""
        write_json(self, 200, {"events": await self._lazy.call(Queue.audit, execution)})


class MetricsHandler(ApiHandler):
    """Counts of executions, late work and processes, for Prometheus."""

    SUPPORTED_METHODS = ("GET",)

    @require_permission("read")
    async def get(self) -> None:
        """Return the counts of this moment."""
        self.finish(_write_metrics(await self._lazy.call(Queue.count)), set_content_type=CONTENT_TYPE_LATEST)


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
    **TRIGGER_ROUTES,
    "/pauseflow/api/executions/{execution}/decisions": DecisionsHandler,
}


def api_routes(
    queue: LazyQueue, readiness: Callable[[], Readiness]
) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """Make the routes; `readiness` says whether the server is ready."""
    more: dict[type[RequestHandler], dict[str, Any]] = {HealthHandler: {"readiness": readiness}}
    return [
        (re.sub(r"\{[a-z]+\}", "([^/]+)", path), handler, {"queue": queue, **more.get(handler, {})})
        for path, handler in ROUTES.items()
    ]


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


def _write_metrics(counts: Counts) -> bytes:
    """Write gauges whose names begin with `pauseflow_`; all servers of one store report the same values."""
    registry = CollectorRegistry()
    for name, text, label, values in (
        ("executions", "Executions in each state.", "state", counts.executions),
        ("open_suspensions", "Suspensions that wait for an answer or the clock.", None, counts.open_suspensions),
        (
            "queue_seconds",
            "Seconds that the oldest queued segment has waited for a worker.",
            None,
            counts.queue_seconds,
        ),
        (
            "overdue_seconds",
            "Seconds since the oldest deadline that has passed without effect.",
            None,
            counts.overdue_seconds,
        ),
        ("processes", "Processes of this store that are alive.", "kind", counts.processes),
    ):
        gauge = Gauge(f"pauseflow_{name}", text, [label] if label else (), registry=registry)
        if isinstance(values, dict):
            for value, number in values.items():
                gauge.labels(value).set(number)
        else:
            gauge.set(values)
    return generate_latest(registry)
