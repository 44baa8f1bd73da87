"""`/pauseflow/api/health`: is somebody there who can reach the store? Answers without login."""

from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import RequestHandler

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import StorageFull, StoreUnavailable
from pauseflow_nb.server.answers import error_answer, set_private_headers, write_error_answer, write_json
from pauseflow_nb.server.lazy_queue import LazyQueue

__all__ = ["HealthHandler", "health_route"]


def health_route(queue: LazyQueue) -> tuple[str, type[RequestHandler], dict[str, Any]]:
    """Make the route."""
    return (r"/pauseflow/api/health", HealthHandler, {"queue": queue})


class HealthHandler(RequestHandler):
    """Says `ok`, and whether a worker is alive; 503 without the store. Plain, because probes come with any Host."""

    SUPPORTED_METHODS = ("GET", "HEAD")

    def initialize(self, queue: LazyQueue) -> None:
        """Take the queue."""
        self._lazy = queue

    def set_default_headers(self) -> None:
        """Set what every answer carries."""
        set_private_headers(self)

    @allow_unauthenticated
    async def get(self) -> None:
        """Answer."""
        try:
            is_alive = await self._lazy.call(Queue.has_live_worker)
        except (StoreUnavailable, StorageFull):
            # Without the sentence: it names the database, and anyone may ask.
            write_error_answer(self, 503, "the store cannot be reached", html=False)
            return
        write_json(self, 200, {"status": "ok", "worker": is_alive})

    head = get

    def write_error(self, status_code: int, **info: Any) -> None:
        """Write an error as JSON."""
        status, sentence = error_answer(info.get("exc_info", (None, None, None))[1], status_code)
        if status == 405:
            self.set_header("Allow", ", ".join(self.SUPPORTED_METHODS))
        write_error_answer(self, status, sentence, html=False)
        self.finish()
