"""Save what IPython keeps of earlier results, `_`, `_3` and `Out`, where a coming cell reads it."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pauseflow_nb.kernel.snapshot.recovery.dependencies import parse_statements

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

#: All earlier results, by the number of their cell. Not `Out`, which a cell may have bound to a value of its own.
_ALL = "_oh"
_ALL_NAMES = frozenset({_ALL, "Out"})
_LAST = ("_", "__", "___")
_NAME = re.compile(r"_{1,3}|_\d+|_oh|Out")
_MENTION = re.compile(rf"(?<![\w.])(?:{_NAME.pattern})(?!\w)")


def is_result(name: str) -> bool:
    """Whether a variable is one of IPython's for earlier results."""
    return _NAME.fullmatch(name) is not None


@contextlib.contextmanager
def among_variables(
    shell: "InteractiveShell", coming: Mapping[str, str] | None, user_names: list[str]
) -> Iterator[list[str]]:
    """Have the results that coming cells read in the namespace, and so in a snapshot, for the time of a block.

    Args:
        shell: The notebook's shell.
        coming: Source of the cells to come; None: unknown, and no result is saved.
        user_names: Names that cells bound: where `_` is among them, it is no result.

    Yields:
        Their names.
    """
    namespace = shell.user_ns
    found = _find(namespace, _read_names(coming or {}), user_names)
    before = {name: namespace[name] for name in found if name in namespace}
    namespace.update(found)
    try:
        yield list(found)
    finally:
        namespace.update(before)


def restore_results(shell: "InteractiveShell", values: dict[str, Any]) -> None:
    """Let IPython continue with the results that were saved."""
    saved = values.get(_ALL)
    results = shell.user_ns_hidden.get(_ALL)
    if not isinstance(saved, dict) or not isinstance(results, dict):
        return
    results.update(saved)
    values[_ALL] = shell.user_ns[_ALL] = results
    shell.user_ns.update({f"_{number}": value for number, value in saved.items()})
    for name in _LAST:
        # One that a cell bound itself stays as it is, when IPython displays a result.
        if name in values and any(value is values[name] for value in saved.values()):
            setattr(shell.displayhook, name, values[name])


def _find(namespace: Mapping[str, Any], read: set[str], user_names: list[str]) -> dict[str, Any]:
    results: Mapping[Any, Any] = namespace.get(_ALL, {})
    # The next result moves them on.
    names = read | set(_LAST) if read.intersection(_LAST) else read
    found = {name: namespace[name] for name in sorted(names - _ALL_NAMES.union(user_names)) if name in namespace}
    numbered = {number: value for number, value in results.items() if any(value is each for each in found.values())}
    if read & _ALL_NAMES:
        numbered = dict(results)
    ids = {id(value) for value in numbered.values()}
    return {name: value for name, value in found.items() if id(value) in ids} | ({_ALL: numbered} if numbered else {})


def _read_names(coming: Mapping[str, str]) -> set[str]:
    read: set[str] = set()
    bound_names: set[str] = set()
    for index in sorted(coming, key=int):
        if _MENTION.search(coming[index]):
            for statement in parse_statements(coming[index]):
                read |= {name for name in statement.reads - bound_names if is_result(name)}
                bound_names |= statement.surely_binds
    return read
