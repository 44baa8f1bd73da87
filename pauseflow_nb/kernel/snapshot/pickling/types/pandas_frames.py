"""Reduce pandas objects so that shared memory stays shared, and copy-on-write still works.

pandas notes in each block, and in each index made from a column, who else uses the same memory, so that a
write copies first. Its pickles forget these notes; ours have them. Where a version of pandas keeps
them differently, every block gets memory of its own instead, which is right too, only larger.

Pickles name the `make_…` and `set_…` functions, so their names and arguments may never change.
"""

import copyreg
import importlib
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler, Reducer


def reduce_block(_pickler: Pickler, block: Any) -> Any:
    """Take a block apart together with the note on who shares its memory."""
    references = getattr(block, "refs", None)
    if not _is_shared(references):
        return NotImplemented
    maker, arguments, *_ = block.__reduce__()
    return maker, arguments, (references,), None, None, set_block_references


def set_block_references(block: Any, state: tuple[Any]) -> None:
    """Enter a block into the note on who shares its memory."""
    (references,) = state
    block.refs = references
    references.add_reference(block)


def reduce_index(_pickler: Pickler, index: Any) -> Any:
    """Take an index apart, with the note if it was made from a column."""
    references = getattr(index, "_references", None)
    if not _is_shared(references):
        return NotImplemented
    reduced = index.__reduce__()
    # Only an index over an array can share its memory; a RangeIndex, for one, has none.
    has_data = isinstance(reduced, tuple) and "data" in reduced[1][-1] and (*reduced, None)[2] is None
    if not has_data:
        return NotImplemented
    return reduced[0], reduced[1], (references,), None, None, set_index_references


def set_index_references(index: Any, state: tuple[Any]) -> None:
    """Enter an index into the note on who shares its memory."""
    (references,) = state
    index._references = references  # noqa: SLF001
    references.add_index_reference(index)


def _is_shared(references: Any) -> bool:
    """Whether pandas notes more than one user of some memory. What has it to itself gets a new note anyway."""
    return type(references).__name__ == "BlockValuesRefs" and bool(references.has_reference())


def reduce_references(_pickler: Pickler, _references: Any) -> Any:
    """The note itself: empty, those concerned enter themselves."""
    return make_references, ()


def make_references() -> Any:
    """Make an empty note on who shares memory."""
    internals: Any = importlib.import_module("pandas._libs.internals")
    return internals.BlockValuesRefs(None)


def reduce_frame(pickler: Pickler, frame: Any) -> Any:
    """Add the attributes that a user gave to a frame or series; pandas pickles only what its class names."""
    known = {*type(frame)._internal_names, *type(frame)._metadata, "_attrs", "attrs"}  # noqa: SLF001
    attributes = pickler.savable({name: value for name, value in vars(frame).items() if name not in known}, frame)
    if not attributes:
        return NotImplemented
    pickler.runs_user_code |= type(frame).__module__ == "__main__"
    reduced = frame.__reduce_ex__(5)
    return *reduced[:2], (reduced[2], attributes), None, None, set_frame


def set_frame(frame: Any, state: tuple[Any, dict[str, Any]]) -> None:
    """Fill a frame or series, and give it a user's attributes."""
    own, attributes = state
    frame.__setstate__(own)
    vars(frame).update(attributes)


def reduce_series_manager(_pickler: Pickler, manager: Any) -> Any:
    """Take a series apart by its block; pandas pickles the bare array instead, without the note."""
    if len(manager.blocks) != 1 or type(getattr(manager.blocks[0], "refs", None)).__name__ != "BlockValuesRefs":
        return NotImplemented
    return make_series_manager, (manager.blocks[0], manager.axes[0])


def make_series_manager(block: Any, axis: Any) -> Any:
    """Make the inside of a series."""
    managers: Any = importlib.import_module("pandas.core.internals.managers")
    return managers.SingleBlockManager(block, axis)


def reduce_arrow_array(_pickler: Pickler, array: Any) -> Any:
    """Take an array of Arrow's apart into its chunks; pandas copies it into a single one first.

    Of a part of a chunk, Arrow pickles all of the chunk: then the copy is the smaller evil.
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
