"""Define a part of the process's state: how it is read, set and named."""

import io
import pickle
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.type_names import is_users, is_users_module

#: The settings of one part, by name; the name is empty where the part is a single setting.
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """Settings of one kind. Each of them is saved on its own and set again on its own."""

    #: Returns all settings of the part that may differ from those of a new kernel.
    take: Callable[[Any], Settings]
    #: Sets one, given its name and value; called in a new kernel, and may be called again.
    put: Callable[[Any, str, Any], None]
    #: What a setting is called, with `{}` for its name.
    label: str
    #: Whether only what changed since the kernel started is saved; `take` then returns everything.
    is_compared: bool = False
    #: Whether it is set before the variables come back, after them, or only after the `%%setup` cells.
    when: str = "before"
    #: Whether it is set once more after the `%%setup` cells, as these may have changed it on their way.
    is_repeated: bool = True
    #: Whether variables may lead to the same objects, so that it is saved with these even if it is plain.
    is_shared: bool = False
    #: The library that must be loaded for it to have any settings.
    library: str = ""

    def name(self, setting: str) -> str:
        """Name a setting as users know it."""
        return self.label.format(setting)


def is_plain(value: Any) -> bool:
    """Whether a value can be pickled without the notebook: it leads to nothing that a cell or a user's module made."""
    try:
        _Plain(io.BytesIO(), 5).dump(value)
    except Exception:  # noqa: BLE001 - whatever it is: the variables' own pickler is to try it
        return False
    return True


def is_same(one: Any, other: Any) -> bool:
    """Whether two values of a setting are the same, whatever their types answer when they are compared."""
    if one is other:
        return True
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # noqa: BLE001 - arrays, and objects of the user's
        return False


class _NotPlain(Exception):
    pass


class _Plain(pickle.Pickler):
    """Refuses everything that only the variables' pickler knows how to save."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, type):
            is_own = is_users(value)
        elif isinstance(value, (types.FunctionType, types.ModuleType)):
            module = getattr(value, "__module__", None) or "__main__"
            is_own = module == "__main__" or is_users_module(module)
        else:
            is_own = is_users(type(value)) or value is getattr(sys, "stdout", None)
        if is_own:
            raise _NotPlain
        return NotImplemented
