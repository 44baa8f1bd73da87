"""Which names later cells need: read from their text, and followed through the notebook's own functions.

The answer is on the safe side. Code that finds names at run time (`eval`, `globals()`, `%run`) may need
anything, and is reported as such. Library code is not followed: it cannot see the notebook's names.
"""

import ast
import builtins
import dis
import functools
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pauseflow_nb.cells import header_of
from pauseflow_nb.errors import InvalidStep

__all__ = ["Needed", "Statement", "names_needed", "statements_of"]

#: Built-in ways to names that the text does not show.
_DYNAMIC = frozenset({"eval", "exec", "globals", "locals", "vars", "dir", "__import__", "get_ipython", "__main__"})
_QUIET_MAGICS = frozenset(
    {"matplotlib", "pip", "conda", "config", "load_ext", "reload_ext", "autoreload", "cd", "env", "precision"}
    | {"html", "HTML", "javascript", "js", "latex", "markdown", "svg", "bash", "sh", "script", "writefile", "pauseflow"}
)
_CODE_MAGICS = frozenset({"time", "timeit", "capture", "prun"})
#: Methods whose text argument may name variables: `df.query("x > @limit")`, `duckdb.sql("select * from df")`.
_TEXT_METHODS = frozenset({"query", "eval", "sql", "raw_sql"})
_WORD = re.compile(r"[^\W\d]\w*")
_READS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "DELETE_NAME", "DELETE_GLOBAL"})
_BINDING = (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Statement:
    """One top-level statement of a cell."""

    source: str
    tree: ast.stmt
    reads: frozenset[str]
    binds: frozenset[str]
    #: What in it finds names at run time; empty: nothing.
    dynamic: str = ""

    @property
    def surely_binds(self) -> frozenset[str]:
        """Names that are bound whenever the statement has run."""
        return self.binds if isinstance(self.tree, _BINDING) else frozenset()


@dataclass(frozen=True)
class Needed:
    """What the coming cells need."""

    names: frozenset[str]
    #: A sentence, if they may need anything; empty: they need these names and no others.
    because: str = ""

    def needs(self, name: str) -> bool:
        """Whether a name may be needed."""
        return bool(self.because) or name in self.names


def names_needed(coming: Mapping[str, str], namespace: Mapping[str, Any]) -> Needed:
    """Find which names of the namespace the cells may read before they bind them.

    Args:
        coming: Source by cell index.
        namespace: The live namespace, whose functions are followed.
    """
    first_read: set[str] = set()
    bound: set[str] = set()
    for index in sorted(coming, key=int):
        for statement in statements_of(coming[index]):
            if statement.dynamic:
                return Needed(frozenset(), f"cell {int(index) + 1} uses {statement.dynamic}, so it may need anything")
            first_read |= statement.reads - bound
            bound |= statement.surely_binds
    needed: set[str] = set()
    todo = list(first_read)
    while todo:
        name = todo.pop()
        if name in needed or name not in namespace:
            continue
        needed.add(name)
        reads = set(_reads_of(namespace[name], set()))
        if dynamic := reads & _DYNAMIC:
            return Needed(frozenset(), f"{name} uses {min(dynamic)}(), so it may need anything")
        todo += reads
    return Needed(frozenset(needed))


@functools.lru_cache(maxsize=4096)
def statements_of(source: str) -> tuple[Statement, ...]:
    """Take a cell apart; one that does not parse is one dynamic statement."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        transformer: Any = TransformerManager()  # type: ignore[no-untyped-call]
        text = transformer.transform_cell(_without_header(source))
        tree = ast.parse(text)
        return tuple(_statement(node, text) for node in tree.body)
    except (SyntaxError, ValueError):
        return (Statement(source, ast.Pass(), frozenset(), frozenset(), "code that cannot be read"),)


def _without_header(source: str) -> str:
    try:
        is_headed = header_of(source) is not None
    except InvalidStep:
        is_headed = True
    return source.lstrip().partition("\n")[2] if is_headed else source


def _statement(node: ast.stmt, text: str) -> Statement:
    code = compile(ast.Module([node], []), "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    reads, binds = _names_of(code)
    magic_reads, dynamic = _of_magics(node)
    reads = (reads - {"get_ipython"} if not dynamic else reads) | magic_reads | _of_texts(node)
    found = sorted(reads & _DYNAMIC - ({"vars", "dir"} if _have_arguments(node) else set()))
    if isinstance(node, (ast.Import, ast.ImportFrom)) and "__main__" in ast.unparse(node):
        found = ["__main__"]
    return Statement(
        ast.get_source_segment(text, node) or ast.unparse(node),
        node,
        frozenset(name for name in reads if not hasattr(builtins, name)),
        frozenset(binds),
        dynamic or (f"{found[0]}()" if found else ""),
    )


def _names_of(code: types.CodeType, *, is_module: bool = True) -> tuple[set[str], set[str]]:
    reads: set[str] = set()
    binds: set[str] = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in _READS:
            reads.add(instruction.argval)
        elif instruction.opname == "STORE_GLOBAL" or (is_module and instruction.opname == "STORE_NAME"):
            binds.add(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner_reads, inner_binds = _names_of(constant, is_module=False)
            reads |= inner_reads
            binds |= inner_binds
    return reads, binds


def _have_arguments(node: ast.AST) -> bool:
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    return all(call.args for call in calls if isinstance(call.func, ast.Name) and call.func.id in {"vars", "dir"})


def _of_texts(node: ast.AST) -> set[str]:
    names: set[str] = set()
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in _TEXT_METHODS:
            for part in ast.walk(call):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    names |= set(_WORD.findall(part.value))
    return names


def _of_magics(node: ast.AST) -> tuple[set[str], str]:
    """Find what magics and shell lines in a statement read; and what of them finds names at run time."""
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
            for statement in statements_of(next((text for text in reversed(rest) if text), "")):
                reads |= statement.reads
                if statement.dynamic:
                    return reads, statement.dynamic
        else:
            return reads, f"%{first}" if method.endswith("magic") else "get_ipython()"
        known += 1
    uses = sum(1 for part in ast.walk(node) if isinstance(part, ast.Name) and part.id == "get_ipython")
    return reads, "get_ipython()" if uses > known else ""


def _is_shell(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "get_ipython"


def _reads_of(value: Any, seen: set[int]) -> Iterator[str]:
    """Find the globals that the notebook's code inside a value may read."""
    if id(value) in seen or len(seen) > 20_000:
        return
    seen.add(id(value))
    if isinstance(value, types.FunctionType):
        yield from _names_of(value.__code__, is_module=False)[0] if _is_notebooks(value) else ()
    for part in _code_in(value):
        yield from _reads_of(part, seen)


def _code_in(value: Any) -> Iterator[Any]:  # noqa: PLR0912 - one kind per branch
    if isinstance(value, types.FunctionType):
        yield from (value.__defaults__ or ())
        yield from (value.__kwdefaults__ or {}).values()
        for cell in value.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:
                continue
    elif isinstance(value, (staticmethod, classmethod, types.MethodType)):
        yield value.__func__
        yield getattr(value, "__self__", None)
    elif isinstance(value, property):
        yield from (value.fget, value.fset, value.fdel)
    elif isinstance(value, functools.partial):
        yield from (value.func, *value.args, *value.keywords.values())
    elif isinstance(value, type):
        if _is_notebooks(value):
            yield from list(vars(value).values())
            yield from value.__bases__
    elif isinstance(value, (list, tuple, set, frozenset)):
        yield from _callables(value)
    elif isinstance(value, dict):
        yield from _callables(value.values())
    elif not isinstance(value, (str, bytes, int, float, types.ModuleType)):
        yield type(value)
        if _is_notebooks(type(value)) or callable(value):
            yield from list(getattr(value, "__dict__", {}).values())
    if (not isinstance(value, type) and hasattr(type(value), "__wrapped__")) or "__wrapped__" in _attributes(value):
        yield value.__wrapped__


def _callables(values: Iterable[Any]) -> list[Any]:
    # Data do not read globals; a long list of numbers need not be walked.
    return [value for value in list(values)[:10_000] if not isinstance(value, (str, bytes, int, float, type(None)))]


def _attributes(value: Any) -> Mapping[str, Any]:
    attributes = getattr(value, "__dict__", None)
    return attributes if isinstance(attributes, (dict, types.MappingProxyType)) else {}


def _is_notebooks(value: Any) -> bool:
    return getattr(value, "__module__", None) == "__main__"
