"""Reduce built-in types of Python that pickle refuses or restores wrongly.

Pickles name the `make_…` and `set_…` functions, so their names and arguments may never change.
"""

import collections
import contextlib
import contextvars
import copyreg
import datetime as dt
import decimal
import fractions
import functools
import gc
import io
import os
import pathlib
import random
import re
import struct
import sys
import types
import typing
import weakref
from collections.abc import Iterator
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.cloudpickle_private import is_importable
from pauseflow_nb.kernel.snapshot.pickling.load_context import live_attribute
from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler, Reducer
from pauseflow_nb.kernel.snapshot.pickling.type_names import is_of_cells, is_users
from pauseflow_nb.kernel.snapshot.pickling.types import lru_caches
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import CannotSave, explain_file


def reduce_weakref(_pickler: Pickler, reference: "weakref.ref[Any]") -> Any:
    target = reference()
    if target is None:
        return make_dead_reference, ()
    callback = reference.__callback__
    return weakref.ref, (target,) if callback is None else (target, callback)


def make_dead_reference() -> "weakref.ref[Any]":
    return weakref.ref(type("Gone", (), {})())


def reduce_weak_method(_pickler: Pickler, reference: "weakref.WeakMethod[Any]") -> Any:
    method = reference()
    return (make_dead_reference, ()) if method is None else (weakref.WeakMethod, (method,))


def reduce_proxy(_pickler: Pickler, proxy: Any) -> Any:
    try:
        # A proxy forwards every attribute, so this bound method belongs to its object.
        target = proxy.__init__.__self__
    except ReferenceError:
        raise CannotSave("a weak proxy of an object that no longer exists") from None
    return weakref.proxy, (target,)


def reduce_weak_mapping(_pickler: Pickler, mapping: Any) -> Any:
    return make_weak_mapping, (type(mapping), list(mapping.items()))


def make_weak_mapping(kind: type, items: list[tuple[Any, Any]]) -> Any:
    return kind(items)


def reduce_lru_cache(pickler: Pickler, cached: Any) -> Any:
    wrapped = getattr(cached, "__wrapped__", None)
    if wrapped is None or is_importable(cached):
        return NotImplemented
    if not pickler.inlines_definitions:
        return pickler.refer_to_definition(cached)
    parameters = cached.cache_parameters()
    attributes = {key: value for key, value in vars(cached).items() if key != "__wrapped__"}
    if (filled := lru_caches.reduce_contents(pickler, cached, wrapped, attributes)) is not None:
        return filled
    return make_lru_cache, (wrapped, parameters["maxsize"], parameters["typed"], attributes)


def make_lru_cache(wrapped: Any, maxsize: int | None, typed: bool, attributes: dict[str, Any]) -> Any:
    cached = functools.lru_cache(maxsize, typed)(wrapped)
    vars(cached).update(attributes)
    return cached


def reduce_cached_property(_pickler: Pickler, cached: Any) -> Any:
    # Python 3.11 keeps a lock in it.
    state = {key: value for key, value in vars(cached).items() if key != "lock"}
    return make_cached_property, (cached.func,), state


def make_cached_property(function: Any) -> Any:
    return functools.cached_property(function)


def reduce_memoryview(_pickler: Pickler, view: memoryview) -> Any:
    owner: Any = view.obj
    if not isinstance(owner, (bytes, bytearray)) and type(owner).__name__ not in {"array", "ndarray"}:
        raise CannotSave(f"a memoryview of a {type(owner).__name__}")
    if not view.c_contiguous:
        raise CannotSave("a memoryview with gaps; copy it with bytes()")
    whole = memoryview(owner)
    start = _find_start(whole, view) if view.nbytes else 0
    return make_memoryview, (owner, start, view.nbytes, view.format, view.shape, view.readonly)


def _find_start(whole: memoryview, view: memoryview) -> int:
    from pauseflow_nb.kernel.snapshot.storage.mapping import find_address

    addresses = find_address(view), find_address(whole)
    if addresses[0] is not None and addresses[1] is not None:
        return addresses[0] - addresses[1]
    if isinstance(whole.obj, bytes):
        # Bytes are immutable, so any place with equal bytes works.
        return whole.obj.find(bytes(view))
    raise CannotSave("a read-only memoryview; make one of the bytes() of it")


def make_memoryview(  # noqa: PLR0917 - a pickle passes arguments by position
    owner: Any, start: int, size: int, format_: str, shape: tuple[int, ...], is_readonly: bool
) -> memoryview:
    view: Any = memoryview(owner)
    view = view.cast("B")[start : start + size].cast(format_, shape) if size else view[:0]
    result: memoryview = view.toreadonly() if is_readonly else view
    return result


def reduce_dict_view(_pickler: Pickler, view: Any) -> Any:
    kind = type(view).__name__.rpartition("_")[2]
    return make_dict_view, (_behind(view), kind)


def make_dict_view(mapping: Any, kind: str) -> Any:
    return getattr(mapping, kind)()


def reduce_mappingproxy(_pickler: Pickler, proxy: Any) -> Any:
    behind = _behind(proxy)
    owner = getattr(behind.get("__dict__"), "__objclass__", None) if isinstance(behind, dict) else None
    if owner is not None and "__module__" in behind:
        return vars, (owner,)
    return types.MappingProxyType, (behind,)


def _behind(view: Any) -> Any:
    found = gc.get_referents(view)
    if len(found) != 1:
        raise CannotSave(f"a {type(view).__name__} whose dict cannot be found")
    return found[0]


def reduce_context_variable(_pickler: Pickler, variable: "contextvars.ContextVar[Any]") -> Any:
    default: tuple[Any, ...] = ()
    with contextlib.suppress(LookupError):
        default = (contextvars.Context().run(variable.get),)
    unset = object()
    value = variable.get(unset)
    state = None if value is unset or (default and value is default[0]) else (value,)
    return make_context_variable, (variable.name, default), state, None, None, set_context_variable


def make_context_variable(name: str, default: tuple[Any, ...]) -> "contextvars.ContextVar[Any]":
    # Cells that call `super()` are module code; this function is not.
    return contextvars.ContextVar(name, default=default[0]) if default else contextvars.ContextVar(name)


def set_context_variable(variable: "contextvars.ContextVar[Any]", value: tuple[Any, ...]) -> None:
    variable.set(value[0])


def reduce_type_alias(_pickler: Pickler, alias: Any) -> Any:
    """Reduce what `type X = …` made, since Python 3.12; pickle refers to it by a name that a new kernel does not have."""
    found: object = getattr(sys.modules.get(alias.__module__), alias.__name__, None)
    is_in_module = found is alias and alias.__module__ != "__main__"
    if is_in_module:
        return alias.__name__
    if _contains(alias.__value__, alias):
        raise CannotSave("a type that contains itself; define it in a module or in a `%%setup` cell")
    kind: Any = type(alias)
    return functools.partial(kind, type_params=alias.__type_params__), (alias.__name__, alias.__value__)


def _contains(value: Any, alias: Any) -> bool:
    return value is alias or any(_contains(each, alias) for each in getattr(value, "__args__", ()))


def reduce_match(_pickler: Pickler, match: "re.Match[Any]") -> Any:
    for how, start in (("search", match.pos), ("match", match.pos), ("fullmatch", match.pos), ("match", match.start())):
        again = getattr(match.re, how)(match.string, start, match.endpos)
        if again is not None and again.regs == match.regs:
            return make_match, (match.re, how, match.string, start, match.endpos)
    raise CannotSave("a match that its pattern does not find again")


def make_match(pattern: "re.Pattern[Any]", how: str, text: Any, start: int, end: int) -> Any:
    return getattr(pattern, how)(text, start, end)


def reduce_struct(_pickler: Pickler, packed: struct.Struct) -> Any:
    return struct.Struct, (packed.format,)


def reduce_new_type(_pickler: Pickler, alias: Any) -> Any:
    return make_new_type, (alias.__name__, alias.__supertype__, alias.__module__, alias.__qualname__)


def make_new_type(name: str, supertype: Any, module: str, qualname: str) -> Any:
    factory: Any = typing.NewType
    made = factory(name, supertype)
    made.__module__, made.__qualname__ = module, qualname
    return made


def reduce_type_parameter(pickler: Pickler, parameter: Any) -> Any:
    if is_importable(parameter, parameter.__name__):
        return NotImplemented
    if not pickler.inlines_definitions:
        return pickler.refer_to_definition(parameter)
    if isinstance(parameter, typing.TypeVar):
        arguments = (
            parameter.__name__,
            parameter.__bound__,
            parameter.__constraints__,
            parameter.__covariant__,
            parameter.__contravariant__,
        )
        return make_type_variable, arguments
    return type(parameter), (parameter.__name__,)


def make_type_variable(
    name: str, bound: Any, constraints: tuple[Any, ...], is_covariant: bool, is_contravariant: bool
) -> typing.TypeVar:
    return typing.TypeVar(name, *constraints, bound=bound, covariant=is_covariant, contravariant=is_contravariant)


def reduce_file(_pickler: Pickler, file: Any) -> Any:
    """Keep a closed file, which `with open(…) as f` leaves behind; refuse an open one."""
    if not getattr(file, "closed", False):
        raise CannotSave(explain_file(file))
    name, mode = getattr(file, "name", None), getattr(file, "mode", "r")
    if not isinstance(name, (str, bytes, int, os.PathLike)) or not isinstance(mode, str):
        raise CannotSave("a closed file without a name")
    encoding = file.encoding if isinstance(file, io.TextIOWrapper) else None
    return make_closed_file, (name, mode, encoding)


def make_closed_file(name: Any, mode: str, encoding: str | None) -> Any:
    # Another opening of the named file could fail or, with mode "w", empty it.
    text = encoding is not None
    file: Any = open(os.devnull, "r+" if text else "r+b", encoding=encoding, buffering=-1 if text else 0)  # noqa: PTH123, SIM115
    raw = file.buffer.raw if text else file
    raw.name = name
    if text:
        file.mode = mode
    file.close()
    return file


def reduce_named_global(value: Any, name: str) -> Any:
    """Save by value an object whose own way is a name in the notebook, which does not exist yet on restore."""
    if not hasattr(value, "__dict__"):
        raise CannotSave(f"it is saved by its name {name!r} only")
    return copyreg.__newobj__, (type(value),), vars(value) or None  # type: ignore[attr-defined]


#: Types whose own reduction leaves out the attributes that a subclass adds.
FORGETFUL = (
    dt.date, dt.time, dt.timedelta, decimal.Decimal, fractions.Fraction, pathlib.PurePath,
    collections.Counter, collections.defaultdict, random.Random,
)  # fmt: skip


def reduce_with_attributes(pickler: Pickler, value: Any) -> Any:
    """Reduce with the attributes that the library's own way leaves out."""
    pickler.runs_user_code = pickler.runs_user_code or is_users(type(value))
    attributes = pickler.savable(getattr(value, "__dict__", None) or {}, value)
    if not attributes:
        return NotImplemented
    reduced: tuple[Any, ...] = value.__reduce_ex__(5)
    maker, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
    return maker, arguments, (state, attributes), items, pairs, set_with_attributes


def set_with_attributes(value: Any, state: tuple[Any, dict[str, Any]]) -> None:
    """Set the state that an object's library saves, then its other attributes."""
    own, attributes = state
    if own is not None:
        value.__setstate__(own)
    vars(value).update(attributes)


def reduce_callbacks(pickler: Pickler, registry: Any) -> Any:
    """Let matplotlib save the callbacks of cells at a figure, which it would leave out."""
    for signal, callbacks in registry.callbacks.items():
        for number, reference in callbacks.items():
            function = reference()
            # The object of a bound method: each reference makes another method, and the object may lead back to here.
            owner = getattr(function, "__self__", function)
            # Widgets of matplotlib connect a function of their own that calls the one of the notebook.
            is_theirs = function is not None and any(map(is_of_cells, (function, *_closed_over(function))))
            if is_theirs and pickler.savable({signal: owner}, registry):
                registry._pickled_cids.add(number)  # noqa: SLF001 - its public function connects and marks at once
    return NotImplemented


def _closed_over(function: Any) -> Iterator[Any]:
    for cell in getattr(function, "__closure__", None) or ():
        with contextlib.suppress(ValueError):  # an empty one
            yield cell.cell_contents


def reduce_mark(pickler: Pickler, mark: object) -> Any:
    """Save a bare object of a module by reference, because another object would have no meaning."""
    place = pickler.mark(mark)
    return NotImplemented if place is None else (live_attribute, place)


def reduce_function(_pickler: Pickler, function: Any) -> Any:
    """Save a built-in function in whose place cells put another by its name: the module of a new kernel has it."""
    owner, name = function.__self__, function.__name__
    is_replaced = isinstance(owner, types.ModuleType) and getattr(owner, name, function) is not function
    return (live_attribute, (owner.__name__, name)) if is_replaced else NotImplemented


REDUCERS: "dict[str, Reducer]" = {
    "builtins.builtin_function_or_method": reduce_function,
    "weakref.ReferenceType": reduce_weakref,
    "weakref.WeakMethod": reduce_weak_method,
    "weakref.ProxyType": reduce_proxy,
    "weakref.CallableProxyType": reduce_proxy,
    "weakref.WeakValueDictionary": reduce_weak_mapping,
    "weakref.WeakKeyDictionary": reduce_weak_mapping,
    "builtins.object": reduce_mark,
    "functools._lru_cache_wrapper": reduce_lru_cache,
    "functools.cached_property": reduce_cached_property,
    "builtins.memoryview": reduce_memoryview,
    "builtins.dict_keys": reduce_dict_view,
    "builtins.dict_values": reduce_dict_view,
    "builtins.dict_items": reduce_dict_view,
    "builtins.odict_keys": reduce_dict_view,
    "builtins.odict_values": reduce_dict_view,
    "builtins.odict_items": reduce_dict_view,
    "builtins.mappingproxy": reduce_mappingproxy,
    "_contextvars.ContextVar": reduce_context_variable,
    "re.Match": reduce_match,
    "_struct.Struct": reduce_struct,
    **dict.fromkeys(("collections.Counter", "random.Random", "requests.sessions.Session"), reduce_with_attributes),
    "matplotlib.cbook.CallbackRegistry": reduce_callbacks,
    "random.SystemRandom": lambda _pickler, _source: (random.SystemRandom, ()),
    "typing.NewType": reduce_new_type,
    "typing.TypeAliasType": reduce_type_alias,
    "typing.TypeVar": reduce_type_parameter,
    "typing.ParamSpec": reduce_type_parameter,
    "typing.TypeVarTuple": reduce_type_parameter,
}
