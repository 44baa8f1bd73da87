"""Find memory that was written to since the last save, without reading the memory itself.

On Linux 6.7 and newer the kernel knows: memory is registered with userfaultfd in its asynchronous
write-protecting mode, and the PAGEMAP_SCAN ioctl returns the pages written since and protects them again
in one atomic operation, so a thread that writes meanwhile is never missed. Where this is not available, no memory
counts as unchanged, and a save reads and compares everything.
"""

import bisect
import contextlib
import ctypes
import os
import struct
import sys
from typing import Any

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_USERFAULTFD = {"x86_64": 323, "aarch64": 282}
_UFFD_USER_MODE_ONLY = 1
_UFFDIO_API = 0xC018AA3F
_UFFDIO_REGISTER = 0xC020AA00
_UFFD_API = 0xAA
_WP_UNPOPULATED = 1 << 13
_WP_ASYNC = 1 << 15
_REGISTER_MODE_WP = 2
_PAGEMAP_SCAN = 0xC0606610
_SCAN_WP_MATCHING = 1
_SCAN_CHECK_WPASYNC = 2
_PAGE_IS_WRITTEN = 2
_PAGE_IS_FILE = 4
_PAGE_IS_PRESENT = 8
_PAGE_IS_SWAPPED = 16
_MOST_RANGES = 4096

Range = tuple[int, int]


class Touched:
    """Watches address ranges of this process; there is one object for its whole life."""

    def __init__(self) -> None:
        self._fault = -1
        self._pagemap = -1
        self._process = 0
        #: The watched ranges.
        self._watched: set[Range] = set()
        #: Private memory, as mapped at the last lookup.
        self._private: list[Range] | None = None
        #: Buffer for the results of the operating system.
        self._vector = (ctypes.c_uint64 * (3 * _MOST_RANGES))()

    def look_again(self) -> None:
        """Forget the memory map; call it after other code may have run."""
        self._private = None

    def watch(self, low: int, high: int) -> bool:
        """Watch `[low, high)`: record writes to it from now on.

        Returns:
            Whether it is watched. Shared memory never is, because writes of other processes are not recorded.
        """
        if not self._is_open():
            return False
        start, end = _pages(low, high)
        if self._private is None:
            self._private = _private_memory()
        number = bisect.bisect_right(self._private, (start, sys.maxsize)) - 1
        if number < 0 or end > self._private[number][1]:
            return False
        try:
            self._ioctl(self._fault, _UFFDIO_REGISTER, struct.pack("QQQQ", start, end - start, _REGISTER_MODE_WP, 0))
            self._scan(start, end, _SCAN_WP_MATCHING | _SCAN_CHECK_WPASYNC)
        except OSError:
            return False
        self._watched.add((low, high))
        return True

    def written(self, low: int, high: int) -> list[Range] | None:
        """Return the ranges within `[low, high)` that were written since the last call, and start again.

        Returns:
            None if that is unknown, for example because the memory was released and allocated again.
        """
        if (low, high) not in self._watched or not self._is_open():
            return None
        try:
            return self._scan(*_pages(low, high), _SCAN_WP_MATCHING | _SCAN_CHECK_WPASYNC)
        except OSError:
            self._watched.discard((low, high))
            return None

    def written_since_mapped(self, low: int, high: int) -> list[Range] | None:
        """Return the ranges of a private file mapping that no longer show the file."""
        if not self._is_open(needs_fault=False):
            return None
        start, end = _pages(low, high)
        try:
            return self._scan(
                start, end, 0, inverted=_PAGE_IS_FILE, mask=_PAGE_IS_FILE, any_of=_PAGE_IS_PRESENT | _PAGE_IS_SWAPPED
            )
        except OSError:
            return None

    def forget(self, low: int, high: int) -> None:
        """Stop watching a range."""
        self._watched.discard((low, high))

    def _scan(
        self, start: int, end: int, flags: int, *, inverted: int = 0, mask: int = _PAGE_IS_WRITTEN, any_of: int = 0
    ) -> list[Range]:
        found: list[Range] = []
        vector = self._vector
        at = start
        while at < end:
            request = struct.pack(
                "12Q",
                96,
                flags,
                at,
                end,
                0,
                ctypes.addressof(vector),
                _MOST_RANGES,
                0,
                inverted,
                mask,
                any_of,
                mask | any_of,
            )
            count, answer = self._ioctl(self._pagemap, _PAGEMAP_SCAN, request)
            found.extend((vector[3 * i], vector[3 * i + 1]) for i in range(count))
            walked = struct.unpack("12Q", answer)[4]
            if walked <= at:
                break
            at = walked
        return found

    def _ioctl(self, descriptor: int, request: int, argument: bytes) -> tuple[int, bytes]:
        import fcntl

        buffer = bytearray(argument)
        return fcntl.ioctl(descriptor, request, buffer), bytes(buffer)

    def _is_open(self, *, needs_fault: bool = True) -> bool:
        if self._process != os.getpid():
            # A fork inherits the descriptors, but they watch the parent's memory.
            self._watched.clear()
            self._process, self._fault, self._pagemap = os.getpid(), -1, -1
            if sys.platform == "linux":
                with contextlib.suppress(OSError):
                    self._pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
                with contextlib.suppress(OSError, KeyError):
                    self._fault = _open_userfaultfd()
        return self._pagemap >= 0 and (self._fault >= 0 or not needs_fault)


def _open_userfaultfd() -> int:
    libc: Any = ctypes.CDLL(None, use_errno=True)
    number = _USERFAULTFD[os.uname().machine]
    descriptor = int(libc.syscall(number, os.O_CLOEXEC | _UFFD_USER_MODE_ONLY))
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), "userfaultfd")
    import fcntl

    try:
        fcntl.ioctl(descriptor, _UFFDIO_API, bytearray(struct.pack("QQQ", _UFFD_API, _WP_ASYNC | _WP_UNPOPULATED, 0)))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _pages(low: int, high: int) -> Range:
    return low // _PAGE * _PAGE, -(-high // _PAGE) * _PAGE


def _private_memory() -> list[Range]:
    """List the private memory of this process in order, with adjacent ranges joined."""
    found: list[Range] = []
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:  # noqa: PTH123 - not a path of ours
        for line in maps:
            span, flags, _, _, inode, *path = line.split()
            # Of mapped files, only our packs never change.
            if flags[3] == "p" and (inode == "0" or (path and path[-1].endswith(".pack"))):
                low, high = (int(number, 16) for number in span.split("-"))
                if found and found[-1][1] == low:
                    low = found.pop()[0]
                found.append((low, high))
    return found
