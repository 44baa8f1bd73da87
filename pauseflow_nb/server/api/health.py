"""Serve `/pauseflow/api/health`, without login: whether new executions are run."""

from collections.abc import Callable
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import RequestHandler

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import StorageFull, StoreUnavailable
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.public.responses import (
    find_error_response,
    set_private_headers,
    write_error_response,
    write_json,
)
from pauseflow_nb.server.registration import Readiness

#: Value of `Retry-After` until a worker takes jobs.
_SOON_SECONDS = 1


def health_route(queue: LazyQueue) -> tuple[str, type[RequestHandler], dict[str, Any]]:
    """Make the route for a process that runs its own execution."""
    return (r"/pauseflow/api/health", HealthHandler, {"queue": queue})


class HealthHandler(RequestHandler):
    """Answers 200 with `ok` if the worker of this server takes jobs, and 503 while it starts or without the store.

    No handler of Jupyter, because probes send any Host.
    """

    SUPPORTED_METHODS = ("GET", "HEAD")

    def initialize(self, queue: LazyQueue, readiness: Callable[[], Readiness] = lambda: "ok") -> None:
        """Set the queue, and the function that returns the readiness of this server."""
        self._lazy, self._readiness = queue, readiness

    def set_default_headers(self) -> None:
        """Set the headers of every response."""
        set_private_headers(self)

    @allow_unauthenticated
    async def get(self) -> None:
        """Write the readiness."""
        try:
            is_alive = await self._lazy.call(Queue.has_live_worker)
        except (StoreUnavailable, StorageFull):
            # Without the message of the error, because it names the database and the request needs no login.
            write_error_response(self, 503, "the store cannot be reached", html=False)
            return
        readiness = self._readiness()
        is_ready = readiness == "ok"
        if not is_ready:
            self.set_header("Retry-After", str(_SOON_SECONDS))
        write_json(self, 200 if is_ready else 503, {"status": readiness, "ready": is_ready, "worker": is_alive})

    head = get

    def write_error(self, status_code: int, **info: Any) -> None:
        """Write an error as JSON."""
        status, sentence = find_error_response(info.get("exc_info", (None, None, None))[1], status_code)
        if status == 405:
            self.set_header("Allow", ", ".join(self.SUPPORTED_METHODS))
        write_error_response(self, status, sentence, html=False)
        self.finish()
