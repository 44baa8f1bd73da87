"""Reduce pandas objects so that shared memory stays shared, and copy-on-write still works.

In each block, and in each index made from a column, pandas records the other users of the same memory, so that a
write copies first. Its own pickles lose these records; ours keep them. If a version of pandas stores them
differently, every block gets its own memory instead, which is also correct, but larger.

Pickles name the `make_…` and `set_…` functions, so their names and arguments may never change.
"""

import copyreg
import importlib
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler, Reducer


def reduce_block(_pickler: Pickler, block: Any) -> Any:
    """Reduce a block with the record of the users of its memory."""
    references = getattr(block, "refs", None)
    if not _is_shared(references):
        return NotImplemented
    maker, arguments, *_ = block.__reduce__()
    return maker, arguments, (references,), None, None, set_block_references


def set_block_references(block: Any, state: tuple[Any]) -> None:
    """Add a block to the record of the users of its memory."""
    (references,) = state
    block.refs = references
    references.add_reference(block)


def reduce_index(_pickler: Pickler, index: Any) -> Any:
    """Reduce an index, with the record if it was made from a column."""
    references = getattr(index, "_references", None)
    if not _is_shared(references):
        return NotImplemented
    reduced = index.__reduce__()
    # Only an index of an array can share its memory; a RangeIndex, for example, has none.
    has_data = isinstance(reduced, tuple) and "data" in reduced[1][-1] and (*reduced, None)[2] is None
    if not has_data:
        return NotImplemented
    return reduced[0], reduced[1], (references,), None, None, set_index_references


def set_index_references(index: Any, state: tuple[Any]) -> None:
    """Add an index to the record of the users of its memory."""
    (references,) = state
    index._references = references  # noqa: SLF001
    references.add_index_reference(index)


def _is_shared(references: Any) -> bool:
    """Whether pandas records more than one user of some memory; a single user gets a new record anyway."""
    return type(references).__name__ == "BlockValuesRefs" and bool(references.has_reference())


def reduce_references(_pickler: Pickler, _references: Any) -> Any:
    """Reduce a record to an empty one, to which the users add themselves."""
    return make_references, ()


def make_references() -> Any:
    """Make an empty record of the users of some memory."""
    internals: Any = importlib.import_module("pandas._libs.internals")
    return internals.BlockValuesRefs(None)


def reduce_frame(pickler: Pickler, frame: Any) -> Any:
    """Reduce a frame or series with attributes that the user has added, which pandas would drop."""
    known = {*type(frame)._internal_names, *type(frame)._metadata, "_attrs", "attrs"}  # noqa: SLF001
    attributes = pickler.savable({name: value for name, value in vars(frame).items() if name not in known}, frame)
    if not attributes:
        return NotImplemented
    pickler.runs_user_code |= type(frame).__module__ == "__main__"
    reduced = frame.__reduce_ex__(5)
    return *reduced[:2], (reduced[2], attributes), None, None, set_frame


def set_frame(frame: Any, state: tuple[Any, dict[str, Any]]) -> None:
    """Set the state of a frame or series, and the user's attributes."""
    own, attributes = state
    frame.__setstate__(own)
    vars(frame).update(attributes)


def reduce_series_manager(_pickler: Pickler, manager: Any) -> Any:
    """Reduce a series by its block; pandas would pickle the array without the record."""
    if len(manager.blocks) != 1 or type(getattr(manager.blocks[0], "refs", None)).__name__ != "BlockValuesRefs":
        return NotImplemented
    return make_series_manager, (manager.blocks[0], manager.axes[0])


def make_series_manager(block: Any, axis: Any) -> Any:
    """Make the manager of a series."""
    managers: Any = importlib.import_module("pandas.core.internals.managers")
    return managers.SingleBlockManager(block, axis)


def reduce_arrow_array(_pickler: Pickler, array: Any) -> Any:
    """Reduce an Arrow array to its chunks, which pandas would first copy into one.

    For a part of a chunk, Arrow pickles the whole chunk: then the copy is better.
    """
    data = getattr(array, "_pa_array", None)
    if data is None or not data.num_chunks or data.get_total_buffer_size() > 2 * data.nbytes:
        return NotImplemented
    state = {**vars(array), "_pa_array": data.chunks}
    return copyreg.__newobj__, (type(array),), state | ({"_cache": {}} if "_cache" in state else {})  # type: ignore[attr-defined]


REDUCERS: "dict[str, Reducer]" = {
    "pandas.DataFrame": reduce_frame,
    "pandas.Series": reduce_frame,
    "pandas.core.frame.DataFrame": reduce_frame,
    "pandas.core.series.Series": reduce_frame,
    "pandas.arrays.ArrowExtensionArray": reduce_arrow_array,
    "pandas.arrays.ArrowStringArray": reduce_arrow_array,
    "pandas.core.arrays.arrow.array.ArrowExtensionArray": reduce_arrow_array,
    "pandas.core.arrays.string_arrow.ArrowStringArray": reduce_arrow_array,
    "pandas._libs.internals.BlockValuesRefs": reduce_references,
    "pandas.core.internals.managers.SingleBlockManager": reduce_series_manager,
}
