"""Serve the links without a Jupyter server, in a thread, while an attached run waits."""

import asyncio
import logging
import socket
import threading
from concurrent.futures import Future
from contextlib import suppress

from tornado.httpserver import HTTPServer
from tornado.web import Application

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import PortInUse
from pauseflow_nb.server.api.health import health_route
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.log_masking import mask_links_in
from pauseflow_nb.server.public.callbacks import handlers
from pauseflow_nb.server.public.client_address import TrustedProxies
from pauseflow_nb.server.public.connections import connection_limits, limit_connections
from pauseflow_nb.server.public.rate_limit import IDLE_SECONDS, LinkLimits, OpenRequests, RateLimit

#: Largest request, in bytes; the handler of the links has its own limit.
_LARGEST_BODY = 1024
#: Seconds that `stop` waits for running requests.
_STOP_SECONDS = 5


class Listener:
    """Serves the public links and `/pauseflow/api/health`, and nothing else."""

    def __init__(
        self,
        queue: Queue,
        port: int,
        *,
        ip: str = "127.0.0.1",
        limits: LinkLimits | None = None,
        connections: OpenRequests | None = None,
        chunks: RateLimit | None = None,
    ) -> None:
        """Take an open queue, and the address to listen on; port 0 takes a free port."""
        self._queue, self._port, self._ip = LazyQueue.of(queue), port, ip
        self._connections, self._chunks = connections or connection_limits(), chunks
        self._routes = handlers(
            self._queue, limits=limits, proxies=TrustedProxies.parse(queue.settings.trusted_proxies)
        )
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def start(self) -> str:
        """Start to listen; returns the base URL of the links.

        Raises:
            PortInUse: If another program uses the port.
        """
        ready: Future[str] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(ready)), name="pauseflow-listener", daemon=True
        )
        self._thread.start()
        return ready.result()

    def stop(self) -> None:
        """Stop listening after the running requests; do nothing if it does not listen."""
        if self._loop is not None and self._stopping is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(2 * _STOP_SECONDS)
        self._loop = self._stopping = self._thread = None

    async def _serve(self, ready: "Future[str]") -> None:
        mask_links_in(*(logging.getLogger(f"tornado.{name}") for name in ("access", "application", "general")))
        try:
            # Not with tornado's bind_sockets, which leaves its socket open if the port is in use.
            family = socket.AF_INET6 if ":" in self._ip else socket.AF_INET
            found = socket.create_server((self._ip, self._port), family=family)
        except OSError:
            ready.set_exception(PortInUse(self._ip, self._port))
            return
        found.setblocking(False)
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        routes = [*self._routes, health_route(self._queue)]
        server = HTTPServer(
            Application(routes, log_function=_log_nothing),
            idle_connection_timeout=IDLE_SECONDS,
            max_body_size=_LARGEST_BODY,
        )
        limit_connections(server, self._connections, self._chunks)
        server.add_socket(found)
        host = f"[{self._ip}]" if ":" in self._ip else self._ip
        ready.set_result(f"http://{host}:{found.getsockname()[1]}")
        await self._stopping.wait()
        server.stop()
        await self._queue.drain(seconds=_STOP_SECONDS)
        with suppress(TimeoutError):
            await asyncio.wait_for(server.close_all_connections(), _STOP_SECONDS)
        await self._queue.finish_cleanups(seconds=_STOP_SECONDS)
        self._queue.close()


def _log_nothing(_handler: object) -> None:
    """Keep the access log out of the output of `pauseflow run`."""
