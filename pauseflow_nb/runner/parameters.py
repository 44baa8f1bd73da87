"""Read a notebook's parameters and their default values from its cell tagged `parameters`, without running it."""

import ast
import io
import json
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nbformat import NotebookNode

from pauseflow_nb.errors import InvalidParameter, InvalidValue, NotJSON
from pauseflow_nb.json_values import JSON, require_json
from pauseflow_nb.user_secrets.references import list_references

_DEEPEST = 100


@dataclass(frozen=True)
class Parameter:
    """One parameter."""

    name: str
    #: Its type, as written in the cell; may be empty.
    annotation: str
    #: Its default value, as written in the cell.
    expression: str
    #: Whether the default value is a literal that JSON can represent.
    is_literal: bool
    #: Its default value, if it is a literal.
    value: JSON
    comment: str


def find_parameters(notebook: NotebookNode, *, language: str) -> list[Parameter]:
    """List the parameters in the order of their last assignments; empty without a tagged cell."""
    cell = _find_tagged_cell(notebook)
    if cell is None:
        return []
    try:
        return _parse_python(cell.source)
    except (SyntaxError, ValueError, tokenize.TokenError):
        # Another language, or a magic in it.
        return _infer_with_papermill(notebook, language)


def read_defaults(notebook: NotebookNode) -> dict[str, JSON]:
    """Read the default values that are literals from a Python notebook."""
    cell = _find_tagged_cell(notebook)
    try:
        found = [] if cell is None else _parse_python(cell.source)
    except (SyntaxError, ValueError, tokenize.TokenError):
        # Perhaps a magic. Then only the caller's parameters are known before the cell has run.
        return {}
    return {each.name: each.value for each in found if each.is_literal}


def _find_tagged_cell(notebook: NotebookNode) -> NotebookNode | None:
    return next((cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])), None)


def _parse_python(source: str) -> list[Parameter]:
    comments = dict(_find_comments(source))
    found: dict[str, Parameter] = {}
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
            continue
        is_literal, value = _read_literal(statement.value)
        annotation = ast.unparse(statement.annotation) if isinstance(statement, ast.AnnAssign) else ""
        expression = ast.get_source_segment(source, statement.value) or ""
        comment = comments.get(statement.end_lineno or 0, "")
        for target in statement.targets if isinstance(statement, ast.Assign) else [statement.target]:
            if isinstance(target, ast.Name):
                # A name that is assigned twice counts the last time.
                found.pop(target.id, None)
                found[target.id] = Parameter(target.id, annotation, expression, is_literal, value, comment)
    return list(found.values())


def _find_comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("#").strip()


def _infer_with_papermill(notebook: NotebookNode, language: str) -> list[Parameter]:
    from papermill.inspection import _infer_parameters

    kernel = notebook.metadata.get("kernelspec", {}).get("name") or ""
    found = []
    for each in _infer_parameters(notebook, name=kernel, language=language):
        annotation = "" if each.inferred_type_name == "None" else each.inferred_type_name
        is_literal, value = _read_literal_text(each.default)
        found.append(Parameter(each.name, annotation, each.default, is_literal, value, each.help))
    return found


def _read_literal_text(text: str) -> tuple[bool, JSON]:
    try:
        return True, json.loads(text)
    except ValueError:
        return False, None


def _read_literal(node: ast.expr) -> tuple[bool, JSON]:
    try:
        value: Any = ast.literal_eval(node)
        require_json("parameter", value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, NotJSON):
        return False, None
    return True, json.loads(json.dumps(value))


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Check that each parameter can be written into a notebook.

    Raises:
        InvalidParameter: If one cannot; names the first one.
        InvalidValue: If they are not a mapping.
    """
    if not isinstance(parameters, Mapping):
        raise InvalidValue("parameters", parameters, 'must map names to values, such as {"alpha": 0.6}')
    for name, value in parameters.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise InvalidParameter(str(name), "a name must be a Python identifier, such as `alpha`")
        try:
            # This also finds values whose text would be endless because parts are repeated.
            require_json(name, value)
        except NotJSON:
            # Papermill writes more than JSON: NaN and infinity, tuples, and keys that are numbers.
            _check_value(name, value, "", 0)
        try:
            list(list_references(value))
        except InvalidValue as problem:
            raise InvalidParameter(
                name, f"after `secret:` there must be the name of a secret, which {problem.problem}"
            ) from None


def _check_value(name: str, value: Any, at: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise InvalidParameter(name, "cannot be written into a notebook: it is nested too deeply, or holds itself")
    if value is None or isinstance(value, (bool, int, float, str)):
        return
    if isinstance(value, Mapping) and all(isinstance(key, (str, int, float)) for key in value):
        for key, each in value.items():
            _check_value(name, each, f"{at}[{key!r}]", depth + 1)
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            _check_value(name, each, f"{at}[{number}]", depth + 1)
    else:
        where = f" at {at}" if at else ""
        raise InvalidParameter(
            name,
            f"must be JSON, but holds {type(value).__name__}{where}: use text, numbers, booleans, None, lists and dicts",
        )
