"""Turn a `%%step`, `%%fresh` or `%%setup` cell into ordinary code, in two stages.

1. Text, in `input_transformers_cleanup`. IPython runs these several times for one cell and also for
   cells it never executes, so this stage is pure: the header line becomes a string literal on the
   same line, and nothing else moves. Line numbers, magics, `!shell` and tracebacks stay as they are.
2. Syntax tree, once and just before the cell runs: the literal becomes calls to the session. A step
   becomes

        while session.runs_now('%%step approve --retries 3'):
            with session.begin_attempt():
                …the cell…
                session.show(the last expression)

   It is a `while` so that a step can be retried or skipped, and so that the cell's own code stays at the top level
   of the module: `await`, `import *` and new names work as in any cell.
"""

import ast
import dis
import re
from collections.abc import Iterator
from types import CodeType
from typing import TYPE_CHECKING, Any

from IPython.core.inputtransformer2 import classic_prompt, ipython_prompt, leading_indent

from pauseflow_nb.cells import find_mistake, read_header
from pauseflow_nb.errors import InvalidStep
from pauseflow_nb.kernel.user_code import compile_cell, parse_cell

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_ASYNC_HANDLER = re.compile(r"^async\s+def\s+handler\s*\(", re.MULTILINE)
#: `%%time?` asks for help and calls nothing.
_MAGIC_HELP = re.compile(r"%%\w+\?")
_SESSION = "get_ipython().pauseflow"


def header_to_literal(lines: list[str]) -> list[str]:
    """Replace a header in the first line by a literal; other cells are returned as they are."""
    if not lines or not _is_header(lines[0]):
        return lines
    body = _with_inner_magic(_clean_up(lines[1:]))
    # IPython decides from the text whether a cell needs an event loop, before it sees the tree.
    needs_loop = _ASYNC_HANDLER.search("".join(body)) is not None
    return [f"{'await ' if needs_loop else ''}{lines[0].strip()!r}\n", *body]


class HeaderMistakes:
    """The first part of the first stage: report a misplaced or misspelt header instead of running the cell."""

    def __init__(self, shell: "InteractiveShell") -> None:
        self._shell = shell

    def __call__(self, lines: list[str]) -> list[str]:
        """Replace a cell that has such a mistake; other cells are returned unchanged."""
        source = "".join(lines)
        if "%s" not in source.lower() and "% s" not in source:
            return lines
        mistake = find_mistake(source, is_known=self._is_cell_magic)
        return lines if mistake is None else [f"{_SESSION}.refuse_cell({str(mistake)!r})\n"]

    def _is_cell_magic(self, word: str) -> bool:
        return self._shell.find_cell_magic(word) is not None  # type: ignore[no-untyped-call]


class OneLineBodies:
    """The last part of the first stage, for `input_transformers_post`: a body of one line may be `ls -la` or `cd ..`.

    IPython recognises these only in cells of one line, and steps have their header, too.
    """

    def __init__(self, shell: "InteractiveShell") -> None:
        self._shell = shell

    def __call__(self, lines: list[str]) -> list[str]:
        """Expand a body of one line; cells without a header are returned unchanged."""
        if len(lines) < 2 or not _is_literal(lines[0]):
            return lines
        at = next((number for number, line in enumerate(lines) if number and line.strip()), 0)
        if not at or at + 1 != len(lines):
            return lines
        prefilter = self._shell.prefilter_manager
        assert prefilter is not None
        with self._shell.builtin_trap:
            expanded: str = prefilter.prefilter_lines(lines[at])
        return [*lines[:at], expanded.rstrip("\n") + "\n"]


def collect_stored_names(tree: ast.Module) -> set[str]:
    """Find the global names that code may bind, functions that say `global` included."""
    try:
        code = compile_cell(tree, "<names>")
    except (SyntaxError, ValueError):
        return set()
    # STORE_NAME binds a global only in the module's own code: in a class body it binds an attribute.
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "STORE_NAME"}
    names |= {i.argval for c in _list_code_objects(code) for i in dis.get_instructions(c) if i.opname == "STORE_GLOBAL"}
    return names - {"__doc__"}  # the header literal looks like a docstring


def find_stored_names(source: str) -> set[str]:
    """Find the global names that transformed source may bind; none if it cannot be parsed."""
    try:
        return collect_stored_names(parse_cell(source))
    except (SyntaxError, ValueError):
        return set()


class StepCells(ast.NodeTransformer):
    """The second stage, for `shell.ast_transformers`."""

    def __init__(self, shell: "InteractiveShell") -> None:
        self._shell = shell

    def visit(self, tree: ast.AST) -> ast.AST:
        """Rewrite the tree of a step, fresh or setup cell; leave others alone."""
        header = _read_literal(tree) if isinstance(tree, ast.Module) else None
        if header is None:
            return tree
        assert isinstance(tree, ast.Module)
        first, *body = tree.body
        at = first.lineno, first.col_offset
        # The compiler requires these before any other statement.
        futures = [s for s in body if isinstance(s, ast.ImportFrom) and s.module == "__future__"]
        rest = [s for s in body if s not in futures]
        if header.startswith("%%setup"):
            names = sorted(collect_stored_names(tree))
            ours = [*_parse(f"{_SESSION}.open_setup({header!r}, {names!r})", at), *rest]
        elif header.startswith("%%fresh"):
            ours = _fresh(header, rest, at)
        else:
            ours = [self._step(header, rest, at)]
        return ast.Module([*futures, *ours], tree.type_ignores)

    def _step(self, header: str, rest: list[ast.stmt], at: tuple[int, int]) -> ast.stmt:
        (loop,) = _parse(
            f"while {_SESSION}.runs_now({header!r}):\n with {_SESSION}.begin_attempt({_is_magic(rest)!r}):\n  pass", at
        )
        assert isinstance(loop, ast.While)
        (attempt,) = loop.body
        assert isinstance(attempt, ast.With)
        # For a `break` outside of the user's own loops our loop is left out, so that the compiler refuses it.
        wrapped: ast.stmt = loop if _is_compilable(rest) else attempt
        attempt.body = self._shown(rest, at) or attempt.body
        return wrapped

    def _shown(self, body: list[ast.stmt], at: tuple[int, int]) -> list[ast.stmt]:
        handler = _find_handler(body)
        if handler is not None:
            wait = "await " if isinstance(handler, ast.AsyncFunctionDef) else ""
            position = handler.lineno, handler.col_offset
            return [*body, *_parse(f"{_SESSION}.show({wait}handler({_SESSION}.pd))", position)]
        interactivity = self._shell.ast_node_interactivity
        last = body[-1] if body else None
        return [
            _pass_to_display(s, at)
            if isinstance(s, ast.Expr) and (interactivity == "all" or (s is last and interactivity != "none"))
            else s
            for s in body
        ]


def _fresh(header: str, body: list[ast.stmt], at: tuple[int, int]) -> list[ast.stmt]:
    """Take the value of the last expression; without one, the cell refuses to run."""
    last = body[-1] if body else None
    value = (
        _pass_to_display(last, at, f"{_SESSION}.take_value({header!r}, None)") if isinstance(last, ast.Expr) else None
    )
    return [*body[:-1], value] if value is not None else _parse(f"{_SESSION}.refuse_value({header!r})", at)


def _is_header(line: str) -> bool:
    try:
        return read_header(line) is not None
    except InvalidStep:
        return True  # reported when the cell runs: this stage must not raise


def _clean_up(body: list[str]) -> list[str]:
    """Remove the indentation and prompts that IPython removes; line numbers do not change."""
    at = next((number for number, line in enumerate(body) if line.strip()), len(body))
    rest = body[at:]
    cleaners: tuple[Any, ...] = (leading_indent, classic_prompt, ipython_prompt)
    for clean in cleaners:
        rest = clean(rest)
    return [*body[:at], *rest]


def _is_literal(line: str) -> bool:
    quoted = line.strip().removeprefix("await ")
    return quoted.startswith(("'%%", '"%%')) and _is_header(ast.literal_eval(quoted))


def _with_inner_magic(body: list[str]) -> list[str]:
    # IPython looks for a cell magic only in the first line, which is the header.
    at = next((i for i, line in enumerate(body) if line.strip()), None)
    if at is None or not body[at].startswith("%%") or _MAGIC_HELP.match(body[at]):
        return body
    name, _, arguments = body[at][2:].strip().partition(" ")
    cell = "".join(body[at + 1 :])
    return [*body[:at], f"get_ipython().run_cell_magic({name!r}, {arguments.strip()!r}, {cell!r})\n"]


def _read_literal(tree: ast.Module) -> str | None:
    first = tree.body[0] if tree.body else None
    if not isinstance(first, ast.Expr) or first.lineno != 1:
        return None
    value = first.value.value if isinstance(first.value, ast.Await) else first.value
    if isinstance(value, ast.Constant) and isinstance(value.value, str) and _is_header(value.value):
        return value.value
    return None


def _is_magic(body: list[ast.stmt]) -> bool:
    first = body[0] if body else None
    call = first.value if isinstance(first, ast.Expr) else None
    function = call.func if isinstance(call, ast.Call) else None
    return isinstance(function, ast.Attribute) and function.attr == "run_cell_magic"


def _find_handler(body: list[ast.stmt]) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    functions = (s for s in body if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef)) and s.name == "handler")
    return next(reversed(list(functions)), None)


def _pass_to_display(statement: ast.Expr, at: tuple[int, int], shows: str = f"{_SESSION}.show(None)") -> ast.stmt:
    """Pass the value of an expression to a call, as its last argument."""
    (call,) = _parse(shows, at)
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    call.value.args[-1] = statement.value
    return ast.copy_location(call, statement)


def _parse(source: str, at: tuple[int, int]) -> list[ast.stmt]:
    # With the position of the user's code, so that no traceback points to generated code.
    body = ast.parse(source).body
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, (ast.stmt, ast.expr)):
                node.lineno = node.end_lineno = at[0]
                node.col_offset = node.end_col_offset = at[1]
    return body


def _is_compilable(body: list[ast.stmt]) -> bool:
    try:
        compile_cell(ast.Module(body, []), "<step>")
    except (SyntaxError, ValueError):
        return False
    return True


def _list_code_objects(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _list_code_objects(constant)
