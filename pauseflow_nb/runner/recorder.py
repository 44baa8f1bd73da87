"""Write the messages of a kernel's iopub channel into the outputs of the cells, in linear time.

This module needs no connection to a kernel, so that it can be tested with messages alone.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from nbformat import NotebookNode

from pauseflow_nb.json_values import is_deeper
from pauseflow_nb.protocol import ASKED
from pauseflow_nb.runner.document import Document
from pauseflow_nb.runner.record_outputs import is_record
from pauseflow_nb.runner.stream_outputs import Outputs
from pauseflow_nb.runner.widget_state import Widgets

_OURS = "pauseflow"
#: Deepest nesting of an output. A notebook may be slightly deeper; about 500 levels cannot be written.
_DEEPEST = 150
_TOO_DEEP = f"(nested too deeply to be saved: more than {_DEEPEST} levels)"
_DATA_KINDS = {"display_data", "execute_result", "update_display_data"}


class Recorder:
    """Writes messages into a document's cells, each into the cell whose request caused it.

    So the output of a thread that outlives its cell still reaches that cell.
    """

    def __init__(
        self,
        document: Document,
        on_output: Callable[[int, NotebookNode], None],
        on_update: Callable[[int, NotebookNode], None] = lambda _cell, _output: None,
    ) -> None:
        self._document = document
        self._on_output, self._on_update = on_output, on_update
        self._outputs: dict[int, Outputs] = {}
        self._growing: set[int] = set()
        self._cell_of: dict[str, int] = {}
        self._displayed: dict[str, list[tuple[int, NotebookNode]]] = {}
        self.widgets = Widgets(document)
        #: The last question of a cell; all outputs that the cell showed before it were received.
        self.last_question: str | None = None
        document.before_writing = self.join

    def load_earlier(self) -> None:
        """Continue with displays and widgets of earlier segments, which may still change."""
        self._displayed = _find_displays(self._document)
        self.widgets.load_earlier()

    def expect(self, request: str, cell: int) -> None:
        """Assign the outputs of a request to a cell, and drop the old outputs of the cell except our records."""
        self._cell_of[request] = cell
        self._document.cells[cell].outputs = [each for each in self._document.cells[cell].outputs if is_record(each)]
        self._document.cells[cell].metadata["execution"] = NotebookNode()
        self._outputs[cell] = Outputs(self._document.cells[cell].outputs)
        self._document.changed(cell)

    def convert_errors_to_text(self, cell: int) -> None:
        """Turn the errors that a cell shows into text: its step makes another attempt, and only the last attempt counts."""
        for output in self._document.cells[cell].outputs:
            if output.output_type == "error":
                text = "\n".join(output.traceback) + "\n"
                output.clear()
                output.update(output_type="stream", name="stderr", text=text)
        self._document.changed(cell)

    def note_time(self, cell: int, event: str, message: Mapping[str, Any]) -> None:
        """Note in the metadata of a cell when a message was sent, as Jupyter's front ends and nbclient do."""
        date = message["header"].get("date")
        if isinstance(date, datetime):
            timing = self._document.cells[cell].metadata.setdefault("execution", NotebookNode())
            timing[event] = date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            self._document.changed(cell)

    def join(self) -> None:
        """Bring every cell's outputs up to date."""
        for cell in self._growing:
            self._outputs[cell].join()
        self._growing.clear()
        self.widgets.join()

    def receive(self, message: Mapping[str, Any]) -> None:
        """Apply one iopub message; unknown types, and requests that belong to no cell, are ignored."""
        kind, content = message["header"]["msg_type"], message["content"]
        request = message["parent_header"].get("msg_id", "")
        if kind.startswith("comm_"):
            self.widgets.receive(kind, message)
            return
        if kind == ASKED:
            self.last_question = content.get("question")
            return
        if kind in _DATA_KINDS:
            self._update_displayed(content)
        cell = self._cell_of.get(request)
        if cell is None:
            return
        if kind == "status":
            self.note_time(cell, f"iopub.status.{content.get('execution_state')}", message)
        elif kind == "execute_input":
            self._document.cells[cell].execution_count = content.get("execution_count")
            self.note_time(cell, "iopub.execute_input", message)
        elif kind == "clear_output":
            self._clear(request, cell, wait=bool(content.get("wait")))
        elif (output := _make_output(kind, content)) is not None:
            self._add(request, cell, output, _display_id(content))

    def _add(self, request: str, cell: int, output: NotebookNode, display_id: str | None) -> None:
        captured = self.widgets.find_capture(request)
        if display_id is not None:
            # A later segment finds the output by this id: `transient`, where the protocol has it, is not stored.
            output.metadata[_OURS] = NotebookNode(display_id=display_id)
        # A copy, because our output keeps growing.
        self._on_output(cell, NotebookNode(self._document.without_secrets(output)))
        (captured or self._outputs[cell]).add(output)
        self._growing.add(cell)
        if display_id is not None:
            self._displayed.setdefault(display_id, []).append((cell, output))
        self._document.changed(None if captured else cell)

    def _clear(self, request: str, cell: int, *, wait: bool) -> None:
        captured = self.widgets.find_capture(request)
        (captured or self._outputs[cell]).clear(wait=wait)
        # Outputs that were cleared need no updates; otherwise an animation would use more and more memory.
        for display_id, shown in list(self._displayed.items()):
            self._displayed[display_id] = [(at, output) for at, output in shown if at != cell]
        self._document.changed(None if captured else cell)

    def _update_displayed(self, content: Mapping[str, Any]) -> None:
        display_id = _display_id(content)
        if display_id is None:
            return
        for cell, output in self._displayed.get(display_id, ()):
            output["data"], output["metadata"] = _bundle(content), _metadata(content)
            output.metadata[_OURS] = NotebookNode(display_id=display_id)
            self._document.changed(cell)
            self._on_update(cell, NotebookNode(output))


def _find_displays(document: Document) -> dict[str, list[tuple[int, NotebookNode]]]:
    """Find the outputs that earlier segments displayed with an id: a display handle may outlive its kernel."""
    found: dict[str, list[tuple[int, NotebookNode]]] = {}
    for index, cell in enumerate(document.cells):
        for output in cell.get("outputs", []):
            display_id = output.get("metadata", {}).get(_OURS, {}).get("display_id")
            if display_id is not None:
                found.setdefault(str(display_id), []).append((index, output))
    return found


def _display_id(content: Mapping[str, Any]) -> str | None:
    found = (content.get("transient") or {}).get("display_id")
    return None if found is None else str(found)


def _make_output(kind: str, content: Mapping[str, Any]) -> NotebookNode | None:
    # Not built by nbformat, which validates each output: that is too slow for a cell with many outputs.
    if kind == "stream":
        name = content.get("name")
        text = str(content.get("text", ""))
        return (
            NotebookNode(output_type=kind, name="stderr" if name == "stderr" else "stdout", text=text) if text else None
        )
    if kind == "error":
        return NotebookNode(
            output_type=kind,
            ename=str(content.get("ename", "")),
            evalue=str(content.get("evalue", "")),
            traceback=[str(line) for line in content.get("traceback") or []],
        )
    if kind in {"display_data", "execute_result"}:
        output = NotebookNode(output_type=kind, data=_bundle(content), metadata=_metadata(content))
        if kind == "execute_result":
            output["execution_count"] = content.get("execution_count")
        return output
    return None


def _metadata(content: Mapping[str, Any]) -> NotebookNode:
    found = content.get("metadata") or {}
    return NotebookNode({} if is_deeper(found, _DEEPEST) else found)


def _bundle(content: Mapping[str, Any]) -> NotebookNode:
    # Only JSON types may contain anything but text, and some kernels send other values.
    data = content.get("data") or {}
    return NotebookNode(
        {
            mime: _TOO_DEEP if is_deeper(value, _DEEPEST) else value if _is_valid(mime, value) else str(value)
            for mime, value in data.items()
        }
    )


def _is_valid(mime: str, value: object) -> bool:
    if isinstance(value, str) or (mime.startswith("application/") and mime.endswith(("/json", "+json"))):
        return True
    return isinstance(value, list) and all(isinstance(line, str) for line in value)
