"""Find every name that code of the notebook may look up, by its text alone and without following any call.

The answer is on the safe side: a name counts wherever it stands, also in a text. What may look at the namespace as a
whole (`globals()`, a magic, a debugger) may look up anything.
"""

import ast
import dis
import gc
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

from pauseflow_nb.kernel.snapshot.recovery.dependencies import (
    DYNAMIC,
    TEXT_METHODS,
    find_names,
    parse_statements,
    words_in,
)
from pauseflow_nb.kernel.snapshot.recovery.own_modules import any_looks
from pauseflow_nb.kernel.user_code import compiled

#: Attributes through which code comes to the namespace, besides those that `find_names` knows.
_WAYS = frozenset({"modules", "get_ipython", "embed", "run_cell", "run_code", "import_module", "breakpoint"})
#: Names that stand for the namespace, or for the module that it belongs to.
_NAMESPACES = frozenset({"__builtins__", "__name__", "__spec__"})
#: Modules that look at all variables, or run code that is given as a text.
_WALKERS = frozenset(
    {"bdb", "code", "codeop", "dill", "doctest", "gc", "inspect", "ipdb", "objgraph", "pdb", "pympler", "runpy"}
    | {"timeit", "trace", "unittest", "pytest"}
)


def find_mentions(source: str, namespace: Mapping[str, Any]) -> set[str] | None:
    """Find the names that a cell, or a statement of one, may look up, bind or delete.

    Args:
        source: Its text.
        namespace: The live namespace, which tells what the modules are that it uses.

    Returns:
        None if it may be any name.
    """
    found: set[str] = set()
    for statement in parse_statements(source):
        tree = ast.Module([statement.tree], [])
        if statement.dynamic or _reads_texts(tree) or _imports_everything(tree):
            return None
        names = _find_in_code(compiled(tree, "<statement>"), namespace, has_texts=True)
        if names is None:
            return None
        found |= names | statement.reads | statement.binds | statement.mentions | words_in(tree)
    return found


def find_mentions_of_functions(namespace: Mapping[str, Any]) -> set[str] | None:
    """Find the names that functions and methods of the notebook may look up, wherever they are held.

    Returns:
        None if it may be any name.
    """
    found: set[str] = set()
    for each in gc.get_objects():
        # IPython makes functions of whole cells, whose statements are looked at one by one.
        is_function = type(each) is types.FunctionType and each.__globals__ is namespace
        if is_function and each.__code__.co_name != "<module>":
            names = _find_in_code(each.__code__, namespace, has_texts=False)
            if names is None:
                return None
            found |= names
    return found


def _find_in_code(code: types.CodeType, namespace: Mapping[str, Any], *, has_texts: bool) -> set[str] | None:
    """Find names in compiled code; `has_texts`: the texts that it passes on were looked at."""
    reads, binds = find_names(code)
    if not has_texts and reads & DYNAMIC:
        return None
    ways = _WAYS if has_texts else _WAYS | TEXT_METHODS
    for each in _codes(code):
        if not ways.isdisjoint(each.co_names):
            return None
        reads |= {word for text in each.co_consts if isinstance(text, str) for word in words_in(ast.Constant(text))}
    if reads & _NAMESPACES or any(_is_walker(name, namespace) for code in _codes(code) for name in code.co_names):
        return None
    # Only now, as it reads files.
    if any_looks(name for code in _codes(code) for name in _find_imports(code)):
        return None
    return reads | binds


def _find_imports(code: types.CodeType) -> set[str]:
    return {str(each.argval) for each in dis.get_instructions(code) if each.opname == "IMPORT_NAME"}


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _is_walker(name: str, namespace: Mapping[str, Any]) -> bool:
    """Whether a name stands for a module that looks at all variables, or for something of one; `import` names it, too."""
    if name.partition(".")[0] in _WALKERS:
        return True
    value = namespace.get(name)
    if isinstance(value, types.ModuleType):
        return value.__name__.partition(".")[0] in _WALKERS or value is sys.modules.get("__main__")
    is_defined = type(value) in {types.FunctionType, types.BuiltinFunctionType, type}
    return is_defined and str(getattr(value, "__module__", "")).partition(".")[0] in _WALKERS


def _reads_texts(tree: ast.AST) -> bool:
    """Whether a text that may name variables, such as a query, is not written out where it is used."""
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
            if name in TEXT_METHODS and not all(isinstance(each, ast.Constant) for each in arguments):
                return True
    return False


def _imports_everything(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree))
