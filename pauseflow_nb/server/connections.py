"""Limit how many connections a server has open, so that clients cannot take the file descriptors that the rest needs."""

from typing import Any, cast

from tornado.http1connection import HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

from pauseflow_nb.server.limits import OpenRequests

__all__ = ["connection_limits", "limit_connections"]

#: In all, where the system allows this process that many.
_MOST = 2048
#: Files that a process may have open where it is not known.
_USUAL_FILES = 1024


def connection_limits() -> OpenRequests:
    """Give half of what this process may open to clients, and half of that to each address."""
    most = min(_open_files() // 2, _MOST)
    return OpenRequests(most=most // 2, most_in_all=most)


def limit_connections(server: HTTPServer, limits: OpenRequests) -> None:
    """Close at once each connection that is one too many.

    Without a limit, accepting one fails once the process has no file descriptor left. Tornado then tries again and again, and
    logs each try.
    """
    serve, forget = server.handle_stream, server.on_close

    def handle_stream(stream: IOStream, address: Any) -> None:
        if limits.begin(_host(address)):
            serve(stream, address)
        else:
            stream.close()

    def on_close(connection: object) -> None:
        limits.end(_host(cast("Any", cast("HTTP1ServerConnection", connection).context).address))
        forget(connection)

    # Jupyter Server makes its server itself.
    server.handle_stream = handle_stream  # type: ignore[method-assign]
    server.on_close = on_close  # type: ignore[method-assign]


def _host(address: Any) -> str:
    # Of a Unix socket it is empty.
    return str(address[0]) if isinstance(address, tuple) and address else ""


def _open_files() -> int:
    try:
        import resource
    except ImportError:
        return _USUAL_FILES
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 2 * _MOST if most == resource.RLIM_INFINITY else most
