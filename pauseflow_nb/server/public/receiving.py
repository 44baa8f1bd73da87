"""Receive a request to a public URL whose token is the only credential, with a body of any size.

There is no login and no XSRF check, and any Host is accepted, because these URLs are opened through tunnels, proxies and
public names that this server does not know, by people and programs without an account. So these are plain tornado
handlers: Jupyter's own answer 403 to a foreign Host and to a POST without its cookie.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from tornado.http1connection import HTTP1Connection
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, RequestHandler, stream_request_body

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import BodyTooLarge, InvalidBody, LinkWithdrawn, StorageFull, TriggerPaused, UnknownLink
from pauseflow_nb.server.http_errors import RETRY_AFTER_SECONDS
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.public.bodies import Body, parse_body
from pauseflow_nb.server.public.client_address import TrustedProxies, rate_limit_key
from pauseflow_nb.server.public.negotiation import wants_html
from pauseflow_nb.server.public.page import OURS, Landing
from pauseflow_nb.server.public.rate_limit import LinkLimits, check_length
from pauseflow_nb.server.public.responses import find_error_response, set_private_headers, write_error_response
from pauseflow_nb.server.public.upload import Sink, Upload

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

#: Bytes of a refused body that are still read, so that its sender gets the response and not a reset connection.
_DRAINED_BYTES = 16 * 1024 * 1024
#: A body up to this size is parsed faster than it can be passed to a thread.
_SMALL_BYTES = 4096
#: We count the bytes of a body ourselves; tornado would respond with 400 to one that is too large.
_UNLIMITED = 1 << 62
_UNLIMITED_SECONDS = 10.0**9

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


@stream_request_body
class Receiver(RequestHandler):
    """A request to a public URL."""

    SUPPORTED_METHODS = METHODS

    def initialize(self, queue: LazyQueue, limits: LinkLimits, proxies: TrustedProxies) -> None:
        """Take the queue, the limits that all links share, and the trusted proxies."""
        self._lazy, self._limits = queue, limits
        #: The client's address, which tornado returns from here on, too.
        self.request.remote_ip = proxies.find_client(self.request)
        self._key = rate_limit_key(self.request.remote_ip)
        self._is_refused = False
        self._is_counted = False
        self._received = 0
        self._received_before = self._received_when_refused = 0
        self._timer: object = None
        self._upload: Upload | None = None
        self._landing = OURS
        self._receiving = asyncio.Lock()

    def set_default_headers(self) -> None:
        """Set the headers of every response, also of errors."""
        set_private_headers(self)

    async def prepare(self) -> None:
        """Refuse requests that are too many, unknown or too large before their body is read."""
        # The time for a body is limited here, because a large body may take longer than any other request.
        self._connection().set_max_body_size(_UNLIMITED)
        self._connection().set_body_timeout(_UNLIMITED_SECONDS)
        if self._has_body() and not self._watch():
            await self._refuse(429, "too many requests from this address are still sending: try again later")
            self.finish()
            return
        seconds = self._limits.requests.wait(self._key)
        if seconds:
            await self._refuse_for(seconds, "too many requests from this address")
            return
        try:
            queue = await self._lazy.opened()
            self._landing = Landing(queue.settings.templates, queue.settings.redirect)
            await self.read_token()
            check_length(self.request.headers, queue.settings.max_body)
        except UnknownLink as problem:
            seconds = self._limits.unknown.wait("")
            if seconds:
                await self._refuse_for(seconds, "too many requests with unknown links")
            else:
                await self._refuse(*find_error_response(problem))
            return
        except (BodyTooLarge, LinkWithdrawn, TriggerPaused) as problem:
            await self._refuse(*find_error_response(problem))
            return
        self._upload = Upload(queue.settings.max_body, lambda: self.open_sink(queue))

    async def data_received(self, chunk: bytes) -> None:
        """Store a piece of the body; the next one is read when this one is written."""
        self._received += len(chunk)
        if self._is_refused:
            self._drain()
            return
        assert self._upload is not None
        try:
            async with self._receiving:
                if self._upload.blocks_for(chunk):
                    await asyncio.to_thread(self._upload.add, chunk)
                else:
                    self._upload.add(chunk)
        except (BodyTooLarge, StorageFull) as problem:
            await self._forget()
            await self._refuse(*find_error_response(problem))

    def on_connection_close(self) -> None:
        """Discard a body whose sender disconnected before its end."""
        self._unwatch()
        if self._upload is not None and not self._upload.is_whole:
            self._lazy.clean_up(self._forget())

    async def read_token(self) -> None:
        """Find the target of the token in the path.

        Raises:
            UnknownLink, LinkWithdrawn, TriggerPaused: If the token is unknown, withdrawn, or of a paused trigger.
        """
        raise NotImplementedError

    def open_sink(self, queue: Queue) -> Sink:
        """Open a file for a large body."""
        raise NotImplementedError

    def received_all(self) -> bool:
        """Whether the whole body has arrived and the request was not refused; call it first."""
        self._unwatch()
        if self._is_refused or self._upload is None:
            return False
        self._upload.is_whole = True
        return True

    async def parse(self) -> Body:
        """Parse the body, which is in a file if it is large.

        Raises:
            InvalidBody: If it does not match its Content-Type.
        """
        assert self._upload is not None
        if self.request.headers.get("Content-Encoding", "").strip().lower() not in ("", "identity"):
            raise InvalidBody("the body", "is compressed, which is not supported")
        if self._upload.is_large:
            path = await asyncio.to_thread(self._upload.end)
            return Body({"$file": path, "size": self._upload.size}, None)
        return await self.compute(parse_body, self._upload.small_body, self.request.headers.get("Content-Type"))

    async def compute(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function whose time grows with the body, in a thread unless the body is small."""
        is_small = self._upload is not None and self._upload.size <= _SMALL_BYTES
        return function(*args, **kwargs) if is_small else await self._lazy.compute(function, *args, **kwargs)

    # Refusing

    def _watch(self) -> bool:
        """Start the time limit of the body; False if this address sends too many bodies at once."""
        self._is_counted = self._limits.open.begin(self._key)
        if self._is_counted:
            self._timer = IOLoop.current().call_later(self._limits.patience_seconds, self._check_progress)
        return self._is_counted

    def _unwatch(self) -> None:
        if self._is_counted:
            self._is_counted = False
            self._limits.open.end(self._key)
            IOLoop.current().remove_timeout(self._timer)

    async def _check_progress(self) -> None:
        least_bytes = self._limits.patience_seconds * self._limits.bytes_per_second
        # While we write to the storage, the sender waits for us.
        if self._received - self._received_before >= least_bytes or self._receiving.locked():
            self._received_before = self._received
            self._timer = IOLoop.current().call_later(self._limits.patience_seconds, self._check_progress)
            return
        self._unwatch()
        if self._upload is not None:
            await self._forget()
        if not self._is_refused:
            await self._refuse(408, "the body did not arrive in time: send the whole request again")
        if not self._finished:
            self.finish()

    def on_finish(self) -> None:
        """Stop the time limit, and close the connection if the response has `Connection: close`."""
        self._unwatch()
        if self._is_refused and self._has_body():
            self._connection().close()

    async def _refuse_for(self, seconds: int, sentence: str) -> None:
        self.set_header("Retry-After", str(seconds))
        await self._refuse(429, f"{sentence}: try again in {seconds} s")

    async def _refuse(self, status: int, sentence: str) -> None:
        """Respond now, without waiting for the rest of the body."""
        self._is_refused = True
        self._received_when_refused = self._received
        html = wants_html(self.request.headers)
        write_error_response(self, status, sentence, html=html, landing=self._landing)
        if not self._has_body():
            self.finish()
            return
        # Closing at once would reset the connection while the sender still sends, and the response would be lost.
        self.set_header("Connection", "close")
        self.set_header("Content-Length", str(sum(map(len, self._write_buffer))))
        # Many refused senders have disconnected by now; an unread response is not an error.
        with suppress(StreamClosedError):
            await self.flush()

    def _has_body(self) -> bool:
        headers = self.request.headers
        return headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers

    def _drain(self) -> None:
        if self._received > self._received_when_refused + _DRAINED_BYTES and not self._finished:
            self.finish()

    async def _forget(self) -> None:
        assert self._upload is not None
        async with self._receiving:
            await asyncio.to_thread(self._upload.discard)

    def _connection(self) -> HTTP1Connection:
        connection = self.request.connection
        assert isinstance(connection, HTTP1Connection)
        return connection

    # Replaced behaviour of tornado

    def compute_etag(self) -> str | None:
        """Return no ETag: the response to a GET that acts must not be 304, as if nothing had happened."""
        return None

    def check_xsrf_cookie(self) -> None:
        """Allow every request: the token in the path is the credential, and cookies are not used."""

    def check_trusted_origin(self, origin: str) -> bool:  # noqa: ARG002 - tornado's signature
        """Allow every origin, for the same reason."""
        return True

    def decode_argument(self, value: bytes, name: str | None = None) -> str:  # noqa: ARG002 - tornado's signature
        """Read a path as text, whatever its bytes are; tornado would respond with 400 and log them."""
        return value.decode("utf-8", "replace")

    def send_error(self, status_code: int = 500, **info: Any) -> None:
        """Respond to an error, unless there was a response: refused senders often disconnect while they send."""
        if not self._is_refused:
            super().send_error(status_code, **info)
        elif not self._finished:
            self.finish()

    def write_error(self, status_code: int, **info: Any) -> None:
        """Write an error as JSON or as a page; see `statuses`."""
        error = info.get("exc_info", (None, None, None))[1]
        status, sentence = find_error_response(error, status_code)
        if status == 405:
            self.set_header("Allow", ", ".join(METHODS))
        if status == 429:
            self.set_header("Retry-After", str(RETRY_AFTER_SECONDS))
        html = wants_html(self.request.headers)
        write_error_response(self, status, sentence, html=html, landing=self._landing)
        self.finish()

    def log_exception(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Log errors of ours or of the store, without the request, whose path has the token."""
        status, sentence = find_error_response(error, error.status_code if isinstance(error, HTTPError) else 500)
        if status == 500 and kind is not None and error is not None:
            log.error("could not answer a link", exc_info=(kind, error, traceback))
        elif status > 500:
            log.warning("could not answer a link: %s", sentence)

    def _log(self) -> None:
        # The access log prints paths, and the path is enough to answer.
        pass
