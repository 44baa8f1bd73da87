"""Load what a kernel needs to continue a notebook, before it is known which one: for kernels made ahead."""

import importlib
import io
import sys
import tokenize

#: Modules of ours, and those that they import later.
_OURS = (
    "pauseflow_nb.kernel.ipython_extension",
    "pauseflow_nb.kernel.flow",
    "pauseflow_nb.kernel.snapshot.restoring",
    "pauseflow_nb.kernel.snapshot.saving",
    "pauseflow_nb.kernel.snapshot.recovery.losses",
    "blake3",
    "IPython.core.logger",
    *(() if sys.platform == "win32" else ("resource",)),
)
#: Every kind of token and of string.
_CODE = 'a = 1 + 0x1 # b\n"c"\n"""\nd\n"""\n\'\'\'\ne\n\'\'\'\n"f\\\n"\n\'g\\\n\'\n'

for _name in _OURS:
    importlib.import_module(_name)
# IPython splits each cell into tokens. For the first one, Python compiles long regular expressions: half of the time that
# a kernel would take for its first cell.
for _ in tokenize.generate_tokens(io.StringIO(_CODE).readline):
    pass
