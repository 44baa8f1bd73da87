"""A proxy on loopback that cuts, refuses, slows and breaks what goes through it."""

import asyncio
import contextlib
import threading
import time

__all__ = ["Proxy"]

_ERROR = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/xml\r\nContent-Length: 56\r\nConnection: close\r\n\r\n"
    b"<Error><Code>InternalError</Code><Message/></Error>     "
)


class Proxy:
    """Passes connections on to a port of this machine, in a thread of its own.

    Args:
        target: The port.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._refuses_until = self._breaks_until = self._slow_until = 0.0
        self.port = 0
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=[ready], name="chaos-proxy", daemon=True)
        self._thread.start()
        ready.wait()

    def cut(self, seconds: float) -> None:
        """Cut all connections, and refuse new ones for a while."""
        self._refuses_until = time.monotonic() + seconds
        self._loop.call_soon_threadsafe(self._abort)

    def break_http(self, seconds: float) -> None:
        """Answer all requests with 500 for a while."""
        self._breaks_until = time.monotonic() + seconds

    def slow(self, seconds: float) -> None:
        """Hold everything that comes back for half a second, for a while."""
        self._slow_until = time.monotonic() + seconds

    def recover(self) -> None:
        """End whatever still lasts."""
        self._refuses_until = self._breaks_until = self._slow_until = 0.0

    def close(self) -> None:
        """Cut everything, and end."""
        self._loop.call_soon_threadsafe(self._abort)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if time.monotonic() < self._refuses_until:
            writer.transport.abort()
            return
        try:
            further, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, back}
        self._writers |= both
        try:
            ways = [
                asyncio.ensure_future(self._pass(reader, back, writer)),
                asyncio.ensure_future(self._return(further, writer)),
            ]
            _, left = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in left:
                way.cancel()
        finally:
            self._writers -= both
            for end in both:
                end.transport.abort() if end.transport.is_closing() else end.close()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if time.monotonic() < self._breaks_until:
                    back.write(_ERROR)
                    await back.drain()
                    return
                writer.write(data)
                await writer.drain()

    async def _return(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if time.monotonic() < self._slow_until:
                    await asyncio.sleep(0.5)
                writer.write(data)
                await writer.drain()
