"""Combine the memory that left the pickles into regions.

Buffers that overlap belong to one region, which is stored once and restored as one piece of memory. Two
regions with the same content stay two: equal arrays are not the same array.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

from pauseflow_nb.kernel.snapshot.storage.mapping import find_address


@dataclass
class Region:
    """An address range to be stored, and the buffers that show it: each begins and ends behind the one before."""

    low: int
    high: int
    starts: list[int] = field(default_factory=list)
    views: list[memoryview] = field(default_factory=list)

    def copy(self, start: int, target: memoryview) -> None:
        """Copy what lies from `start` bytes behind the beginning, as much as `target` takes."""
        done = 0
        number = bisect.bisect_right(self.starts, start) - 1
        while done < len(target):
            part = self.views[number][start + done - self.starts[number] :][: len(target) - done]
            target[done : done + len(part)] = part
            done += len(part)
            number += 1


@dataclass(frozen=True)
class BufferPlace:
    """Place of a buffer: its region, its offset and size there, and whether it may be written."""

    region: int
    offset: int
    size: int
    is_readonly: bool


def lay_out(buffers: Sequence[memoryview]) -> tuple[list[Region], list[BufferPlace]]:
    """Find the regions that cover the buffers.

    Returns:
        The regions, and for each buffer, in their order, its place.
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
    """Find address and size of each buffer; one whose address is not known gets a place where no memory is."""
    spans, nowhere = [], 0
    for buffer in buffers:
        address = find_address(buffer)
        if address is None:
            nowhere -= buffer.nbytes + 1
        spans.append((nowhere if address is None else address, buffer.nbytes))
    return spans
