"""Reduce the notebook's functions, closures and classes, and make them again.

cloudpickle does most of it. The differences: a function's globals are the live namespace instead of a
copy; closure cells are shared between the functions that share them; `__slots__` survive; a class comes
back without its metaclass or `__init_subclass__` doing their work a second time.

Pickles name the `make_…` and `set_…` functions, so their names and arguments may never change.
"""

import importlib
import sys
import types
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling import cloudpickle_private
from pauseflow_nb.kernel.snapshot.pickling.load_context import is_trial, live_module_namespace, live_namespace
from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler
from pauseflow_nb.kernel.snapshot.pickling.types.enums import reduce_enum


class Globals:
    """Refer to a dict of globals that exists in the kernel that restores the function."""

    def __init__(self, module: str | None) -> None:
        self.module = module

    def __reduce__(self) -> Any:
        return (live_namespace, ()) if self.module is None else (live_module_namespace, (self.module,))


def reduce_function(pickler: Pickler, function: types.FunctionType) -> Any:
    """Reduce a function that cannot be imported."""
    code, copied_globals, *_ = cloudpickle_private.function_arguments(pickler, function)
    state, slots = cloudpickle_private.function_state(function)
    namespace: Any = copied_globals
    live = _live_globals(pickler, function)
    if live is not None:
        namespace = live
        slots["__globals__"] = {}
    if parameters := getattr(function, "__type_params__", ()):
        # Of `def f[T](…)`, since Python 3.12.
        slots["__type_params__"] = parameters
    cells = function.__closure__
    slots["__closure__"] = None
    # The arguments have empty cells, and the state their contents, because a function may close over itself.
    slots["_cells"] = [_contents(cell) for cell in cells or ()]
    pickler.bare_cells.update(id(cell) for cell in cells or ())
    return make_function, (code, namespace, cells), (state, slots), None, None, set_function_state


def _live_globals(pickler: Pickler, function: types.FunctionType) -> Globals | None:
    if function.__globals__ is pickler.namespace:
        return Globals(None)
    name = function.__globals__.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) and name != "__main__" else None
    return Globals(name) if module is not None and vars(module) is function.__globals__ else None


def _contents(cell: types.CellType) -> tuple[bool, Any]:
    try:
        return True, cell.cell_contents
    except ValueError:
        return False, None


def make_function(code: types.CodeType, namespace: dict[str, Any], cells: tuple[types.CellType, ...] | None) -> Any:
    """Make a function whose closure cells are still empty."""
    return types.FunctionType(code, namespace, None, None, cells)


def set_function_state(function: types.FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Set defaults, attributes and the contents of the closure cells."""
    attributes, slots = state
    contents = slots.pop("_cells")
    cells = function.__closure__ or ()
    builtins = function.__globals__.get("__builtins__")
    cloudpickle_private.set_function(function, (attributes, slots))
    if builtins is not None:
        function.__globals__["__builtins__"] = builtins
    for cell, (is_filled, value) in zip(cells, contents, strict=False):
        if is_filled:
            cell.cell_contents = value


def reduce_code(_pickler: Pickler, code: types.CodeType) -> Any:
    """Reduce code with its file name, which cloudpickle drops since 3.1.3."""
    maker, arguments = cloudpickle_private.code_arguments(code)
    return make_code, (maker, arguments, code.co_filename)


def make_code(maker: Any, arguments: tuple[Any, ...], filename: str) -> types.CodeType:
    """Make code whose source tracebacks and `inspect.getsource` can find."""
    made: types.CodeType = maker(*arguments)
    return made.replace(co_filename=filename)


def reduce_cell(pickler: Pickler, cell: types.CellType) -> Any:
    """Reduce a closure cell, without its contents if they are saved with its function."""
    if id(cell) in pickler.bare_cells:
        return make_cell, ()
    return make_cell, (), _contents(cell), None, None, set_cell


def make_cell() -> types.CellType:
    """Make an empty closure cell."""
    return types.CellType()


def set_cell(cell: types.CellType, contents: tuple[bool, Any]) -> None:
    """Fill a closure cell, unless it was empty."""
    if contents[0]:
        cell.cell_contents = contents[1]


def reduce_class(defined: type, reduced: tuple[Any, ...]) -> Any:
    """Reduce a class as cloudpickle does, with corrections."""
    if cloudpickle_private.is_made_by(reduced, "_make_skeleton_enum"):
        return reduce_enum(defined, reduced)
    if not cloudpickle_private.is_made_by(reduced, "_make_skeleton_class"):
        return reduced
    metaclass, name, bases, keywords, tracker, extra = reduced[1]
    # cloudpickle saves only the name, so an inner class would lose its qualified name.
    keywords = {**keywords, "__qualname__": defined.__qualname__}
    state, slot_state = reduced[2]
    slots = defined.__dict__.get("__slots__")
    if slots:
        # cloudpickle drops the slots; empty ones must stay dropped, because they break NamedTuple.
        keywords = {**keywords, "__slots__": slots}
        made = _slot_names(defined.__name__, slots)
        state = {key: value for key, value in state.items() if key not in made}
    is_parametrised = bool((defined.__dict__.get("__pydantic_generic_metadata__") or {}).get("origin"))
    setter = set_parametrised_state if is_parametrised else cloudpickle_private.set_class
    return make_class, (metaclass, name, bases, keywords, tracker, extra), (state, slot_state), None, None, setter


def set_parametrised_state(defined: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Set the state of a pydantic model such as `Box[int]`, and register it, so that `Box[int]` returns it."""
    cloudpickle_private.set_class(defined, state)
    if is_trial():
        return
    generics: Any = importlib.import_module("pydantic._internal._generics")
    metadata = defined.__pydantic_generic_metadata__
    origin, arguments = metadata["origin"], metadata["args"]
    generics.set_cached_generic_type(origin, arguments, defined, origin, arguments)


def _slot_names(class_name: str, slots: Any) -> set[str]:
    names = [slots] if isinstance(slots, str) else list(slots)
    private = class_name.lstrip("_")
    return {
        "__slots__",
        *(f"_{private}{name}" if name.startswith("__") and not name.endswith("__") else name for name in names),
    }


def make_class(  # noqa: PLR0917 - a pickle passes arguments by position
    metaclass: type, name: str, bases: tuple[Any, ...], keywords: dict[str, Any], tracker: Any, extra: Any
) -> type:
    """Make a class without its attributes, which follow as state.

    The effects of the notebook's own metaclass or `__init_subclass__` are in the saved state. Calling them again
    would register the class twice, or fail because of missing arguments.
    """
    del extra
    silenced = _silence(bases)
    try:
        namespace = {sys.intern(key): value for key, value in keywords.items()}
        made = _make_skeleton(metaclass, name, bases, namespace)
    finally:
        for base, hook in silenced:
            type.__setattr__(base, "__init_subclass__", hook)
    return cloudpickle_private.known_class(None if is_trial() else tracker, made)


def _make_skeleton(metaclass: type, name: str, bases: tuple[Any, ...], namespace: dict[str, Any]) -> type:
    if not _is_notebooks(metaclass):
        return types.new_class(name, bases, {"metaclass": metaclass}, lambda own: own.update(namespace))
    resolved = types.resolve_bases(bases)
    if resolved is not bases:
        namespace["__orig_bases__"] = bases
    library = next(kind for kind in metaclass.__mro__ if not _is_notebooks(kind))
    return library.__new__(metaclass, name, resolved, namespace)


def _silence(bases: tuple[Any, ...]) -> list[tuple[type, Any]]:
    silenced = []
    for base in bases:
        for kind in getattr(base, "__mro__", ()):
            if _is_notebooks(kind) and "__init_subclass__" in vars(kind):
                silenced.append((kind, vars(kind)["__init_subclass__"]))
                type.__setattr__(kind, "__init_subclass__", classmethod(_ignore))
    return silenced


def _ignore(_cls: type, /, **_keywords: Any) -> None:
    pass


def _is_notebooks(kind: type) -> bool:
    return getattr(kind, "__module__", None) == "__main__"
