"""Cut the byte streams between pickler and storage into pieces, which are stored and recognised separately.

The C pickler passes each large text and byte string to `write` separately. With a separate piece for each, the next
save recognises them without a hook.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Size from which a byte string becomes a separate piece.
_LARGE = 256 << 10
#: Approximate size of a piece of joined smaller writes.
_JOINED = 1 << 20
#: Size from which a part becomes a separate piece.
_PART = 64 << 10
#: Total size up to which pieces stay in memory, because small pickles may be read again.
_MOST_IN_MEMORY = 1 << 20

Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True)
class StoredPiece:
    """A piece that has been stored, and is no longer in memory."""

    digest: str
    size: int

    def __len__(self) -> int:
        return self.size


#: Stores a piece, and returns its digest.
Store = Callable[[Bytes], str]


class Pieces:
    """A file that a pickler writes to; `done` returns its pieces.

    Args:
        limit: Most bytes; None: no limit.
        store: Stores pieces when there are too many for memory.
    """

    def __init__(self, limit: int | None = None, store: Store | None = None) -> None:
        self._left = limit
        self._store = store
        self._pieces: list[Bytes | StoredPiece] = []
        self._in_memory = 0
        self._small: list[bytes] = []
        self._small_size = 0
        #: Number of bytes so far.
        self.size = 0
        #: Why `store` failed, if it did.
        self.problem: OSError | None = None

    def write(self, data: Bytes) -> int:
        """Add bytes, without copying large ones.

        Raises:
            OverflowError: If there are more bytes than the limit.
        """
        size = len(data)
        self.size += size
        if self._left is not None:
            self._left -= size
            if self._left < 0:
                raise OverflowError("more bytes than wanted")
        if size >= _LARGE:
            self._cut()
            self._add(data)
            return size
        self._small.append(bytes(data))
        self._small_size += size
        if self._small_size >= _JOINED:
            self._cut()
        return size

    def end_part(self) -> None:
        """End a piece, unless it would be very small."""
        if self._small_size >= _PART:
            self._cut()

    def done(self) -> list[Bytes | StoredPiece]:
        """Return all pieces, in order."""
        self._cut()
        return self._pieces

    def _cut(self) -> None:
        if self._small:
            piece = self._small[0] if len(self._small) == 1 else b"".join(self._small)
            self._small, self._small_size = [], 0
            self._add(piece)

    def _add(self, piece: Bytes) -> None:
        self._in_memory += len(piece)
        if self._store is None or self._in_memory <= _MOST_IN_MEMORY:
            self._pieces.append(piece)
            return
        try:
            self._pieces.append(StoredPiece(self._store(piece), len(piece)))
        except OSError as problem:
            self.problem = problem
            raise


class PiecesReader:
    """A file that an unpickler reads pieces from, without joining them first."""

    def __init__(self, pieces: Sequence[Bytes]) -> None:
        self._pieces = [memoryview(piece) for piece in pieces]
        self._at = 0

    def readinto(self, target: bytearray | memoryview) -> int:
        """Fill `target`; return the number of bytes."""
        out = memoryview(target).cast("B")
        filled = 0
        while filled < len(out) and self._pieces:
            part = self._take(len(out) - filled)
            out[filled : filled + len(part)] = part
            filled += len(part)
        return filled

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes, or all remaining ones."""
        if size < 0:
            size = sum(map(len, self._pieces)) - self._at
        if self._pieces and self._at + size <= len(self._pieces[0]):
            return bytes(self._take(size))
        data = bytearray(size)
        return bytes(data[: self.readinto(data)])

    def readline(self) -> bytes:
        """Read a line; protocol 5 needs it only for the names of very old pickles."""
        line = bytearray()
        while byte := self.read(1):
            line += byte
            if byte == b"\n":
                break
        return bytes(line)

    def _take(self, most: int) -> memoryview:
        first = self._pieces[0]
        part = first[self._at : self._at + most]
        self._at += len(part)
        if self._at >= len(first):
            del self._pieces[0]
            self._at = 0
        return part
