"""Reduce designs of patsy and statsmodels, which patsy refuses to pickle."""

import copyreg
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler, Reducer
from pauseflow_nb.kernel.snapshot.pickling.type_names import library_of, name_of
from pauseflow_nb.kernel.snapshot.pickling.types.functions import Globals
from pauseflow_nb.kernel.snapshot.pickling.types.numpy_arrays import make_view, set_attributes


def find_reducer(kind: type) -> Reducer | None:
    """Find how to take apart objects of a type of these libraries."""
    if name_of(kind) == "DesignMatrix":
        return reduce_matrix
    if name_of(kind) == "EvalEnvironment":
        return reduce_environment
    if library_of(kind) == "statsmodels":
        return reduce_data if any(base.__name__ == "ModelData" for base in kind.__mro__) else None
    # Whatever is pickled in a way of its own refuses to be.
    is_refused = getattr(kind, "__getstate__", None) is not vars(object).get("__getstate__")
    return reduce_by_attributes if is_refused and not hasattr(kind, "__setstate__") else None


def reduce_by_attributes(_pickler: Pickler, value: Any) -> Any:
    """Take an object apart as Python does."""
    return copyreg.__newobj__, (type(value),), vars(value) or None  # type: ignore[attr-defined]


def reduce_data(pickler: Pickler, data: Any) -> Any:
    """Take a model's data apart with its design; statsmodels makes that anew, where functions of the notebook are unknown."""
    designs = {name: value for name, value in vars(data).items() if name in _DESIGNS}
    if not designs or len(pickler.savable(designs, data)) < len(designs):
        return NotImplemented
    return reduce_by_attributes(pickler, data)


#: Attributes that statsmodels leaves out: their names in version 0.14, and since.
_DESIGNS = frozenset({"design_info", "model_spec"})


def reduce_environment(pickler: Pickler, environment: Any) -> Any:
    """Take apart what a formula is evaluated in; where it is the notebook's namespace, the live one comes back."""
    state = {
        name: [Globals(None) if each is pickler.namespace else each for each in value]
        if isinstance(value, list)
        else value
        for name, value in vars(environment).items()
    }
    return copyreg.__newobj__, (type(environment),), state  # type: ignore[attr-defined]


def reduce_matrix(_pickler: Pickler, matrix: Any) -> Any:
    """Take a matrix apart into its numbers and the design that made them."""
    import numpy as np

    return make_view, (type(matrix), matrix.view(np.ndarray)), vars(matrix) or None, None, None, set_attributes
