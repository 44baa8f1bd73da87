"""Find the cells that need what could not be restored; a loss that no cell needs is a note."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pauseflow_nb.kernel.snapshot.recovery.dependencies import find_cells_needing
from pauseflow_nb.kernel.snapshot.restoring import DEFINITIONS, DIRECTORY, Restored
from pauseflow_nb.protocol import Loss, Unsaved


def weigh_losses(losses: list[Loss], coming: Mapping[str, str], namespace: Mapping[str, Any]) -> list[Loss]:
    """Add to each loss the coming cells that may need it.

    Args:
        losses: The losses.
        coming: Source of the cells that may still run, by index.
        namespace: The notebook's namespace, as restored.
    """
    if not losses:
        return []
    missing = {loss.name for loss in losses if loss.name} - {DEFINITIONS, DIRECTORY}
    needed = find_cells_needing(missing, coming, namespace)
    # It is unknown which cells call functions without a name, or which need files in the working directory.
    needed[DEFINITIONS] = needed[DIRECTORY] = sorted(map(int, coming))
    return [replace(loss, needed_by=loss.needed_by or needed.get(loss.name, [])) for loss in losses]


def find_never_saved(restored: Restored, coming: Mapping[str, str], namespace: Mapping[str, Any]) -> list[Loss]:
    """Find variables that coming cells need and that were never in the snapshot.

    Usually there are none: a pause does not save such a snapshot, but a checkpoint after a step does, and a notebook
    may be edited after it.
    """
    absent = {each.name: each for each in restored.unsaved if each.fate != "replayed"}
    # By the rule used when it was saved: otherwise words in texts would stop an execution that was allowed to wait.
    needed = find_cells_needing(absent, coming, namespace, quoted=False)
    return [_make_loss(absent[name], cells) for name, cells in needed.items() if cells]


def _make_loss(unsaved: Unsaved, cells: list[int]) -> Loss:
    made = "" if unsaved.cell is None else f" when cell {unsaved.cell + 1} had made it"
    return Loss(unsaved.name, unsaved.type_name, f"it could not be saved{made}: {unsaved.reason}", cells)
