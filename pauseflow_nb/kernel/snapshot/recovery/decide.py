"""Decide for each variable that cannot be saved: leave it out, make it again, or report it as lost.

If no coming cell needs it, it is left out. Otherwise, if statements of plain cells can make it again, they are
replayed. Otherwise it is lost, and the caller decides about that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pauseflow_nb.cells import read_header
from pauseflow_nb.errors import InvalidStep
from pauseflow_nb.kernel.snapshot.pickling.pickled import Refused
from pauseflow_nb.kernel.snapshot.recovery.dependencies import Needed, find_needed_names
from pauseflow_nb.kernel.snapshot.recovery.replay import Cells
from pauseflow_nb.kernel.snapshot.user_names import find_sources
from pauseflow_nb.protocol import Unsaved


@dataclass(frozen=True)
class Decided:
    """The decisions about variables that could not be saved."""

    unsaved: list[Unsaved] = field(default_factory=list)
    #: Name → statements to run on restore, as cell index and source.
    replay: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def decide(
    shell: Any,
    refused: Mapping[str, Refused],
    *,
    coming: Mapping[str, str] | None,
    passed: Mapping[str, str],
    saved: set[str],
    remade: set[str],
) -> Decided:
    """Decide about the variables that could not be pickled.

    Args:
        shell: The shell, for its namespace and history.
        refused: The variables.
        coming: Source of the cells to come; None: unknown, so everything may be needed.
        passed: Source of the cells that ran.
        saved: Names that are in the snapshot.
        remade: Names that a `%%setup` cell binds again.
    """
    if not refused:
        return Decided()
    needed = find_needed_names(coming, shell.user_ns) if coming is not None else Needed(frozenset(), "")
    plain = {index: source for index, source in passed.items() if not _is_headed(source)}
    cells = Cells(plain, _steps(shell, passed), shell.user_ns)
    decided = Decided(notes=[needed.because] if needed.because else [])
    for name, what in refused.items():
        fate = "lost"
        if coming is not None and not needed.needs(name):
            fate = "left out"
        else:
            statements = cells.find_statements(name, what.type_name, what.culprit, saved=saved, remade=remade)
            if statements is not None:
                fate = "replayed"
                decided.replay[name] = statements
        decided.unsaved.append(Unsaved(name, what.type_name, what.reason, fate, cells.maker(name)))
    return decided


def _steps(shell: Any, passed: Mapping[str, str]) -> list[str]:
    # The history has the steps of this kernel and, restored, those of earlier kernels.
    history = [source.lstrip() for source in find_sources(shell)]
    headed = [source for source in history if source.startswith(("%%step", "'%%step", '"%%step', "await '%%step"))]
    return [*headed, *(source for source in passed.values() if _is_headed(source))]


def _is_headed(source: str) -> bool:
    try:
        return read_header(source) is not None
    except InvalidStep:
        return True
