"""A pooler of connections in transaction mode: what a session of PostgreSQL remembers is gone after each transaction.

PgBouncer gives each transaction any session that is free. This passes each connection on to a session of its own and
empties that after each transaction, which programs cannot tell apart from a session that they have never seen.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

__all__ = ["open_pooler"]

_FORGET = b"Q" + (4 + len(b"DISCARD ALL\0")).to_bytes(4) + b"DISCARD ALL\0"
_KEY, _READY = b"K", b"Z"


@contextmanager
def open_pooler(server: str) -> Iterator[str]:
    """Run a pooler before a server until the end of the block; gives the URL of the same database through it."""
    url = sa.make_url(server)
    loop = asyncio.new_event_loop()
    pooler = _Pooler(url)
    listening = loop.run_until_complete(asyncio.start_server(pooler.serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, name="pooler", daemon=True)
    thread.start()
    port = listening.sockets[0].getsockname()[1]
    try:
        # Neither encryption nor Kerberos: their requests have another form than all other messages.
        yield url.set(
            host="127.0.0.1", port=port, query={"sslmode": "disable", "gssencmode": "disable"}
        ).render_as_string(hide_password=False)
    finally:
        loop.call_soon_threadsafe(listening.close)
        asyncio.run_coroutine_threadsafe(pooler.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Pooler:
    def __init__(self, url: sa.URL) -> None:
        self._host, self._port = str(url.host or url.query.get("host")), url.port or 5432
        self._clients: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        if self._host.startswith("/"):
            session = await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._port}")
        else:
            session = await asyncio.open_connection(self._host, self._port)
        answers = asyncio.ensure_future(_answer(*session, writer))
        with contextlib.suppress(ConnectionError):
            await _copy(reader, session[1])
        session[1].close()
        await asyncio.gather(answers, return_exceptions=True)
        writer.close()
        self._clients.discard(writer)

    async def close(self) -> None:
        for writer in self._clients:
            writer.transport.abort()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _answer(
    session: asyncio.StreamReader, to_session: asyncio.StreamWriter, writer: asyncio.StreamWriter
) -> None:
    """Pass on what the server says; between transactions, let its session forget everything."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            kind, body = await _read(session)
            if kind == _KEY:
                # A pooler names itself, not the session that it happens to use.
                body = (2**31 - 1).to_bytes(4) + body[4:]
            if (kind, body) == (_READY, b"I"):
                to_session.write(_FORGET)
                while (await _read(session))[0] != _READY:
                    pass
            writer.write(kind + (4 + len(body)).to_bytes(4) + body)
            await writer.drain()


async def _read(session: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await session.readexactly(5)
    return head[:1], await session.readexactly(int.from_bytes(head[1:]) - 4)
