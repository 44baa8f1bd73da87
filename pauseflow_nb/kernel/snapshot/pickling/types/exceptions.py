"""Reduce exceptions with the traceback, cause and context that pickle leaves out.

A restored traceback prints like the original: same files, lines and names. Its frames are empty.
Pickles name the `make_…` and `set_…` functions, so their names and arguments may never change.
"""

import ast
import itertools
import types
from typing import Any

from pauseflow_nb.kernel.snapshot.pickling.pickler_protocol import Pickler


def reduce_exception(pickler: Pickler, error: BaseException) -> Any:
    """Reduce an exception with its traceback and its chain."""
    kind = type(error)
    library = next(base for base in kind.__mro__ if base.__module__ == "builtins")
    if _same(kind, library, "__reduce__") and not _same(kind, library, "__init__"):
        # Not through the class: its own __init__ may require other arguments than `args`. The base class's
        # reduction has more than `args`: the file of an OSError, the name of an ImportError.
        as_library: Any = library.__reduce__
        _, arguments, *rest = as_library(error)
        reduced: Any = (make_exception, (kind, library, arguments), rest[0] if rest else None)
    else:
        reduced = error.__reduce_ex__(5)
        if isinstance(reduced, str):
            return NotImplemented
    maker, arguments, state = (*reduced, None)[:3]
    if isinstance(error, (NameError, AttributeError)) and error.name is not None:
        # Python saves it only since 3.12. The object without the attribute may be anything, and is left out.
        state = {**(state or {}), "name": error.name}
    others = {"__cause__": error.__cause__, "__context__": error.__context__}
    saved = pickler.savable(others, error)
    chain = (error.__traceback__, saved.get("__cause__"), saved.get("__context__"), error.__suppress_context__)
    return maker, arguments, (state, chain), None, None, set_exception


def _same(kind: type, library: type, method: str) -> bool:
    return getattr(kind, method) is getattr(library, method)


def make_exception(
    kind: type[BaseException], library: type[BaseException], arguments: tuple[Any, ...]
) -> BaseException:
    """Make an exception as its built-in base class does."""
    error = library.__new__(kind, *arguments)
    library.__init__(error, *arguments)
    return error


def set_exception(error: BaseException, state: tuple[Any, tuple[Any, Any, Any, bool]]) -> None:
    """Set the attributes and the chain of an exception."""
    attributes, (trace, cause, context, is_suppressed) = state
    if attributes is not None:
        error.__setstate__(attributes)
    error.__traceback__, error.__cause__, error.__context__ = trace, cause, context
    error.__suppress_context__ = is_suppressed


def reduce_traceback(_pickler: Pickler, trace: types.TracebackType) -> Any:
    """Reduce a traceback to what it prints: the place in the code of each frame."""
    steps = []
    step: types.TracebackType | None = trace
    while step is not None:
        code = step.tb_frame.f_code
        positions = next(itertools.islice(code.co_positions(), max(step.tb_lasti, 0) // 2, None), (None,) * 4)
        steps.append((code.co_filename, code.co_name, code.co_qualname, step.tb_lineno, positions))
        step = step.tb_next
    return make_traceback, (steps,)


_Positions = tuple[int | None, int | None, int | None, int | None]


def make_traceback(steps: list[tuple[str, str, str, int, _Positions]]) -> types.TracebackType | None:
    """Make a traceback that prints the same."""
    trace = None
    for filename, name, qualname, line, positions in reversed(steps):
        raised = _raise_at(filename, name, qualname, line, positions)
        trace = types.TracebackType(trace, raised.tb_frame, raised.tb_lasti, line)
    return trace


def _raise_at(filename: str, name: str, qualname: str, line: int, positions: _Positions) -> types.TracebackType:
    start, end, column, end_column = positions
    place = {
        "lineno": start or line,
        "end_lineno": end or line,
        "col_offset": column or 0,
        "end_col_offset": end_column or 0,
    }
    if column is None or end_column is None:
        place["end_col_offset"] = place["col_offset"] = 0
    statement = ast.Raise(ast.Name("KeyError", ast.Load(), **place), None, **place)
    code = compile(ast.Module([statement], []), filename, "exec").replace(co_name=name, co_qualname=qualname)
    try:
        exec(code, {"__name__": name, "__builtins__": {"KeyError": KeyError}})  # noqa: S102 - made above
    except KeyError as raised:
        trace = raised.__traceback__
    assert trace is not None
    assert trace.tb_next is not None
    return trace.tb_next
