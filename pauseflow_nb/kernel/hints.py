"""Suggest what was probably meant when a name, an argument or a number looks like a mistake."""

import functools
import warnings
from collections.abc import Callable, Iterable
from datetime import timedelta
from types import CodeType
from typing import Any, ParamSpec, TypeVar

from pauseflow_nb.durations import format_duration, is_number, parse_span
from pauseflow_nb.suggestions import find_similar

P = ParamSpec("P")
R = TypeVar("R")

#: A shorter wait for people probably means seconds, where the unit is milliseconds.
_SHORT = timedelta(minutes=1)
_OURS = frozenset({"flow", "steps"})
_IMPORT = "write `from pauseflow_nb import flow, steps` in a cell above"
#: Wrong names that users try for the module.
_NEAR_NAMES = frozenset({"pauseflow", "pause_flow", "pauseflownb"})
_MODULE = "the module is `pauseflow_nb`: write `from pauseflow_nb import flow, steps`"
#: Prefect's `flow` is a decorator.
_NO_DECORATOR = "a step is a cell whose first line is `%%step NAME`, and nothing is decorated"
_NO_RETURN = "the last expression of a step is its return value, and `flow.exit()` ends the run"
_NO_FUNCTION = "write `from pauseflow_nb import flow, steps`, then for example `flow.suspend()`"


def suggest_argument(word: str, known: Iterable[str]) -> str:
    """Suggest a similar name, as the end of a sentence; empty if there is none."""
    # `onTimeout`, `maxRetries`: the spelling of Pipedream.
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in word)
    similar = find_similar(snake, known)
    return "" if similar is None else f": did you mean {similar!r}?"


def check_keywords(call: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function's error for an unknown argument suggest the one that was probably meant."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        # Not `inspect.signature`, whose import every new kernel would have to wait for.
        code: CodeType = function.__code__
        known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]

        @functools.wraps(function)
        def checked(*arguments: P.args, **keywords: P.kwargs) -> R:
            unknown = next((name for name in keywords if name not in known), None)
            if unknown is not None:
                hint = suggest_argument(unknown, known) or f"; it accepts: {', '.join(known)}"
                raise TypeError(f"{call}() has no argument {unknown!r}{hint}")
            return function(*arguments, **keywords)

        return checked

    return decorate


def explain(error: BaseException | None) -> None:
    """Add a hint to an error about one of our names that was not imported or is misspelt."""
    hint = _find_hint(error)
    if hint is None or error is None or hint in str(error):
        return
    if isinstance(error, SyntaxError):
        error.msg = f"{error.msg}: {hint}"
        return
    sentence = f"{error}: {hint}"
    error.args = (sentence,)
    if isinstance(error, ImportError):
        error.msg = sentence  # replaces the text, whatever the arguments are


def _find_hint(error: BaseException | None) -> str | None:
    if isinstance(error, SyntaxError):
        return _NO_RETURN if error.msg == "'return' outside function" else None
    if isinstance(error, NameError):
        return _IMPORT if error.name in _OURS else None
    if isinstance(error, TypeError):
        return _NO_DECORATOR if str(error) == "'Flow' object is not callable" else None
    if isinstance(error, ModuleNotFoundError):
        return _MODULE if str(error.name).partition(".")[0] in _NEAR_NAMES else None
    return _NO_FUNCTION if isinstance(error, ImportError) and error.name == "pauseflow_nb" else None


def warn_if_short(call: str, timeout: Any, span: timedelta) -> str | None:
    """Warn of a plain number of milliseconds that is too short for an answer.

    Returns:
        The warning, or None.
    """
    if span >= _SHORT or not is_number(timeout):
        return None
    whole = timedelta(seconds=float(timeout))
    meant = format_duration(whole).replace(" ", "").replace("min", "m")
    if parse_span(meant) != whole:
        meant = f"{timeout}s"
    sentence = (
        f"{call}({timeout}) waits only {span.total_seconds():g} s, because {timeout} is milliseconds: "
        f'write "{meant}" if you mean seconds, or "{timeout}ms"'
    )
    # Points to the user's line, above this function, the method, and the check of its arguments.
    warnings.warn(sentence, stacklevel=4)
    return sentence
