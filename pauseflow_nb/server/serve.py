"""Run `pauseflow serve`: a Jupyter server with this extension only, which serves neither kernels nor files."""

import errno
import gc
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
from pauseflow_nb.server.extension import TRAITS, PauseflowExtension
from pauseflow_nb.server.hub import HubService
from pauseflow_nb.server.public.connections import connection_limits, limit_connections
from pauseflow_nb.server.public.rate_limit import IDLE_SECONDS
from pauseflow_nb.settings import Settings

#: The services of Jupyter Server that sign-in and events need; kernels, files and terminals are left out.
_SERVICES = ("auth", "security", "events")

#: Handlers of Jupyter Server that stay: those for the login page, live events and unknown addresses. All others are removed,
#: among them those that serve files and metrics. Handlers of another login that the user has configured stay as well.
_ALLOWED_HANDLERS = frozenset(
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
#: How long one thread may hold Python's global lock while another waits for it. The event loop releases the lock whenever
#: it sends a response, and would wait up to Python's usual 5 ms each time while another thread settles answers.
_SWITCH_SECONDS = 0.0005
#: Largest request for the login, in bytes. Links and REST API have their own limits.
_LARGEST_BODY = 64 * 1024


def print_ready(url: str, token: str) -> None:
    """Print the address in one line, with the token that Jupyter made, if it made one."""
    hint = f"(token {token})" if token else "(sign in as Jupyter is configured)"
    sys.stdout.write(f"pauseflow is ready at {url} {hint}\n")
    sys.stdout.flush()


def serve(
    settings: Settings,
    *,
    ip: str | None = None,
    port: int | None = None,
    start_worker: bool = True,
    announce: Callable[[str, str], None] = print_ready,
) -> None:
    """Serve the links and the REST API and run a worker, until SIGINT or SIGTERM.

    Jupyter handles login and token: `JUPYTER_TOKEN` and the user's `jupyter_server_config` apply. As a service of
    JupyterHub, it listens on the address from the hub, and the accounts of the hub sign in.

    Args:
        settings: Settings of the store.
        ip: Address to listen on; None: the one from the hub, or 127.0.0.1.
        port: Port; 0 takes a free one, None the one of the settings.
        start_worker: Whether to start a worker.
        announce: Called with the address and the token once the server is registered and its worker takes jobs. The token is
            empty unless Jupyter made it for this process, because a token that the user has chosen is known.

    Raises:
        PortInUse: If another program uses the port; names it if it belongs to this store.
        InvalidValue: If this machine does not have the address, or this user may not open the port.
        InvalidSetting: If JupyterHub started this process and a setting or package is missing.
    """
    hub = HubService.read()
    config = _make_config(settings, start_worker)
    if hub is not None:
        hub.configure(config)
        ip = ip or hub.ip
        port = hub.port if port is None and settings.origin("port") == "default" else port
    ip = ip or "127.0.0.1"
    port = _check_port(settings, ip, settings.port if port is None else port)
    server = PauseflowServer.instance(config=config, ip=ip, port=port, log_level="WARN")
    server.default_services = _SERVICES  # type: ignore[assignment]  # typed as the tuple that it is by default
    server.no_browser_open_file = True
    server.initialize(argv=[], find_extensions=False)
    serve_only_ours(server)
    _remove_token_from_pages(server)
    # The token of the hub is a secret of this service, and gives access to more than this server.
    is_generated = server.identity_provider.token_generated and hub is None
    # Otherwise Jupyter prints the token with another address, and a page that does not exist.
    server.identity_provider.token_generated = False
    # Without a terminal, Jupyter does not handle SIGINT, and Python would end at once.
    signal.signal(signal.SIGINT, lambda *_: server.stop(from_signal=True))
    extension = server.extension_manager.extension_points["pauseflow_nb"].app
    assert isinstance(extension, PauseflowExtension)
    token = server.identity_provider.token if is_generated else ""
    extension.on_ready = lambda: announce(str(server.connection_url), token)
    sys.setswitchinterval(_SWITCH_SECONDS)
    # Modules and handlers live as long as the process: a full collection need not visit them.
    gc.freeze()
    server.start()


def serve_only_ours(server: ServerApp) -> None:
    """Remove the other handlers of Jupyter Server; limit the time and the number of connections."""
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
    return not (isinstance(target, type) and is_jupyters) or target.__name__ in _ALLOWED_HANDLERS


class PauseflowServer(ServerApp):
    """Jupyter's server, which does not write its token anywhere."""

    def server_info(self) -> dict[str, Any]:
        """Describe this server for `jupyter server list`, without the token, which that command would print."""
        return {**super().server_info(), "token": ""}


def _remove_token_from_pages(server: ServerApp) -> None:
    """Remove the token from the pages of Jupyter, which pass it to front ends that are not served here."""
    pages = server.web_app.settings["jinja2_env"]
    without = {"page.html": '{% extends "jupyter/page.html" %}{% block params %}{% endblock %}'}
    pages.loader = ChoiceLoader([DictLoader(without), PrefixLoader({"jupyter": pages.loader}), pages.loader])


def _make_config(settings: Settings, start_worker: bool) -> Config:
    config = Config()
    config.ServerApp.jpserver_extensions = {"pauseflow_nb": True}
    config.ServerApp.default_url = PauseflowExtension.extension_url
    config.ServerApp.root_dir = str(Path.cwd())
    config.ServerApp.open_browser = False
    config.ServerApp.port_retries = 0
    config.ServerApp.max_body_size = _LARGEST_BODY
    # Ctrl-C stops without a question, and in a container the user is root.
    config.ServerApp.answer_yes = True
    config.ServerApp.allow_root = True
    values = settings.model_dump(mode="json")
    for name, trait in TRAITS.items():
        if values[name] is not None:
            is_text = isinstance(PauseflowExtension.class_traits()[trait], (Unicode, Enum))
            config.PauseflowExtension[trait] = str(values[name]) if is_text else values[name]
    config.PauseflowExtension.start_worker = start_worker
    if settings.log_format == "json":
        config.ServerApp.logging_config = {"formatters": {"console": {"class": "pauseflow_nb.json_logs.JsonFormatter"}}}
    return config


def _check_port(settings: Settings, ip: str, port: int) -> int:
    """Check that the port is free, or find a free one; Jupyter would only log an error and exit."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except OSError as problem:
            if problem.errno == errno.EACCES:
                raise InvalidValue("port", port, "may not be opened by this user: choose one above 1023") from None
            if problem.errno != errno.EADDRINUSE:
                reason = "is not an address of this machine: use 127.0.0.1, or 0.0.0.0 for all of its addresses"
                raise InvalidValue("ip", ip, reason) from None
            queue = Queue.open(settings)
            holder = queue.find_listener(port)
            queue.close()
            raise PortInUse(ip, port, *holder) from problem
        return int(probe.getsockname()[1])
