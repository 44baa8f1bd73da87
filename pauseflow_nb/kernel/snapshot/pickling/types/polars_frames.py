"""Reduce polars frames as Arrow tables, whose memory leaves the pickle and is mapped on restore.

Pickles name the `make_…` functions, so their names and arguments may never change.
"""

import copyreg
import importlib.util
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler, Reducer
from pauseflow_nb.kernel.snapshot.pickling.types.numpy_arrays import OUT_OF_BAND
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import CannotSave

_BY_ARROW = {"String", "Boolean", "Binary"}


def reduce_frame(_pickler: Pickler, frame: Any) -> Any:
    import polars as pl

    is_series = isinstance(frame, pl.Series)
    table = frame.to_frame() if is_series else frame
    if table.estimated_size() < OUT_OF_BAND or importlib.util.find_spec("pyarrow") is None:
        return NotImplemented
    if not all(dtype.is_numeric() or dtype.is_temporal() or str(dtype) in _BY_ARROW for dtype in table.dtypes):
        return NotImplemented
    # Arrow does not store that polars knows a column to be sorted, which saves work.
    order = {s.name: s.flags["SORTED_DESC"] for s in table if s.flags["SORTED_ASC"] or s.flags["SORTED_DESC"]}
    return make_frame, (table.to_arrow(compat_level=pl.CompatLevel.newest()), is_series, order)


def make_frame(table: Any, is_series: bool, order: "dict[str, bool] | None" = None) -> Any:
    import polars as pl

    frame: Any = pl.from_arrow(table, rechunk=False)
    for name, is_descending in (order or {}).items():
        frame = frame.with_columns(pl.col(name).set_sorted(descending=is_descending))
    return frame.to_series(0) if is_series and isinstance(frame, pl.DataFrame) else frame


def reduce_plan(_pickler: Pickler, plan: Any) -> Any:
    """Save an expression or a lazy frame, unless polars would save a function of the notebook within it."""
    state = plan.__getstate__()
    if b"__main__" in state:
        raise CannotSave(
            "it holds a function of the notebook, which would not see later changes; make it where you use it"
        )
    return copyreg.__newobj__, (type(plan),), state  # type: ignore[attr-defined]


REDUCERS: "dict[str, Reducer]" = {
    "polars.lazyframe.frame.LazyFrame": reduce_plan,
    "polars.expr.expr.Expr": reduce_plan,
    "polars.dataframe.frame.DataFrame": reduce_frame,
    "polars.series.series.Series": reduce_frame,
}
