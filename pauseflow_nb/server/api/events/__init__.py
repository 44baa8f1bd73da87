"""Emit changes in the store through `jupyter_events`, within 200 ms and whichever process made them."""

from pauseflow_nb.server.api.events.emitter import SCHEMA, SCHEMA_ID, ChangeEmitter
from pauseflow_nb.server.api.events.watcher import Watcher

__all__ = ["SCHEMA", "SCHEMA_ID", "ChangeEmitter", "Watcher"]
