"""Tell which variables have a state of their own, and which code may change it.

If the statement of a client runs again, the new client is like the old one. A new queue, and a new object of a class of
the notebook, are not: they lack what other code has put into them.
"""

import ast
import collections
import contextlib
import functools
import inspect
import operator
import sys
import tempfile
import textwrap
import threading
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.type_names import full_name, is_users, library_of, module_of

#: Methods that change the contents of an object.
CHANGING = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop", "popitem", "popleft"}
    | {"remove", "reverse", "rotate", "setdefault", "sort", "update", "__setitem__", "__delitem__", "__setattr__"}
)
#: Types of libraries whose objects hold what was put into them.
_HOLDING = frozenset(
    {"_queue.SimpleQueue", "_thread._local", "cProfile.Profile", "queue.LifoQueue", "queue.PriorityQueue"}
    | {"queue.Queue", "tarfile.TarFile", "zipfile.ZipFile"}
)
_CODE = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)
_CONTAINERS = (Mapping, list, tuple, set, frozenset, collections.deque)
#: Functions that only read their arguments.
_READING = frozenset({"bool", "display", "hash", "id", "isinstance", "len", "print", "repr", "str", "type"})
#: Methods that make an object, or end it.
_OF_LIFE = frozenset({"__init__", "__new__", "__post_init__", "__del__"})
#: Parts of code that pass a value on under another name.
_PASSING = (
    *(ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.Return, ast.Yield, ast.For, ast.comprehension, ast.Starred),
    *(ast.keyword, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.Lambda),
)
#: Depth and number of the objects inside of an object that are looked at.
_DEPTH, _MOST = 3, 1000


@dataclass(frozen=True)
class OwnState:
    """What may change an object, besides code that names one of its attributes or items as a target."""

    #: Whether its methods may.
    by_methods: bool = False
    #: Whether code that gets it under another name may.
    by_others: bool = False
    #: Whether it is a connection to a database that outlives the kernel.
    is_outside: bool = False
    #: Whether it holds what its statements may not make again: files, or a transaction that was not committed.
    is_unique: bool = False

    def __or__(self, other: "OwnState") -> "OwnState":
        return OwnState(
            self.by_methods or other.by_methods,
            self.by_others or other.by_others,
            self.is_outside and other.is_outside,
            self.is_unique or other.is_unique,
        )


_HOLDS = OwnState(by_methods=True, by_others=True)


def find_own_state(value: Any, depth: int = _DEPTH) -> OwnState:
    """Tell what may change an object, from its type and from what it holds now."""
    kind = type(value)
    # By type: `isinstance` of a proxy may raise.
    if issubclass(kind, _CODE) or depth == 0:
        return OwnState()
    if issubclass(kind, _CONTAINERS) and not is_users(kind):
        items = list(value.values() if issubclass(kind, Mapping) else value)[:_MOST]
        return _joined(find_own_state(each, depth - 1) for each in items)
    if is_users(kind):
        state = getattr(value, "__dict__", {})
        inside = [find_own_state(each, depth - 1) for each in list(state.values())[:_MOST]]
        by_methods = any(each.by_methods for each in inside) or _methods_change(kind)
        return OwnState(by_methods, by_others=True, is_outside=any(each.is_outside for each in inside))
    return _of_library(value)


def _of_library(value: Any) -> OwnState:
    kind = type(value)
    if full_name(kind) in _HOLDING or module_of(kind) == "unittest.mock" or _is_set(value):
        return _HOLDS
    with contextlib.suppress(Exception):  # a connection that is closed, a folder that is gone
        if kind is tempfile.TemporaryDirectory:
            return OwnState(is_unique=any(Path(value.name).iterdir()))
        return _of_database(value)
    return OwnState()


def _joined(states: Iterator[OwnState]) -> OwnState:
    # Not from an empty state on, which is not outside: then no container would be.
    found = list(states)
    return functools.reduce(operator.or_, found) if found else OwnState()


def _is_set(value: Any) -> bool:
    """Whether a lock is held, or an event is set."""
    kind = type(value)
    if kind in (type(threading.Lock()), type(threading.RLock())):
        return repr(value).startswith("<locked")
    return kind is threading.Event and value.is_set()


def _of_database(value: Any) -> OwnState:
    kind = type(value)
    if full_name(kind) == "sqlalchemy.engine.base.Engine":
        in_memory = value.url.get_backend_name() == "sqlite" and value.url.database in {None, "", ":memory:"}
        return _HOLDS if in_memory else OwnState(is_outside=True)
    if not all(hasattr(kind, name) for name in ("cursor", "commit", "rollback")):
        return OwnState()
    sqlite = sys.modules.get("sqlite3")
    if (sqlite is not None and issubclass(kind, sqlite.Connection)) or library_of(kind) in {"duckdb", "_duckdb"}:
        # Another cursor, so that the results of the connection stay as they are.
        cursor = value.cursor()
        cursor.row_factory = None
        files = {row[1]: row[2] for row in cursor.execute("pragma database_list").fetchall()}
        if not any(files.values()):
            return _HOLDS
    return OwnState(is_outside=True, is_unique=bool(getattr(value, "in_transaction", False)))


def _methods_change(kind: type) -> bool:
    """Whether a method of a class of the user's may change its object; without its source it may."""
    return any(
        _changes_self(function)
        for each in kind.__mro__
        if is_users(each)
        for name, member in vars(each).items()
        if name not in _OF_LIFE
        if isinstance(function := getattr(member, "__func__", getattr(member, "fget", member)), types.FunctionType)
        # Made by `dataclass` and its like, to compare and to show objects.
        if not (function.__code__.co_filename.startswith("<") and name.startswith("__"))
    )


def _changes_self(function: types.FunctionType) -> bool:
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return True
    return may_change(next(iter(function.__code__.co_varnames), ""), tree, OwnState())


def may_change(name: str, tree: ast.AST, state: OwnState) -> bool:
    """Whether code may change the object that a name stands for."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    return any(
        _uses_to_change(node, parents, state)
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and node.id == name
    )


def _uses_to_change(node: ast.expr, parents: Mapping[ast.AST, ast.AST], state: OwnState) -> bool:
    is_item = True
    while isinstance(parents.get(node), (ast.Attribute, ast.Subscript)) and getattr(parents[node], "value", 0) is node:
        node = parents[node]  # type: ignore[assignment]
        if not isinstance(node.ctx, ast.Load):
            return True
        is_item = is_item and isinstance(node, ast.Subscript)
    parent = parents.get(node)
    if isinstance(parent, ast.Call):
        if parent.func is node:
            return state.by_methods or (isinstance(node, ast.Attribute) and node.attr in CHANGING)
        is_read = isinstance(parent.func, ast.Name) and parent.func.id in _READING
        return state.by_others and is_item and not is_read
    if isinstance(parent, ast.withitem):
        return state.by_methods and is_item
    # The attribute of an object is taken for another object.
    return state.by_others and is_item and isinstance(parent, _PASSING) and node is not getattr(parent, "target", None)
