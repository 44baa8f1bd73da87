"""Receive a body of any size in little memory: a small one is kept, a large one goes to the storage."""

from collections.abc import Callable
from typing import Protocol

from pauseflow_nb.errors import BodyTooLarge

__all__ = ["INLINE_BYTES", "Sink", "Upload"]

#: Up to this size a body is part of the envelope.
INLINE_BYTES = 1024 * 1024


class Sink(Protocol):
    """A file of the storage that does not exist before `close`."""

    def write(self, data: bytes) -> object:
        """Append."""

    def close(self) -> str:
        """Make it exist; returns a path or URL that a kernel can open."""

    def discard(self) -> None:
        """Leave nothing behind."""


class Upload:
    """Collects one body. Its calls may block once it is large, and are made one after the other."""

    def __init__(self, limit: int, open_sink: Callable[[], Sink]) -> None:
        """Set the most bytes that are taken, and how to open a file when they become many."""
        self._limit, self._open_sink = limit, open_sink
        self._kept = bytearray()
        self._sink: Sink | None = None
        self.size = 0
        #: Whether all of it has arrived; set by whoever knows.
        self.is_whole = False

    @property
    def is_large(self) -> bool:
        """Whether it lies in the storage."""
        return self._sink is not None

    def blocks_for(self, chunk: bytes) -> bool:
        """Whether adding this touches the storage."""
        return self._sink is not None or self.size + len(chunk) > INLINE_BYTES

    def add(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            BodyTooLarge: If they are more than the limit allows; then nothing is kept.
            StorageFull: If the storage is.
        """
        self.size += len(chunk)
        if self.size > self._limit:
            self.discard()
            raise BodyTooLarge(self._limit)
        if self._sink is None and self.size > INLINE_BYTES:
            self._sink = self._open_sink()
            self._sink.write(bytes(self._kept))
            self._kept.clear()
        if self._sink is None:
            self._kept += chunk
        else:
            self._sink.write(chunk)

    @property
    def kept(self) -> bytes:
        """All of a small body."""
        return bytes(self._kept)

    def end(self) -> str:
        """Finish a large body; returns the path or URL under which a kernel can open it."""
        assert self._sink is not None
        return self._sink.close()

    def discard(self) -> None:
        """Forget what came; harmless when there is nothing."""
        self._kept.clear()
        if self._sink is not None:
            self._sink.discard()
            self._sink = None
