"""Limit the open connections of a server and the rate of chunks, which cost it more than their senders."""

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from pauseflow_nb.server.public.client_address import rate_limit_key
from pauseflow_nb.server.public.rate_limit import OpenRequests, RateLimit

#: Most connections, if the system allows this process that many.
_MOST = 2048
#: Number of files that a process may have open, if the limit is unknown.
_USUAL_FILES = 1024
#: Chunks from one address a second, of any size: reading one takes about 50 microseconds in the event loop.
_CHUNKS_PER_SECOND = 2000
_CHUNKS_AT_ONCE = 4000


def connection_limits() -> OpenRequests:
    """Return the limits: half of the files of this process for all clients, half of that for each address."""
    most = min(_open_files() // 2, _MOST)
    return OpenRequests(most=most // 2, most_in_all=most)


def limit_connections(server: HTTPServer, limits: OpenRequests, chunks: RateLimit | None = None) -> None:
    """Close connections beyond the limit at once, and delay the reading of chunks beyond the rate.

    Without a limit, accepting a connection fails once the process has no file descriptor left. Tornado then tries
    again and again, and logs each attempt.

    Args:
        server: The server to limit.
        limits: The limits of connections.
        chunks: The rate of chunks; None: the default.
    """
    serve, forget = server.handle_stream, server.on_close
    chunks = chunks or RateLimit(_CHUNKS_PER_SECOND, _CHUNKS_AT_ONCE)

    def handle_stream(stream: IOStream, address: Any) -> None:
        if limits.begin(_host(address)):
            _read_later(stream, chunks, _host(address))
            serve(stream, address)
        else:
            stream.close()

    def on_close(connection: object) -> None:
        limits.end(_host(cast("Any", cast("HTTP1ServerConnection", connection).context).address))
        forget(connection)

    # Jupyter Server makes its server itself.
    server.handle_stream = handle_stream  # type: ignore[method-assign]
    server.on_close = on_close  # type: ignore[method-assign,assignment]


def _read_later(stream: IOStream, chunks: RateLimit, host: str) -> None:
    read = stream.read_until

    def read_until(delimiter: bytes, max_bytes: int | None = None) -> Awaitable[bytes]:
        # Only the length of a chunk is read with this method.
        seconds = chunks.wait(host)
        if not seconds:
            return read(delimiter, max_bytes)
        later = asyncio.ensure_future(read_after(seconds, delimiter, max_bytes))
        # Tornado awaits it, unless the request has failed meanwhile.
        later.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return later

    async def read_after(seconds: int, delimiter: bytes, max_bytes: int | None) -> bytes:
        await asyncio.sleep(seconds)
        return await read(delimiter, max_bytes)

    stream.read_until = read_until  # type: ignore[method-assign]


def _host(address: Any) -> str:
    # It is empty for a Unix socket.
    return rate_limit_key(str(address[0])) if isinstance(address, tuple) and address else ""


def _open_files() -> int:
    try:
        import resource
    except ImportError:
        return _USUAL_FILES
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 2 * _MOST if most == resource.RLIM_INFINITY else most
