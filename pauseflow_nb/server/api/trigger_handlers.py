"""Serve the triggers of a store under /pauseflow/api/triggers; see `handlers` for who may do what."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from tornado.web import RequestHandler

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.triggers import managing
from pauseflow_nb.engine.triggers.managing import NewTrigger
from pauseflow_nb.engine.triggers.schedule import Schedule
from pauseflow_nb.errors import InvalidParameter
from pauseflow_nb.identity import Who
from pauseflow_nb.server.api.api_handler import ApiHandler
from pauseflow_nb.server.api.request_fields import read_fields, resolve_path
from pauseflow_nb.server.login import require_permission
from pauseflow_nb.server.public.responses import write_json


class TriggerRequest(BaseModel):
    """The body of `POST /pauseflow/api/triggers`: an HTTP trigger, or one of `cron`, `every` and `at`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    #: Path of the notebook, relative to the server's root directory, with slashes.
    notebook: str = Field(min_length=1)
    http: bool = False
    #: Whether a request waits for `flow.respond`.
    waits: bool = False
    #: What `steps.trigger.event` holds.
    event: Literal["request", "body"] = "request"
    cron: str | None = None
    every: str | None = None
    at: str | None = None
    #: Time zone of `cron` and `at`.
    tz: str | None = None
    missed: Literal["run", "skip"] = "run"
    overlap: Literal["queue", "skip", "allow"] = "queue"
    parameters: dict[str, Any] = Field(default_factory=dict)
    kernel: str | None = None
    strict: bool = False

    def add(self, queue: Queue, root: Path, by: Who) -> dict[str, Any]:
        """Add the trigger; returns its view.

        Raises:
            PauseflowError: If the notebook cannot be run, or the schedule cannot be read.
        """
        times = {"cron": self.cron, "every": self.every, "at": self.at}
        if self.http == any(value is not None for value in times.values()):
            raise InvalidParameter("http", "must be true, or one of cron, every and at must be given")
        new = NewTrigger(
            str(resolve_path(root, "notebook", self.notebook)),
            None if self.http else Schedule.read(**times, zone=self.tz),
            self.parameters,
            **self.model_dump(include={"waits", "event", "missed", "overlap", "kernel", "strict"}),
        )
        return managing.add(queue, new, by=by)


class TriggersHandler(ApiHandler):
    """All triggers."""

    SUPPORTED_METHODS = ("GET", "POST")

    @require_permission("read")
    async def get(self) -> None:
        """List triggers, oldest first."""
        links = await self.may_execute()
        write_json(self, 200, {"triggers": await self._lazy.call(managing.list_triggers, with_links=links)})

    @require_permission("execute")
    async def post(self) -> None:
        """Add a trigger."""
        request = read_fields(TriggerRequest, await self.read_body())
        view = await self._lazy.call(request.add, self.root(), self.identify_user())
        self.set_header("Location", f"{self.base_url}pauseflow/api/triggers/{view['id']}")
        write_json(self, 201, view)


class TriggerHandler(ApiHandler):
    """One trigger."""

    SUPPORTED_METHODS = ("GET", "DELETE")

    @require_permission("read")
    async def get(self, trigger: str) -> None:
        """Show the trigger."""
        links = await self.may_execute()
        write_json(self, 200, await self._lazy.call(managing.view, trigger, with_links=links))

    @require_permission("execute")
    async def delete(self, trigger: str) -> None:
        """Remove the trigger; executions that it has started continue."""
        await self._lazy.call(managing.remove, trigger)
        self.set_status(204)


class _ChangeHandler(ApiHandler):
    SUPPORTED_METHODS = ("POST",)

    async def change(self, what: Any, trigger: str) -> None:
        await self._lazy.call(what, trigger)
        write_json(self, 200, await self._lazy.call(managing.view, trigger))


class PauseTriggerHandler(_ChangeHandler):
    """Pause a trigger."""

    @require_permission("execute")
    async def post(self, trigger: str) -> None:
        """Pause the trigger until it is resumed."""
        await self.change(managing.pause, trigger)


class ResumeTriggerHandler(_ChangeHandler):
    """Resume a trigger."""

    @require_permission("execute")
    async def post(self, trigger: str) -> None:
        """Resume the trigger."""
        await self.change(managing.resume, trigger)


class RotateTriggerHandler(_ChangeHandler):
    """Replace the URL of a trigger."""

    @require_permission("execute")
    async def post(self, trigger: str) -> None:
        """Refuse the current URL, and show a new one."""
        await self.change(managing.rotate, trigger)


class RunTriggerHandler(ApiHandler):
    """Start an execution of a trigger now."""

    SUPPORTED_METHODS = ("POST",)

    @require_permission("execute")
    async def post(self, trigger: str) -> None:
        """Start it, with `{"data"}` as the body of the event of an HTTP trigger; the response is the execution."""
        body = await self.read_body("data")
        execution = await self._lazy.call(partial(managing.run, data=body.get("data")), trigger)
        self.set_header("Location", f"{self.base_url}pauseflow/api/executions/{execution}")
        await self.write_view(execution, 201)


#: Path as in OpenAPI → handler.
TRIGGER_ROUTES: dict[str, type[RequestHandler]] = {
    "/pauseflow/api/triggers": TriggersHandler,
    "/pauseflow/api/triggers/{trigger}": TriggerHandler,
    "/pauseflow/api/triggers/{trigger}/pause": PauseTriggerHandler,
    "/pauseflow/api/triggers/{trigger}/resume": ResumeTriggerHandler,
    "/pauseflow/api/triggers/{trigger}/rotate": RotateTriggerHandler,
    "/pauseflow/api/triggers/{trigger}/run": RunTriggerHandler,
}
