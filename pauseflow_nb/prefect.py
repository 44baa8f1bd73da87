"""The former place of `pauseflow_nb.compat.prefect`, for imports written before it moved; importing it warns."""

import warnings

from pauseflow_nb.compat.prefect import *  # noqa: F403

warnings.warn(
    "pauseflow_nb.prefect has moved: import pauseflow_nb.compat.prefect instead", DeprecationWarning, stacklevel=2
)
