"""Receive a body of any size in little memory: a large one is written to the storage."""

from collections.abc import Callable
from typing import Protocol

from pauseflow_nb.errors import BodyTooLarge

#: Up to this size a body is part of the envelope.
INLINE_BYTES = 1024 * 1024


class Sink(Protocol):
    """A file in the storage that exists only after `close`."""

    def write(self, data: bytes) -> object:
        """Append data."""

    def close(self) -> str:
        """Complete the file; returns a path or URL that a kernel can open."""

    def discard(self) -> None:
        """Remove what was written."""


class Upload:
    """Collects one body. Calls may block once the body is large, and must be made one after the other."""

    def __init__(self, limit: int, open_sink: Callable[[], Sink]) -> None:
        """Set the largest size in bytes, and the function that opens a file for a large body."""
        self._limit, self._open_sink = limit, open_sink
        self._data = bytearray()
        self._sink: Sink | None = None
        self.size = 0
        #: Whether the whole body has arrived; set by the caller.
        self.is_whole = False
        self._is_discarded = False

    @property
    def is_large(self) -> bool:
        """Whether the body is in the storage."""
        return self._sink is not None

    def blocks_for(self, chunk: bytes) -> bool:
        """Whether adding this chunk writes to the storage, which blocks."""
        return self._sink is not None or self.size + len(chunk) > INLINE_BYTES

    def add(self, chunk: bytes) -> None:
        """Add the next bytes.

        Raises:
            BodyTooLarge: If the body exceeds the limit; it is discarded then.
            StorageFull: If the storage is full.
        """
        if self._is_discarded:
            # Tornado passes on data that it had read before the sender disconnected.
            return
        self.size += len(chunk)
        if self.size > self._limit:
            self.discard()
            raise BodyTooLarge(self._limit)
        if self._sink is None and self.size > INLINE_BYTES:
            self._sink = self._open_sink()
            self._sink.write(bytes(self._data))
            self._data.clear()
        if self._sink is None:
            self._data += chunk
        else:
            self._sink.write(chunk)

    @property
    def small_body(self) -> bytes:
        """Return the bytes of a small body."""
        return bytes(self._data)

    def end(self) -> str:
        """Complete a large body; returns a path or URL that a kernel can open."""
        assert self._sink is not None
        return self._sink.close()

    def discard(self) -> None:
        """Discard the body, and the rest of it that still arrives."""
        self._is_discarded = True
        self._data.clear()
        if self._sink is not None:
            self._sink.discard()
            self._sink = None
