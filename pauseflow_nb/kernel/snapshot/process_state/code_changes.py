"""Find in the text of code what it changes in modules, classes and other objects that names lead to."""

import ast
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pauseflow_nb.kernel.user_code import parse_cell

#: First name of a path that begins with something else, such as `sys.modules["json"].x = 1`.
UNKNOWN = "?"
_MUTATING = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop", "popitem", "popleft"}
    | {"remove", "reverse", "setdefault", "sort", "subtract", "update"}
)
#: Stands for names that the text does not show: `setattr(config, name, value)`, `vars(config).update(changes)`.
ANY = "*"
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True)
class Change:
    """A name and the attributes after it, such as `helper.COUNTS`."""

    path: tuple[str, ...]
    #: Whether the attribute was set; otherwise the object was changed in place.
    is_bound: bool


@functools.lru_cache(maxsize=4096)
def changes_in(source: str) -> tuple[Change, ...]:
    """Find changes of attributes and contents in code: `a.b = 1`, `a.b[0] = 1`, `b.append(1)`, ….

    Source that is not Python changes nothing.
    """
    try:
        tree = parse_cell(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    changes = dict.fromkeys(_changes(ast.walk(tree)))
    return tuple(change for change in changes if len(change.path) > 1 or not change.is_bound)


@functools.lru_cache(maxsize=4096)
def deletions_in(source: str) -> tuple[tuple[str, ...], ...]:
    """Find paths to attributes that code deletes: `del a.b`."""
    if "del" not in source:
        return ()
    try:
        tree = parse_cell(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Del))
    named = (
        ast.Attribute(node.args[0], str(node.args[1].value))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "delattr"
        if len(node.args) == 2 and isinstance(node.args[1], ast.Constant)
    )
    return tuple(change.path for node in (*nodes, *named) for change in _change(node, is_bound=True))


@functools.lru_cache(maxsize=4096)
def registers_in(source: str) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
    """Find paths to `register` that code calls, and to its argument: `Sequence.register(Mine)`, `@Sequence.register`.

    The path to the argument is empty if the code does not show it.
    """
    if ".register" not in source:
        return ()
    try:
        nodes = list(ast.walk(parse_cell(source)))
    except (SyntaxError, ValueError, RecursionError):
        return ()
    arguments = {id(node.func): node.args[0] for node in nodes if isinstance(node, ast.Call) and len(node.args) == 1}
    return tuple(
        (change.path, next((each.path for each in _change(arguments[id(node)], is_bound=False)), ()))
        if id(node) in arguments
        else (change.path, ())
        for node in nodes
        if isinstance(node, ast.Attribute) and node.attr == "register"
        for change in _change(node, is_bound=False)
    )


@functools.lru_cache(maxsize=512)
def changes_by_functions(source: str) -> tuple[Change, ...]:
    """Find changes by the functions of a module to data of the module or of its classes."""
    try:
        tree = parse_cell(source)
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
            case ast.Call(func=ast.Name(id="setattr"), args=[value, _, _]):
                yield from _change(ast.Attribute(value, ANY), is_bound=True)
            case (
                ast.Call(func=ast.Attribute(attr="__setattr__"), args=[value, ast.Constant(value=str(name)), _])
                | ast.Call(func=ast.Attribute(value=value, attr="__setattr__"), args=[ast.Constant(value=str(name)), _])
            ):
                yield from _change(ast.Attribute(value, name), is_bound=True)
            case ast.Call(func=ast.Name(id="exec"), args=[ast.Constant(value=str(text)), *_]):
                yield from changes_in(text)


def _change(node: ast.expr, *, is_bound: bool) -> Iterator[Change]:
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        if node.attr == "__class__":
            yield Change(("cls", *reversed(path)), is_bound)
            return
        if node.attr == "__dict__":
            path, is_bound = [ANY], True
        else:
            path.append(node.attr)
        node = node.value
    match node:
        case ast.Name(id=name):
            yield Change((name, *reversed(path)), is_bound)
        case ast.Call(func=ast.Name(id="vars"), args=[owner]):
            yield from _change(ast.Attribute(owner, ANY), is_bound=True)
        case ast.Call(func=ast.Name(id="type"), args=[_]):
            yield Change(("cls", *reversed(path)), is_bound)
        case _ if path and is_bound:
            yield Change((UNKNOWN, *reversed(path)), is_bound)
