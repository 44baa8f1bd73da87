"""The former place of `pauseflow_nb.compat.papermill`, for imports written before it moved; importing it warns."""

import warnings

from pauseflow_nb.compat.papermill import *  # noqa: F403

warnings.warn(
    "pauseflow_nb.papermill has moved: import pauseflow_nb.compat.papermill instead", DeprecationWarning, stacklevel=2
)
