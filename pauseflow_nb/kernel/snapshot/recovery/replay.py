"""Make variables that cannot be saved again, by running the statements of plain cells that made them.

A statement is replayed only if everything that it reads is unchanged: saved and bound once, or made by another
replayed statement. Nothing that a step made or may have changed is replayed, because a step never runs again.
Replayed statements run in a separate namespace, from which only the requested names are taken.
"""

import ast
import contextlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.secrets_in_pickles import SECRET
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import convert_exits
from pauseflow_nb.kernel.snapshot.recovery.dependencies import Statement, parse_statements

#: Types of objects with a position, which a new object would not have.
_IN_PROGRESS = frozenset(
    {"generator", "async_generator", "coroutine", "TextIOWrapper", "BufferedReader", "BufferedWriter", "BufferedRandom"}
    | {"FileIO", "reader", "Cursor", "HASH", "nditer", "flatiter", "DictReader", "_csv.reader"}
)
#: Types of objects that consist only of their contents.
_CONTAINERS = frozenset(
    {"dict", "list", "set", "bytearray", "collections.deque", "collections.defaultdict", "collections.OrderedDict"}
)
#: Methods that change the contents of an object.
_CHANGING = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop", "popitem", "popleft"}
    | {"remove", "reverse", "rotate", "setdefault", "sort", "update", "__setitem__", "__delitem__", "__setattr__"}
)
_SHOWING = frozenset({"print", "display"})


@dataclass(frozen=True)
class _Placed:
    position: int
    cell: int
    statement: Statement


class Cells:
    """The plain cells and steps that have run."""

    def __init__(self, passed: Mapping[str, str], steps: Iterable[str]) -> None:
        placed = [(int(index), s) for index in sorted(passed, key=int) for s in parse_statements(passed[index])]
        of_steps = [statement for source in steps for statement in parse_statements(source)]
        # A word of a query counts if it is the name of a variable.
        names = frozenset().union(*(s.binds for s in (*of_steps, *(s for _, s in placed))))
        of_steps = [_with_mentions(s, names) for s in of_steps]
        self._plain = [_Placed(position, cell, _with_mentions(s, names)) for position, (cell, s) in enumerate(placed)]
        self._by_steps = frozenset().union(*(s.binds for s in of_steps)) if of_steps else frozenset()
        self._changing = [s.tree for s in of_steps]
        self._in_steps = frozenset().union(*(s.reads for s in of_steps)) if of_steps else frozenset()

    def maker(self, name: str) -> int | None:
        """Return the plain cell that bound a name last."""
        return next((p.cell for p in reversed(self._plain) if name in p.statement.binds), None)

    def find_statements(
        self, name: str, type_name: str, culprit: str, *, saved: set[str], remade: set[str]
    ) -> list[tuple[int, str]] | None:
        """Find the statements that make a variable again.

        Args:
            name: The variable.
            type_name: Its type.
            culprit: Type of the object inside it that cannot be saved.
            saved: Names that are restored before it.
            remade: Names that setups make before it.

        Returns:
            Cell index and source, in order; None if it cannot be made again.
        """
        is_moving = bool({type_name.rpartition(".")[2], culprit.rpartition(".")[2]} & _IN_PROGRESS)
        if is_moving and (name in self._in_steps or self._is_read_later(name)):
            return None
        is_data = culprit == SECRET or type_name in _CONTAINERS
        if is_data and any(_may_change(name, tree) for tree in self._changing):
            return None
        chosen: dict[int, _Placed] = {}
        if not self._collect(name, len(self._plain), chosen, saved, remade):
            return None
        return [(chosen[p].cell, chosen[p].statement.source) for p in sorted(chosen)]

    def _is_read_later(self, name: str) -> bool:
        last = max((p.position for p in self._plain if name in p.statement.binds), default=-1)
        return any(name in p.statement.reads for p in self._plain[last + 1 :])

    def _collect(self, name: str, before: int, chosen: dict[int, _Placed], saved: set[str], remade: set[str]) -> bool:
        """Add the statements that make `name` as it was before a position; False if that is not possible."""
        if name in self._by_steps:
            return False
        binding = next((p for p in reversed(self._plain[:before]) if name in p.statement.binds), None)
        if binding is None:
            return False
        makers = [binding]
        for placed in self._plain[binding.position + 1 : before]:
            if name in placed.statement.reads:
                effect = _effect_on(name, placed.statement)
                if effect is None:
                    return False
                makers += [placed] if effect else []
        for placed in makers:
            if placed.position in chosen:
                continue
            if placed.statement.dynamic:
                return False
            chosen[placed.position] = placed
            for read in placed.statement.reads - {name}:
                if not self._is_as_it_was(read, saved, remade) and not self._collect(
                    read, placed.position, chosen, saved, remade
                ):
                    return False
        return True

    def _is_as_it_was(self, name: str, saved: set[str], remade: set[str]) -> bool:
        if name in remade:
            return True
        if name not in saved or name in self._by_steps:
            return False
        return sum(name in p.statement.binds for p in self._plain) == 1


def _with_mentions(statement: Statement, names: frozenset[str]) -> Statement:
    return replace(statement, reads=statement.reads | (statement.mentions & names))


def run(statements: list[tuple[int, str]], names: Iterable[str], namespace: dict[str, Any]) -> dict[str, Any]:
    """Run statements again without output, and return the requested names.

    Functions that they define use a copy of the namespace; saved functions use the live one.
    """
    scratch = dict(namespace)
    with contextlib.redirect_stdout(io.StringIO()), convert_exits():
        for cell, source in statements:
            exec(compile(source, f"<replayed from cell {cell + 1}>", "exec"), scratch)  # noqa: S102 - the user's own
    return {name: scratch[name] for name in names if name in scratch}


def _effect_on(name: str, statement: Statement) -> bool | None:
    """Whether a statement that reads a name may change its value; None if unknown."""
    node = statement.tree
    if isinstance(node, ast.Expr):
        return not _only_shows(node.value)
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return any(_root_name(target) == name for target in targets)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assert)):
        return False
    return None


def _may_change(name: str, tree: ast.stmt) -> bool:
    """Whether a statement adds to, or removes from, the value of a name."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Attribute, ast.Subscript)):
            is_target = not isinstance(node.ctx, ast.Load)
            if (is_target or (isinstance(node, ast.Attribute) and node.attr in _CHANGING)) and _root_name(node) == name:
                return True
    return False


def _only_shows(value: ast.expr) -> bool:
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in _SHOWING:
        return not any(isinstance(part, ast.Call) for argument in value.args for part in ast.walk(argument))
    return not any(isinstance(part, (ast.Call, ast.Await, ast.NamedExpr)) for part in ast.walk(value))


def _root_name(target: ast.AST) -> str | None:
    while isinstance(target, (ast.Attribute, ast.Subscript, ast.Starred)):
        target = target.value
    return target.id if isinstance(target, ast.Name) else None
