"""Write a file of the store piece by piece: a request's body that is too large for memory.

Its name is new, and nothing refers to it before `close`: so it needs no other name while it grows.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO


class FileStream:
    """Grows until it is closed or discarded."""

    def __init__(
        self, file: BinaryIO, address: str, remove: Callable[[], None], plain: Callable[[OSError], Exception]
    ) -> None:
        """Take an open file; use `Files.stream`.

        Args:
            file: Where the pieces go.
            address: The path or URL under which a kernel can open it.
            remove: Removes it from the storage.
            plain: Turns an OSError into one of ours.
        """
        self._file, self._address, self._remove, self._plain = file, address, remove, plain

    def write(self, data: bytes) -> None:
        """Append.

        Raises:
            StorageFull: If there is no room.
        """
        try:
            self._file.write(data)
        except OSError as problem:
            raise self._plain(problem) from problem

    def close(self) -> str:
        """Finish durably; returns the path or URL under which a kernel can open it."""
        try:
            self._file.flush()
            # A file of an object store has no descriptor, and is durable when it is closed.
            with suppress(OSError, AttributeError, NotImplementedError):
                os.fsync(self._file.fileno())
            self._file.close()
        except OSError as problem:
            raise self._plain(problem) from problem
        return self._address

    def discard(self) -> None:
        """Leave nothing behind; also after an error, and after `close`."""
        with suppress(OSError):
            self._file.close()
        self._remove()
