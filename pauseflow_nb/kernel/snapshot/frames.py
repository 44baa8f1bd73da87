"""Load frames: fetch and check their bytes, map their memory, and unpickle them."""

import weakref
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling import chunked
from pauseflow_nb.kernel.snapshot.pickling.recursion import run_deep
from pauseflow_nb.kernel.snapshot.storage.fetching import Fetcher
from pauseflow_nb.kernel.snapshot.storage.last_snapshot import Mapped
from pauseflow_nb.kernel.snapshot.storage.manifest import Frame, Manifest, StoredRegion
from pauseflow_nb.kernel.snapshot.storage.mapping import Extent, find_address, map_extents
from pauseflow_nb.kernel.snapshot.storage.packfile import CHUNK, PackReader


class FrameLoader:
    """Loads the frames of one snapshot in two stages: read and check, then unpickle.

    Args:
        manifest: The manifest of the snapshot.
        packs: Reads its bytes.
        fetcher: Fetches from a remote store; None: all bytes are in local files.
    """

    def __init__(self, manifest: Manifest, packs: PackReader, fetcher: Fetcher | None) -> None:
        #: Mapped memory by its place; the next save checks which of it was written to.
        self.mapped: dict[tuple[int, int], Mapped] = {}
        self._manifest = manifest
        self._packs = packs
        self._fetcher = fetcher
        self._pieces: dict[str, bytes] = {}
        self._memory: dict[int, memoryview] = {}

    @property
    def snapshot(self) -> str:
        """Name of the snapshot."""
        return self._packs.snapshot

    def require_packs(self) -> None:
        """Check that the remote store has all packs of the snapshot, without reading them; see `PackReader`."""
        self._packs.require_packs()

    def close(self) -> None:
        """Close the files; loaded variables keep their memory."""
        self._packs.close()

    def find_digests(self, frames: Iterable[Frame]) -> set[str]:
        """Return the digests of the data of frames."""
        digests: set[str] = set()
        for frame in frames:
            digests.update(frame.pieces)
            for number in frame.regions:
                digests.update(self._manifest.regions[number].chunks)
        return digests

    def begin(self, frames: Iterable[Frame]) -> None:
        """Fetch frames in the background."""
        if self._fetcher is not None:
            self._fetcher.begin(self.find_digests(frames))

    def read(self, frames: Iterable[Frame], pieces: Iterable[str] = ()) -> bytes:
        """Read and check frames and additional pieces; return the joined pieces.

        Raises:
            SnapshotDamaged: If something is missing or is not what was written.
            StoreUnavailable: If the remote store does not answer, or refuses.
        """
        frames, pieces = list(frames), list(pieces)
        if self._fetcher is not None:
            self._fetcher.wait(self.find_digests(frames) | set(pieces))
        for frame in frames:
            self._pieces.update((digest, self._packs.read(digest)) for digest in frame.pieces)
            for number in frame.regions - self._memory.keys():
                self._memory[number] = self._load_region(self._manifest.regions[number])
        return b"".join(self._packs.read(digest) for digest in pieces)

    def load(self, frame: Frame) -> dict[str, Any]:
        """Unpickle a frame that was read.

        Returns:
            The pickled dict: `values` by name, and optionally `definitions` by key.
        """
        data = [self._pieces[digest] for digest in frame.pieces]
        buffers = []
        for place in frame.buffers:
            part = self._memory[place.region][place.offset : place.offset + place.size]
            buffers.append(part.toreadonly() if place.is_readonly else part)

        def load() -> dict[str, Any]:
            return chunked.load(data, buffers)

        try:
            return load()
        except RecursionError:
            return run_deep(load)

    def forget(self) -> None:
        """Drop read data; loaded variables keep their memory."""
        self._pieces.clear()
        self._memory.clear()

    def _load_region(self, region: StoredRegion) -> memoryview:
        if region.size < CHUNK:
            return memoryview(bytearray(self._packs.read(region.chunks[0])))
        self._packs.check(region.chunks)
        memory = map_extents(self._extents(region))
        low = find_address(memory)
        if low is not None:
            self.mapped[low, low + region.size] = Mapped(region.chunks, weakref.ref(memory.obj))
        return memory

    def _extents(self, region: StoredRegion) -> list[Extent]:
        extents: list[Extent] = []
        for digest in region.chunks:
            descriptor, where = self._packs.where(digest)
            last = extents[-1] if extents else None
            if last is not None and last.descriptor == descriptor and last.offset + last.size == where.offset:
                extents[-1] = replace(last, size=last.size + where.size)
            else:
                extents.append(Extent(descriptor, where.offset, where.size))
        return extents
