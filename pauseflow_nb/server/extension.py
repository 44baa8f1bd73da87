"""Define the Jupyter server extension, which connects the parts of the server."""

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
from pauseflow_nb.server.api.events import SCHEMA, SCHEMA_ID, ChangeEmitter
from pauseflow_nb.server.api.handlers import api_routes
from pauseflow_nb.server.lazy_queue import LazyQueue
from pauseflow_nb.server.log_masking import mask_links_in
from pauseflow_nb.server.public.callbacks import handlers
from pauseflow_nb.server.public.client_address import TrustedProxies
from pauseflow_nb.server.public.signed_in import signed_in_routes
from pauseflow_nb.server.registration import Readiness, Registration
from pauseflow_nb.server.worker_process import WorkerProcess
from pauseflow_nb.settings import Settings

#: Setting → trait.
TRAITS = {
    "data_dir": "pauseflow_dir",
    **{name: name for name in ("db", "storage", "public_url", "links", "trusted_proxies", "templates", "redirect")},
    **{name: name for name in ("workers", "queues", "kernels", "kept_kernels", "snapshot_check", "snapshot_cache")},
    **{name: name for name in ("max_body", "quota")},
    **{name: name for name in ("executions_per_user", "executions_per_queue", "bytes_per_user", "log_format")},
    **{f"smtp_{name}": f"smtp_{name}" for name in ("host", "port", "security", "user", "password", "from", "to")},
    "notify": "notify",
}


def _make_text_setting(explanation: str) -> Any:
    return Unicode(None, allow_none=True, help=explanation).tag(config=True)


def _make_number_setting(explanation: str) -> Any:
    return Int(None, allow_none=True, help=explanation).tag(config=True)


def _make_choice_setting(explanation: str, *values: str) -> Any:
    return Enum(values, None, allow_none=True, help=explanation).tag(config=True)


class PauseflowExtension(ExtensionApp):
    """Serves the links and the REST API of one store, and keeps a worker process alive."""

    name = "pauseflow_nb"
    description = "Notebooks that pause: links, REST API, and the worker that runs them."
    extension_url = "/pauseflow/api/executions"
    load_other_extensions = True

    # One for each setting; None leaves it to the environment, pauseflow.toml and the defaults.
    # In every Jupyter application `data_dir` means another folder.
    pauseflow_dir = _make_text_setting("Folder of the database, the files and pauseflow.toml.")
    db = _make_text_setting("SQLAlchemy URL of the database.")
    storage = _make_text_setting("fsspec URL of the files.")
    public_url = _make_text_setting("Base URL of the links.")
    links = _make_choice_setting("When a GET request to a link may settle a suspension.", "strict", "confirm", "open")
    trusted_proxies = _make_text_setting("Addresses or networks of proxies whose X-Forwarded-For is trusted.")
    templates = _make_text_setting("Folder of templates for the pages of the links.")
    redirect = _make_text_setting("URL that a browser opens after an answer on such a page.")
    workers = _make_number_setting("Number of segments that the worker runs at the same time.")
    queues = _make_text_setting("Queues whose segments the worker runs, with commas between them.")
    kept_kernels = _make_number_setting("Most kernels that are kept for kernel-bound executions.")
    kernels = _make_text_setting("How kernels are started: auto, cold, prestarted or forked.")
    snapshot_check = _make_choice_setting(
        "Which parts of a local snapshot are checked before it is used.", "fast", "full"
    )
    snapshot_cache = _make_text_setting("Most bytes that this machine's cache of remote snapshots takes on its disk.")
    max_body = _make_text_setting('Largest body of a callback, such as "1 GiB".')
    smtp_host = _make_text_setting("Mail server for flow.send.email.")
    smtp_port = _make_number_setting("Port of the mail server.")
    smtp_security = _make_choice_setting("Encryption of the connection to the mail server.", "starttls", "tls", "none")
    smtp_user = _make_text_setting("User name for the mail server.")
    smtp_password = _make_text_setting("Password for the mail server.")
    smtp_from = _make_text_setting("Sender address of mails.")
    smtp_to = _make_text_setting("Recipient of mails that name none.")
    notify = Dict(None, allow_none=True, help="Targets of flow.notify: names with apprise URLs.").tag(config=True)
    quota = _make_text_setting("Most bytes in the storage before new executions are refused.")
    executions_per_user = _make_number_setting("Most executions of one user that run or wait.")
    executions_per_queue = _make_number_setting("Most executions of notebooks of one queue that run or wait.")
    bytes_per_user = _make_text_setting("Most bytes that the executions of one user hold before new ones are refused.")
    log_format = _make_choice_setting("How the worker writes its log.", "text", "json")

    start_worker = Bool(True, help="Whether to start a worker, if none runs elsewhere.").tag(config=True)

    #: Called in a thread once the server is registered and its worker takes jobs.
    on_ready: Callable[[], None] = staticmethod(lambda: None)

    def initialize_settings(self) -> None:
        """Read the settings; the store is opened later, outside of the event loop."""
        flags = {name: getattr(self, trait) for name, trait in TRAITS.items()}
        settings = Settings.load(flags=flags)
        self._queue = LazyQueue(lambda: Queue.open(settings))
        self._proxies = TrustedProxies.parse(settings.trusted_proxies, trusts_peer=self._server().trust_xheaders)
        self._worker = WorkerProcess.for_store(settings) if self.start_worker else None
        self._registration: Registration | None = None
        self._emitter: ChangeEmitter | None = None

    def initialize_handlers(self) -> None:
        """Add the routes, and mask tokens in the logs of the server."""
        server = self._server()
        mask_links_in(
            server.log, *(logging.getLogger(f"tornado.{name}") for name in ("access", "application", "general"))
        )
        clean_logs(server.log)
        self.handlers.extend(
            [
                *handlers(self._queue, proxies=self._proxies),
                *signed_in_routes(self._queue),
                *api_routes(self._queue, self._readiness),
            ]
        )
        assert server.event_logger is not None
        server.event_logger.register_event_schema(SCHEMA)
        # The front end opens outputs, whose paths are absolute in the API.
        page = server.web_app.settings.setdefault("page_config_data", {})
        page["pauseflowRoot"] = str(Path(server.root_dir).expanduser().resolve())
        # Not now, because the server has no port before its loop runs.
        server.io_loop.add_callback(self._start_threads)

    async def stop_extension(self) -> None:
        """Stop the worker and close the store when the server stops."""
        if self._emitter is not None:
            await asyncio.to_thread(self._emitter.stop)
        if self._registration is not None:
            await asyncio.to_thread(self._registration.stop)
        await self._queue.drain()
        self._queue.close()

    def _start_threads(self) -> None:
        server = self._server()
        url = None if server.sock else str(server.connection_url).rstrip("/")
        self._registration = Registration(self._queue, url, self._worker, self.on_ready)
        self._registration.start()
        self._emitter = ChangeEmitter(self._queue, lambda data: server.io_loop.add_callback(self._emit, data))
        self._emitter.start()

    def _readiness(self) -> Readiness:
        return "starting" if self._registration is None else self._registration.readiness

    def _emit(self, data: dict[str, Any]) -> None:
        logger = self._server().event_logger
        assert logger is not None
        logger.emit(schema_id=SCHEMA_ID, data=data)

    def _server(self) -> ServerApp:
        server: Any = self.serverapp
        assert isinstance(server, ServerApp)
        return server
