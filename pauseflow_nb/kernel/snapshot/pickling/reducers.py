"""Choose the function that reduces objects of a type; the rules for a library are loaded with its first object."""

import enum
import io
import logging
import types
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling import external_objects
from pauseflow_nb.kernel.snapshot.pickling.cloudpickle_private import is_importable
from pauseflow_nb.kernel.snapshot.pickling.load_context import live_session, live_shell
from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler, Reducer
from pauseflow_nb.kernel.snapshot.pickling.type_names import full_name, is_users, library_of, module_of, name_of
from pauseflow_nb.kernel.snapshot.pickling.types import builtin, functions, user_classes, widget_models
from pauseflow_nb.kernel.snapshot.pickling.types.enums import reduce_member
from pauseflow_nb.kernel.snapshot.pickling.types.exceptions import reduce_exception, reduce_traceback
from pauseflow_nb.kernel.snapshot.pickling.types.log_handlers import reduce_handler
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import CannotSave, find_reason


def find_reducer(kind: type, shell: Any) -> Reducer | None:  # noqa: PLR0911, PLR0912 - one case per line
    """Return the function that reduces objects of a type; None for pickle's own way."""
    if kind is type(shell):
        return _reduce_shell
    if kind is type(getattr(shell, "pauseflow", None)) and kind is not type(None):
        return _reduce_session
    full = full_name(kind)
    found: Reducer | None = builtin.REDUCERS.get(full) or widget_models.REDUCERS.get(full)
    if found is not None:
        return found
    if kind is types.MethodType:
        return external_objects.reduce_kernel_method
    if kind is types.CellType:
        return functions.reduce_cell
    if kind is types.CodeType:
        return functions.reduce_code
    if kind is types.TracebackType:
        return reduce_traceback
    if issubclass(kind, BaseException):
        return reduce_exception
    if issubclass(kind, logging.Handler):
        return reduce_handler
    if issubclass(kind, enum.Enum) and is_users(kind):
        return reduce_member
    if issubclass(kind, io.IOBase) and not issubclass(kind, (io.BytesIO, io.StringIO)):
        return builtin.reduce_file
    if (reason := find_reason(kind)) is not None:
        return _refuse(reason)
    if widget_models.has_traits(kind):
        return widget_models.reduce_traits
    return _library_reducer(kind, full) or _users_own(kind)


def _library_base(kind: type) -> type:
    return next(base for base in kind.__mro__ if not is_users(base))


def _library_reducer(kind: type, full: str) -> Reducer | None:
    library = library_of(kind)
    if library == "numpy":
        from pauseflow_nb.kernel.snapshot.pickling.types.numpy_arrays import REDUCERS
    elif library == "torch":
        from pauseflow_nb.kernel.snapshot.pickling.types.torch_tensors import REDUCERS
    elif library in {"patsy", "statsmodels"}:
        from pauseflow_nb.kernel.snapshot.pickling.types.formulas import find_reducer

        return find_reducer(kind)
    elif library == "polars":
        from pauseflow_nb.kernel.snapshot.pickling.types.polars_frames import REDUCERS
    elif library == "pandas":
        from pauseflow_nb.kernel.snapshot.pickling.types.pandas_frames import REDUCERS, reduce_block, reduce_index

        if "Block" in name_of(kind) and module_of(kind).endswith("internals.blocks"):
            return reduce_block
        if any(base.__name__ == "Index" and library_of(base) == "pandas" for base in kind.__mro__):
            return reduce_index
    else:
        return None
    return REDUCERS.get(full)


def _users_own(kind: type) -> Reducer | None:
    if not is_users(kind):
        if isinstance(kind.__reduce__, types.FunctionType):
            return _reduce_named
        if not _is_made_by_python(kind):
            return None
        return user_classes.reduce_own if _needs_more_than_value(kind) else _reduce_with_trial
    if user_classes.needs_care(kind):
        return user_classes.reduce_own
    library = _library_base(kind)
    if library is not object and _reduces_like(kind, library):
        special = _subclass_reducer(library)
        if special is not None:
            return special
    has_hooks = any(hasattr(kind, hook) for hook in _HOOKS) or kind.__hash__ not in {None, library.__hash__}
    return _reduce_users_own if has_hooks or not _reduces_like(kind, object) else None


#: Methods that pickle calls while it loads an object. `__hash__` counts only if the notebook defines it.
_HOOKS = ("__setstate__", "__getnewargs__", "__getnewargs_ex__")


def _is_made_by_python(kind: type) -> bool:
    """Whether pickle would call without arguments a `__new__` that may require some."""
    # Those of built-in types give the value alone.
    hooks = (getattr(kind, hook, None) for hook in ("__getnewargs__", "__getnewargs_ex__"))
    has_arguments = any(isinstance(hook, types.FunctionType) for hook in hooks)
    return isinstance(kind.__new__, types.FunctionType) and _reduces_like(kind, object) and not has_arguments


def _needs_more_than_value(kind: type) -> bool:
    """Whether the `__new__` of a kind of text or number requires more than the text or number."""
    made: Any = kind.__new__
    required = made.__code__.co_argcount - len(made.__defaults__ or ())
    return required > len(("the class", "the value")) and user_classes.find_builtin_base(kind) in user_classes.PLAIN


def _reduce_with_trial(pickler: Pickler, value: Any) -> Any:
    pickler.runs_user_code = True
    pickler.leave_to_pickle(type(value))
    return NotImplemented


def _reduces_like(kind: type, other: type) -> bool:
    methods = ("__reduce__", "__reduce_ex__")
    return all(getattr(kind, method) is getattr(other, method) for method in methods)


def _subclass_reducer(library: type) -> Reducer | None:
    """Return the function that reduces a notebook's subclass whose attributes the library's own way would lose."""
    if module_of(library) == "numpy" and library.__name__ == "ndarray":
        from pauseflow_nb.kernel.snapshot.pickling.types.numpy_arrays import reduce_own_subclass

        return reduce_own_subclass
    if module_of(library) == "numpy" and any(base.__qualname__ == "generic" for base in library.__mro__):
        from pauseflow_nb.kernel.snapshot.pickling.types.numpy_arrays import reduce_own_scalar

        return reduce_own_scalar
    if library_of(library) == "pandas" and library.__name__ in {"DataFrame", "Series"}:
        from pauseflow_nb.kernel.snapshot.pickling.types.pandas_frames import reduce_frame

        return reduce_frame
    if library_of(library) == "torch" and library.__name__ in {"Tensor", "Parameter"}:
        from pauseflow_nb.kernel.snapshot.pickling.types.torch_tensors import reduce_tensor

        return reduce_tensor
    return builtin.reduce_with_attributes if issubclass(library, builtin.FORGETFUL) else None


def _reduce_users_own(pickler: Pickler, value: Any) -> Any:
    pickler.runs_user_code = True
    kind = type(value)
    if _reduces_like(kind, object):
        pickler.leave_to_pickle(kind)
        return NotImplemented
    reduced = value.__reduce_ex__(5)
    # An object that reduces to a name is looked up in its module; the notebook's module does not have it yet.
    return builtin.reduce_named_global(value, reduced) if isinstance(reduced, str) else reduced


def _reduce_named(_pickler: Pickler, value: Any) -> Any:
    """Reduce an object of a library in its own way, or by value if that is a name which only the notebook has."""
    reduced = value.__reduce_ex__(5)
    is_unknown = isinstance(reduced, str) and not is_importable(value, reduced)
    return builtin.reduce_named_global(value, reduced) if is_unknown else reduced


def _refuse(reason: str) -> Reducer:
    def refuse(_pickler: Pickler, _value: Any) -> Any:
        raise CannotSave(reason)

    return refuse


def _reduce_shell(pickler: Pickler, shell: Any) -> Any:
    del pickler, shell
    return live_shell, ()


def _reduce_session(pickler: Pickler, session: Any) -> Any:
    del pickler, session
    return live_session, ()
