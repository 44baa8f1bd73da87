"""Write and read pack files, which store bytes once under the digest of their content.

A save writes at most one pack, with the data that the previous snapshot did not have. Pickled bytes are known
by a cryptographic digest, because loading them runs code. So is raw memory in a storage that others may write
to; on a local disk a faster digest names it, unless everything is to be checked (`Folder.is_checked`).
"""

import contextlib
import ctypes
import hashlib
import os
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, BinaryIO, Self

from pauseflow_nb.errors import SnapshotDamaged
from pauseflow_nb.kernel.snapshot.storage.folder import Folder
from pauseflow_nb.kernel.snapshot.storage.mapping import PAGE

#: Size of the chunks of raw memory, in which changes are written.
CHUNK = 1 << 20
#: Written at once. Linux answers larger writes with larger pieces of page cache, and takes long to find very large
#: ones in memory that is in use: a first save of 2 GiB took 4.5 to 6.4 s with 1 MiB, and 2.8 to 3.1 s with this.
_WRITE = 256 << 10
#: Room on the disk is taken in steps of this size by a pack that is larger than one of them. Finding it piece by
#: piece, while other pieces are on their way to the disk, would take as long as the writing.
_ROOM = 16 << 20
#: How much may wait in the page cache before the disk is asked to begin. The sooner it begins the sooner it is done:
#: 184 MB took 115 ms with 8 MiB and 131 ms with 32, a gigabyte the same.
_WRITE_BEHIND = 8 << 20
#: A pack is used again only if at least this share of it is needed; others can be removed.
_WORN = 0.25

#: Flag of `fallocate`: do not change the size of the file.
_KEEP_SIZE = 1
#: Flag of `sync_file_range`: begin to write, without waiting.
_WRITE_OUT = 2

Bytes = bytes | bytearray | memoryview


def strong_digest(data: Bytes) -> str:
    """Return the cryptographic digest."""
    import blake3

    return "k" + blake3.blake3(data).hexdigest()


def fast_digest(data: Bytes) -> str:
    """Return a digest that detects damage, and is six times as fast."""
    import xxhash

    return "x" + xxhash.xxh3_128_hexdigest(data)


def _older_digest(data: Bytes) -> str:
    """Return the cryptographic digest of earlier versions."""
    return "b" + hashlib.blake2b(data, digest_size=20).hexdigest()


#: First letter of a digest → function.
_DIGESTS = {"k": strong_digest, "x": fast_digest, "b": _older_digest}


def make_name(suffix: str) -> str:
    """Make a unique file name; names sort by time."""
    # Not the module `secrets`: the notebook's folder may have another one of that name.
    return f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}{suffix}"


@dataclass(frozen=True)
class Location:
    """The place of stored bytes."""

    pack: str
    offset: int
    size: int


@dataclass
class Content:
    """Reusable stored bytes: digest → location, and size and stamp of each pack (see `_stamp`)."""

    locations: dict[str, Location] = field(default_factory=dict)
    packs: dict[str, tuple[int, int]] = field(default_factory=dict)

    def find_reusable(self, folder: Folder) -> "Content":
        """Leave out packs that no longer exist, or of which little is needed."""
        used: dict[str, int] = {}
        for location in self.locations.values():
            used[location.pack] = used.get(location.pack, 0) + location.size
        there = _sizes(folder, self.packs) if self.packs else {}
        packs = {
            name: stamp
            for name, stamp in self.packs.items()
            if used.get(name, 0) >= _WORN * stamp[0] and there.get(name) in (-1, stamp[0])
        }
        return Content({d: where for d, where in self.locations.items() if where.pack in packs}, packs)


def _sizes(folder: Folder, packs: Iterable[str]) -> dict[str, int]:
    """Return the sizes of the packs that still exist, because the folder may have been cleaned."""
    if folder.remote is not None:
        return dict.fromkeys(folder.names(), -1)
    sizes = {}
    for name in packs:
        with contextlib.suppress(OSError):
            sizes[name] = (folder.local / name).stat().st_size
    return sizes


def _stamp(found: os.stat_result) -> tuple[int, int]:
    """Return the size of a file and the time of its last change, which programs cannot set."""
    # On Windows, it is the time of creation.
    return found.st_size, found.st_mtime_ns if os.name == "nt" else found.st_ctime_ns


class PackWriter:
    """Writes a pack during a save; the file is created with the first new bytes."""

    def __init__(self, folder: Folder, known: Content) -> None:
        self._folder = folder
        self._known = known.find_reusable(folder)
        self._name = make_name(".pack")
        self._stack = contextlib.ExitStack()
        self._file: BinaryIO | None = None
        self._writeback: ThreadPoolExecutor | None = None
        self._begun = 0
        self._room = _ROOM
        #: Bytes that were written before it is known whether they are used.
        self._early: dict[str, Location] = {}
        #: All stored bytes that this snapshot uses.
        self.content = Content()
        self.written = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None and self._name in self.content.packs:
            self.content.packs[self._name] = _stamp((self._folder.local / self._name).stat())

    def memory_digest(self, data: Bytes) -> str:
        """Return the digest of raw memory that the folder needs."""
        return (strong_digest if self._folder.needs_strong_digests else fast_digest)(data)

    def add(self, data: Bytes, digest: str, *, is_aligned: bool = False) -> None:
        """Store bytes, unless they are already stored."""
        if digest not in self.content.locations and not self.keep(digest):
            self.content.locations[digest] = self._write(data, is_aligned=is_aligned)
            self.content.packs.setdefault(self._name, (0, 0))

    def add_early(self, data: Bytes, digest: str) -> None:
        """Store bytes that the snapshot uses only if `keep` is called for them."""
        if digest not in self._early and digest not in self._known.locations:
            self._early[digest] = self._write(data)

    def keep(self, digest: str) -> bool:
        """Use bytes that an earlier snapshot or `add_early` has stored; False if there are none."""
        if digest in self.content.locations:
            return True
        if digest.startswith("x") and self._folder.needs_strong_digests:
            return False
        where = self._known.locations.get(digest) or self._early.get(digest)
        if where is None:
            return False
        self.content.locations[digest] = where
        self.content.packs[where.pack] = self._known.packs.get(where.pack, (0, 0))
        return True

    def _write(self, data: Bytes, *, is_aligned: bool = False) -> Location:
        file = self._open()
        start = -(-self.written // PAGE) * PAGE if is_aligned else self.written
        view = memoryview(data).cast("B")
        self._take_room(file, start + len(view))
        done = 0
        while done < len(view):
            done += os.pwrite(file.fileno(), view[done : done + _WRITE], start + done)
        self.written = start + len(view)
        self._begin_writeback(file)
        return Location(self._name, start, len(view))

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._file = self._stack.enter_context(self._folder.writing(self._name, is_last=False))
        return self._file

    def _take_room(self, file: BinaryIO, end: int) -> None:
        if end > self._room:
            if self._room == _ROOM:
                self._stack.callback(self._give_room_back, file)
            size = -(-(end - self._room) // _ROOM) * _ROOM
            # Errors are ignored: writing allocates its own space, or reports that there is none.
            _call("fallocate", file.fileno(), _KEEP_SIZE, ctypes.c_int64(self._room), ctypes.c_int64(size))
            self._room += size

    def _give_room_back(self, file: BinaryIO) -> None:
        os.ftruncate(file.fileno(), self.written)

    def _begin_writeback(self, file: BinaryIO) -> None:
        # Otherwise everything would wait for the fsync at the end, with an idle disk until then. Allocating space
        # takes as long as copying, so it is done in a thread.
        if self.written - self._begun >= _WRITE_BEHIND and hasattr(os, "posix_fadvise"):
            if self._writeback is None:
                self._writeback = self._stack.enter_context(ThreadPoolExecutor(1, "pauseflow-writeback"))
            start, size = ctypes.c_int64(self._begun), ctypes.c_int64(self.written - self._begun)
            self._writeback.submit(_call, "sync_file_range", file.fileno(), start, size, _WRITE_OUT)
            self._begun = self.written


def _call(name: str, *arguments: Any) -> None:
    """Call a function of the C library, if it exists."""
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)


@dataclass(frozen=True)
class Run:
    """Contiguous stored bytes in a pack."""

    pack: str
    pieces: list[tuple[str, Location]]

    @property
    def digests(self) -> set[str]:
        """Return the digests of its parts."""
        return {digest for digest, _ in self.pieces}

    @property
    def start(self) -> int:
        """Return its first offset in the pack."""
        return self.pieces[0][1].offset

    @property
    def end(self) -> int:
        """Return the offset after its end in the pack."""
        return self.pieces[-1][1].offset + self.pieces[-1][1].size


class PackReader:
    """Reads stored bytes and checks them against their digests; thread-safe."""

    def __init__(self, folder: Folder, content: Content, snapshot: str) -> None:
        #: Name of the snapshot.
        self.snapshot = snapshot
        self._folder = folder
        self._content = content
        self._lock = threading.Lock()
        self._descriptors: dict[str, int] = {}
        self._trusted: dict[str, bool] = {}
        #: Digests of fetched or cached bytes that were checked.
        self._right: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the packs; mapped memory stays."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def read(self, digest: str) -> bytes:
        """Return the bytes with this digest, from the remote store if they are not in the cache.

        Raises:
            SnapshotDamaged: If they are missing or changed.
            StoreUnavailable: If the remote store does not answer, or refuses.
        """
        where = self._location(digest)
        data = self._read_file(where)
        if self._folder.remote is not None:
            if self._is_right(digest, data):
                return data
            self.fetch(Run(where.pack, [(digest, where)]))
            data = self._read_file(where)
        self._require_right(digest, where, data)
        return data

    def check(self, digests: Iterable[str]) -> None:
        """Verify raw memory before it is mapped.

        A pack with the recorded size and stamp is trusted, because packs never change after they are made, unless
        everything must be checked. Any other pack, such as a copy from another machine, is read and compared.

        Raises:
            SnapshotDamaged: If bytes are missing or changed.
            StoreUnavailable: If the remote store does not answer, or refuses.
        """
        for digest in digests:
            if digest not in self._right and not self._is_trusted(self._location(digest).pack):
                self.read(digest)

    def fetch(self, run: Run) -> None:
        """Fetch a run from the remote store into the cache, unless it is there; only checked bytes are stored.

        Raises:
            SnapshotDamaged: If bytes are missing or changed.
            StoreUnavailable: If the remote store does not answer, or refuses.
            StorageFull: If the cache has no room for them.
        """
        if all(self._is_here(digest, where) for digest, where in run.pieces):
            return
        try:
            data = memoryview(self._folder.fetch(run.pack, run.start, run.end - run.start))
        except FileNotFoundError as problem:
            raise self._missing(run.pack) from problem
        descriptor = self.descriptor(run.pack)
        for digest, where in run.pieces:
            piece = data[where.offset - run.start :][: where.size]
            self._require_right(digest, where, piece)
            with self._folder.writing_cache():
                _write_at(descriptor, piece, where.offset)
            self._right.add(digest)

    def require_packs(self) -> None:
        """Check that the remote store has all packs in full length, without reading them.

        Raises:
            SnapshotDamaged: If one is missing or cut off.
            StoreUnavailable: If the remote store does not answer, or refuses.
        """
        there = self._folder.sizes()
        needed: dict[str, int] = {}
        for where in self._content.locations.values():
            needed[where.pack] = max(needed.get(where.pack, 0), where.offset + where.size)
        for pack, size in needed.items():
            if pack not in there:
                raise self._missing(pack)
            if there[pack] < size:
                raise SnapshotDamaged(self.snapshot, f"its file {pack} is cut off")

    def find_runs(self, digests: Iterable[str], most: int) -> list[Run]:
        """Combine adjacent bytes to fetch into runs of up to `most` bytes."""
        places = {digest: self._location(digest) for digest in digests}
        apart = [(digest, where) for digest, where in places.items() if not self._is_trusted(where.pack)]
        found = sorted(apart, key=lambda item: (item[1].pack, item[1].offset))
        runs: list[Run] = []
        for digest, where in found:
            last = runs[-1] if runs else None
            is_next = last is not None and last.pack == where.pack and 0 <= where.offset - last.end < PAGE
            if last is not None and is_next and where.offset + where.size - last.start <= most:
                last.pieces.append((digest, where))
            else:
                runs.append(Run(where.pack, [(digest, where)]))
        return runs

    def where(self, digest: str) -> tuple[int, Location]:
        """Return the open file and the location of the bytes with this digest."""
        location = self._location(digest)
        return self.descriptor(location.pack), location

    def descriptor(self, pack: str) -> int:
        """Return the descriptor of a pack, which is opened once."""
        with self._lock:
            if pack not in self._descriptors:
                try:
                    self._descriptors[pack] = self._folder.open(pack, self._content.packs[pack][0])
                except FileNotFoundError as problem:
                    raise self._missing(pack) from problem
            return self._descriptors[pack]

    def _read_file(self, where: Location) -> bytes:
        descriptor = self.descriptor(where.pack)
        parts, at = [], 0
        while at < where.size:
            part = os.pread(descriptor, min(where.size - at, 1 << 28), where.offset + at)
            if not part:
                break
            parts.append(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _is_here(self, digest: str, where: Location) -> bool:
        if digest not in self._right and self._is_right(digest, self._read_file(where)):
            self._right.add(digest)
        return digest in self._right

    def _is_right(self, digest: str, data: Bytes) -> bool:
        make_digest = _DIGESTS.get(digest[:1])
        if make_digest is None:
            raise SnapshotDamaged(self.snapshot, f"a newer version made the digest {digest[:8]}…: use that one")
        return make_digest(data) == digest

    def _require_right(self, digest: str, where: Location, data: Bytes) -> None:
        if len(data) < where.size:
            raise SnapshotDamaged(self.snapshot, f"its file {where.pack} is cut off")
        if not self._is_right(digest, data):
            raise SnapshotDamaged(self.snapshot, f"bytes in its file {where.pack} are not what was written")

    def _is_trusted(self, pack: str) -> bool:
        if pack not in self._trusted:
            stat = os.fstat(self.descriptor(pack))
            noted = self._content.packs[pack]
            if stat.st_size < noted[0] and self._folder.remote is None:
                raise SnapshotDamaged(self.snapshot, f"its file {pack} is cut off")
            self._trusted[pack] = _stamp(stat) == noted and not self._folder.is_checked
        return self._trusted[pack]

    def _missing(self, pack: str) -> SnapshotDamaged:
        return SnapshotDamaged(self.snapshot, f"its file {pack} is missing from {self._folder.url}")

    def _location(self, digest: str) -> Location:
        try:
            return self._content.locations[digest]
        except KeyError:
            raise SnapshotDamaged(self.snapshot, f"it does not say where {digest} is stored") from None


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    while data:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count
