"""Store large bodies of answers as files, as far as the quota allows.

Anybody with a link may send one. So the quota and the free space of the disk are checked for each part of a body
that arrives; bodies that arrive at the same time do not share the same room; and all bodies sent to one pause
together are limited to the size of one.
"""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pauseflow_nb.errors import BodyTooLarge, NoRoomForBody
from pauseflow_nb.links import Claim
from pauseflow_nb.store.files import Files
from pauseflow_nb.store.streams import FileStream

#: Bytes that are reserved at a time.
_STEP = 4 * 1024**2
#: Free bytes of the disk that bodies do not use.
_RESERVE = 256 * 1024**2
#: Seconds for which a count of all files is reused: counting takes time in proportion to their number.
_COUNT_SECONDS = 10.0


@dataclass
class BodyRoom:
    """The room for bodies in one storage, shared by all threads of a process."""

    files: Files
    #: Bytes that the storage may hold; None: no limit.
    quota: int | None
    #: Most bytes of one body, and of all bodies of one pause together.
    limit: int
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    #: Pause → bytes that were promised and are not written yet.
    _promised: Counter[str] = field(default_factory=Counter)
    _used: int = 0
    _counted_at: float | None = None

    def open(self, claim: Claim) -> "BodyFile":
        """Begin a body for a pause.

        Raises:
            BodyTooLarge: If other bodies of this pause have used its limit.
            NoRoomForBody: If the quota or the disk does not allow another body.
        """
        pause = f"{claim.segment}-{claim.step}-{claim.ordinal}-"
        self.promise(claim.execution, pause, _STEP)
        try:
            stream = self.files.stream(f"{claim.execution}/bodies/{pause}{secrets.token_hex(6)}")
        except BaseException:
            self.release(claim.execution, pause, _STEP)
            raise
        return BodyFile(self, claim.execution, pause, stream)

    def promise(self, execution: str, pause: str, size: int) -> None:
        """Reserve bytes that are about to be written; raises as `open` does."""
        key = f"{execution}/{pause}"
        with self._lock:
            of_pause = self.files.used_by(f"{execution}/bodies", pause) + self._promised[key]
            # The first body is limited exactly while it is received.
            if of_pause and of_pause + size > self.limit + _STEP:
                raise BodyTooLarge(self.limit)
            coming = self._promised.total() + size
            free = self.files.free()
            is_full = free is not None and free - coming < _RESERVE
            if is_full or (self.quota is not None and self._count() + coming > self.quota):
                raise NoRoomForBody
            self._promised[key] += size

    def release(self, execution: str, pause: str, size: int, *, written: int = 0) -> None:
        """Release reserved bytes, of which some have been written."""
        with self._lock:
            self._promised[f"{execution}/{pause}"] -= size
            if not self._promised[f"{execution}/{pause}"]:
                del self._promised[f"{execution}/{pause}"]
            self._used += written

    def _count(self) -> int:
        now = self.clock()
        if self._counted_at is None or now - self._counted_at > _COUNT_SECONDS:
            self._used, self._counted_at = self.files.used(), now
        return self._used


class BodyFile:
    """A body that is being received; used by one thread at a time."""

    def __init__(self, room: BodyRoom, execution: str, pause: str, stream: FileStream) -> None:
        """Use `BodyRoom.open`."""
        self._room, self._execution, self._pause, self._stream = room, execution, pause, stream
        self._promised = _STEP

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            BodyTooLarge: If all bodies of this pause together exceed the limit.
            NoRoomForBody: If the quota or the disk does not allow more.
        """
        if len(data) > self._promised:
            size = max(_STEP, len(data)) - self._promised
            self._room.promise(self._execution, self._pause, size)
            self._promised += size
        self._stream.write(data)
        self._promised -= len(data)
        self._room.release(self._execution, self._pause, len(data), written=len(data))

    def close(self) -> str:
        """Complete the file; return a path or URL that a kernel can open."""
        self._release()
        return self._stream.close()

    def discard(self) -> None:
        """Remove what was written."""
        self._release()
        self._stream.discard()

    def _release(self) -> None:
        self._room.release(self._execution, self._pause, self._promised)
        self._promised = 0
