"""Memory that left the pickles, put together into regions.

Buffers that overlap belong to one region, which is stored once and restored as one piece of memory. Two
regions with the same content stay two: equal arrays are not the same array.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pauseflow_nb.kernel.snapshot.memory import address_of

__all__ = ["BufferPlace", "Region", "lay_out"]


@dataclass(frozen=True)
class Region:
    """An address range to be stored."""

    low: int
    high: int


@dataclass(frozen=True)
class BufferPlace:
    """Where a buffer lies: in which region, from where, how long, and whether it may be written."""

    region: int
    offset: int
    size: int
    is_readonly: bool


def lay_out(buffers: Sequence[memoryview]) -> tuple[list[Region], list[BufferPlace]]:
    """Find the regions that cover the buffers.

    Returns:
        The regions, and for each buffer, in the order given, its place.
    """
    spans = [(address_of(buffer), buffer.nbytes) for buffer in buffers]
    regions: list[list[int]] = []
    region_of = [0] * len(spans)
    for number in sorted(range(len(spans)), key=lambda i: spans[i]):
        low, size = spans[number]
        if regions and low < regions[-1][1]:
            regions[-1][1] = max(regions[-1][1], low + size)
        else:
            regions.append([low, low + size])
        region_of[number] = len(regions) - 1
    places = [
        BufferPlace(region_of[i], low - regions[region_of[i]][0], size, buffers[i].readonly)
        for i, (low, size) in enumerate(spans)
    ]
    return [Region(low, high) for low, high in regions], places
