"""A store in memory from which nothing can be read by range until a gate is opened, and which can break."""

import threading
from typing import Any, ClassVar

from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]
from fsspec.registry import register_implementation  # type: ignore[import-untyped]

__all__ = ["GATE", "URL", "GatedStore"]

URL = "gated://pauseflow/execution/snapshots"
#: Seconds after which a read gives up: only a test that fails comes so far.
_LONGEST = 20


class GatedStore(MemoryFileSystem):  # type: ignore[misc]
    """The store; what happens to it is the same for all its instances."""

    protocol = "gated"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    gate = threading.Event()
    #: Ranges that were read: the end of the file's name, and how many bytes.
    reads: ClassVar[list[tuple[str, int]]] = []
    #: Raised by each read.
    problem: ClassVar[Exception | None] = None

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        if start is None:
            return bytes(super().cat_file(path, **options))
        data = bytes(super().cat_file(path, start=start, end=end, **options))
        if len(data) >= 1 << 20 and not self.gate.wait(_LONGEST):
            raise TimeoutError("the gate stayed closed")
        if self.problem is not None and len(data) >= 1 << 20:
            raise self.problem
        self.reads.append((path[-12:], len(data)))
        return data

    @classmethod
    def start_over(cls) -> None:
        cls.store.clear()
        cls.reads.clear()
        cls.gate.set()
        cls.problem = None


GATE = GatedStore.gate
register_implementation("gated", GatedStore, clobber=True)
