"""Import what a kernel needs to continue a notebook, before it is known which one: for kernels made ahead."""

import importlib

#: Modules of ours, and those that they import later.
_OURS = (
    "pauseflow_nb.kernel.ipython_extension",
    "pauseflow_nb.kernel.flow",
    "pauseflow_nb.kernel.snapshot.restoring",
    "pauseflow_nb.kernel.snapshot.saving",
    "blake3",
)

for _name in _OURS:
    importlib.import_module(_name)
