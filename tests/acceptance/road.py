"""Notebooks written in the test, run with real kernels in this process, and answered over real HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acceptance.web import send
from roads.rider import Rider

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.execution import Execution
from pauseflow_nb.runner.kernels.source import Supply
from pauseflow_nb.server.listener import Listener
from pauseflow_nb.settings import Settings


@dataclass
class Road(Rider):
    """Starts notebooks and answers them as people and programs do."""

    def execution(self, view: dict[str, Any]) -> Execution:
        """The same execution, as Python sees it."""
        return Execution(self.queue, view["id"])

    def send(self, view: dict[str, Any], action: str = "resume", body: Any = None, method: str = "POST") -> Any:
        """Send a request to a link of the one suspension that is open; gives status and JSON."""
        (waits,) = view["suspended"]
        return send(waits[f"{action}_url"], body, method)

    def through(self, *sources: str, **parameters: Any) -> dict[str, Any]:
        """Run to the end; timers are waited for."""
        return self.ride(self.start(*sources, **parameters), until_pause=False)

    def view(self, view: dict[str, Any], *, history: bool = False) -> dict[str, Any]:
        """The execution as it is now."""
        return self.queue.view(view["id"], history=history)


@contextmanager
def open_road(settings: Settings, folder: Path, supply: Supply | None = None) -> Iterator[Road]:
    """A store, and a server for its links."""
    served = Queue.open(settings)
    listener = Listener(served, 0)
    queue = Queue.open(settings, base_url=listener.start())
    try:
        yield Road(queue, folder, supply)
    finally:
        listener.stop()
        queue.close()
