"""Find the globals that code reads: its own, and those of the user's functions and classes inside a value.

Values are looked through as the garbage collector does, so that it does not matter what holds a function: a deque,
an iterator, a fitted pipeline. Only what a library keeps to itself in compiled code is out of sight.
"""

import builtins
import dis
import gc
import sys
import types
import weakref
from collections.abc import Iterable, Mapping
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.type_names import is_users, library_of

#: Built-in ways to names that the text does not show.
DYNAMIC = frozenset({"eval", "exec", "globals", "locals", "vars", "dir", "__import__", "get_ipython", "__main__"})
#: Ways to the namespace by way of attributes and imports.
_DYNAMIC_ATTRIBUTES = frozenset({"__globals__", "f_globals", "f_locals", "user_ns", "user_global_ns"})
_READS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_NAME", "DELETE_GLOBAL"})
#: How many objects are looked at. Numbers and texts do not count.
_MOST = 200_000
_LEAVES = (str, bytes, int, float, complex, type(None), types.ModuleType, types.CodeType)
#: What these hold is the machinery that runs the notebook.
_MACHINERY = frozenset({"IPython", "ipykernel", "traitlets", "pauseflow_nb", "zmq", "tornado"})
_WAYS = {id(vars(builtins)[name]): name for name in DYNAMIC & vars(builtins).keys() - {"vars", "dir"}}


def find_names(code: types.CodeType, *, is_module: bool = True) -> tuple[set[str], set[str]]:
    """Find the globals that code reads, and those that it binds."""
    reads: set[str] = set()
    binds: set[str] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in _READS:
            reads.add(instruction.argval)
        elif instruction.opname == "STORE_GLOBAL" or (is_module and instruction.opname == "STORE_NAME"):
            binds.add(instruction.argval)
        elif instruction.opname == "IMPORT_NAME" and instruction.argval == "__main__":
            reads.add("__main__")
    if _DYNAMIC_ATTRIBUTES.intersection(code.co_names) or ("__main__" in code.co_consts and "__name__" not in reads):
        reads.add("globals")
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner_reads, inner_binds = find_names(constant, is_module=False)
            reads |= inner_reads
            binds |= inner_binds
    return reads, binds


def find_reads(value: Any, namespace: Mapping[str, Any], seen: set[int]) -> set[str] | None:
    """Find the globals that the user's code inside a value may read.

    Args:
        value: Where to begin.
        namespace: The notebook's; code that has other globals cannot see its names.
        seen: What was looked at already, by identity; is added to.

    Returns:
        Names; None if there is too much to look at.
    """
    reads: set[str] = set()
    alive: list[Any] = []
    todo = [value]
    while todo:
        each = todo.pop()
        # By its type: `isinstance` of a proxy may answer for another object, or raise.
        kind = type(each)
        if issubclass(kind, _LEAVES) or id(each) in seen:
            continue
        seen.add(id(each))
        # What is made on the way must live until the end, or another object could get its identity.
        alive.append(each)
        if len(alive) > _MOST:
            return None
        if kind is types.FunctionType and each.__globals__ is namespace:
            reads |= find_names(each.__code__, is_module=False)[0]
        elif id(each) in _WAYS:
            reads.add(_WAYS[id(each)])
        if each is not namespace:
            todo += _parts(each, kind)
    return reads


def _parts(value: Any, kind: type) -> Iterable[Any]:
    if kind is types.FunctionType:
        # Not its globals, which its names are looked up in.
        parts = (value.__defaults__, value.__kwdefaults__, value.__closure__, vars(value))
        return (part for part in parts if part is not None)
    if issubclass(kind, type):
        return (kind, *value.__bases__, *list(vars(value).values())) if is_users(value) else ()
    if library_of(kind) in _MACHINERY or kind is types.FrameType:
        return ()
    if issubclass(kind, weakref.ref):
        return (value(),)
    found = gc.get_referents(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and issubclass(kind, numpy.ndarray) and value.dtype.hasobject:
        found.append(value.tolist())
    return found
