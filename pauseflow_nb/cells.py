"""Read the kind of a cell from its first line: `%%step NAME [options]`, `%%fresh NAME [options]`, `%%setup`, or none.

Runner and kernel read the same line: the runner to know the notebook's steps before
anything runs, the kernel to turn the line into code. So it is read here, once.
"""

import ast
import itertools
import keyword
import re
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation

from pauseflow_nb.durations import parse_duration
from pauseflow_nb.errors import InvalidDuration, InvalidStep, InvalidValue
from pauseflow_nb.queues import check_queue
from pauseflow_nb.suggestions import did_you_mean

#: `steps.trigger` is Pipedream's name for what started the workflow.
RESERVED = frozenset({"trigger"})

#: Why a fresh cell whose last line is no expression cannot be used.
NO_VALUE = "there is nothing to compare: end the cell with its value, as an expression on the last line"

_HEADER = re.compile(r"%%(step|setup|fresh)(?=\s|$)([^\n]*)")
#: A header with only comments above it: when the cell runs, IPython would say that there is no such magic.
_LATE_HEADER = re.compile(r"(?:[ \t]*#[^\n]*\n\s*)+%%(step|setup|fresh)(?=\s|$)[ \t]*(\S*)")

#: The options of a step, with an example of a value for each.
_OPTIONS = {"timeout": "10m", "retries": "3", "retry-delay": "30s", "backoff": "2", "queue": "gpu"}
#: The options of a fresh cell, likewise.
_FRESH_OPTIONS = {"tolerance": "1%", "on-drift": "ask"}
_ON_DRIFT = ("ask", "fail", "go")
_MOST_DIGITS = 9
#: Two words with at least this similarity count as a misspelling: `steps` and `stepp`, not `stop`.
_ALIKE = 0.8
_KINDS = {"step": "`%%step NAME` or `%%setup`", "setup": "`%%step NAME` or `%%setup`", "fresh": "`%%fresh NAME`"}

#: Comments and whole strings, in which a header is only mentioned.
_MENTIONS = re.compile(
    r'''#[^\n]*|"""(?:\\.|(?!""").)*(?:"""|\Z)|\'{3}(?:\\.|(?!\'{3}).)*(?:\'{3}|\Z)|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^'\\\n])*\'''',
    re.DOTALL,
)
#: Cell magics that run the rest of their cell as Python.
_RUNS_PYTHON = frozenset({"capture", "fresh", "prun", "setup", "step", "time", "timeit"})
_ANY_MAGIC = re.compile(r"%%[ \t]*([^\s?]+)(\?*)[ \t]*([^\n]*)")
_MISPLACED = re.compile(r"^[ \t]*%%(step|setup|fresh)(?=\s|$)[ \t]*(\S*)", re.MULTILINE)
_LINE_MAGIC = re.compile(r"^[ \t]*%(step|setup|fresh)(?=\s|$)[ \t]*(\S*)", re.MULTILINE)


@dataclass(frozen=True)
class StepOptions:
    """The options after the name in `%%step NAME`."""

    #: The longest that the step may run; time in `flow.pause` does not count.
    timeout: timedelta | None = None
    #: How often a step that raised an error is tried again in the same kernel.
    retries: int = 0
    #: The wait before the first retry.
    retry_delay: timedelta = field(default=timedelta())
    #: What the wait is multiplied by before each further retry.
    backoff: float = 1.0
    #: The queue whose workers run the step; None: the notebook's queue.
    queue: str | None = None


@dataclass(frozen=True)
class FreshOptions:
    """The options after the name in `%%fresh NAME`."""

    #: How far a number may differ from the one that was shown: an amount such as `"0.5"`, or a share, `"1%"`.
    tolerance: str = "0"
    #: What happens if the value differs by more: `"ask"`, `"fail"` or `"go"`.
    on_drift: str = "ask"


@dataclass(frozen=True)
class Header:
    """The first line of a step, a fresh cell or a setup cell."""

    #: `"step"`, `"fresh"` or `"setup"`.
    kind: str
    #: Name of the step or the fresh cell; empty for a setup cell.
    name: str = ""
    options: StepOptions = StepOptions()
    fresh: FreshOptions = FreshOptions()


def read_header(source: str, *, cell: int | None = None) -> Header | None:
    """Read a cell's first line; None for a plain cell.

    Args:
        source: The cell's source. The header must be its first line that is not blank.
        cell: Index of the cell, for the error.

    Raises:
        InvalidStep: If the line is a `%%step`, `%%fresh` or `%%setup` that cannot be read.
    """
    source = source.lstrip()
    late = _LATE_HEADER.match(source)
    if late is not None:
        raise InvalidStep(late[2], f"`%%{late[1]}` must stand in the first line of its cell, above all comments", cell)
    match = _HEADER.match(source)
    if match is None:
        return None
    kind, rest = match[1], match[2].strip()
    try:
        words = shlex.split(rest)
    except ValueError as problem:
        raise InvalidStep(rest, f"the line cannot be read: {problem}", cell) from None
    if kind == "setup":
        if words:
            raise InvalidStep(rest, "%%setup takes no name and no options", cell)
        return Header("setup")
    if not words or words[0].startswith("-"):
        what = "a step" if kind == "step" else "a fresh cell"
        raise InvalidStep(rest, f"{what} needs a name: write `%%{kind} NAME`", cell, kind)
    # As Python reads it: `steps.NAME` is normalised before anything looks it up.
    name = unicodedata.normalize("NFKC", words[0])
    _check_name(name, cell, kind)
    if kind == "fresh":
        return Header("fresh", name, fresh=_parse_fresh_options(name, words[1:], cell))
    return Header("step", name, _parse_options(name, words[1:], cell))


def runs_again(header: Header | None) -> bool:
    """Whether a cell above the next one may run again in a new kernel."""
    return header is not None and header.kind in ("setup", "fresh")


def find_mistake(source: str, *, is_known: Callable[[str], bool] = lambda _word: False) -> InvalidStep | None:
    """Find a misspelt or misplaced header in a Python cell, and say how to write it.

    Args:
        source: The cell's source.
        is_known: Tells whether a cell magic of this name exists.
    """
    source = source.lstrip()
    first = _ANY_MAGIC.match(source)
    if first is not None and first[1] in ("step", "setup", "fresh") and not first[2]:
        if source[2:3].isspace():
            return InvalidStep(first[3], f"write `%%{first[1]}` without a space after the percent signs")
        # Another magic may follow, and the text below that need not be Python.
        body = source[first.end() :]
        if first[1] == "fresh" and _has_no_value(body):
            return InvalidStep(first[3].split()[0] if first[3] else "", NO_VALUE, kind="fresh")
        return _find_misplaced(body) if _HEADER.match(body.lstrip()) else find_mistake(body, is_known=is_known)
    if first is not None and not first[2] and _is_like_header(first[1]) and not is_known(first[1]):
        return InvalidStep(
            "", f"there is no cell magic `%%{first[1]}`: did you mean {_KINDS[_find_nearest(first[1])]}?"
        )
    if first is not None and first[1] not in _RUNS_PYTHON:
        return None  # the text below it is not Python
    return _find_misplaced(source if first is None else source[first.end() :])


def _has_no_value(body: str) -> bool:
    """Whether code has no last expression; code with magics, which Python cannot read, may have one."""
    try:
        statements = ast.parse(body).body
    except (SyntaxError, ValueError):
        return False
    return not statements or not isinstance(statements[-1], ast.Expr)


def _find_misplaced(source: str) -> InvalidStep | None:
    """Find a header in Python code below the first line; strings and comments may mention one."""
    if not any(f"%{kind}" in source for kind in _KINDS):
        return None
    code = _MENTIONS.sub("", source)
    if (late := _MISPLACED.search(code)) is not None:
        return InvalidStep(
            late[2], f"`%%{late[1]}` must stand in the first line of its cell: put it into a cell of its own"
        )
    if (single := _LINE_MAGIC.search(code)) is not None:
        return InvalidStep(
            single[2],
            f"`%{single[1]}` needs two percent signs and the first line of its cell: write `%%{single[1]}`",
        )
    return None


def refuse_mistakes(sources: Iterable[tuple[int, str]]) -> None:
    """Check that no cell of a Python notebook has a misspelt or misplaced header.

    Raises:
        InvalidStep: For the first one.
    """
    for cell, source in sources:
        mistake = find_mistake(source)
        if mistake is not None:
            raise InvalidStep(mistake.step, mistake.problem, cell, mistake.kind)


def find_steps(sources: Iterable[tuple[int, str]]) -> dict[int, Header]:
    """Find the steps, fresh cells and setups of a notebook and check their names against each other.

    Args:
        sources: Index and source of each code cell, in order.

    Returns:
        Cell index → header, for these cells only.

    Raises:
        InvalidStep: For a line that cannot be read, or a name that two cells share.
    """
    headers: dict[int, Header] = {}
    first: dict[str, int] = {}
    for cell, source in sources:
        header = read_header(source, cell=cell)
        if header is None:
            continue
        headers[cell] = header
        if header.name:
            if header.name in first:
                other = f"cell {first[header.name] + 1}"
                raise InvalidStep(header.name, f"{other} has this name already: rename one of them", cell, header.kind)
            first[header.name] = cell
    return headers


def _is_like_header(word: str) -> bool:
    """Whether a word looks like a misspelling of `step`, `setup` or `fresh`."""
    return _measure_likeness(word, _find_nearest(word)) >= _ALIKE


def _find_nearest(word: str) -> str:
    return max(_KINDS, key=lambda kind: _measure_likeness(word, kind))


def _measure_likeness(word: str, kind: str) -> float:
    import difflib  # lazily: few cells have such a word

    lower = word.lower().replace("_", "")
    has_same_letters = (lower[:1], sorted(lower)) == (kind[0], sorted(kind))
    return 1.0 if has_same_letters else difflib.SequenceMatcher(None, lower, kind).ratio()


def _check_name(name: str, cell: int | None, kind: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        near = re.sub(r"\W+", "_", name).strip("_")
        example = near if near.isidentifier() and not keyword.iskeyword(near) else "approve_model"
        raise InvalidStep(name, f"a name must be a Python identifier, such as `{example}`", cell, kind)
    is_special = name.startswith("__") and name.endswith("__") and name.strip("_")
    if name in RESERVED or is_special:
        raise InvalidStep(name, "this name is reserved", cell, kind)


def _parse_options(name: str, words: list[str], cell: int | None) -> StepOptions:
    try:
        options = _parse_values("step", name, words, _OPTIONS)
        return StepOptions(
            timeout=parse_duration(options["timeout"], what="--timeout") if "timeout" in options else None,
            retries=_parse_retries(options.get("retries", "0")),
            retry_delay=parse_duration(options["retry-delay"], what="--retry-delay")
            if "retry-delay" in options
            else timedelta(),
            backoff=_parse_backoff(options.get("backoff", "1")),
            queue=_parse_queue(options["queue"]) if "queue" in options else None,
        )
    except (ValueError, InvalidDuration) as problem:
        raise InvalidStep(name, str(problem), cell) from None


def _parse_fresh_options(name: str, words: list[str], cell: int | None) -> FreshOptions:
    try:
        options = _parse_values("fresh", name, words, _FRESH_OPTIONS)
        return FreshOptions(
            _parse_tolerance(options.get("tolerance", "0")), _parse_on_drift(options.get("on-drift", "ask"))
        )
    except ValueError as problem:
        raise InvalidStep(name, str(problem), cell, "fresh") from None


def _parse_tolerance(text: str) -> str:
    try:
        number = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        hint = f": write {text.replace(',', '.')}" if re.fullmatch(r"\d+,\d+%?", text) else ""
        raise ValueError(
            f"--tolerance must be a number, such as 0.5, or a percentage, such as 1%, not {text!r}{hint}"
        ) from None
    if not number.is_finite() or number < 0:
        raise ValueError(f"--tolerance must be 0 or more, not {text!r}")
    return text


def _parse_on_drift(text: str) -> str:
    if text not in _ON_DRIFT:
        raise ValueError(f"--on-drift must be ask, fail or go, not {text!r}{did_you_mean(text.lower(), _ON_DRIFT)}")
    return text


def _parse_values(kind: str, name: str, words: list[str], options: Mapping[str, str]) -> dict[str, str]:
    """Read `--option value` and `--option=value`; the last one wins."""
    values: dict[str, str] = {}
    left = list(words)
    while left:
        option, sign, value = left.pop(0).partition("=")
        if not option.startswith("-"):
            raise ValueError(_explain_surplus(kind, name, [option + sign + value, *left]))
        if option.removeprefix("--") not in options:
            flags = [f"--{known}" for known in options]
            near = did_you_mean(option.replace("_", "-").lower(), flags) or f"; there are {', '.join(flags)}"
            raise ValueError(f"there is no option {option}{near}")
        if not sign:
            if not left or left[0].startswith("--"):
                raise ValueError(f"{option} needs a value, such as {option} {options[option.removeprefix('--')]}")
            value = left.pop(0)
        values[option.removeprefix("--")] = value
    return values


def _explain_surplus(kind: str, name: str, words: list[str]) -> str:
    """Explain why a word after the name is wrong."""
    if words[0].startswith("#"):
        return "a comment must stand on a line of its own, below the first"
    if "=" in words[0]:
        return f"options begin with two dashes: write --{words[0]}"
    if words[0] == "%":
        return "a percentage is one word: write it without a space, such as `--tolerance 1%`"
    rest = itertools.takewhile(lambda word: not word.startswith(("-", "#")), words)
    joined = "_".join([name, *rest])
    return f"a name is one word: write `%%{kind} {joined if joined.isidentifier() else 'approve_model'}`"


def _parse_retries(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise ValueError(f"--retries must be a whole number, 0 or more, not {text!r}")
    return int(text)


def _parse_queue(text: str) -> str:
    try:
        return check_queue(text)
    except InvalidValue as problem:
        raise ValueError(f"--queue {problem.problem}, not {text!r}") from None


def _parse_backoff(text: str) -> float:
    try:
        backoff = float(text)
    except ValueError:
        backoff = 0
    if not 1 <= backoff <= 1000:
        raise ValueError(f"--backoff must be a number between 1 and 1000, not {text!r}")
    return backoff
