"""Find every name that code of the notebook may look up, from its source, without following calls.

The result is conservative: a name counts wherever it occurs, also in a text. Code that may read the whole namespace
(`globals()`, a magic, a debugger) may look up any name.
"""

import ast
import builtins
import dis
import gc
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.type_names import library_of
from pauseflow_nb.kernel.snapshot.recovery.dependencies import (
    DYNAMIC,
    TEXT_METHODS,
    find_names,
    parse_statements,
    words_in,
)
from pauseflow_nb.kernel.snapshot.recovery.own_modules import may_read_notebook
from pauseflow_nb.kernel.user_code import compile_cell

#: Attributes that give access to the namespace, besides those that `find_names` knows.
_WAYS = frozenset({"modules", "get_ipython", "embed", "run_cell", "run_code", "import_module", "breakpoint"})
#: The same attributes as texts, for `getattr`.
_QUOTED_WAYS = _WAYS | {"__globals__", "__import__", "__main__", "eval", "exec", "f_globals", "globals", "user_ns"}
#: Libraries whose objects, such as the shell, refer to the namespace.
_SHELLS = frozenset({"IPython", "ipykernel"})
_WAY_IDS = frozenset(id(vars(builtins)[name]) for name in DYNAMIC & vars(builtins).keys())
#: Names of the namespace, or of its module.
_NAMESPACES = frozenset({"__builtins__", "__name__", "__spec__"})
#: Modules that read all variables, or run code in texts.
_WALKERS = frozenset(
    {"bdb", "code", "codeop", "dill", "doctest", "gc", "inspect", "ipdb", "objgraph", "pdb", "pympler", "runpy"}
    | {"timeit", "trace", "unittest", "pytest"}
)


def find_mentions(source: str, namespace: Mapping[str, Any]) -> set[str] | None:
    """Find the names that a cell, or a statement of one, may look up, bind or delete.

    Args:
        source: Source of the cell or statement.
        namespace: The live namespace, for the modules that it uses.

    Returns:
        None if it may be any name.
    """
    found: set[str] = set()
    for statement in parse_statements(source):
        tree = ast.Module([statement.tree], [])
        if statement.dynamic or _reads_texts(tree) or _imports_everything(tree):
            return None
        names = _find_in_code(compile_cell(tree, "<statement>"), namespace, has_texts=True)
        if names is None:
            return None
        found |= names | statement.reads | statement.binds | statement.mentions | words_in(tree)
    return found


def find_mentions_of_functions(namespace: Mapping[str, Any]) -> set[str] | None:
    """Find the names that functions and methods of the notebook may look up, wherever they are stored.

    Returns:
        None if it may be any name.
    """
    found: set[str] = set()
    for each in gc.get_objects():
        # IPython makes functions of whole cells, whose statements are checked one by one.
        is_function = type(each) is types.FunctionType and each.__globals__ is namespace
        if is_function and each.__code__.co_name != "<module>":
            names = _find_in_code(each.__code__, namespace, has_texts=False)
            if names is None:
                return None
            found |= names
    return found


def _find_in_code(code: types.CodeType, namespace: Mapping[str, Any], *, has_texts: bool) -> set[str] | None:
    """Find names in compiled code; `has_texts` if its text arguments have been checked."""
    reads, binds = find_names(code)
    if not has_texts and reads & DYNAMIC:
        return None
    ways = _WAYS if has_texts else _WAYS | TEXT_METHODS
    for each in _list_code_objects(code):
        if not ways.isdisjoint(each.co_names):
            return None
        words = {word for text in each.co_consts if isinstance(text, str) for word in words_in(ast.Constant(text))}
        if not words.isdisjoint(_QUOTED_WAYS):
            return None
        reads |= words
    if reads & _NAMESPACES or any(
        _is_walker(name, namespace) for code in _list_code_objects(code) for name in code.co_names
    ):
        return None
    # Last, because it reads files.
    if may_read_notebook(name for code in _list_code_objects(code) for name in _find_imports(code)):
        return None
    return reads | binds


def _find_imports(code: types.CodeType) -> set[str]:
    return {str(each.argval) for each in dis.get_instructions(code) if each.opname == "IMPORT_NAME"}


def _list_code_objects(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _list_code_objects(constant)


def _is_walker(name: str, namespace: Mapping[str, Any]) -> bool:
    """Whether a name is, or an import names, a module that reads all variables, or an object of one.

    Other names for `eval`, the namespace or the shell count, too.
    """
    if name.partition(".")[0] in _WALKERS:
        return True
    value: Any = namespace.get(name)
    # By type: `isinstance` of a proxy may raise.
    if issubclass(type(value), types.ModuleType):
        return value.__name__.partition(".")[0] in _WALKERS or value is sys.modules.get("__main__")
    if value is namespace or id(value) in _WAY_IDS or library_of(type(value)) in _SHELLS:
        return True
    is_defined = type(value) in {types.FunctionType, types.BuiltinFunctionType, type}
    return is_defined and str(getattr(value, "__module__", "")).partition(".")[0] in _WALKERS


def _reads_texts(tree: ast.AST) -> bool:
    """Whether a text that may name variables, such as a query, is not a literal."""
    called = {id(call.func) for call in ast.walk(tree) if isinstance(call, ast.Call)}
    for node in ast.walk(tree):
        # A method that is passed as a value, or looked up by name.
        if isinstance(node, ast.Attribute) and node.attr in TEXT_METHODS and id(node) not in called:
            return True
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in TEXT_METHODS:
            return True
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            if name in TEXT_METHODS and not all(isinstance(each, ast.Constant) for each in arguments):
                return True
    return False


def _imports_everything(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree))
