"""The former place of `pauseflow_nb.compat.scheduler`, for imports written before it moved; importing it warns."""

import warnings

from pauseflow_nb.compat.scheduler import *  # noqa: F403

warnings.warn(
    "pauseflow_nb.scheduler has moved: import pauseflow_nb.compat.scheduler instead", DeprecationWarning, stacklevel=2
)
