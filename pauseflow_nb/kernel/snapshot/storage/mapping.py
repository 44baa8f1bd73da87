"""Find the address of a buffer, and map stored data into memory instead of reading it.

Mapped memory costs nothing until it is touched and may be written without changing the file.
"""

import ctypes
import mmap
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.memory_access import may_look_into_memory

PAGE = mmap.ALLOCATIONGRANULARITY

_FIXED = 0x10
_NORESERVE = {"linux": 0x4000, "darwin": 0x40}.get(sys.platform, 0)


class _Buffer(ctypes.Structure):
    """CPython's `Py_buffer`."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


def find_address(view: memoryview) -> int | None:
    """Return where the memory of a contiguous view starts. It stays valid as long as the view lives.

    Returns:
        None if no public function returns it, and others may not be used.
    """
    return _read_address(view) if may_look_into_memory() else _read_public_address(view)


def _read_address(view: memoryview) -> int:
    buffer = _Buffer()
    ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(view), ctypes.byref(buffer), ctypes.c_int(0))
    address = buffer.buf or 0
    ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))
    return int(address)


def _read_public_address(view: memoryview) -> int | None:
    flat = view.cast("B")
    if flat.nbytes and not flat.readonly:
        return ctypes.addressof(ctypes.c_char.from_buffer(flat))
    numpy: Any = sys.modules.get("numpy")
    return int(numpy.frombuffer(flat, "u1").ctypes.data) if flat.nbytes and numpy is not None else None


def peek(address: int, size: int) -> bytes | None:
    """Copy memory if there is any at an address. The operating system reads it, so that a wrong one does no harm.

    Args:
        address: Where to begin.
        size: At most 4096 bytes.
    """
    try:
        write: Any = ctypes.CDLL(None, use_errno=True).write
    except (AttributeError, OSError, TypeError):
        return None
    write.argtypes, write.restype = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t], ctypes.c_ssize_t
    source, sink = os.pipe()
    try:
        return os.read(source, size) if write(sink, address, size) == size else None
    finally:
        os.close(source)
        os.close(sink)


@dataclass(frozen=True)
class Extent:
    """A run of stored bytes: where in which open file, and how many."""

    descriptor: int
    offset: int
    size: int


def map_extents(extents: Sequence[Extent]) -> memoryview:
    """Make the bytes of the extents, one after the other, appear in memory.

    Args:
        extents: All but the last must be whole pages. Their files may be closed afterwards.

    Returns:
        Writable memory; changes stay in this process. Falls back to reading where mapping is not possible.
    """
    size = sum(extent.size for extent in extents)
    whole_pages = all(extent.offset % PAGE == 0 for extent in extents) and all(
        extent.size % PAGE == 0 for extent in extents[:-1]
    )
    # The anonymous mapping owns the address range; what is laid over it goes when it goes.
    owner = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
    view = memoryview(owner)
    at = 0
    for extent in extents:
        target = view[at : at + extent.size]
        if not (whole_pages and may_look_into_memory() and _lay_over(_read_address(target), extent)):
            _read_into(target, extent)
        at += extent.size
    return view


def _lay_over(address: int, extent: Extent) -> bool:
    if not _NORESERVE:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    flags = mmap.MAP_PRIVATE | _FIXED | _NORESERVE
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    mapped = libc.mmap(address, extent.size, protection, flags, extent.descriptor, extent.offset)
    return bool(mapped == address)


def _read_into(target: memoryview, extent: Extent) -> None:
    at = 0
    while at < extent.size:
        count = os.preadv(extent.descriptor, [target[at:]], extent.offset + at)
        if count == 0:
            raise EOFError("the file ends too early")
        at += count
