"""Return names of types, their modules and their owners, which cells may set to anything and C may leave out."""

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
    """Return the module that a type names; empty if it names none."""
    try:
        module: object = kind.__module__
    except Exception:  # noqa: BLE001 - a metaclass of the user's answers
        return ""
    return module if isinstance(module, str) else ""


def name_of(kind: type) -> str:
    """Return the name of a type, independently of its metaclass."""
    return _NAME(kind)  # type: ignore[no-any-return]


def qualified_name(kind: type) -> str:
    """Return the qualified name of a type, independently of its metaclass."""
    return _QUALIFIED_NAME(kind)  # type: ignore[no-any-return]


def library_of(kind: type) -> str:
    """Return the top-level package of a type."""
    return module_of(kind).partition(".")[0]


def full_name(kind: type) -> str:
    """Return the name of a type with its module."""
    return f"{module_of(kind)}.{qualified_name(kind)}"


def is_users(kind: type) -> bool:
    """Whether a class is the user's own: of the notebook, or of a module that is not installed."""
    module = module_of(kind)
    return module == "__main__" or is_users_module(module)


def is_users_module(name: str) -> bool:
    """Whether a loaded module is not in a folder of installed packages, such as one beside the notebook."""
    return _is_beside_notebook(name, getattr(sys.modules.get(name), "__file__", None))


def module_of_function(function: Any) -> str:
    """Return the module of a callable: of the function, or of the object of a method."""
    function = _unwrapped(function)
    if isinstance(function, types.MethodType):
        owner = function.__self__
        return module_of(owner if isinstance(owner, type) else type(owner))
    if not isinstance(function, (types.FunctionType, types.BuiltinFunctionType, type)):
        return type(function).__module__
    return str(getattr(function, "__module__", ""))


def full_name_of_function(function: Any) -> str:
    """Return the name of a callable with its module."""
    function = _unwrapped(function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{module_of_function(function)}.{name}"


def _unwrapped(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def is_of_cells(function: Any) -> bool:
    """Whether a callable is the user's own: of the notebook, or of a module that is not installed."""
    module = module_of_function(function)
    return module == "__main__" or is_users_module(module)


@functools.lru_cache(maxsize=4096)
def _is_beside_notebook(module: str, file: object) -> bool:
    return isinstance(file, str) and module.partition(".")[0] != "pauseflow_nb" and not is_installed(file)


def is_installed(file: str) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    # Packages are in folders of these names wherever they are installed: for a user, an environment, or the system.
    return file.startswith(_standard_library()) or _PACKAGES.search(file) is not None


@functools.cache
def _standard_library() -> tuple[str, ...]:
    place = str(Path(os.__file__).parent)
    return (place + os.sep, os.path.realpath(place) + os.sep)
