"""Find objects that do not belong to the notebook: the shell, its kernel, streams, and unnamed types.

They are restored as their counterparts in the new kernel.
"""

import io
import random  # noqa: F401 - its generator is looked up below
import sys
import types
from collections.abc import Mapping
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.load_context import (
    NAMELESS,
    kernel_method,
    live_attribute,
    nameless_type,
    type_of,
)
from pauseflow_nb.kernel.snapshot.pickling.type_names import is_users, library_of, module_of
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import CannotSave

#: Libraries whose objects in the shell and the kernel run the notebook.
_MACHINERY = frozenset({"IPython", "ipykernel", "jupyter_client", "comm"})


def live_objects() -> dict[int, tuple[str, str]]:
    """Return the id of each object that is restored by importing it."""
    places = [("os", "environ"), ("random", "_inst"), ("sys", "stdout"), ("sys", "stderr"), ("sys", "stdin")]
    places += [("sys", "__stdout__"), ("sys", "__stderr__"), ("sys", "__stdin__")]
    optional = [("matplotlib", "rcParams"), ("pauseflow_nb.kernel.flow", "flow"), ("pauseflow_nb.kernel.flow", "steps")]
    places += [(module, name) for module, name in optional if module in sys.modules]
    found = [(getattr(sys.modules[module], name, None), (module, name)) for module, name in places]
    return {id(value): place for value, place in found if value is not None and not is_stream_of_cells(value)}


def is_stream_of_cells(stream: Any) -> bool:
    """Whether a cell has replaced `sys.stdout` by this stream, which a new kernel does not have."""
    if stream is None or stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        return False
    return is_users(type(stream)) or type(stream) in {io.StringIO, io.TextIOWrapper}


def find_parts(shell: Any) -> dict[int, tuple[str, ...]]:
    """Return the id of each part of the shell and its kernel → the attributes that lead to it."""
    parts: dict[int, tuple[str, ...]] = {}
    kernel = getattr(shell, "kernel", None)
    owners: list[tuple[tuple[str, ...], Any]] = [((), shell)]
    if kernel is not None:
        parts[id(kernel)] = ("kernel",)
        owners.append((("kernel",), kernel))
    for path, owner in owners:
        attributes: Mapping[str, Any] = {**vars(owner), **getattr(owner, "_trait_values", {})}
        for name, value in attributes.items():
            is_machinery = library_of(type(value)) in _MACHINERY or name == "config"
            if is_machinery and not isinstance(value, types.FunctionType | type):
                parts.setdefault(id(value), (*path, name))
    parts.pop(id(shell), None)
    return parts


def reduce_kernel_method(pickler: Any, method: types.MethodType) -> Any:
    """Reduce a method; `input` and `getpass` are methods of the kernel while a cell runs."""
    if method.__self__ is getattr(pickler.shell, "kernel", None) and method.__self__ is not None:
        return kernel_method, (method.__func__.__name__,)
    return NotImplemented


def reduce_tee(function: types.FunctionType) -> Any:
    """Reduce IPython's replacement of a stream's `write` while a cell runs to the original `write`."""
    if function.__module__ != "IPython.core.interactiveshell" or "._tee.<locals>" not in function.__qualname__:
        return None
    names = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=False))
    return (live_attribute, ("sys", f"{names['channel'].cell_contents}.write")) if "channel" in names else None


def find_type(kind: type) -> Any:
    """Reduce a type that cannot be found under its own name, but elsewhere in Python or its standard library.

    Returns:
        The function that makes it again, and its arguments; None if it is a class like those that cells define.

    Raises:
        CannotSave: If it is a built-in type that cannot be reached.
    """
    if is_users(kind):
        return None
    modules = sorted(sys.stdlib_module_names & sys.modules.keys(), key=lambda name: (name != "types", name))
    offered = [(module, name, value) for module in modules for name, value in list(vars(sys.modules[module]).items())]
    for module, name, value in offered:
        if value is kind:
            return live_attribute, (module, name)
    for name, make in NAMELESS.items():
        if type(make()) is kind:
            return nameless_type, (name,)
    for module, name, value in offered:
        if type(value) is kind:
            return type_of, (module, name)
    if _is_built_in(kind):
        raise CannotSave(
            f"the type {module_of(kind)}.{kind.__qualname__} has no name in a module; use type(…) where it is needed"
        )
    return None


def _is_built_in(kind: type) -> bool:
    of_c = types.WrapperDescriptorType | types.MethodDescriptorType
    return any(isinstance(value, of_c) and value.__objclass__ is kind for value in vars(kind).values())
