"""Define a part of the process's state: how its settings are read, set and named."""

import io
import pickle
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.type_names import is_users, is_users_module

#: Name → value of the settings of a part; the name is empty for a part with a single setting.
Settings = Mapping[str, Any]


class NotRestored(Exception):
    """A setting was not restored, for a reason that the text gives in full."""


@dataclass(frozen=True)
class Part:
    """Settings of one kind, each of which is saved and restored separately."""

    #: Returns all settings of the part that may differ from those of a new kernel.
    capture: Callable[[Any], Settings]
    #: Sets one, given its name and value; called in a new kernel, and may be called again.
    restore: Callable[[Any, str, Any], None]
    #: Text for users that names a setting, with `{}` for its name.
    label: str
    #: Whether only settings that changed since the start of the kernel are saved; `capture` then returns all settings.
    is_compared: bool = False
    #: Whether it is restored before the variables, after them, or only after the `%%setup` cells.
    when: str = "before"
    #: Whether it is restored again after the `%%setup` cells, which may have changed it.
    is_repeated: bool = True
    #: Whether variables may refer to the same objects, so that it is saved with these even if it is plain.
    is_shared: bool = False
    #: Library that must be loaded for the part to have settings.
    library: str = ""

    def name(self, setting: str) -> str:
        """Return the name of a setting as users know it."""
        return self.label.format(setting)


def is_plain(value: Any) -> bool:
    """Whether a value can be pickled without the notebook, because it refers to nothing made by user code."""
    try:
        _Plain(io.BytesIO(), 5).dump(value)
    except Exception:  # noqa: BLE001 - whatever it is: the variables' own pickler is to try it
        return False
    return True


def is_same(one: Any, other: Any) -> bool:
    """Whether two values of a setting are equal, independently of their own comparison methods."""
    if one is other:
        return True
    try:
        return type(one) is type(other) and bool(one == other)
    except Exception:  # noqa: BLE001 - arrays, and objects of the user's
        return False


class _NotPlain(Exception):
    pass


class _Plain(pickle.Pickler):
    """Refuses objects that only the variables' pickler can save."""

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
