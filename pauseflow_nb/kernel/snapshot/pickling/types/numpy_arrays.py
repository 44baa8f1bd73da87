"""Reduce numpy arrays by their memory, so that views of the same memory stay views of it.

There are three ways. Large memory is stored out of band and mapped on restore; arrays in the same memory share a
region. Small arrays that are views are saved as views of their base. All others are left to numpy, which copies them
into the pickle.

Pickles name the `make_…` functions, so their names and arguments may never change.
"""

import copyreg
import pickle
import sys
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler, Reducer
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import CannotSave

#: Size from which memory leaves the pickle.
OUT_OF_BAND = 64 << 10


class _Memory:
    """An address range in numpy's array interface; keeps the owner of the memory alive."""

    is_ours = True

    def __init__(self, address: int, size: int, owner: Any) -> None:
        self.owner = owner
        self.__array_interface__ = {"data": (address, False), "shape": (size,), "typestr": "|u1", "version": 3}


def raw_memory(address: int, size: int, owner: Any) -> pickle.PickleBuffer:
    """Make a buffer of an address range, for the pickler."""
    import numpy as np

    array: Any = np.asarray(_Memory(address, size, owner))
    return pickle.PickleBuffer(array)


def reduce_array(pickler: Pickler, array: Any) -> Any:  # noqa: PLR0911 - one case per line
    root = _root(array)
    if _is_memmap(root) and root is not array:
        return _reduce_as_view(root, array)
    if root.dtype.hasobject:
        return _object_array(array, root)
    if array.size == 0:
        return _frozen(array) if not array.flags.writeable else NotImplemented
    owner = array.base.obj if isinstance(array.base, memoryview) else array.base
    if isinstance(owner, bytearray) or type(owner).__name__ == "array":
        return _reduce_as_view(owner, array)
    if array.nbytes >= OUT_OF_BAND or pickler.is_shared_memory(array) or _size_behind(root) >= OUT_OF_BAND:
        return _out_of_band(array)
    if root is not array:
        return _reduce_as_view(root, array) if _is_plain(root) else _out_of_band(array)
    pickler.note_small_memory(array)
    return _frozen(array) if not array.flags.writeable else NotImplemented


def _root(array: Any) -> Any:
    """Find the array that owns the memory, through views of views."""
    import numpy as np

    base = array.base
    while base is not None:
        if isinstance(base, memoryview):
            base = base.obj
        elif type(base).__name__ == "DummyArray":
            # as_strided puts this object between its result and the original array.
            base = base.base
        if not isinstance(base, np.ndarray):
            break
        array, base = base, base.base
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


def _reduce_as_view(base: Any, array: Any) -> Any:
    import numpy as np

    start = np.frombuffer(base, np.uint8).ctypes.data if not isinstance(base, np.ndarray) else base.ctypes.data
    offset = array.ctypes.data - start
    return make_array, (base, array.dtype, array.shape, array.strides, offset, bool(array.flags.writeable))


def make_array(  # noqa: PLR0917 - a pickle passes arguments by position
    memory: Any, dtype: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, is_writeable: bool
) -> Any:
    """Make an array in existing memory."""
    import numpy as np

    if isinstance(memory, np.ndarray):
        # Bytes in memory order, whatever the shape of the base is.
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
    """Make an array read-only, which numpy's own pickles do not preserve."""
    array.flags.writeable = False
    return array


def _object_array(array: Any, root: Any) -> Any:
    if root is array or array.size == 0:
        return NotImplemented if array.flags.writeable else _frozen(array)
    field = _field(array, root)
    if field is not None:
        return make_field, (root, field, bool(array.flags.writeable))
    is_text = type(array.dtype).__name__ == "StringDType"
    if is_text or not _is_plain(root) or root.dtype != array.dtype:
        raise CannotSave("a part of an array that holds objects; make a copy of it")
    offset = (array.ctypes.data - root.ctypes.data) // max(root.itemsize, 1)
    return make_object_view, (root, array.shape, array.strides, offset, bool(array.flags.writeable))


def _field(array: Any, root: Any) -> str | None:
    """Find the field of `root` that an array shows."""
    for name in root.dtype.names or ():
        field = root[name]
        if (field.ctypes.data, field.shape, field.strides, field.dtype) == (
            array.ctypes.data,
            array.shape,
            array.strides,
            array.dtype,
        ):
            return str(name)
    return None


def make_field(root: Any, name: str, is_writeable: bool) -> Any:
    """Make a view of one field of a structured array."""
    field = root[name]
    if not is_writeable:
        field.flags.writeable = False
    return field


def make_object_view(
    root: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, is_writeable: bool
) -> Any:
    """Make a view of an array of objects."""
    from numpy.lib.stride_tricks import as_strided

    return as_strided(root.reshape(-1, order="A")[offset:], shape, strides, writeable=is_writeable)


def reduce_memmap(pickler: Pickler, array: Any) -> Any:
    root = _root(array)
    if not _is_memmap(root):
        # Saved as a copy: it was written to, or is a result that only looks like a mapped file.
        noted = {name: value for name, value in vars(array).items() if name != "_mmap"}
        return (
            make_view,
            (type(array), array.view(_plain_type())),
            pickler.savable(noted, array),
            None,
            None,
            set_attributes,
        )
    if root is array:
        mode = "r" if array.mode == "r" else "r+"
        array.flush()
        order = "F" if array.flags.fnc else "C"
        return make_memmap, (str(array.filename), array.dtype, mode, array.offset, array.shape, order)
    made = _reduce_as_view(root, array)
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


def reduce_subclass(_pickler: Pickler, array: Any) -> Any:
    """Save a record array or matrix as a view of memory."""
    import numpy as np

    plain = array.view(np.ndarray)
    if _root(array) is not array:
        # The memory belongs to another array, which saves it correctly.
        return make_view, (type(array), plain)
    if array.dtype.hasobject or array.size == 0:
        return NotImplemented
    return make_subclass, (type(array), *_out_of_band(plain))


def make_subclass(kind: type, maker: Any, arguments: tuple[Any, ...]) -> Any:
    """Make a record array or matrix in existing memory."""
    return maker(*arguments).view(kind)


def reduce_own_subclass(pickler: Pickler, array: Any) -> Any:
    """Save an array of a class of the notebook: its memory, which may be shared, and its attributes."""
    import numpy as np

    pickler.runs_user_code = True
    reduced = reduce_subclass(pickler, array)
    if reduced is NotImplemented:
        reduced = make_view, (type(array), array.view(np.ndarray).copy())
    return *reduced, pickler.savable(vars(array), array) or None, None, None, set_attributes


def make_view(kind: type, array: Any) -> Any:
    """Make a view of an array with another class."""
    return array.view(kind)


def set_attributes(array: Any, attributes: dict[str, Any]) -> None:
    """Set the attributes of an array."""
    vars(array).update(attributes)


def reduce_own_scalar(pickler: Pickler, scalar: Any) -> Any:
    """Save a number of a class of the notebook with its class and attributes, which numpy would drop."""
    pickler.runs_user_code = True
    kind = type(scalar)
    library = next(base for base in kind.__mro__ if base.__module__ == "numpy")
    return (
        make_scalar,
        (library, kind, library(scalar)),
        pickler.savable(vars(scalar), scalar) or None,
        None,
        None,
        set_attributes,
    )


def make_scalar(library: type, kind: type, value: Any) -> Any:
    """Make a number of a class of the notebook."""
    new: Any = library.__new__
    return new(kind, value)


def reduce_scalar_view(_pickler: Pickler, scalar: Any) -> Any:
    """Save one row of a structured array, which is a view of it."""
    import numpy as np

    if not isinstance(scalar.base, np.ndarray) or scalar.dtype.hasobject:
        return NotImplemented
    root = _root(scalar.base)
    offset = scalar.__array_interface__["data"][0] - root.ctypes.data
    row = make_array(root.view(np.ndarray), scalar.dtype, (1,), (scalar.dtype.itemsize,), offset, True)
    return make_scalar_view, (row,)


def make_scalar_view(row: Any) -> Any:
    """Return one row of a structured array, as a view."""
    return row[0]


def reduce_masked(pickler: Pickler, array: Any) -> Any:
    """Save a masked array by its data and its mask, which may both be shared."""
    import numpy as np

    mask = None if array.mask is np.ma.nomask else array.mask
    # From the attribute: numpy's property would make a default, and cut a text to the array's width.
    arguments = (array.data, mask, array._fill_value, bool(array.hardmask))  # noqa: SLF001
    attributes = {name: value for name, value in vars(array).items() if name not in _OF_MASKED}
    return make_masked, arguments, pickler.savable(attributes, array), None, None, set_attributes


#: Attributes that `make_masked` sets itself.
_OF_MASKED = frozenset({"_mask", "_fill_value", "_hardmask", "_sharedmask", "_isfield", "_baseclass", "_data"})


def make_masked(data: Any, mask: Any, fill_value: Any, is_hard: bool) -> Any:
    """Make a masked array without copying its data."""
    import numpy as np

    bits = np.ma.nomask if mask is None else mask
    made: Any = np.ma.MaskedArray(data, mask=bits, hard_mask=is_hard, copy=False)
    made._fill_value = fill_value  # noqa: SLF001 - see reduce_masked
    return made


def reduce_random_state(_pickler: Pickler, state: Any) -> Any:
    from pauseflow_nb.kernel.snapshot.pickling.load_context import live_attribute

    if state is sys.modules["numpy"].random.mtrand._rand:  # noqa: SLF001 - what `from numpy.random import rand` is bound to
        return live_attribute, ("numpy.random.mtrand", "_rand")
    return NotImplemented


def reduce_vectorised(_pickler: Pickler, function: Any) -> Any:
    """Save a `numpy.vectorize` object without its cached ufunc."""
    ufuncs: Any = {} if isinstance(function._ufunc, dict) else None  # noqa: SLF001
    return copyreg.__newobj__, (type(function),), {**vars(function), "_ufunc": ufuncs}  # type: ignore[attr-defined]


def reduce_float_limits(_pickler: Pickler, limits: Any) -> Any:
    """Save a `numpy.finfo` as the type that it describes."""
    return type(limits), (limits.dtype,)


def refuse_iterator(_pickler: Pickler, _iterator: Any) -> Any:
    raise CannotSave("an iterator in the middle of an array; make it again where you use it")


REDUCERS: "dict[str, Reducer]" = {
    "numpy.ndarray": reduce_array,
    "numpy.memmap": reduce_memmap,
    "numpy.recarray": reduce_subclass,
    "numpy.rec.recarray": reduce_subclass,
    "numpy.matrix": reduce_subclass,
    "numpy.ma.MaskedArray": reduce_masked,
    "numpy.ma.core.MaskedArray": reduce_masked,
    "numpy.random.mtrand.RandomState": reduce_random_state,
    "numpy.void": reduce_scalar_view,
    "numpy.record": reduce_scalar_view,
    "numpy.rec.record": reduce_scalar_view,
    "numpy.vectorize": reduce_vectorised,
    "numpy.finfo": reduce_float_limits,
    "numpy.nditer": refuse_iterator,
    "numpy.flatiter": refuse_iterator,
}
