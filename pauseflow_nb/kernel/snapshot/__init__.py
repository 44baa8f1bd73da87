"""Save a notebook's variables and bring them back in another kernel.

`save` writes what the user's cells bound; `restore` binds it again; `put_back` runs after the `%%setup`
cells. A variable that cannot be saved never takes the others down: it is reported with its type and reason.

How it works, from the outside in: `saving` and `restoring` walk the whole way; `dumping` turns the
namespace into frames with `pickler`; `groups`, `held` and `memos` find what shares objects; `parts` saves
long containers, `deep` long chains; `regions` and `memory` deal with raw memory; `packs`, `folder` and
`manifest` with files; `known` and `touched` with what need not be written again; `fates`, `lineage` and
`replay` with what cannot be saved.

What a pickle may name stands in `reconstruct`, and nowhere else; what of cloudpickle is private, in `borrowed`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pauseflow_nb.kernel.snapshot.losses import never_saved, weighed
    from pauseflow_nb.kernel.snapshot.reports import VariableReport, describe, describe_saved, rows_of
    from pauseflow_nb.kernel.snapshot.restoring import Restored, put_back, restore
    from pauseflow_nb.kernel.snapshot.saving import Saved, save
    from pauseflow_nb.kernel.snapshot.surroundings import note_start
    from pauseflow_nb.kernel.snapshot.sweeping import sweep

__all__ = [
    "Restored",
    "Saved",
    "VariableReport",
    "describe",
    "describe_saved",
    "never_saved",
    "note_start",
    "put_back",
    "restore",
    "rows_of",
    "save",
    "sweep",
    "weighed",
]

_HOMES = {
    "Restored": "restoring",
    "Saved": "saving",
    "VariableReport": "reports",
    "describe": "reports",
    "describe_saved": "reports",
    "never_saved": "losses",
    "note_start": "surroundings",
    "put_back": "restoring",
    "restore": "restoring",
    "rows_of": "reports",
    "save": "saving",
    "sweep": "sweeping",
    "weighed": "losses",
}


def __getattr__(name: str) -> Any:
    # Lazy, because `note_start` is called when a kernel starts and must not cost it cloudpickle.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
