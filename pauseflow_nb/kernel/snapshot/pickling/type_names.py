"""Name a type, its module and its owner; cells may set a module to anything, and C libraries may have none."""

import functools
import os
import re
import sys
import types
from pathlib import Path
from typing import Any

_NAME, _QUALIFIED_NAME = (vars(type)[name].__get__ for name in ("__name__", "__qualname__"))
_PACKAGES = re.compile(r"[/\\](site|dist)-packages[/\\]")


def module_of(kind: type) -> str:
    """Name the module that a type says it is from; empty if it says nothing."""
    try:
        module: object = kind.__module__
    except Exception:  # noqa: BLE001 - a metaclass of the user's answers
        return ""
    return module if isinstance(module, str) else ""


def name_of(kind: type) -> str:
    """Read the name of a type, whatever its metaclass answers."""
    return _NAME(kind)  # type: ignore[no-any-return]


def qualified_name(kind: type) -> str:
    """Read the name of a type with the names of what it was defined in, whatever its metaclass answers."""
    return _QUALIFIED_NAME(kind)  # type: ignore[no-any-return]


def library_of(kind: type) -> str:
    """Name the top package that a type is from."""
    return module_of(kind).partition(".")[0]


def full_name(kind: type) -> str:
    """Name a type with its module."""
    return f"{module_of(kind)}.{qualified_name(kind)}"


def is_users(kind: type) -> bool:
    """Whether a class is the user's own: of the notebook, or of a module that nobody installed."""
    module = module_of(kind)
    return module == "__main__" or is_users_module(module)


def is_users_module(name: str) -> bool:
    """Whether a module that is loaded lies where nobody installs any: beside the notebook."""
    return _lies_beside(name, getattr(sys.modules.get(name), "__file__", None))


def module_of_function(function: Any) -> str:
    """Name the module that something to be called is from: that of the function, or of the object that it is called on."""
    function = _unwrapped(function)
    if isinstance(function, types.MethodType):
        owner = function.__self__
        return module_of(owner if isinstance(owner, type) else type(owner))
    if not isinstance(function, (types.FunctionType, types.BuiltinFunctionType, type)):
        return type(function).__module__
    return str(getattr(function, "__module__", ""))


def full_name_of_function(function: Any) -> str:
    """Name something to be called with its module."""
    function = _unwrapped(function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{module_of_function(function)}.{name}"


def _unwrapped(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def is_of_cells(function: Any) -> bool:
    """Whether something to be called is the user's own: of the notebook, or of a module that nobody installed."""
    module = module_of_function(function)
    return module == "__main__" or is_users_module(module)


@functools.lru_cache(maxsize=4096)
def _lies_beside(module: str, file: object) -> bool:
    return isinstance(file, str) and module.partition(".")[0] != "pauseflow_nb" and not is_installed(file)


def is_installed(file: str) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    # Packages lie in folders of these names wherever they were installed: for one user, for one environment, for all.
    return file.startswith(_standard_library()) or _PACKAGES.search(file) is not None


@functools.cache
def _standard_library() -> tuple[str, ...]:
    place = str(Path(os.__file__).parent)
    return (place + os.sep, os.path.realpath(place) + os.sep)
