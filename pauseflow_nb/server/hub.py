"""Configure `pauseflow serve` as a service of JupyterHub: its address, its path, and sign-in with the accounts of the hub.

The server of a user needs none of this, because JupyterHub's single-user extension configures it.
"""

import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from traitlets.config import Config

from pauseflow_nb.errors import InvalidSetting


@dataclass(frozen=True)
class HubService:
    """The settings that JupyterHub gives to a service."""

    name: str
    #: Path of the requests that the proxy of the hub sends to the service, such as `/services/pauseflow/`.
    prefix: str
    ip: str
    port: int

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        """Read the settings from the environment; None if no hub started this process.

        Raises:
            InvalidSetting: If the service has no address, or the package jupyterhub is missing.
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
            problem = (
                "the package jupyterhub, which signs people in, is missing: pip install 'pauseflow-nb[jupyterhub]'"
            )
            raise InvalidSetting("JUPYTERHUB_SERVICE_NAME", name, "JupyterHub", problem)
        prefix = environment.get("JUPYTERHUB_SERVICE_PREFIX") or f"/services/{name}/"
        return cls(name, prefix, address.hostname, address.port)

    def configure(self, config: Config) -> None:
        """Let the accounts of the hub sign in, and trust the headers of its proxy."""
        config.ServerApp.base_url = self.prefix
        config.ServerApp.identity_provider_class = "jupyterhub.singleuser.extension.JupyterHubIdentityProvider"
        # The proxy passes the visitor's Host on, and the visitor's address in a header.
        config.ServerApp.allow_remote_access = True
        config.ServerApp.trust_xheaders = True
        # Tornado would check before the account of the hub is known, and refuse its tokens. Jupyter's own handlers check
        # later, independently of this setting.
        config.ServerApp.tornado_settings = {"xsrf_cookies": False}
