"""Reduce the notebook's enums with their aliases, their members' attributes and a `__new__` of their own.

Pickles name the `make_…` and `set_…` functions, so their names and arguments may never change.
"""

import enum
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling import cloudpickle_private
from pauseflow_nb.kernel.snapshot.pickling.load_context import is_trial
from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler
from pauseflow_nb.kernel.snapshot.pickling.types.user_classes import FILLED, PLAIN, find_builtin_base

#: Attributes that the metaclass sets on each member.
_GIVEN = frozenset({"_value_", "_name_", "__objclass__", "_sort_order_"})


def reduce_enum(defined: Any, reduced: tuple[Any, ...]) -> Any:
    """Reduce an enum: its members as arguments, other attributes of the members and the class as state."""
    bases, name, qualname, _, module, tracker, extra = reduced[1]
    state, slots = reduced[2]
    members = {each: (member.value, _plain(member)) for each, member in defined.__members__.items()}
    state = {key: value for key, value in state.items() if key not in members}
    generate = vars(defined).get("_generate_next_value_")
    if getattr(generate, "__module__", None) != "enum":
        # cloudpickle leaves it out, but later subclasses use it.
        state["_generate_next_value_"] = generate
    attributes = {member.name: _attributes(member) for member in defined.__members__.values()}
    boundary = getattr(defined, "_boundary_", None)
    arguments = (bases, name, qualname, members, boundary, module, tracker, extra)
    return make_members, arguments, (state, slots, attributes), None, None, set_enum


def _plain(member: Any) -> tuple[Any, ...]:
    base = find_builtin_base(type(member))
    way = PLAIN.get(base) or FILLED.get(base, (None,))[0]
    return () if way is None else (way(member),)


def _attributes(member: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(member).items() if name not in _GIVEN}


def make_members(  # noqa: PLR0917 - a pickle passes arguments by position
    bases: tuple[Any, ...],
    name: str,
    qualname: str,
    members: dict[str, tuple[Any, tuple[Any, ...]]],
    boundary: Any,
    module: str,
    tracker: Any,
    extra: Any,
) -> type:
    """Make an enum with its members, without calling its own `__new__` and `__init__`."""
    del extra
    metaclass: Any = type(bases[-1])
    namespace = metaclass.__prepare__(name, bases)
    waiting = iter(members.values())

    def new(kind: Any, *_: Any) -> Any:
        value, plain = next(waiting)
        base: Any = find_builtin_base(kind)
        made = base.__new__(kind, *plain) if base in PLAIN else base.__new__(kind)
        if base in FILLED:
            FILLED[base][1](made, *plain)
        made._value_ = value
        return made

    namespace["__new__"], namespace["__init__"] = new, _do_nothing
    for each, (value, _) in members.items():
        # Marked as a member, because a function would be considered a method.
        namespace[each] = enum.member(value)
    made = metaclass.__new__(metaclass, name, bases, namespace, **({"boundary": boundary} if boundary else {}))
    made.__module__, made.__qualname__ = module, qualname
    for ours in ("__init__", "__new_member__"):
        if ours in vars(made):
            type.__delattr__(made, ours)
    return cloudpickle_private.known_class(None if is_trial() else tracker, made)


def _do_nothing(_member: Any, *_: Any) -> None:
    pass


def set_enum(defined: Any, state: tuple[dict[str, Any], dict[str, Any], dict[str, dict[str, Any]]]) -> None:
    """Set the methods of an enum, and the attributes of its members."""
    own, slots, attributes = state
    cloudpickle_private.set_class(defined, (own, slots))
    for name, values in attributes.items():
        vars(defined.__members__[name]).update(values)


def reduce_member(_pickler: Pickler, member: enum.Enum) -> Any:
    """Save a member by its name, because a value may not identify its member."""
    kind = type(member)
    if member._name_ is None or kind.__members__.get(member._name_) is not member:
        return NotImplemented
    return make_member, (kind, member._name_)


def make_member(kind: type[enum.Enum], name: str) -> enum.Enum:
    """Find a member by its name."""
    return kind.__members__[name]
