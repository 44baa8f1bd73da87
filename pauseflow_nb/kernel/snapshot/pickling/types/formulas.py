"""Reduce designs of patsy and statsmodels, which patsy refuses to pickle."""

import copyreg
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler, Reducer
from pauseflow_nb.kernel.snapshot.pickling.type_names import library_of, name_of
from pauseflow_nb.kernel.snapshot.pickling.types.functions import Globals
from pauseflow_nb.kernel.snapshot.pickling.types.numpy_arrays import make_view, set_attributes


def find_reducer(kind: type) -> Reducer | None:
    """Return the function that reduces objects of a type of these libraries."""
    if name_of(kind) == "DesignMatrix":
        return reduce_matrix
    if name_of(kind) == "EvalEnvironment":
        return reduce_environment
    if library_of(kind) == "statsmodels":
        return reduce_data if any(base.__name__ == "ModelData" for base in kind.__mro__) else None
    # The types with their own reduction are those that refuse.
    is_refused = getattr(kind, "__getstate__", None) is not vars(object).get("__getstate__")
    return reduce_by_attributes if is_refused and not hasattr(kind, "__setstate__") else None


def reduce_by_attributes(_pickler: Pickler, value: Any) -> Any:
    """Reduce an object as Python does by default."""
    return copyreg.__newobj__, (type(value),), vars(value) or None  # type: ignore[attr-defined]


def reduce_data(pickler: Pickler, data: Any) -> Any:
    """Reduce a model's data with its design, which statsmodels would make again without the notebook's functions."""
    designs = {name: value for name, value in vars(data).items() if name in _DESIGNS}
    if not designs or len(pickler.savable(designs, data)) < len(designs):
        return NotImplemented
    return reduce_by_attributes(pickler, data)


#: Attributes that statsmodels leaves out, by their names up to 0.14 and later.
_DESIGNS = frozenset({"design_info", "model_spec"})


def reduce_environment(pickler: Pickler, environment: Any) -> Any:
    """Reduce the environment of a formula; the notebook's namespace is restored as the live one."""
    state = {
        name: [Globals(None) if each is pickler.namespace else each for each in value]
        if isinstance(value, list)
        else value
        for name, value in vars(environment).items()
    }
    return copyreg.__newobj__, (type(environment),), state  # type: ignore[attr-defined]


def reduce_matrix(_pickler: Pickler, matrix: Any) -> Any:
    """Reduce a matrix to its numbers and the design that made them."""
    import numpy as np

    return make_view, (type(matrix), matrix.view(np.ndarray)), vars(matrix) or None, None, None, set_attributes
