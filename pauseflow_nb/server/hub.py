"""What JupyterHub tells a service that it manages: where to listen, under which path, and who signs people in.

Only `pauseflow serve` asks; a user's own server is told by JupyterHub's single-user extension.
"""

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from traitlets.config import Config

from pauseflow_nb.errors import InvalidSetting

__all__ = ["HubService"]


@dataclass(frozen=True)
class HubService:
    """The service that this process is."""

    name: str
    #: Path below which the hub's proxy sends requests here, such as `/services/pauseflow/`.
    prefix: str
    ip: str
    port: int

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        """Read what the hub says; None if no hub started this process.

        Raises:
            InvalidSetting: If it gave the service no address, or the package jupyterhub is missing.
        """
        name = environment.get("JUPYTERHUB_SERVICE_NAME")
        if not name:
            return None
        url = environment.get("JUPYTERHUB_SERVICE_URL", "")
        address = urlsplit(url)
        if not address.hostname or not address.port:
            problem = f"give the service {name!r} a url such as http://127.0.0.1:7287"
            raise InvalidSetting("JUPYTERHUB_SERVICE_URL", url, "JupyterHub", problem)
        if importlib.util.find_spec("jupyterhub") is None:
            problem = "people sign in with the package jupyterhub, which is missing: pip install jupyterhub"
            raise InvalidSetting("JUPYTERHUB_SERVICE_NAME", name, "JupyterHub", problem)
        prefix = environment.get("JUPYTERHUB_SERVICE_PREFIX") or f"/services/{name}/"
        return cls(name, prefix, address.hostname, address.port)

    def configure(self, config: Config) -> None:
        """Let the hub's accounts sign in, and believe what its proxy says of a request."""
        config.ServerApp.base_url = self.prefix
        config.ServerApp.identity_provider_class = "jupyterhub.singleuser.extension.JupyterHubIdentityProvider"
        # The proxy passes the visitor's Host on, and the visitor's address in a header.
        config.ServerApp.allow_remote_access = True
        config.ServerApp.trust_xheaders = True
        # Tornado would check before the hub's account is known, and refuse its tokens. Jupyter's own handlers
        # check afterwards, whatever this says.
        config.ServerApp.tornado_settings = {"xsrf_cookies": False}
