"""Remember the last snapshot in each folder: its stored content, and the memory that it came from.

So the next save writes only changes, and need not read memory that, according to the operating system, was not
written to.
"""

import weakref
from dataclasses import dataclass, field
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.memory_access import may_look_into_memory
from pauseflow_nb.kernel.snapshot.storage.dirty_pages import Touched
from pauseflow_nb.kernel.snapshot.storage.packfile import CHUNK, Content
from pauseflow_nb.kernel.snapshot.storage.regions import Region

_touched = Touched()
#: Number of changed bytes from which a mapped region is watched.
_MUCH = 64 << 20


@dataclass
class Mapped:
    """A region mapped from a snapshot: its memory shows the file until it is written to."""

    chunks: list[str]
    #: The owner of the memory: when it no longer exists, the addresses may belong to another object.
    owner: "weakref.ref[Any]"


@dataclass
class Known:
    """The content of a folder's last snapshot, and the memory that it was saved from or restored to."""

    content: Content = field(default_factory=Content)
    #: Digests of the saved chunks of regions.
    saved: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    mapped: dict[tuple[int, int], Mapped] = field(default_factory=dict)

    def find_untouched_chunks(self, region: Region) -> dict[int, str]:
        """Find the chunks of a region that are certainly unchanged since the save, and watch the region from now on.

        Call it before the memory is read: the next save finds what is written later.
        """
        span = (region.low, region.high)
        if region.high - region.low < CHUNK or not may_look_into_memory() or _is_written_behind_our_back():
            return {}
        mapped = self.mapped.get(span)
        if mapped is not None and mapped.owner() is not None:
            # A mapping accumulates all writes, so a region with many changes is better watched.
            chunks, written = mapped.chunks, _touched.written_since_mapped(*span)
            if written is None or sum(high - low for low, high in written) > _MUCH:
                del self.mapped[span]
                _touched.watch(*span)
                return {}
        else:
            chunks = self.saved.get(span, [])
            written = _touched.written(*span) if chunks else None
            if written is None:
                _touched.watch(*span)
                return {}
        dirty = {
            number
            for low, high in written
            for number in range(max(low - region.low, 0) // CHUNK, (high - 1 - region.low) // CHUNK + 1)
        }
        return {number: digest for number, digest in enumerate(chunks) if number not in dirty}


_known: dict[str, Known] = {}


def find_known(folder: str) -> Known:
    """Return what is known of a folder; empty at first."""
    return _known.get(folder, Known())


def remember(folder: str, known: Known) -> None:
    """Replace what is known of a folder; there is only one, because a query about memory restarts its watch."""
    _known.clear()
    _known[folder] = known
    _touched.look_again()


def _is_written_behind_our_back() -> bool:
    # Devices write to pinned memory without the processor, so its pages are never marked.
    import sys

    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
