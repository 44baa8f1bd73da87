"""Answer links while an attached run lives and the store has no other server."""

import logging
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pauseflow_nb.engine.heartbeat import Presence
from pauseflow_nb.errors import PauseflowError, PortInUse

if TYPE_CHECKING:
    from pauseflow_nb.engine.queue import Queue
    from pauseflow_nb.server.listener import Listener

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


class CallbackListener:
    """Answers links as long as its `with` block runs.

    If the store has a server, that server answers. If it has none, or its server ends, this
    process listens on the configured port itself, so that links stay valid.
    """

    def __init__(self, queue: "Queue") -> None:
        """Take the queue whose links are answered."""
        self._queue = queue
        self._stop = threading.Event()
        self._listener: Listener | None = None
        self._presence: Presence | None = None
        #: Whether it listens on another port than the configured one, and the user has not been warned yet.
        self._is_elsewhere = False
        self._thread = threading.Thread(target=self._watch, name="pauseflow-callback-listener", daemon=True)

    def __enter__(self) -> Self:
        # Before the first segment starts: its links contain this address.
        self._open_if_needed(any_port=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(2 * _LOOK_SECONDS)
        if self._presence is not None:
            self._presence.__exit__(kind, error, trace)
        if self._listener is not None:
            self._listener.stop()

    def warn_of_port(self) -> None:
        """Warn that links stop working when this process ends; called when the first links may have been sent."""
        if self._is_elsewhere:
            self._is_elsewhere = False
            log.warning(
                "port %s is taken by another program: links of this run work only until it ends",
                self._queue.settings.port,
            )

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                self._open_if_needed(any_port=False)
            except PauseflowError as problem:
                log.debug("could not look for a server: %s", problem)

    def _open_if_needed(self, *, any_port: bool) -> None:
        if self._listener is not None or self._queue.live_server_url() is not None:
            return
        url = self._listen(self._queue.settings.port)
        if url is None and any_port:
            self._is_elsewhere = True
            url = self._listen(0)
        if url is not None:
            self._presence = Presence(self._queue, "server", url=url)
            self._presence.__enter__()

    def _listen(self, port: int) -> str | None:
        # Lazily: only a run that has steps needs to load tornado and Jupyter Server.
        from pauseflow_nb.server.listener import Listener

        listener = Listener(self._queue, port)
        try:
            url = listener.start()
        except PortInUse:
            return None
        self._listener = listener
        return url
