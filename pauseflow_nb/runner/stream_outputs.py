"""Append outputs to a list, and join the texts of streams in linear time."""

from nbformat import NotebookNode

from pauseflow_nb.runner.record_outputs import is_record


class Outputs:
    """A list of outputs; the text of a stream is collected in pieces, and `join` puts it into the list.

    Clearing the list leaves our records.
    """

    def __init__(self, nodes: list[NotebookNode]) -> None:
        self.nodes = nodes
        self._pieces: list[str] = []
        self._clear_before_next = False

    def add(self, output: NotebookNode) -> None:
        """Append an output; the text of a stream is added to the output before it, if that is the same stream."""
        if self._clear_before_next:
            self._empty()
        last = self.nodes[-1] if self.nodes else None
        is_stream = output.output_type == "stream"
        if is_stream and last is not None and last.output_type == "stream" and last.name == output.name:
            self._pieces.append(output.text)
            return
        self.join()
        self.nodes.append(output)

    def clear(self, *, wait: bool) -> None:
        """Empty the list, now or before the next output."""
        self._clear_before_next = wait
        if not wait:
            self._empty()

    def join(self) -> None:
        """Add the collected text to its output."""
        if self._pieces:
            self.nodes[-1]["text"] = "".join([self.nodes[-1]["text"], *self._pieces])
            self._pieces = []

    def _empty(self) -> None:
        self._clear_before_next = False
        self._pieces = []
        # In place, because the document has the same list.
        self.nodes[:] = [node for node in self.nodes if is_record(node)]
