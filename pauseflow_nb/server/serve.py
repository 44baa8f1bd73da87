"""`pauseflow serve`: a Jupyter server with this extension alone, and neither kernels nor files over HTTP."""

import errno
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, DictLoader, PrefixLoader
from jupyter_server.serverapp import ServerApp
from tornado.routing import Rule, RuleRouter
from traitlets import Enum, Unicode
from traitlets.config import Config

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.errors import InvalidValue, PortInUse
from pauseflow_nb.server.connections import connection_limits, limit_connections
from pauseflow_nb.server.extension import TRAITS, PauseflowExtension
from pauseflow_nb.server.hub import HubService
from pauseflow_nb.server.limits import IDLE_SECONDS
from pauseflow_nb.settings import Settings

__all__ = ["say_ready", "serve"]

#: Of Jupyter's services only what signing in needs. Kernels, files and terminals are somebody else's trade.
_SERVICES = ("auth", "security", "events")

#: Handlers of Jupyter Server that stay: what the login page needs, live events, and the answers to unknown addresses. All
#: others go, among them those that serve files and metrics. Handlers of a login of the user's own stay as well.
_KEPT_HANDLERS = frozenset(
    {
        "CSPReportHandler",
        "FileFindHandler",
        "LegacyLoginHandler",
        "LoginFormHandler",
        "LogoutHandler",
        "PublicStaticFileHandler",
        "RedirectWithParams",
        "SubscribeWebsocket",
        "Template404",
        "TrailingSlashHandler",
    }
)
#: In bytes, of what is sent to the login. Links and REST API count for themselves.
_LARGEST_BODY = 64 * 1024


def say_ready(url: str, token: str) -> None:
    """Print the address for a person, in one line; the token is one that Jupyter made, or empty."""
    hint = f"(token {token})" if token else "(sign in as Jupyter is configured)"
    sys.stdout.write(f"pauseflow is ready at {url} {hint}\n")
    sys.stdout.flush()


def serve(
    settings: Settings,
    *,
    ip: str | None = None,
    port: int | None = None,
    start_worker: bool = True,
    say: Callable[[str, str], None] = say_ready,
) -> None:
    """Serve links and API and keep a worker, until SIGINT or SIGTERM.

    Login and the token are Jupyter's own: `JUPYTER_TOKEN` and the user's `jupyter_server_config` hold. As a
    service that JupyterHub manages, it listens where the hub says, and the hub's accounts sign in.

    Args:
        settings: Which store.
        ip: Address to listen on; None: what the hub says, or this machine alone.
        port: Port; 0 takes a free one, None the one of the settings.
        start_worker: Whether to keep a worker; no if others run.
        say: Told the address and the token once the server is registered and its worker is alive. The token is empty
            unless Jupyter made it for this process: who chose one knows it.

    Raises:
        PortInUse: If another program has the port; it says so if that is one of this store.
        InvalidValue: If this machine has no such address, or this user may not open the port.
        InvalidSetting: If JupyterHub started this and something is missing.
    """
    hub = HubService.here()
    config = _config(settings, start_worker)
    if hub is not None:
        hub.configure(config)
        ip = ip or hub.ip
        port = hub.port if port is None and settings.origin("port") == "default" else port
    ip = ip or "127.0.0.1"
    port = _free(settings, ip, settings.port if port is None else port)
    server = PauseflowServer.instance(config=config, ip=ip, port=port, log_level="WARN")
    server.default_services = _SERVICES  # type: ignore[assignment]  # typed as the tuple that it is by default
    server.no_browser_open_file = True
    server.initialize(argv=[], find_extensions=False)
    serve_only_ours(server)
    _keep_token_out_of_pages(server)
    # The hub's token is this service's own secret, and opens more than this server.
    is_generated = server.identity_provider.token_generated and hub is None
    # Otherwise Jupyter prints the token with an address of its own, and a page to open that is not there.
    server.identity_provider.token_generated = False
    # Without a terminal Jupyter leaves Ctrl-C to Python, which ends it without a goodbye.
    signal.signal(signal.SIGINT, lambda *_: server.stop(from_signal=True))
    extension = server.extension_manager.extension_points["pauseflow_nb"].app
    assert isinstance(extension, PauseflowExtension)
    token = server.identity_provider.token if is_generated else ""
    extension.on_ready = lambda: say(str(server.connection_url), token)
    server.start()


def serve_only_ours(server: ServerApp) -> None:
    """Take away what Jupyter Server serves beside links, REST API, login and events; give slow clients an end, and limit their number."""
    _keep_ours(server.web_app.default_router)
    connections = server.http_server.conn_params
    connections.header_timeout = connections.body_timeout = float(IDLE_SECONDS)
    limit_connections(server.http_server, connection_limits())


def _keep_ours(router: RuleRouter) -> None:
    for rule in router.rules:
        if isinstance(rule.target, RuleRouter):
            _keep_ours(rule.target)
    router.rules[:] = [rule for rule in router.rules if _stays(rule)]


def _stays(rule: Rule) -> bool:
    target = rule.target
    is_jupyters = getattr(target, "__module__", "").startswith("jupyter_server.")
    return not (isinstance(target, type) and is_jupyters) or target.__name__ in _KEPT_HANDLERS


class PauseflowServer(ServerApp):
    """Jupyter's server, which tells nobody the token."""

    def server_info(self) -> dict[str, Any]:
        """Describe this server for `jupyter server list`, which prints it: without the token."""
        return {**super().server_info(), "token": ""}


def _keep_token_out_of_pages(server: ServerApp) -> None:
    """Leave out of Jupyter's pages the token that it hands to its front ends, which are not served here."""
    pages = server.web_app.settings["jinja2_env"]
    without = {"page.html": '{% extends "jupyter/page.html" %}{% block params %}{% endblock %}'}
    pages.loader = ChoiceLoader([DictLoader(without), PrefixLoader({"jupyter": pages.loader}), pages.loader])


def _config(settings: Settings, start_worker: bool) -> Config:
    config = Config()
    config.ServerApp.jpserver_extensions = {"pauseflow_nb": True}
    config.ServerApp.default_url = PauseflowExtension.extension_url
    config.ServerApp.root_dir = str(Path.cwd())
    config.ServerApp.open_browser = False
    config.ServerApp.port_retries = 0
    config.ServerApp.max_body_size = _LARGEST_BODY
    # Ctrl-C means it; and in a container root is who there is.
    config.ServerApp.answer_yes = True
    config.ServerApp.allow_root = True
    given = settings.model_dump(mode="json")
    for name, trait in TRAITS.items():
        if given[name] is not None:
            is_text = isinstance(PauseflowExtension.class_traits()[trait], (Unicode, Enum))
            config.PauseflowExtension[trait] = str(given[name]) if is_text else given[name]
    config.PauseflowExtension.start_worker = start_worker
    return config


def _free(settings: Settings, ip: str, port: int) -> int:
    """Check the port, or find one: Jupyter would only log that it is taken, and exit."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except OSError as problem:
            if problem.errno == errno.EACCES:
                raise InvalidValue("port", port, "is not for this user: choose one above 1023") from None
            if problem.errno != errno.EADDRINUSE:
                reason = "is no address of this machine: 127.0.0.1 is, and 0.0.0.0 stands for all that it has"
                raise InvalidValue("ip", ip, reason) from None
            queue = Queue.open(settings)
            holder = queue.who_listens(port)
            queue.close()
            raise PortInUse(ip, port, *holder) from problem
        return int(probe.getsockname()[1])
