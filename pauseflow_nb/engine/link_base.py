"""Where links point."""

import os
from collections.abc import Callable

from pauseflow_nb.settings import Settings

__all__ = ["base_url_of"]


def base_url_of(settings: Settings, live_server: Callable[[], str | None], listener: str | None) -> str:
    """Choose the base of all links, without a slash at its end.

    In order: the setting `public_url`; the address that JupyterHub gives this process; a server that is
    registered in the store and alive; this process's own listener; the configured port on this machine.
    """
    found = (
        settings.public_url
        or os.environ.get("JUPYTERHUB_PUBLIC_URL")
        or live_server()
        or listener
        or f"http://127.0.0.1:{settings.port}"
    )
    return found.rstrip("/")
