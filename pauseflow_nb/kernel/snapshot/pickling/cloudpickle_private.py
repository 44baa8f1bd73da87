"""Use private names of cloudpickle, only in this module, and check the versions that have them.

Pickles name functions of this module, and never cloudpickle's.
"""

import types
from typing import Any

from cloudpickle import cloudpickle  # type: ignore[import-untyped]

#: The first supported version, and the first unsupported one, as in pyproject.toml.
SUPPORTED = ("3.1", "4")
#: The private names of cloudpickle that are used.
PRIVATE_NAMES = frozenset({
    "_builtin_type", "_class_setstate", "_code_reduce", "_function_getstate", "_function_setstate",
    "_get_dataclass_field_type_sentinel", "_lookup_class_or_track", "_lookup_module_and_qualname", "_make_skeleton_class",
    "_make_skeleton_enum", "_should_pickle_by_reference", "dynamic_subimport", "subimport",
})  # fmt: skip
#: Name of cloudpickle in pickles of schema 2 → our name that replaced it.
FORMER_NAMES = {
    "_builtin_type": "make_builtin_type",
    "_class_setstate": "set_class",
    "_get_dataclass_field_type_sentinel": "make_field_type",
    "dynamic_subimport": "make_module",
    "subimport": "import_module",
}


def _private(name: str) -> Any:
    assert name in PRIVATE_NAMES
    return getattr(cloudpickle, name)


def dispatch_table() -> dict[type, Any]:
    """Return type → function that reduces its objects, without names of cloudpickle in the results."""
    return {kind: _renaming(reduce) for kind, reduce in cloudpickle.Pickler.dispatch_table.items()}


def _renaming(reduce: Any) -> Any:
    def renamed(value: Any) -> Any:
        return _renamed(reduce(value))

    return renamed if getattr(reduce, "__module__", "") == cloudpickle.__name__ else reduce


def _renamed(reduced: Any) -> Any:
    if not isinstance(reduced, tuple):
        return reduced
    name = getattr(reduced[0], "__name__", "")
    is_private = name in FORMER_NAMES and reduced[0] is _private(name)
    return (globals()[FORMER_NAMES[name]], *reduced[1:]) if is_private else reduced


def is_made_by(reduced: Any, name: str) -> bool:
    """Whether cloudpickle would use this function of its own to make an object again."""
    return isinstance(reduced, tuple) and reduced[0] is _private(name)


def is_by_reference(value: Any) -> bool:
    """Whether a function or class is pickled by reference, because it can be imported."""
    return bool(_private("_should_pickle_by_reference")(value))


def is_importable(value: Any, name: str | None = None) -> bool:
    """Whether importing the name gives this same object."""
    return _private("_lookup_module_and_qualname")(value, name) is not None


def function_arguments(pickler: Any, function: types.FunctionType) -> Any:
    """Return the arguments that make a function: its code, the globals that it uses, and others."""
    return cloudpickle.Pickler._function_getnewargs(pickler, function)  # noqa: SLF001


def function_state(function: types.FunctionType) -> Any:
    """Return the attributes of a function, and its slots."""
    return _private("_function_getstate")(function)


def set_function(function: types.FunctionType, state: Any) -> None:
    """Set the attributes and slots of a function."""
    _private("_function_setstate")(function, state)


def code_arguments(code: types.CodeType) -> Any:
    """Return the function that makes a code object, and its arguments."""
    return _private("_code_reduce")(code)


def known_class(tracker: str | None, made: type) -> type:
    """Return the class that was restored under this id before, or record a new one."""
    known = _private("_lookup_class_or_track")(tracker, made)
    return known if isinstance(known, type) else made


def set_class(defined: type, state: tuple[dict[str, Any], dict[str, Any]]) -> type:
    """Set the attributes of a class."""
    return _private("_class_setstate")(defined, state)  # type: ignore[no-any-return]


def import_module(name: str) -> types.ModuleType:
    """Import a module."""
    return _private("subimport")(name)  # type: ignore[no-any-return]


def make_module(name: str, contents: dict[str, Any]) -> types.ModuleType:
    """Make a module that cannot be imported."""
    return _private("dynamic_subimport")(name, contents)  # type: ignore[no-any-return]


def make_builtin_type(name: str) -> type:
    """Find a built-in type by its name in the module `types`."""
    return _private("_builtin_type")(name)  # type: ignore[no-any-return]


def make_field_type(name: str) -> Any:
    """Find the object that marks the kind of a dataclass field."""
    return _private("_get_dataclass_field_type_sentinel")(name)
