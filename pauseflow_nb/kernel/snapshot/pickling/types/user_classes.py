"""Reduce objects of the user's own classes, and restore them without calling methods of these classes.

Pickle calls some while it loads an object: `__new__`, `__setitem__`, `append`, `__getattr__`. The object then has no
attributes yet, so such a method may fail, never end, or repeat what it did when the object was made. Also, an object
may share its `__dict__` with others, or be its own `__dict__`, which pickle does not preserve.

Pickles name the `make_…` and `set_…` functions, so their names and arguments may never change.
"""

import collections
import copyreg
import dis
import types
from collections.abc import Callable, Iterator
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler
from pauseflow_nb.kernel.snapshot.pickling.type_names import is_users

_WHOLE = slice(None)
#: Immutable type → function that returns the plain value of an object of a subclass.
PLAIN: dict[type, Callable[[Any], Any]] = {
    int: int.__pos__,
    float: float.__pos__,
    complex: complex.__pos__,
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, _WHOLE),
    tuple: lambda value: tuple.__getitem__(value, _WHOLE),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
}


def _fill_dict(value: Any, items: dict[Any, Any]) -> None:
    put = collections.OrderedDict.__setitem__ if isinstance(value, collections.OrderedDict) else dict.__setitem__
    for key, item in items.items():
        put(value, key, item)


#: Mutable type → functions that read the items of an object and set them again.
FILLED: dict[type, tuple[Callable[[Any], Any], Callable[[Any, Any], None]]] = {
    collections.OrderedDict: (lambda value: dict(collections.OrderedDict.items(value)), _fill_dict),
    dict: (lambda value: dict(dict.items(value)), _fill_dict),
    list: (lambda value: [*list.__iter__(value)], list.extend),
    set: (lambda value: {*set.__iter__(value)}, set.update),
    bytearray: (lambda value: bytearray.__getitem__(value, _WHOLE), bytearray.extend),
    collections.deque: (lambda value: [*collections.deque.__iter__(value)], collections.deque.extend),
}
#: Types of dicts with their own reduction, which `reduce_own` also handles.
_DICTS = frozenset({collections.Counter, collections.defaultdict})
_METHODS = ("__getattr__", "__getattribute__", "__setattr__", "__new__")
_STATE = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")


def find_builtin_base(kind: type) -> type:
    """Return the built-in base that stores the contents of a class's objects besides attributes."""
    return next((base for base in kind.__mro__ if base in PLAIN or base in FILLED), object)


def needs_care(kind: type) -> bool:
    """Whether pickle would call methods of a user's class, or would not preserve its objects' `__dict__`."""
    base = find_builtin_base(kind)
    known = next((each for each in kind.__mro__ if each in _DICTS), base)
    if any(getattr(kind, name, None) is not getattr(known, name, None) for name in _STATE):
        return False
    libraries = [each for each in kind.__mro__ if not is_users(each)]
    if not all(each.__new__ in {object.__new__, base.__new__} for each in libraries):
        return False
    return base is not object or any(
        name in vars(each) or _sets_dict(each) for each in kind.__mro__ if is_users(each) for name in _METHODS
    )


def _sets_dict(kind: type) -> bool:
    return any(
        instruction.opname == "STORE_ATTR" and instruction.argval == "__dict__"
        for function in vars(kind).values()
        if isinstance(function, types.FunctionType) and "__dict__" in function.__code__.co_names
        for instruction in dis.get_instructions(function)
    )


def reduce_own(pickler: Pickler, value: Any) -> Any:
    """Reduce an object to its built-in contents, its attributes and its slots."""
    kind = type(value)
    pickler.runs_user_code |= kind.__hash__ not in {None, object.__hash__, find_builtin_base(kind).__hash__}
    base = find_builtin_base(kind)
    arguments: tuple[Any, ...] = (PLAIN[base](value),) if base in PLAIN else ()
    if isinstance(value, collections.defaultdict):
        factory: Any = vars(collections.defaultdict)["default_factory"]
        arguments = (factory.__get__(value),)
    elif isinstance(value, collections.deque):
        longest: Any = vars(collections.deque)["maxlen"]
        arguments = ((), longest.__get__(value))
    items = FILLED[base][0](value) if base in FILLED else None
    state = (_attributes(value), dict(_slots(value)), items)
    return make_own, (kind, arguments), state, None, None, set_own


def _attributes(value: Any) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return found


def _slots(value: Any) -> Iterator[tuple[str, Any]]:
    slot_names: Any = copyreg._slotnames  # type: ignore[attr-defined]  # noqa: SLF001 - as pickle finds them
    for name in slot_names(type(value)):
        try:
            yield name, object.__getattribute__(value, name)
        except AttributeError:
            continue


def make_own(kind: type, arguments: tuple[Any, ...]) -> Any:
    """Make an object without its attributes, and without items that can be added later."""
    base: Any = find_builtin_base(kind)
    made = base.__new__(kind, *arguments) if base in PLAIN else base.__new__(kind)
    if arguments and base not in PLAIN:
        initialise: Any = (collections.defaultdict if issubclass(kind, collections.defaultdict) else base).__init__
        initialise(made, *arguments)
    return made


def set_own(value: Any, state: tuple[dict[str, Any] | None, dict[str, Any], Any]) -> None:
    """Set the attributes, slots and items of an object."""
    attributes, slots, items = state
    if attributes is not None:
        # This same dict, because other objects may share it.
        object.__setattr__(value, "__dict__", attributes)
    for name, slot in slots.items():
        object.__setattr__(value, name, slot)
    if items is not None:
        FILLED[find_builtin_base(type(value))][1](value, items)
