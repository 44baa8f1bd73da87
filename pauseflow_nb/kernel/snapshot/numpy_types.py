"""numpy arrays: their memory is stored as it lies, so that views of the same memory stay views of it.

Three ways, by what stands behind an array. Large memory goes out of band and is mapped on restore; arrays
over the same memory meet in the same region. Small arrays that are views are saved as views of their
base. All others are left to numpy, which copies them into the pickle.

Pickles name the `make_…` functions, so their names and arguments may never change.
"""

import pickle
import sys
from typing import TYPE_CHECKING, Any

from pauseflow_nb.kernel.snapshot.refused import Refusal

if TYPE_CHECKING:
    from pauseflow_nb.kernel.snapshot.pickler import Reducer, SnapshotPickler

__all__ = ["OUT_OF_BAND", "REDUCERS", "make_array", "raw_memory"]

#: Memory of this size and more leaves the pickle.
OUT_OF_BAND = 64 << 10


class _Memory:
    """An address range as numpy understands it; keeps the owner of the memory alive."""

    is_ours = True

    def __init__(self, address: int, size: int, owner: Any) -> None:
        self.owner = owner
        self.__array_interface__ = {"data": (address, False), "shape": (size,), "typestr": "|u1", "version": 3}


def raw_memory(address: int, size: int, owner: Any) -> pickle.PickleBuffer:
    """Offer an address range to the pickler as a buffer."""
    import numpy as np

    array: Any = np.asarray(_Memory(address, size, owner))
    return pickle.PickleBuffer(array)


def reduce_array(pickler: "SnapshotPickler", array: Any) -> Any:  # noqa: PLR0911 - one case per line
    root = _root(array)
    if _is_memmap(root) and root is not array:
        return _as_view_of(root, array)
    if array.dtype.hasobject:
        return _object_array(array)
    if array.size == 0:
        return _frozen(array) if not array.flags.writeable else NotImplemented
    owner = array.base.obj if isinstance(array.base, memoryview) else array.base
    if isinstance(owner, bytearray) or type(owner).__name__ == "array":
        return _as_view_of(owner, array)
    if array.nbytes >= OUT_OF_BAND or pickler.is_shared_memory(array) or _size_behind(root) >= OUT_OF_BAND:
        return _out_of_band(array)
    if root is not array and _is_plain(root):
        return _as_view_of(root, array)
    pickler.note_small_memory(array)
    return _frozen(array) if not array.flags.writeable else NotImplemented


def _root(array: Any) -> Any:
    """Find the array that the memory belongs to, through views of views."""
    import numpy as np

    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _is_memmap(array: Any) -> bool:
    import numpy as np

    return isinstance(array, np.memmap) and array.filename is not None and array.mode != "c"


def _is_plain(array: Any) -> bool:
    return type(array).__module__ == "numpy" and type(array).__name__ == "ndarray" and bool(array.flags.forc)


def _size_behind(root: Any) -> int:
    if root.base is None:
        return int(root.nbytes)
    try:
        return memoryview(root.base).nbytes
    except TypeError:
        return int(root.nbytes)


def _out_of_band(array: Any) -> Any:
    from numpy.lib.array_utils import byte_bounds

    low, high = byte_bounds(array)
    buffer = raw_memory(low, high - low, array)
    offset = array.ctypes.data - low
    return make_array, (buffer, array.dtype, array.shape, array.strides, offset, bool(array.flags.writeable))


def _as_view_of(base: Any, array: Any) -> Any:
    import numpy as np

    start = np.frombuffer(base, np.uint8).ctypes.data if not isinstance(base, np.ndarray) else base.ctypes.data
    offset = array.ctypes.data - start
    return make_array, (base, array.dtype, array.shape, array.strides, offset, bool(array.flags.writeable))


def make_array(  # noqa: PLR0917 - a pickle passes arguments by position
    memory: Any, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, is_writeable: bool
) -> Any:
    """Make an array over memory that exists already."""
    import numpy as np

    if isinstance(memory, np.ndarray):
        # Bytes in the order in which they lie, whatever the base's own shape.
        memory = memory.reshape(-1, order="A").view(np.uint8) if memory.size else memory
    array: Any = np.ndarray(shape, dtype, memory, offset, strides)
    if not is_writeable:
        array.flags.writeable = False
    return array


def _frozen(array: Any) -> Any:
    import numpy as np

    copy = np.array(array, copy=True, order="K")
    return make_frozen_array, (copy,)


def make_frozen_array(array: Any) -> Any:
    """Make an array read-only, which numpy's own pickles forget."""
    array.flags.writeable = False
    return array


def _object_array(array: Any) -> Any:
    root = _root(array)
    if root is array or not _is_plain(root) or root.dtype != array.dtype:
        return _frozen(array) if root is array and not array.flags.writeable else NotImplemented
    offset = (array.ctypes.data - root.ctypes.data) // max(root.itemsize, 1)
    return make_object_view, (root, array.shape, array.strides, offset, bool(array.flags.writeable))


def make_object_view(
    root: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, is_writeable: bool
) -> Any:
    """Make a view of an array of objects."""
    from numpy.lib.stride_tricks import as_strided

    return as_strided(root.reshape(-1, order="A")[offset:], shape, strides, writeable=is_writeable)


def reduce_memmap(pickler: "SnapshotPickler", array: Any) -> Any:
    root = _root(array)
    if not _is_memmap(root):
        return reduce_array(pickler, array.view(_plain_type()))
    if root is array:
        mode = "r" if array.mode == "r" else "r+"
        array.flush()
        order = "F" if array.flags.fnc else "C"
        return make_memmap, (str(array.filename), array.dtype, mode, array.offset, array.shape, order)
    made = _as_view_of(root, array)
    return make_memmap_view, made[1]


def _plain_type() -> Any:
    import numpy as np

    return np.ndarray


def make_memmap(  # noqa: PLR0917 - a pickle passes arguments by position
    filename: str, dtype: Any, mode: Any, offset: int, shape: tuple[int, ...], order: Any
) -> Any:
    """Map the same file again."""
    import numpy as np

    return np.memmap(filename, dtype, mode, offset, shape, order)


def make_memmap_view(  # noqa: PLR0917 - a pickle passes arguments by position
    root: Any, dtype: Any, shape: Any, strides: Any, offset: int, is_writeable: bool
) -> Any:
    """Make a part of a memory-mapped array."""
    import numpy as np

    return make_array(np.asarray(root), dtype, shape, strides, offset, is_writeable).view(np.memmap)


def reduce_subclass(_pickler: "SnapshotPickler", array: Any) -> Any:
    """Save a record array or matrix as what it is: another way to look at memory."""
    import numpy as np

    if array.dtype.hasobject or array.size == 0:
        return NotImplemented
    maker, arguments = _out_of_band(array.view(np.ndarray))
    return make_subclass, (type(array), maker, arguments)


def make_subclass(kind: type, maker: Any, arguments: tuple[Any, ...]) -> Any:
    """Make a record array or matrix over memory that exists already."""
    return maker(*arguments).view(kind)


def reduce_masked(_pickler: "SnapshotPickler", array: Any) -> Any:
    """Save a masked array by its data and its mask, either of which others may share."""
    import numpy as np

    mask = None if array.mask is np.ma.nomask else array.mask
    return make_masked, (array.data, mask, array.fill_value, bool(array.hardmask))


def make_masked(data: Any, mask: Any, fill_value: Any, is_hard: bool) -> Any:
    """Make a masked array without copying its data."""
    import numpy as np

    given = np.ma.nomask if mask is None else mask
    return np.ma.MaskedArray(data, mask=given, fill_value=fill_value, hard_mask=is_hard, copy=False)


def reduce_random_state(_pickler: "SnapshotPickler", state: Any) -> Any:
    from pauseflow_nb.kernel.snapshot.loading import live_attribute

    if state is sys.modules["numpy"].random.mtrand._rand:  # noqa: SLF001 - what `from numpy.random import rand` is bound to
        return live_attribute, ("numpy.random.mtrand", "_rand")
    return NotImplemented


def refuse_iterator(_pickler: "SnapshotPickler", _iterator: Any) -> Any:
    raise Refusal("an iterator in the middle of an array; make it anew where it is used")


REDUCERS: "dict[str, Reducer]" = {
    "numpy.ndarray": reduce_array,
    "numpy.memmap": reduce_memmap,
    "numpy.recarray": reduce_subclass,
    "numpy.rec.recarray": reduce_subclass,
    "numpy.matrix": reduce_subclass,
    "numpy.ma.MaskedArray": reduce_masked,
    "numpy.ma.core.MaskedArray": reduce_masked,
    "numpy.random.mtrand.RandomState": reduce_random_state,
    "numpy.nditer": refuse_iterator,
    "numpy.flatiter": refuse_iterator,
}
