"""Hold the executed notebook of an execution, and write it as a valid nbformat 4.5 document.

Writing takes time only for cells that have changed, because the JSON of each cell is cached. Links are masked in what is
written, but not in the live outputs.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import nbformat
from nbformat import NotebookNode

from pauseflow_nb.decisions.digests import (
    AT_THE_CELL,
    AT_THE_TOP,
    ERROR_MARKER,
    CellDigest,
    digest_cell,
    digest_json,
    is_card,
    is_marker,
)
from pauseflow_nb.errors import InvalidNotebook
from pauseflow_nb.json_values import JSON
from pauseflow_nb.protocol import Failure
from pauseflow_nb.runner.masking import Mask

_BLANK = "0" * 32
# Two spaces: matches a key of the notebook's metadata, and no nested key of the same name.
_SEAL = re.compile(rb'\n  "pauseflow": \{(?:\n   [^\n]*)*?\n   "seal": "([0-9a-f]{32})"')
# The keys whose values nbformat writes as lists of lines.
_LINED = {"application/javascript", "image/svg+xml"}


class Document:
    """A notebook whose cells are filled as they run.

    After a change to a cell, call `changed`; otherwise the change is not written.
    """

    def __init__(self, notebook: NotebookNode) -> None:
        self.notebook = notebook
        #: Increases with every change: equal revisions are written as equal bytes.
        self.revision = 0
        #: Called before the document is written, so that the recorder can complete the outputs.
        self.before_writing: Callable[[], None] | None = None
        self._mask = Mask()
        self._written: dict[int, bytes] = {}
        self._digests: dict[int, CellDigest] = {}
        #: All cells before this one were digested once; one that changes again and again waits for the pause.
        self._digested = 0

    @classmethod
    def from_bytes(cls, data: bytes) -> "Document":
        """Read what `to_bytes` wrote; it is not validated again.

        Raises:
            InvalidNotebook: If it is not a notebook.
        """
        try:
            notebook = nbformat.v4.reads(data.decode())
            assert notebook.nbformat == 4
            assert isinstance(notebook.cells, list)
        except (ValueError, AttributeError, AssertionError, KeyError, TypeError) as problem:
            raise InvalidNotebook("the stored document", f"it is damaged ({problem})") from None
        return cls(notebook)

    @classmethod
    def from_people(cls, data: bytes) -> "Document":
        """Read what `for_people` wrote, without the cells that only people need.

        Raises:
            InvalidNotebook: If it is not a notebook.
        """
        document = cls.from_bytes(data)
        document.notebook.cells = [cell for cell in document.cells if not is_marker(cell)]
        return document

    @property
    def cells(self) -> list[NotebookNode]:
        """Return all cells, of every type."""
        cells: list[NotebookNode] = self.notebook.cells
        return cells

    @property
    def metadata(self) -> NotebookNode:
        """Return the metadata of the notebook; call `changed()` after a change to it."""
        metadata: NotebookNode = self.notebook.metadata
        return metadata

    def hide(self, links: Iterable[str]) -> None:
        """Mask the tokens of these links in everything that is written from now on."""
        self._mask.hide(links)
        # The digests stay: they are of written cells, and earlier cells contain none of these links.
        self._written.clear()
        self.revision += 1

    def hide_secret(self, value: str) -> None:
        """Mask the value of a secret in everything that is written from now on."""
        if self._mask.secrets.add(value):
            self._written.clear()
            self._digests.clear()
            self._digested = 0
            self.revision += 1

    def masked(self, value: JSON) -> JSON:
        """Return a text or JSON value with its links and secrets masked, as in the written document."""
        return self._mask.value(value)

    def without_secrets(self, value: JSON) -> JSON:
        """Return a text or JSON value with its secrets masked; links stay."""
        return self._mask.secrets.value(value) if self._mask.secrets else value

    def changed(self, cell: int | None = None) -> None:
        """Note that a cell has changed; without an index, that the metadata has."""
        if cell is not None:
            self._written.pop(cell, None)
            self._digests.pop(cell, None)
        self.revision += 1

    def digest_cells(self, count: int | None = None, *, with_cards: bool = False) -> list[CellDigest]:
        """Digest the cells as they are written, for a decision record; only those that changed are read.

        Args:
            count: How many cells, from the first on; None: all.
            with_cards: Whether cards of questions and decisions count, see `digest_cell`.
        """
        if self.before_writing is not None:
            self.before_writing()
        return [self._digest(index, with_cards=with_cards) for index in range(len(self.cells[:count]))]

    def digest_ahead(self, before: int) -> bool:
        """Digest one more of the cells that have ended, so that a pause need not do it; False if there is none left."""
        while self._digested < before and self._digested in self._digests:
            self._digested += 1
        if self._digested >= before:
            return False
        if self.before_writing is not None:
            self.before_writing()
        _ = self._digest(self._digested, with_cards=False).whole
        return True

    def digest_widgets(self) -> str | None:
        """Digest the state of all widgets as it is written; None if there are none."""
        if self.before_writing is not None:
            self.before_writing()
        widgets = self._mask.value(self.metadata.get("widgets"))
        return digest_json(widgets) if widgets else None

    def set_digests(self, digests: Iterable[CellDigest]) -> None:
        """Take over the digests of cells that did not change since they were made, by another process."""
        for index, (cell, digest) in enumerate(zip(self.cells, digests, strict=False)):
            if cell.get("id") == digest.id:
                self._digests[index] = digest

    def _digest(self, index: int, *, with_cards: bool) -> CellDigest:
        if with_cards and any(map(is_card, self.cells[index].get("outputs", []))):
            return digest_cell(json.loads(self._encode_cell(index)), with_cards=True)
        if index not in self._digests:
            self._digests[index] = digest_cell(json.loads(self._encode_cell(index)))
        return self._digests[index]

    def execution_count(self, *, before: int | None = None) -> int:
        """Return the highest `In [n]` among all cells, or among those before an index; 0 if none has run."""
        return max((cell.get("execution_count") or 0 for cell in self.cells[:before]), default=0)

    def find_shown_error(self, index: int) -> Failure | None:
        """Find an error among a cell's outputs; an exit with status 0 is none."""
        for output in self.cells[index].outputs:
            if output.output_type == "error" and not is_exit_with_0(output):
                return Failure(output.ename, str(self.masked(output.evalue)), index)
        return None

    def to_bytes(self) -> bytes:
        """Write the whole document: laid out as nbformat does, links masked, sealed (see `is_sealed_by`)."""
        if self.before_writing is not None:
            self.before_writing()
        return self._join([self._encode_cell(index) for index in range(len(self.cells))])

    def for_people(self) -> bytes:
        """Write the document for people: with papermill's two error cells if the notebook failed.

        No document that is read again has these cells, because they change the indices of the others.
        """
        if self.before_writing is not None:
            self.before_writing()
        written = [self._encode_cell(index) for index in range(len(self.cells))]
        failed = self._find_failed_cell()
        if failed is not None:
            written.insert(failed, _encode_marker("error-cell", AT_THE_CELL))
            written.insert(0, _encode_marker("error-top", AT_THE_TOP % self.cells[failed].get("execution_count")))
        return self._join(written)

    def _find_failed_cell(self) -> int | None:
        if not self.metadata.get("papermill", {}).get("exception"):
            return None
        for index, cell in enumerate(self.cells):
            if cell.metadata.get("papermill", {}).get("status") == "failed":
                return None if any(map(is_exit_with_0, cell.get("outputs", []))) else index
        return None

    def _join(self, written: list[bytes]) -> bytes:
        cells = b",\n  ".join(written)
        data = b'{\n "cells": [' + (b"\n  " + cells + b"\n " if cells else b"") + b"],\n " + self._encode_rest()
        return _seal(data)

    def _encode_cell(self, index: int) -> bytes:
        if index not in self._written:
            self._written[index] = _encode(_make_stored_cell(self.cells[index], self._mask), indent="  ")
        return self._written[index]

    def _encode_rest(self) -> bytes:
        metadata = self._mask.value(self.metadata)
        metadata["pauseflow"] = {**metadata.get("pauseflow", {}), "seal": _BLANK}
        rest = {"metadata": metadata, "nbformat": 4, "nbformat_minor": self.notebook.nbformat_minor}
        # The opening brace has been written already, before the cells.
        return _encode(rest, indent="").removeprefix(b"{\n ") + b"\n"


def is_sealed_by(data: bytes, execution: str) -> bool:
    """Whether a file is exactly what some process wrote for this execution, without later changes.

    The seal distinguishes an edit from a save by another process, such as that of an earlier segment. It is a checksum and
    protects against no attack.
    """
    try:
        owner = json.loads(data)["metadata"]["pauseflow"]["execution"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return bool(owner == execution and _seal(data) == data)


def _seal(data: bytes) -> bytes:
    found = _SEAL.search(data, max(data.rfind(b'\n "metadata": {'), 0))
    if found is None:
        return data
    start, end = found.span(1)
    digest = hashlib.blake2b(data[:start] + _BLANK.encode() + data[end:], digest_size=16).hexdigest()
    return data[:start] + digest.encode() + data[end:]


def is_exit_with_0(output: NotebookNode) -> bool:
    """Whether an output is the error of an exit with status 0."""
    return output.output_type == "error" and output.ename == "SystemExit" and output.evalue in {"", "0", "None"}


def _encode_marker(name: str, text: str) -> bytes:
    cell = {"cell_type": "markdown", "id": name, "metadata": {"tags": [ERROR_MARKER]}, "source": [text]}
    return _encode(cell, indent="  ")


def _make_stored_cell(cell: NotebookNode, mask: Mask) -> dict[str, Any]:
    stored = dict(cell)
    stored["source"] = _split_lines(cell.source)
    stored["metadata"] = mask.value(cell.metadata)
    if "outputs" in cell:
        stored["outputs"] = [_make_stored_output(mask.value(output)) for output in cell.outputs]
    return stored


def _make_stored_output(output: dict[str, Any]) -> dict[str, Any]:
    if output["output_type"] == "stream":
        output["text"] = _split_lines(output["text"])
    for mime, value in output.get("data", {}).items():
        if mime.startswith("text/") or mime in _LINED:
            output["data"][mime] = _split_lines(value)
    return output


def _split_lines(text: Any) -> Any:
    return text.splitlines(keepends=True) if isinstance(text, str) else text


def _encode(value: Any, *, indent: str) -> bytes:
    options: dict[str, Any] = {"ensure_ascii": False, "indent": 1, "sort_keys": True, "separators": (",", ": ")}
    try:
        text = json.dumps(value, allow_nan=False, **options)
    except ValueError:
        # NaN is not JSON, and browsers cannot open a notebook that contains it.
        text = json.dumps(_remove_nan(value), **options)
    if indent:
        text = text.replace("\n", "\n" + indent)
    # A lone surrogate, which Python can print, is not valid UTF-8.
    return text.encode("utf-8", "replace")


def _remove_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _remove_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_remove_nan(item) for item in value]
    return value
