"""Live changes over `jupyter_events`: what happens in the store, whichever process did it, within 200 ms."""

from pauseflow_nb.server.api.events.live import SCHEMA, SCHEMA_ID, Live
from pauseflow_nb.server.api.events.watcher import Watcher

__all__ = ["SCHEMA", "SCHEMA_ID", "Live", "Watcher"]
