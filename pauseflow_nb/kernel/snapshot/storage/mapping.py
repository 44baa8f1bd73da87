"""Find addresses of buffers, and map stored data into memory instead of reading it.

Mapped memory costs nothing until it is accessed, and can be written without changing the file.
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
    """Return the address of a contiguous view's memory, which is valid as long as the view exists.

    Returns:
        None if no public function returns it, and private ones may not be used.
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


def read_own_memory(address: int, size: int) -> bytes | None:
    """Copy memory at an address through the operating system, so that a wrong address does no harm.

    Args:
        address: The first address.
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
    """A range of stored bytes: open file, offset and size."""

    descriptor: int
    offset: int
    size: int


def map_extents(extents: Sequence[Extent]) -> memoryview:
    """Map the bytes of the extents into contiguous memory.

    Args:
        extents: All but the last must be whole pages. Their files may be closed afterwards.

    Returns:
        Writable memory; changes stay in this process. If mapping is not possible, the bytes are read.
    """
    size = sum(extent.size for extent in extents)
    whole_pages = all(extent.offset % PAGE == 0 for extent in extents) and all(
        extent.size % PAGE == 0 for extent in extents[:-1]
    )
    # The anonymous mapping owns the address range, and ends together with the mappings inside it.
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
