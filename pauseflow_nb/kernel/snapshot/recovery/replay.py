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
from pauseflow_nb.kernel.snapshot.recovery.own_state import OwnState, find_own_state, may_change

#: Types of objects with a position, which a new object would not have.
_IN_PROGRESS = frozenset(
    {"generator", "async_generator", "coroutine", "TextIOWrapper", "BufferedReader", "BufferedWriter", "BufferedRandom"}
    | {"FileIO", "reader", "Cursor", "HASH", "nditer", "flatiter", "DictReader", "_csv.reader"}
)
#: Types of objects that consist only of their contents.
_CONTAINERS = frozenset(
    {"dict", "list", "set", "bytearray", "collections.deque", "collections.defaultdict", "collections.OrderedDict"}
)
_DEFINING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SHOWING = frozenset({"print", "display"})
#: Methods of a connection that prepare it; what others do to a database is still there.
_PREPARING = frozenset({"close", "cursor", "enable_load_extension", "load_extension"})
_PREPARING_PREFIXES = ("create_", "register", "set_")
_PREPARING_SQL = frozenset({"attach", "install", "load", "pragma", "set", "use"})
#: Methods of a client whose effect is outside of this process.
_SENDING = frozenset({"delete", "patch", "post", "publish", "put", "send", "send_message", "sendall"})


@dataclass(frozen=True)
class _Placed:
    position: int
    cell: int
    statement: Statement


class Cells:
    """The plain cells and steps that have run."""

    def __init__(self, passed: Mapping[str, str], steps: Iterable[str], namespace: Mapping[str, Any]) -> None:
        placed = [(int(index), s) for index in sorted(passed, key=int) for s in parse_statements(passed[index])]
        of_steps = [statement for source in steps for statement in parse_statements(source)]
        # A word of a query counts if it is the name of a variable.
        names = frozenset().union(*(s.binds for s in (*of_steps, *(s for _, s in placed))))
        of_steps = [_with_mentions(s, names) for s in of_steps]
        self._plain = [_Placed(position, cell, _with_mentions(s, names)) for position, (cell, s) in enumerate(placed)]
        self._by_steps = frozenset().union(*(s.binds for s in of_steps)) if of_steps else frozenset()
        self._of_steps = of_steps
        self._namespace = namespace
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
        if is_data and any(may_change(name, statement.tree, OwnState()) for statement in self._of_steps):
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
        binding = next((p for p in reversed(self._plain[:before]) if name in p.statement.binds), None)
        if binding is None or name in self._by_steps:
            return False
        state = find_own_state(self._namespace.get(name))
        makers, others = [binding], []
        for placed in self._plain[binding.position + 1 : before]:
            if name in placed.statement.reads:
                effect = _effect_on(name, placed.statement, state)
                if effect is None:
                    return False
                makers += [placed] if effect else []
                others += [placed.statement] if not effect else []
        if state.is_unique or self._may_be_changed(name, state, others):
            return False
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

    def _may_be_changed(self, name: str, state: OwnState, others: list[Statement]) -> bool:
        """Whether a step, a statement that is not replayed, or a function that was called may have changed a value."""
        if not (state.by_methods or state.by_others):
            return False
        plain = [placed.statement for placed in self._plain]
        # A function of a step is called by its end: `def handler(pd)`.
        running = [*self._of_steps, *(each for each in others if not isinstance(each.tree, _DEFINING))]
        running += [
            each
            for each in plain
            if isinstance(each.tree, _DEFINING)
            and any(each.binds & other.reads for other in (*self._of_steps, *plain) if other is not each)
        ]
        return any(name in each.reads and may_change(name, each.tree, state) for each in running)

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


def _effect_on(name: str, statement: Statement, state: OwnState) -> bool | None:
    """Whether a statement that reads a name may change its value; None if unknown."""
    node = statement.tree
    if isinstance(node, ast.Expr):
        has_state = state.by_methods or state.by_others
        if has_state and state.is_outside and not _only_shows(node.value):
            # Its methods may change a database that an object of the notebook holds.
            return None
        is_outside = _changes_outside(name, node.value) if state.is_outside else _sends(name, node.value)
        return not _only_shows(node.value) and (has_state or not is_outside)
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return any(_root_name(target) == name for target in targets)
    if isinstance(node, (*_DEFINING, ast.Import, ast.ImportFrom, ast.Assert)):
        return False
    return None


def _changes_outside(name: str, call: ast.expr) -> bool:
    """Whether a call with a connection to a database outside may change data there, instead of the connection."""
    method = call.func if isinstance(call, ast.Call) else None
    if not isinstance(method, ast.Attribute) or _root_name(method) != name:
        return True
    texts = [part.value for part in ast.walk(call) if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    is_query = any(text.split() and text.split()[0].lower() in _PREPARING_SQL for text in texts)
    return method.attr not in _PREPARING and not method.attr.startswith(_PREPARING_PREFIXES) and not is_query


def _sends(name: str, call: ast.expr) -> bool:
    method = call.func if isinstance(call, ast.Call) else None
    return isinstance(method, ast.Attribute) and method.attr in _SENDING and _root_name(method) == name


def _only_shows(value: ast.expr) -> bool:
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in _SHOWING:
        return not any(isinstance(part, ast.Call) for argument in value.args for part in ast.walk(argument))
    return not any(isinstance(part, (ast.Call, ast.Await, ast.NamedExpr)) for part in ast.walk(value))


def _root_name(target: ast.AST) -> str | None:
    while isinstance(target, (ast.Attribute, ast.Subscript, ast.Starred)):
        target = target.value
    return target.id if isinstance(target, ast.Name) else None
