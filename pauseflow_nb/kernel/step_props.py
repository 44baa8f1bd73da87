"""Find the props of a step: its entry in the notebook's variable `props`.

A `%%setup` cell makes that variable, so that secrets in it are fetched again in each new kernel and never saved:

    props = {"notify": {"channel": "C012", "slack": {"$auth": {"oauth_access_token": flow.secret("SLACK_TOKEN")}}}}
"""

from collections.abc import Mapping
from typing import Any

from pauseflow_nb.errors import InvalidValue


def find_props(namespace: Mapping[str, Any], step: str) -> dict[str, Any]:
    """Return the props of a step; an empty dict if the notebook's variable `props` has no entry for it.

    Raises:
        InvalidValue: If the entry is not a dict.
    """
    props = namespace.get("props")
    own = props.get(step, {}) if isinstance(props, Mapping) else {}
    if not isinstance(own, Mapping):
        raise InvalidValue(f"props[{step!r}]", own, "must be a dict: one entry for each prop of the step")
    return dict(own)
