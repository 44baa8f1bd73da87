"""Combine the buffers that left the pickles into regions of memory.

Buffers that overlap belong to one region, which is stored once and restored as one piece of memory. Two regions with
equal content stay separate, because equal arrays are not the same array.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

from pauseflow_nb.kernel.snapshot.storage.mapping import find_address


@dataclass
class Region:
    """An address range to store, and its buffers: each begins and ends after the previous one."""

    low: int
    high: int
    starts: list[int] = field(default_factory=list)
    views: list[memoryview] = field(default_factory=list)

    def copy(self, start: int, target: memoryview) -> None:
        """Copy bytes from the offset `start` into `target`."""
        done = 0
        number = bisect.bisect_right(self.starts, start) - 1
        while done < len(target):
            part = self.views[number][start + done - self.starts[number] :][: len(target) - done]
            target[done : done + len(part)] = part
            done += len(part)
            number += 1


@dataclass(frozen=True)
class BufferPlace:
    """The place of a buffer: its region, its offset and size there, and whether it is writable."""

    region: int
    offset: int
    size: int
    is_readonly: bool


def lay_out(buffers: Sequence[memoryview]) -> tuple[list[Region], list[BufferPlace]]:
    """Find the regions that cover the buffers.

    Returns:
        The regions, and the place of each buffer, in order.
    """
    spans = _spans(buffers)
    regions: list[Region] = []
    region_of = [0] * len(spans)
    for number in sorted(range(len(spans)), key=lambda i: spans[i]):
        low, size = spans[number]
        last = regions[-1] if regions else None
        if last is None or low >= last.high:
            regions.append(Region(low, low + size, [0], [buffers[number]]))
        elif low + size > last.high:
            last.high = low + size
            last.starts.append(low - last.low)
            last.views.append(buffers[number])
        region_of[number] = len(regions) - 1
    places = [
        BufferPlace(region_of[i], low - regions[region_of[i]].low, size, buffers[i].readonly)
        for i, (low, size) in enumerate(spans)
    ]
    return regions, places


def _spans(buffers: Sequence[memoryview]) -> list[tuple[int, int]]:
    """Return address and size of each buffer; a buffer with an unknown address gets unused addresses."""
    spans, nowhere = [], 0
    for buffer in buffers:
        address = find_address(buffer)
        if address is None:
            nowhere -= buffer.nbytes + 1
        spans.append((nowhere if address is None else address, buffer.nbytes))
    return spans
