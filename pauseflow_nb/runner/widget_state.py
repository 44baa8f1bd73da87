"""Store the state of widgets in the notebook, so that they are shown when the notebook is opened.

Output widgets capture the outputs inside them. The kernel gets these captured outputs once, at the end of the cell,
where front ends send them after every output.

Source: `nbclient.client` and `nbclient.output_widget`, which do the same for `jupyter execute`.
"""

import base64
from collections.abc import Mapping
from typing import Any

from nbformat import NotebookNode

from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.stream_outputs import Outputs

_MIME = "application/vnd.jupyter.widget-state+json"


class Widgets:
    """The state of each widget, read from the comm messages of the kernel."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._states: dict[str, NotebookNode] = {}
        self._captured: dict[str, Outputs] = {}
        self._capture_stacks: dict[str, list[str]] = {}
        self._changed: set[str] = set()

    def load_earlier(self) -> None:
        """Continue with the widgets that earlier segments left in the document: the kernel may have restored them."""
        stored = self._document.metadata.get("widgets", {}).get(_MIME, {}).get("state", {})
        self._states = dict(stored)
        for comm, entry in stored.items():
            if entry.get("model_name") == "OutputModel":
                self._captured[comm] = Outputs(entry["state"].setdefault("outputs", []))

    def receive(self, kind: str, message: Mapping[str, Any]) -> None:
        """Apply a comm message; messages for anything but widgets are ignored."""
        content = message["content"]
        comm, data = content.get("comm_id", ""), content.get("data") or {}
        if kind == "comm_open" and content.get("target_name") == "jupyter.widget":
            self._open(comm, data)
        elif comm not in self._states or kind == "comm_close":
            # The last state of a closed widget stays, because the notebook may still show it.
            return
        state = data.get("state")
        if isinstance(state, dict):
            self._update(comm, state, data.get("buffer_paths") or [], message.get("buffers") or [])

    def find_capture(self, request: str) -> Outputs | None:
        """Find the innermost output widget that captures what this request shows."""
        stack = self._capture_stacks.get(request)
        if not stack:
            return None
        self._changed.add(stack[-1])
        return self._captured[stack[-1]]

    def join(self) -> None:
        """Bring the captured outputs up to date."""
        for outputs in self._captured.values():
            outputs.join()

    def take_updates(self) -> list[dict[str, Any]]:
        """Return, once, the comm messages that send the captured outputs to the kernel."""
        self.join()
        changed, self._changed = self._changed, set()
        return [
            {
                "comm_id": comm,
                "data": {"method": "update", "state": {"outputs": self._captured[comm].nodes}, "buffer_paths": []},
            }
            for comm in sorted(changed)
        ]

    def _open(self, comm: str, data: Mapping[str, Any]) -> None:
        state = data.get("state") or {}
        widgets = self._document.metadata.setdefault("widgets", NotebookNode())
        stored = widgets.setdefault(_MIME, NotebookNode(state=NotebookNode(), version_major=2, version_minor=0))
        # Every dict must be a NotebookNode: a plain dict is copied when it is put into one, and later changes would be lost.
        shown = NotebookNode()
        entry = NotebookNode(
            model_name=state.get("_model_name"),
            model_module=state.get("_model_module"),
            model_module_version=state.get("_model_module_version"),
            state=shown,
        )
        self._states[comm] = stored["state"][comm] = entry
        if state.get("_model_name") == "OutputModel":
            shown["outputs"] = []
            self._captured[comm] = Outputs(shown["outputs"])

    def _update(self, comm: str, state: dict[str, Any], paths: list[list[Any]], buffers: list[Any]) -> None:
        entry = self._states[comm]
        if comm in self._captured:
            state = self._update_captured(comm, dict(state))
        entry["state"].update(state)
        if paths:
            stored = {tuple(buffer["path"]): buffer for buffer in entry.get("buffers", [])}
            for path, buffer in zip(paths, buffers, strict=False):
                text = base64.b64encode(buffer).decode()
                stored[tuple(path)] = {"data": text, "encoding": "base64", "path": path}
            entry["buffers"] = list(stored.values())
        self._document.changed()

    def _update_captured(self, comm: str, state: dict[str, Any]) -> dict[str, Any]:
        if "outputs" in state:
            outputs = self._captured[comm]
            outputs.clear(wait=False)
            outputs.nodes.extend(NotebookNode(output) for output in state.pop("outputs"))
        if "msg_id" in state:
            request = state["msg_id"]
            if request:
                self._capture_stacks.setdefault(request, []).append(comm)
            else:
                for stack in self._capture_stacks.values():
                    if comm in stack:
                        stack.remove(comm)
        return state
