"""Pickle small variables of simple types together, so that three hundred take as long as one.

Only types whose loading cannot fail go together, because a frame is loaded as a whole. Suitable variables are found
by trying; unsuitable ones are not tried again.
"""

import time
import types
from collections.abc import Mapping
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling import set_order, verify
from pauseflow_nb.kernel.snapshot.pickling.memo_table import has_pickled
from pauseflow_nb.kernel.snapshot.pickling.pickled import Dump, Refused
from pauseflow_nb.kernel.snapshot.pickling.pickler import Environment, SnapshotPickler
from pauseflow_nb.kernel.snapshot.pickling.secrets_in_pickles import have_secret
from pauseflow_nb.kernel.snapshot.pickling.type_names import full_name, library_of, name_of
from pauseflow_nb.kernel.snapshot.storage.chunks import Pieces

#: Most bytes of a batch, which is written again for every change in it.
_LARGEST = 512 << 10
#: Types of variables in a batch.
_CONTAINERS = frozenset({list, dict, tuple, set, frozenset, str, bytes, int, float, bool, complex, type(None)})
#: Libraries whose objects load without code that depends on this machine.
_HARMLESS = frozenset(
    {"builtins", "numpy", "pandas", "pyarrow", "datetime", "decimal", "fractions", "collections", "uuid", "zoneinfo"}
)
#: The same, with libraries that may not be installed.
_OF_DATA = _HARMLESS | {"polars", "scipy", "torch", "xarray"}
#: Types that are never in a batch: a module may be a file beside the notebook that does not exist later.
_HARMFUL = frozenset({"memmap", "memoryview", "module"})
#: Functions of Cython name Cython's version as their module.
_BY_REFERENCE = frozenset({"cython_function_or_method"})

#: Size of a batch from which its large variables are searched.
_WORTH_ASKING = 256 << 10
#: Size of a variable from which it is pickled alone.
_ALONE = 64 << 10

#: Types that plain frames, series and arrays consist of: they need no trial.
_KNOWN_TO_LOAD = frozenset(
    {"builtins.slice", "numpy.ndarray", "pandas.DataFrame", "pandas.Series", "pandas.Index", "pandas.RangeIndex"}
    | {f"numpy.dtypes.{name}DType" for name in ("Int64", "Float64", "Bool", "Int32", "Float32", "Object", "DateTime64")}
    | {"numpy.float64", "numpy.int64", "numpy.bool", "pandas.StringDtype", "pandas.arrays.ArrowStringArray"}
    | {f"pyarrow.lib.{name}" for name in ("Buffer", "DataType", "LargeStringArray", "ChunkedArray")}
    | {f"pandas.core.internals.blocks.{name}Block" for name in ("Extension", "Numpy", "DatetimeLike")}
    | {f"pandas.core.internals.managers.{name}Manager" for name in ("Block", "SingleBlock")}
    | {"pandas._libs.internals.BlockValuesRefs", "datetime.datetime", "datetime.date", "decimal.Decimal", "uuid.UUID"}
)

_apart: set[str] = set()
#: Variables that were small at the last save.
_small: set[str] = set()
_proven: set[frozenset[type]] = set()


def dump_batch(environment: Environment, names: list[str]) -> Dump | None:
    """Pickle variables together; None if that does not work."""
    chosen = [name for name in names if name not in _apart and _may_value(environment.namespace[name])]
    if len(chosen) < 2:
        return None
    began = time.perf_counter()
    file = Pieces(_LARGEST)
    pickler = SnapshotPickler(file, environment, inlines_definitions=False)
    values = {name: environment.namespace[name] for name in chosen}
    try:
        pickler.dump({"values": values})
        if ordered := set_order.find_out_of_order(pickler):
            file = Pieces(_LARGEST)
            pickler = SnapshotPickler(file, environment, inlines_definitions=False)
            pickler.dump_in_order(ordered)
            pickler.dump({"values": values})
    except Exception:  # noqa: BLE001 - whatever it is, it will be found again and explained for its variable alone
        return None
    pieces = file.done()
    if pickler.buffers or sum(map(len, pieces)) > _WORTH_ASKING:
        # Large variables are pickled alone, so that their size and time are known.
        large = [name for name in chosen if _is_large(environment, name, again=bool(pickler.buffers))]
        _apart.update(large)
        if large:
            return dump_batch(environment, names)
    is_fit = not (has_pickled(pickler, environment.namespace) or pickler.needs) and all(map(_may, pickler.kinds))
    # If one contains the text of a secret, that variable will be refused alone.
    if not is_fit or have_secret(pieces, pickler.buffers):
        return None
    seconds = time.perf_counter() - began
    dump = Dump(chosen, pieces, pickler.buffers, has_definitions=False, pickler=pickler, seconds=seconds)
    kinds = frozenset(pickler.kinds)
    if kinds not in _proven and not all(map(_is_known_to_load, kinds)):
        # A batch that cannot be loaded is lost as a whole, so new combinations of types are tried.
        if verify.find_failure(dump.pieces, dump.buffers, environment.shell, {}) is not None:
            return None
        _proven.add(kinds)
    return dump


def is_data(dump: Dump) -> bool:
    """Whether a variable is pure data: loading it needs nothing of the notebook, and changes nothing."""
    pickler = dump.pickler
    is_bound = dump.has_definitions or pickler.needs or pickler.runs_user_code or pickler.uses_module_beside
    return not is_bound and all(_may(kind, _OF_DATA) for kind in pickler.kinds)


def _is_large(environment: Environment, name: str, *, again: bool) -> bool:
    if name in _small and not again:
        return False
    _small.add(name)
    file = Pieces(_LARGEST)
    pickler = SnapshotPickler(file, environment, inlines_definitions=False)
    pickler.dump(environment.namespace[name])
    return bool(pickler.buffers) or sum(map(len, file.done())) > _ALONE


def learn(single: Mapping[str, Dump], refused: Mapping[str, Refused]) -> None:
    """Remember which variables were pickled alone because they are unsuitable for batches."""
    for dump in single.values():
        is_large = sum(map(len, dump.pieces)) > _ALONE
        if is_large or dump.pickler.needs or not all(_may(kind) for kind in dump.pickler.kinds):
            _apart.update(dump.names)
    _apart.update(refused)


def _is_known_to_load(kind: type) -> bool:
    return name_of(kind) in _BY_REFERENCE or full_name(kind) in _KNOWN_TO_LOAD


def _may_value(value: Any) -> bool:
    # A class or function is loaded from its module, which may be a file beside the notebook that is deleted later.
    is_from_module = issubclass(type(value), (type, types.FunctionType))
    return not is_from_module and _may(type(value)) and not (type(value) in {str, bytes} and len(value) > _ALONE)


def _may(kind: type, libraries: frozenset[str] = _HARMLESS) -> bool:
    if name_of(kind) in _BY_REFERENCE:
        return True
    is_harmless = (
        library_of(kind) in libraries and name_of(kind) not in _HARMFUL and not issubclass(kind, BaseException)
    )
    return kind in _CONTAINERS or is_harmless
