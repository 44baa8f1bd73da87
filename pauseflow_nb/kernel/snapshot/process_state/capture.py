"""Capture and restore what a notebook changes besides variables: options, generators, handlers, its process.

The parts stand in `process_state`, `log_handlers`, `library_options` and `shell_state`. Every setting is saved and
restored separately: one that fails is reported by name, and does not affect the others. A setting that refers to
functions or objects of the notebook is saved like a variable, and so still shares objects with these.
What a `%%setup` cell set last is not saved: the cell runs again in every new kernel.
"""

import contextlib
import linecache
import logging
import sys
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pauseflow_nb.kernel.snapshot import user_names
from pauseflow_nb.kernel.snapshot.pickling.secrets_in_pickles import HoldsSecret, holds_secret
from pauseflow_nb.kernel.snapshot.pickling.types import log_handlers
from pauseflow_nb.kernel.snapshot.pickling.types.unsupported import describe_error
from pauseflow_nb.kernel.snapshot.process_state import (
    contexts,
    ipython,
    libraries,
    library_state,
    module_state,
    process,
    registries,
    unfinished,
)
from pauseflow_nb.kernel.snapshot.process_state.state_part import NotRestored, Part, is_plain, is_same
from pauseflow_nb.kernel.snapshot.recovery import imports
from pauseflow_nb.kernel.snapshot.user_names import find_user_names

_log = logging.getLogger(__name__)

#: Prefix of the names of settings among the variables, which are bound only during a save.
_AMONG_VARIABLES = "_pauseflow_setting_"

#: All parts, in the order in which they are restored.
_PARTS: dict[str, Part] = {
    **process.PARTS,
    **contexts.PARTS,
    "module_values": Part(
        lambda shell: {"": imports.find_shared_with_modules(shell, find_user_names(shell))},
        lambda _shell, _name, _value: None,  # see `restore_module_values`
        "values that modules share with variables",
        is_repeated=False,
    ),
    "submodules": Part(
        lambda shell: {"": imports.find_submodules(shell)},
        lambda _shell, _name, names: imports.import_submodules(names),
        "imported modules",
        is_repeated=False,
    ),
    **module_state.PARTS,
    **library_state.PARTS,
    **registries.PARTS,
    **libraries.PARTS,
    **ipython.PARTS,
    **log_handlers.PARTS,
    **libraries.RANDOM,
}

#: Part and name of a setting → its value.
_Values = dict[tuple[str, str], Any]


@dataclass
class _Start:
    """The settings of a shell and its process before the first cell, and those that `%%setup` cells set last."""

    settings: _Values
    #: Unfinished work that cells did not start: from before the first cell, or started by setups, which run again.
    unfinished: set[Hashable]
    before_setup: _Values | None = None
    unfinished_before_setup: set[Hashable] = field(default_factory=set)
    by_setup: _Values = field(default_factory=dict)


@dataclass(frozen=True)
class Captured:
    """The captured settings."""

    #: Part → setting → value, or part → value for a part with a single setting.
    plain: dict[str, Any]
    #: Name among the variables → value.
    like_variables: dict[str, Any]
    #: Sentences about what could not be read, or ends with the kernel.
    notes: list[str]


def note_start(shell: Any) -> None:
    """Record the settings at the start of the kernel; only the first call counts.

    It must be called before the user's first cell, whose changes would otherwise look like the machine's own.
    """
    if _find_start(shell) is None:
        process.note_start()
        module_state.note_start(shell)
        user_names.note_start(shell)
        compared, _ = _look(shell, compared_only=True)
        shell._pauseflow_start = _Start(compared, set(unfinished.find(shell, is_start=True)))  # noqa: SLF001 - it lives as long as its shell


def begin_setup(shell: Any) -> None:
    """Record the settings before a `%%setup` cell runs."""
    start = _find_start(shell)
    if start is not None:
        start.before_setup = _look(shell)[0]
        start.unfinished_before_setup = set(unfinished.find(shell))


def end_setup(shell: Any) -> None:
    """Record the settings that the `%%setup` cell has changed; do nothing if none has begun."""
    start = _find_start(shell)
    if start is None or start.before_setup is None:
        return
    before, start.before_setup = start.before_setup, None
    start.unfinished |= unfinished.find(shell).keys() - start.unfinished_before_setup
    absent = object()
    for key, value in _look(shell)[0].items():
        if key[0] not in libraries.RANDOM and not is_same(before.get(key, absent), value):
            start.by_setup[key] = value


def capture(shell: Any) -> Captured:
    """Capture all settings that must be saved."""
    note_start(shell)
    start = _find_start(shell)
    assert start is not None
    found, notes = _look(shell)
    notes += [sentence for key, sentence in unfinished.find(shell).items() if key not in start.unfinished]
    captured = Captured({}, {}, notes)
    absent = object()
    for key, value in found.items():
        part, setting = key
        if _PARTS[part].is_compared and is_same(start.settings.get(key, absent), value):
            continue
        if is_same(start.by_setup.get(key, absent), value):
            continue
        if _PARTS[part].is_shared or not is_plain(value):
            captured.like_variables[_among_variables(part, setting)] = value
        elif holds_secret(value):
            # Checked only for plain values: others are checked among the variables.
            notes.append(f"not saved: {_PARTS[part].name(setting)}, {HoldsSecret()}")
        elif setting:
            captured.plain.setdefault(part, {})[setting] = value
        else:
            captured.plain[part] = value
    return captured


@contextlib.contextmanager
def among_variables(namespace: dict[str, Any], captured: Captured) -> Iterator[list[str]]:
    """Add settings to the namespace, and so to a snapshot, during a `with` block; yield their names."""
    namespace.update(captured.like_variables)
    try:
        yield list(captured.like_variables)
    finally:
        for name in captured.like_variables:
            namespace.pop(name, None)


def is_setting(name: str) -> bool:
    """Whether a name among the variables is that of a setting."""
    return name.startswith(_AMONG_VARIABLES)


def name_of_setting(name: str) -> str:
    """Return the name of a setting as users know it, from its name among the variables."""
    part, setting = _apart(name)
    return _PARTS[part].name(setting) if part in _PARTS else f"{part} {setting}"


def pop_settings(values: dict[str, Any], namespace: dict[str, Any]) -> dict[str, Any]:
    """Remove settings from the loaded variables; return them by their names there."""
    names = [name for name in values if is_setting(name)]
    for name in names:
        namespace.pop(name, None)
    return {name: values.pop(name) for name in names}


def restore_settings(
    shell: Any, plain: Mapping[str, Any], like_variables: Mapping[str, Any] | None = None
) -> list[str]:
    """Restore settings in a new kernel: first those that need no variables, then the others.

    Args:
        shell: The new kernel's shell.
        plain: The captured settings.
        like_variables: The settings restored with the variables; None before that.

    Returns:
        A sentence for each setting that could not be restored.
    """
    when = "before" if like_variables is None else "after"
    chosen = {key: value for key, value in _flat(plain) if _PARTS[key[0]].when == when}
    return _set(shell, chosen | dict(_like_variables(like_variables or {}, {"before", "after"})))


def restore_after_setups(shell: Any, plain: Mapping[str, Any], like_variables: Mapping[str, Any]) -> list[str]:
    """Restore settings that cells had changed after `%%setup` cells which have run again, and random generators."""
    chosen = {key: value for key, value in _flat(plain) if _PARTS[key[0]].is_repeated}
    chosen |= dict(_like_variables(like_variables, {"before", "after", "last"}))
    problems = _set(shell, chosen)
    restore_figure(plain)
    return problems


def restore_random(shell: Any, plain: Mapping[str, Any]) -> None:
    """Restore only the random generators."""
    _set(shell, {(name, ""): plain[name] for name in libraries.RANDOM if name in plain})


def restore_figure(plain: Mapping[str, Any]) -> None:
    """Restore pyplot's current figure after all figures: each of them becomes current when it is restored."""
    libraries.restore_figure(plain.get("matplotlib_figure"))


def restore_module_values(shell: Any, plain: Mapping[str, Any]) -> list[str]:
    """Make modules beside the notebook share values with variables again, after these are restored."""
    places = plain.get("module_values", {})
    return imports.set_in_modules(shell, {name: at for name, at in places.items() if name in shell.user_ns})


def find_cell_sources(definitions: Mapping[str, Any]) -> dict[str, str]:
    """Find the source of the cells that define functions and classes."""
    sources = {}
    for defined in definitions.values():
        for code in _list_code_objects(defined):
            cached = linecache.cache.get(code.co_filename)
            if cached is not None and len(cached) == 4 and cached[1] is None:
                sources[code.co_filename] = "".join(cached[2])
    return sources


def restore_sources(sources: Mapping[str, str]) -> None:
    """Register the source of cells for tracebacks and `inspect.getsource`."""
    for filename, text in sources.items():
        linecache.cache.setdefault(filename, (len(text), None, text.splitlines(keepends=True), filename))


def _list_code_objects(defined: Any) -> Iterator[Any]:
    members = list(vars(defined).values()) if isinstance(defined, type) else [defined]
    for member in members:
        code = getattr(getattr(member, "__func__", member), "__code__", None)
        if code is not None:
            yield code


def _find_start(shell: Any) -> _Start | None:
    return getattr(shell, "_pauseflow_start", None)


def _look(shell: Any, *, compared_only: bool = False) -> tuple[_Values, list[str]]:
    found: _Values = {}
    notes = []
    for name, part in _PARTS.items():
        if (compared_only and not part.is_compared) or not _is_imported(part.library):
            continue
        try:
            found.update({(name, setting): value for setting, value in part.capture(shell).items()})
        except Exception as problem:  # noqa: BLE001 - a working directory that was deleted, a library half torn down
            _log.warning("could not look at %s", name, exc_info=True)
            notes.append(f"not saved: {part.name('')}, {describe_error(problem)}")
    return found, notes


def _set(shell: Any, values: _Values) -> list[str]:
    problems = []
    order = {name: number for number, name in enumerate(_PARTS)}
    for (name, setting), value in sorted(values.items(), key=lambda item: order[item[0][0]]):
        part = _PARTS[name]
        try:
            part.restore(shell, setting, value)
        except Exception as problem:  # noqa: BLE001 - a library may refuse an option it had; the rest continues
            reason = str(problem) if isinstance(problem, NotRestored) else describe_error(problem)
            problems.append(f"{part.name(setting)}: {reason}")
    return problems


def _flat(plain: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Any]]:
    for name, value in plain.items():
        if name not in _PARTS:
            continue
        if _PARTS[name].label.count("{}"):
            yield from (((name, setting), each) for setting, each in value.items())
        else:
            yield (name, ""), value


def _like_variables(values: Mapping[str, Any], when: set[str]) -> Iterator[tuple[tuple[str, str], Any]]:
    for name, value in values.items():
        part, setting = _apart(name)
        if part in _PARTS and _PARTS[part].when in when:
            yield (part, setting), value


def _among_variables(part: str, setting: str) -> str:
    return f"{_AMONG_VARIABLES}{part}:{setting}"


def _apart(name: str) -> tuple[str, str]:
    part, _, setting = name.removeprefix(_AMONG_VARIABLES).partition(":")
    return part, setting


def _is_imported(library: str) -> bool:
    if not library:
        return True
    # A module that is being imported exists, but is still empty.
    module = sys.modules.get(library)
    return module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False)
