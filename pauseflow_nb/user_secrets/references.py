"""Refer to a secret by name: `secret:NAME` as a parameter, `flow.secret("NAME")` in a cell."""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pauseflow_nb.cells import read_header
from pauseflow_nb.errors import InvalidStep, InvalidValue
from pauseflow_nb.json_values import JSON

#: Prefix of a parameter that takes its value from a secret.
PREFIX = "secret:"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_NO_NAME = (
    "must be a name such as `API_KEY`: letters, digits, `_`, `-` and `.`, at most 128, with a letter or `_` first"
)
#: Syntax in which a call may be skipped: whether it runs is not known in advance.
_MAYBE = (
    ast.If,
    ast.IfExp,
    ast.BoolOp,
    ast.Try,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.Match,
    ast.Lambda,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


def check_name(name: object) -> str:
    """Check the name of a secret.

    Raises:
        InvalidValue: If it cannot be one.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise InvalidValue("name", name, _NO_NAME)
    return name


def read_reference(value: object) -> str | None:
    """Read the name in `secret:NAME`; None for every other value, such as a text with spaces after the colon.

    Raises:
        InvalidValue: If the text after the colon cannot be a name.
    """
    if not isinstance(value, str) or not value.startswith(PREFIX):
        return None
    name = value.removeprefix(PREFIX)
    return None if not name or any(map(str.isspace, name)) else check_name(name)


def list_references(value: JSON) -> Iterator[str]:
    """List the names of all references in a JSON value, at any depth.

    Raises:
        InvalidValue: If one of them cannot be a name.
    """
    if isinstance(value, dict):
        for each in value.values():
            yield from list_references(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from list_references(each)
    elif (name := read_reference(value)) is not None:
        yield name


@dataclass(frozen=True)
class NamesInCells:
    """The names of secrets that cells contain as literal text."""

    #: Secrets that the cells always use when they run → index of the first cell that uses it.
    needed: dict[str, int] = field(default_factory=dict)
    #: Secrets that the cells may use.
    possible: set[str] = field(default_factory=set)


def find_names_in_cells(sources: Iterable[tuple[int, str]]) -> NamesInCells:
    """Find the calls `flow.secret("NAME")` in cells of Python, without running them.

    Args:
        sources: Index and source of each code cell that may run.
    """
    found = NamesInCells()
    for index, source in sources:
        if "secret" not in source:
            continue
        tree = _parse(source)
        if tree is not None:
            _visit(tree, index, found, is_sure=True)
    found.possible.difference_update(found.needed)
    return found


def _visit(node: ast.AST, cell: int, found: NamesInCells, *, is_sure: bool) -> None:
    if isinstance(node, ast.Call) and (name := _name_in(node)) is not None:
        if is_sure:
            found.needed.setdefault(name, cell)
        else:
            found.possible.add(name)
    # A step in Pipedream's form runs its handler.
    is_handler = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == "handler"
    is_sure = is_sure and (is_handler or not isinstance(node, _MAYBE))
    for child in ast.iter_child_nodes(node):
        _visit(child, cell, found, is_sure=is_sure)


def _name_in(call: ast.Call) -> str | None:
    """Read the name in `flow.secret("NAME")` and `pd.flow.secret("NAME")`."""
    function = call.func
    if not isinstance(function, ast.Attribute) or function.attr != "secret":
        return None
    owner = function.value
    if (owner.id if isinstance(owner, ast.Name) else owner.attr if isinstance(owner, ast.Attribute) else "") != "flow":
        return None
    names = [*call.args[:1], *(each.value for each in call.keywords if each.arg == "name")]
    name = names[0].value if len(names) == 1 and isinstance(names[0], ast.Constant) else None
    return name if isinstance(name, str) and _NAME.fullmatch(name) else None


def _parse(source: str) -> ast.AST | None:
    """Parse a cell without its header and magics; None if the rest is not Python."""
    try:
        header = read_header(source)
    except InvalidStep:
        return None
    text = source.lstrip()
    body = text.partition("\n")[2] if header is not None else text
    if body.lstrip().startswith("%%"):
        first, _, rest = body.lstrip().partition("\n")
        body = rest if first.split()[0] in {"%%time", "%%capture", "%%timeit", "%%prun"} else ""
    # A line magic or a command becomes `pass`, so that the rest can be read.
    plain = re.sub(r"^([ \t]*)[%!][^\n]*", r"\1pass", body, flags=re.MULTILINE)
    try:
        tree: ast.AST = compile(plain, "<cell>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree
