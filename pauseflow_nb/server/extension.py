"""The Jupyter server extension: wiring, and nothing else."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Bool, Dict, Enum, Int, Unicode

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.printable import clean_logs
from pauseflow_nb.server.api.events import SCHEMA, SCHEMA_ID, Live
from pauseflow_nb.server.api.handlers import api_routes
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.log_masking import mask_links_in
from pauseflow_nb.server.public.callbacks import handlers
from pauseflow_nb.server.public.client_address import TrustedProxies
from pauseflow_nb.server.public.signed_in import signed_in_routes
from pauseflow_nb.server.registration import Keeper, Standing
from pauseflow_nb.server.worker_process import WorkerProcess
from pauseflow_nb.settings import Settings

__all__ = ["TRAITS", "PauseflowExtension"]

#: Setting → trait.
TRAITS = {
    "data_dir": "pauseflow_dir",
    **{name: name for name in ("db", "storage", "public_url", "links", "trusted_proxies", "templates", "redirect")},
    **{name: name for name in ("workers", "kernels", "kept_kernels", "snapshot_check", "max_body", "quota")},
    **{f"smtp_{name}": f"smtp_{name}" for name in ("host", "port", "security", "user", "password", "from", "to")},
    "notify": "notify",
}


class PauseflowExtension(ExtensionApp):
    """Serves the links and the REST API of one store, and keeps a worker for it."""

    name = "pauseflow_nb"
    description = "Notebooks that pause: links, REST API, and the worker that runs them."
    extension_url = "/pauseflow/api/executions"
    load_other_extensions = True

    # One for each setting; None leaves it to the environment, pauseflow.toml and the defaults.
    # `data_dir` is the name of something else in every Jupyter application.
    pauseflow_dir = Unicode(None, allow_none=True, help="Where database, files and pauseflow.toml lie.").tag(
        config=True
    )
    db = Unicode(None, allow_none=True, help="SQLAlchemy URL of the database.").tag(config=True)
    storage = Unicode(None, allow_none=True, help="fsspec URL of the files.").tag(config=True)
    public_url = Unicode(None, allow_none=True, help="Base of the links that people get.").tag(config=True)
    links = Enum(("strict", "confirm", "open"), None, allow_none=True, help="When a GET on a link may act.").tag(
        config=True
    )
    trusted_proxies = Unicode(
        None, allow_none=True, help="Addresses or networks of proxies whose X-Forwarded-For counts."
    ).tag(config=True)
    templates = Unicode(None, allow_none=True, help="Folder of templates for the pages behind the links.").tag(
        config=True
    )
    redirect = Unicode(None, allow_none=True, help="Where a browser goes after an answer from such a page.").tag(
        config=True
    )
    workers = Int(None, allow_none=True, help="Segments that the worker runs at once.").tag(config=True)
    kept_kernels = Int(None, allow_none=True, help="Kernels kept for executions that wait and need them.").tag(
        config=True
    )
    kernels = Unicode(None, allow_none=True, help="Where kernels come from: auto, cold, prestarted, forked.").tag(
        config=True
    )
    snapshot_check = Enum(
        ("fast", "full"), None, allow_none=True, help="What of a local snapshot is read through before it is used."
    ).tag(config=True)
    max_body = Unicode(None, allow_none=True, help='Largest body of a callback, such as "1 GiB".').tag(config=True)
    smtp_host = Unicode(None, allow_none=True, help="Mail server for flow.send.email.").tag(config=True)
    smtp_port = Int(None, allow_none=True, help="Its port.").tag(config=True)
    smtp_security = Enum(("starttls", "tls", "none"), None, allow_none=True, help="How mail is encrypted.").tag(
        config=True
    )
    smtp_user = Unicode(None, allow_none=True, help="Who signs in at the mail server.").tag(config=True)
    smtp_password = Unicode(None, allow_none=True, help="The password for it.").tag(config=True)
    smtp_from = Unicode(None, allow_none=True, help="Sender of mails.").tag(config=True)
    smtp_to = Unicode(None, allow_none=True, help="Who gets mails that name nobody.").tag(config=True)
    notify = Dict(None, allow_none=True, help="Targets of flow.notify: a name for each URL of apprise.").tag(
        config=True
    )
    quota = Unicode(None, allow_none=True, help="Bytes that the storage may hold.").tag(config=True)

    start_worker = Bool(True, help="Whether to keep a worker; no if `pauseflow worker` runs elsewhere.").tag(
        config=True
    )

    #: Called in a thread, once the server is registered and its worker is alive.
    on_ready: Callable[[], None] = staticmethod(lambda: None)

    def initialize_settings(self) -> None:
        """Read the settings; the store is opened later, and not in the event loop."""
        flags = {name: getattr(self, trait) for name, trait in TRAITS.items()}
        settings = Settings.load(flags=flags)
        self._queue = LazyQueue(lambda: Queue.open(settings))
        self._proxies = TrustedProxies.parse(settings.trusted_proxies, trusts_peer=self._server().trust_xheaders)
        self._worker = WorkerProcess.of(settings) if self.start_worker else None
        self._keeper: Keeper | None = None
        self._live: Live | None = None

    def initialize_handlers(self) -> None:
        """Add the routes, and keep tokens out of the server's logs."""
        server = self._server()
        mask_links_in(
            server.log, *(logging.getLogger(f"tornado.{name}") for name in ("access", "application", "general"))
        )
        clean_logs(server.log)
        self.handlers.extend(
            [
                *handlers(self._queue, proxies=self._proxies),
                *signed_in_routes(self._queue),
                *api_routes(self._queue, self._standing),
            ]
        )
        assert server.event_logger is not None
        server.event_logger.register_event_schema(SCHEMA)
        # The front end opens outputs, whose paths the API gives whole.
        page = server.web_app.settings.setdefault("page_config_data", {})
        page["pauseflowRoot"] = str(Path(server.root_dir).expanduser().resolve())
        # Not now: the server has no port before its loop runs.
        server.io_loop.add_callback(self._begin)

    async def stop_extension(self) -> None:
        """End the worker and say goodbye to the store, with the server."""
        if self._live is not None:
            await asyncio.to_thread(self._live.stop)
        if self._keeper is not None:
            await asyncio.to_thread(self._keeper.stop)
        self._queue.close()

    def _begin(self) -> None:
        server = self._server()
        url = None if server.sock else str(server.connection_url).rstrip("/")
        self._keeper = Keeper(self._queue, url, self._worker, self.on_ready)
        self._keeper.start()
        self._live = Live(self._queue, lambda data: server.io_loop.add_callback(self._emit, data))
        self._live.start()

    def _standing(self) -> Standing:
        return "starting" if self._keeper is None else self._keeper.standing

    def _emit(self, data: dict[str, Any]) -> None:
        logger = self._server().event_logger
        assert logger is not None
        logger.emit(schema_id=SCHEMA_ID, data=data)

    def _server(self) -> ServerApp:
        server: Any = self.serverapp
        assert isinstance(server, ServerApp)
        return server
