"""Parse and compile the user's code without Python's warnings, which are shown when the cell runs."""

import ast
import warnings
from types import CodeType


def parse_cell(source: str) -> ast.Module:
    """Parse a cell's source.

    Raises:
        SyntaxError: If it is not Python.
        ValueError: If it holds a NUL.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def compile_cell(tree: ast.Module | str, name: str) -> CodeType:
    """Compile a cell, which may contain `await` outside of functions.

    Raises:
        SyntaxError: If it is not Python.
        ValueError: If it holds a NUL.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code: CodeType = compile(tree, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        return code
