"""Save a notebook's variables and restore them in another kernel.

`save` writes what the user's cells bound; `restore` binds it again; `restore_after_setups` runs after the `%%setup`
cells. A variable that cannot be saved does not affect the others: it is reported with its type and the reason.

Start with these six files:

* `saving` and `restoring` walk the whole way, there and back;
* `report` says what a snapshot would do with each variable, without writing it;
* `user_names` finds the names that are the user's; `compatibility` compares the kernel that saved with this one;
* `reconstruct` has every name that a pickle of ours may hold, and nothing else has one.

The folders: `pickling` turns a namespace into frames (`serialize` first, then `pickler`; `types` has the rules for each
library); `storage` writes these as files and maps them back (`folder`, `packfile`, `manifest`); `recovery` decides what
becomes of a variable that cannot be pickled; `process_state` saves what cells change besides their variables.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pauseflow_nb.kernel.snapshot.process_state.capture import note_start
    from pauseflow_nb.kernel.snapshot.recovery.losses import find_never_saved, weigh_losses
    from pauseflow_nb.kernel.snapshot.report import VariableReport, describe, describe_saved, make_rows
    from pauseflow_nb.kernel.snapshot.restoring import Restored, restore, restore_after_setups
    from pauseflow_nb.kernel.snapshot.saving import Saved, save
    from pauseflow_nb.kernel.snapshot.storage.collect import sweep

__all__ = [
    "Restored",
    "Saved",
    "VariableReport",
    "describe",
    "describe_saved",
    "find_never_saved",
    "make_rows",
    "note_start",
    "restore",
    "restore_after_setups",
    "save",
    "sweep",
    "weigh_losses",
]

_HOMES = {
    "Restored": "restoring",
    "Saved": "saving",
    "VariableReport": "report",
    "describe": "report",
    "describe_saved": "report",
    "find_never_saved": "recovery.losses",
    "note_start": "process_state.capture",
    "restore_after_setups": "restoring",
    "restore": "restoring",
    "make_rows": "report",
    "save": "saving",
    "sweep": "storage.collect",
    "weigh_losses": "recovery.losses",
}


def __getattr__(name: str) -> Any:
    # Lazily, because `note_start` is called at the start of every kernel and must not load cloudpickle.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
