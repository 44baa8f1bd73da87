"""Which attributes and containers of modules some code changes, read from its text."""

import ast
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pauseflow_nb.kernel.user_code import parsed

_MUTATING = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop", "popitem", "popleft"}
    | {"remove", "reverse", "setdefault", "sort", "subtract", "update"}
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True)
class Change:
    """A name and the attributes after it, such as `helper.COUNTS`."""

    path: tuple[str, ...]
    #: Whether it was bound anew; otherwise the object itself was changed.
    is_bound: bool


@functools.lru_cache(maxsize=4096)
def changes_in(source: str) -> tuple[Change, ...]:
    """Find what code changes of that which it reaches by attributes: `a.b = 1`, `a.b[0] = 1`, `a.b.append(1)`, ….

    Text that is no Python changes nothing.
    """
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    return tuple(dict.fromkeys(change for change in _changes(ast.walk(tree)) if len(change.path) > 1))


@functools.lru_cache(maxsize=4096)
def registers_in(source: str) -> tuple[tuple[str, ...], ...]:
    """Find where code registers something, as the path to `register`: `Sequence.register(Mine)`, `@Sequence.register`."""
    if ".register" not in source:
        return ()
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "register")
    return tuple(change.path for node in nodes for change in _change(node, is_bound=False))


@functools.lru_cache(maxsize=512)
def changes_by_functions(source: str) -> tuple[Change, ...]:
    """Find what the functions of a module change of what the module, or one of its classes, keeps."""
    try:
        tree = parsed(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    found: dict[Change, None] = {}
    for function, owner in _functions(tree, ()):
        shared = {name for node in ast.walk(function) if isinstance(node, ast.Global) for name in node.names}
        local = _local_names(function) - shared
        for change in _changes(ast.walk(function)):
            first, *rest = change.path
            if first == "cls" and owner and rest:  # also `type(self)` and `self.__class__`
                found[Change((*owner, *rest), change.is_bound)] = None
            elif first not in local and (rest or first in shared or not change.is_bound):
                found[change] = None
    return tuple(found)


def _functions(tree: ast.AST, owner: tuple[str, ...]) -> Iterator[tuple[ast.AST, tuple[str, ...]]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _FUNCTIONS):
            yield node, owner
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node, (*owner, node.name))
        else:
            yield from _functions(node, owner)


def _local_names(function: ast.AST) -> set[str]:
    arguments = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    return arguments | {
        node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def _changes(nodes: Iterable[ast.AST]) -> Iterator[Change]:
    for node in nodes:
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                yield Change((name,), is_bound=True)
            case ast.Attribute(ctx=ast.Store()):
                yield from _change(node, is_bound=True)
            case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()):
                yield from _change(value, is_bound=False)
            case ast.Call(func=ast.Attribute(value=value, attr=method)) if method in _MUTATING:
                yield from _change(value, is_bound=False)
            case ast.Call(func=ast.Name(id="setattr"), args=[value, ast.Constant(value=str(name)), _]):
                yield from _change(ast.Attribute(value, name), is_bound=True)


def _change(node: ast.expr, *, is_bound: bool) -> Iterator[Change]:
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        if node.attr == "__class__":
            yield Change(("cls", *reversed(path)), is_bound)
            return
        path.append(node.attr)
        node = node.value
    match node:
        case ast.Name(id=name):
            yield Change((name, *reversed(path)), is_bound)
        case ast.Call(func=ast.Name(id="type"), args=[_]):
            yield Change(("cls", *reversed(path)), is_bound)
