"""Find the names that later cells need, from their source and through the notebook's own functions.

The result is conservative: code that looks names up at run time (`eval`, `globals()`, `%run`) may need anything, and
is reported. Library code is not followed, because it cannot see the notebook's names.
"""

import ast
import builtins
import dis
import functools
import gc
import re
import sys
import types
import weakref
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pauseflow_nb.cells import read_header, runs_again
from pauseflow_nb.errors import InvalidStep
from pauseflow_nb.kernel.snapshot.pickling.type_names import is_users, library_of
from pauseflow_nb.kernel.user_code import compile_cell, parse_cell

_QUIET_MAGICS = frozenset(
    {"matplotlib", "pip", "conda", "config", "load_ext", "reload_ext", "autoreload", "cd", "env", "precision"}
    | {"html", "HTML", "javascript", "js", "latex", "markdown", "svg", "bash", "sh", "script", "writefile", "pauseflow"}
)
_CODE_MAGICS = frozenset({"time", "timeit", "capture", "prun"})
#: Options of `%timeit` and similar magics, before the code.
_OPTIONS = re.compile(r"(?:\s*-[a-zA-Z]+(?:\s*\d+)?\b)*")
#: Methods whose text argument may name variables: `df.query("x > @limit")`, `duckdb.sql("select * from df")`.
TEXT_METHODS = frozenset(
    {"query", "eval", "evaluate", "sql", "raw_sql", "execute", "read_sql", "from_formula", "ols", "glm", "logit"}
)
_WORD = re.compile(r"[^\W\d]\w*")
_BINDING = (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
#: Built-in functions that look up names which the source does not show.
DYNAMIC = frozenset({"eval", "exec", "globals", "locals", "vars", "dir", "__import__", "get_ipython", "__main__"})
#: Attributes and imports that give access to the namespace.
_DYNAMIC_ATTRIBUTES = frozenset({"__globals__", "f_globals", "f_locals", "user_ns", "user_global_ns"})
_READS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_NAME", "DELETE_GLOBAL"})
#: Most objects that are searched, without numbers and texts.
_MOST = 200_000
_LEAVES = (str, bytes, int, float, complex, type(None), types.ModuleType, types.CodeType)
#: Libraries whose objects run the notebook, and are not searched.
_MACHINERY = frozenset({"IPython", "ipykernel", "traitlets", "pauseflow_nb", "zmq", "tornado"})
_WAYS = {id(vars(builtins)[name]): name for name in DYNAMIC & vars(builtins).keys() - {"vars", "dir"}}


@dataclass(frozen=True)
class Statement:
    """One top-level statement of a cell."""

    source: str
    tree: ast.stmt
    reads: frozenset[str]
    binds: frozenset[str]
    #: The part of it that looks names up at run time; may be empty.
    dynamic: str = ""
    #: Words of texts that may name variables, such as those of a query.
    mentions: frozenset[str] = frozenset()

    @property
    def surely_binds(self) -> frozenset[str]:
        """Return the names that are bound whenever the statement has run."""
        return self.binds if isinstance(self.tree, _BINDING) else frozenset()


@dataclass(frozen=True)
class Needed:
    """Names that the coming cells need."""

    names: frozenset[str]
    #: A sentence why they may need anything; empty if they need only these names.
    because: str = ""

    def needs(self, name: str) -> bool:
        """Whether a name may be needed."""
        return bool(self.because) or name in self.names


def find_needed_names(coming: Mapping[str, str], namespace: Mapping[str, Any]) -> Needed:
    """Find which names of the namespace the cells may read before they bind them.

    Args:
        coming: Source by cell index.
        namespace: The live namespace, whose functions are followed.
    """
    first_read: set[str] = set()
    bound_names: set[str] = set()
    for index in sorted(coming, key=int):
        for statement in parse_statements(coming[index]):
            if statement.dynamic:
                return Needed(
                    frozenset(), f"cell {int(index) + 1} uses {statement.dynamic}, which may read any variable"
                )
            first_read |= (statement.reads | statement.mentions) - bound_names
            # An earlier setup runs before the saved values are restored, which may replace what it binds. A fresh
            # cell does not run again after every pause.
            bound_names |= statement.surely_binds if not _runs_again(coming[index]) else frozenset()
    found = _followed(first_read, namespace)
    return found if found.because else Needed(found.names & namespace.keys())


def find_cells_needing(
    missing: Collection[str], coming: Mapping[str, str], namespace: Mapping[str, Any], *, quoted: bool = True
) -> dict[str, list[int]]:
    """Find the cells that may need names which are no longer in the namespace.

    Args:
        missing: The names.
        coming: Source by cell index.
        namespace: The live namespace, whose functions are followed.
        quoted: Whether a name counts as needed if a text contains it: `"budget" in names` then needs `budget`.

    Returns:
        Name → indices of cells, in order; empty for a name that no cell needs.
    """
    needed: dict[str, list[int]] = {name: [] for name in missing}
    bound_names: set[str] = set()
    for index in sorted(coming, key=int):
        reads: set[str] = set()
        is_dynamic = False
        for statement in parse_statements(coming[index]):
            is_dynamic |= bool(statement.dynamic)
            words = words_in(statement.tree) if quoted else set()
            reads |= (statement.reads | statement.mentions | words) - bound_names
            bound_names |= statement.surely_binds if not _runs_again(coming[index]) else frozenset()
        found = _followed(reads, namespace)
        for name, cells in needed.items():
            if found.needs(name) or (is_dynamic and name not in bound_names):
                cells.append(int(index))
    return needed


def _followed(names: Iterable[str], namespace: Mapping[str, Any]) -> Needed:
    """Add the names that user code in the values reads; some of them may not be bound."""
    needed: set[str] = set()
    todo = list(names)
    seen: set[int] = set()
    while todo:
        name = todo.pop()
        if name in needed:
            continue
        needed.add(name)
        if name not in namespace:
            continue
        reads = find_reads(namespace[name], namespace, seen)
        if reads is None:
            return Needed(frozenset(), f"{name} contains too much to search: it may use any variable")
        if dynamic := reads & DYNAMIC:
            return Needed(frozenset(), f"{name} uses {min(dynamic)}(), which may read any variable")
        todo += reads
    return Needed(frozenset(needed))


def _runs_again(source: str) -> bool:
    try:
        return runs_again(read_header(source))
    except InvalidStep:
        return False


def words_in(node: ast.AST) -> set[str]:
    """Return the words of all texts in a piece of code."""
    texts = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant))
    return {word for text in texts if isinstance(text, str) for word in _WORD.findall(text)}


@functools.lru_cache(maxsize=4096)
def parse_statements(source: str) -> tuple[Statement, ...]:
    """Split a cell into statements; a cell that cannot be parsed is one dynamic statement."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        transformer: Any = TransformerManager()  # type: ignore[no-untyped-call]
        text = transformer.transform_cell(_without_header(source))
        tree = parse_cell(text)
        return tuple(_statement(node, text) for node in tree.body)
    except (SyntaxError, ValueError):
        return (Statement(source, ast.Pass(), frozenset(), frozenset(), "code that cannot be read"),)


def _without_header(source: str) -> str:
    try:
        is_headed = read_header(source) is not None
    except InvalidStep:
        is_headed = True
    return source.lstrip().partition("\n")[2] if is_headed else source


def _statement(node: ast.stmt, text: str) -> Statement:
    code = compile_cell(ast.Module([node], []), "<cell>")
    reads, binds = find_names(code)
    magic_reads, dynamic = _of_magics(node)
    reads = (reads - {"get_ipython"} if not dynamic else reads) | magic_reads
    found = sorted(reads & DYNAMIC - ({"vars", "dir"} if _have_arguments(node) else set()))
    if isinstance(node, (ast.Import, ast.ImportFrom)) and "__main__" in ast.unparse(node):
        found = ["__main__"]
    return Statement(
        ast.get_source_segment(text, node) or ast.unparse(node),
        node,
        frozenset(name for name in reads if not hasattr(builtins, name)),
        frozenset(binds),
        dynamic or (f"{found[0]}()" if found else ""),
        frozenset(_of_texts(node)),
    )


def _have_arguments(node: ast.AST) -> bool:
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    return all(call.args for call in calls if isinstance(call.func, ast.Name) and call.func.id in {"vars", "dir"})


def _of_texts(node: ast.AST) -> set[str]:
    names: set[str] = set()
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in TEXT_METHODS:
            for part in ast.walk(call):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    names |= set(_WORD.findall(part.value))
    return names


def _of_magics(node: ast.AST) -> tuple[set[str], str]:
    """Return the names that magics and shell lines in a statement read, and the parts that look names up."""
    reads: set[str] = set()
    known = 0
    for call in ast.walk(node):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and _is_shell(call.func.value)):
            continue
        constants = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
        texts = [text for text in constants if isinstance(text, str)]
        if len(texts) != len(call.args):
            return reads, "get_ipython()"
        method, (first, *rest) = call.func.attr, (*texts, "")
        if method in {"system", "getoutput"}:
            reads |= set(_WORD.findall(first))
        elif method in {"run_line_magic", "run_cell_magic"} and first in _QUIET_MAGICS:
            reads |= {word for text in rest for word in _WORD.findall(text)}
        elif method in {"run_line_magic", "run_cell_magic"} and first in _CODE_MAGICS:
            for statement in _statements_in(rest):
                reads |= statement.reads
                if statement.dynamic:
                    return reads, statement.dynamic
        else:
            return reads, f"%{first}" if method.endswith("magic") else "get_ipython()"
        known += 1
    uses = sum(1 for part in ast.walk(node) if isinstance(part, ast.Name) and part.id == "get_ipython")
    return reads, "get_ipython()" if uses > known else ""


def _statements_in(texts: Iterable[str]) -> Iterator[Statement]:
    for text in texts:
        yield from parse_statements(text[_OPTIONS.match(text).end() :])  # type: ignore[union-attr]  # it matches nothing, too


def _is_shell(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_ipython"


def find_names(code: types.CodeType, *, is_module: bool = True) -> tuple[set[str], set[str]]:
    """Return the globals that code reads, and those that it binds."""
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
    """Return the globals that the user's code inside a value may read.

    Args:
        value: The value.
        namespace: The notebook's; code that has other globals cannot see its names.
        seen: Ids of objects that were searched; new ones are added.

    Returns:
        Names; None if there is too much to search.
    """
    reads: set[str] = set()
    alive: list[Any] = []
    todo = [value]
    while todo:
        each = todo.pop()
        # By type: `isinstance` of a proxy may answer for another object, or raise.
        kind = type(each)
        if issubclass(kind, _LEAVES) or id(each) in seen:
            continue
        seen.add(id(each))
        # Temporary objects must be kept until the end, or another object could get the same id.
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
        # Not its globals, in which its names are looked up.
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
