"""Digest the cells of a notebook, so that a record can name each cell that was changed afterwards.

A digest is SHA-256 over canonical JSON (RFC 8785), in hexadecimal. It depends on the contents of the file, not on its
layout: nbformat writes a text as one string or as a list of lines, and both have one digest.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import rfc8785

from pauseflow_nb.json_values import JSON, is_whole_text

_OURS = "pauseflow"

#: Papermill's tag of the two cells that it adds to the output of a notebook that failed.
ERROR_MARKER = "papermill-error-cell-tag"
_RED = 'style="color:red; font-family:Helvetica Neue, Helvetica, Arial, sans-serif; font-size:2em;"'
#: Text of the first cell; `%s` is the number of the cell that failed.
AT_THE_TOP = f"<span {_RED}>An Exception was encountered at '<a href=\"#papermill-error-cell\">In [%s]</a>'.</span>"
AT_THE_CELL = f'<span id="papermill-error-cell" {_RED}>Execution using papermill encountered an exception here and stopped:</span>'
#: Id of the cell → its text.
_MARKERS = {
    "error-top": re.compile(re.escape(AT_THE_TOP).replace("%s", "(None|[0-9]+)")),
    "error-cell": re.compile(re.escape(AT_THE_CELL)),
}


@dataclass(frozen=True)
class CellDigest:
    """The digests of one cell."""

    #: The cell's id in the notebook.
    id: str
    #: `"code"`, `"markdown"` or `"raw"`.
    kind: str
    source: str
    #: Digest of each output, in order.
    outputs: tuple[str, ...]

    @cached_property
    def whole(self) -> str:
        """Return the digest of the whole cell."""
        return digest_json([self.id, self.kind, self.source, list(self.outputs)])

    def to_json(self) -> list[JSON]:
        """Return it as JSON, as in a record."""
        return [self.id, self.kind, self.source, list(self.outputs)]

    @classmethod
    def from_json(cls, value: Any) -> "CellDigest":
        """Read what `to_json` wrote."""
        id_, kind, source, outputs = value
        return cls(str(id_), str(kind), str(source), tuple(map(str, outputs)))


@dataclass(frozen=True)
class CellList:
    """The cells that a record is about, in order, as canonical JSON.

    It is written once, at the pause: writing a thousand cells takes longer than settling an answer.
    """

    #: Digest of all cells: of their contents and their order.
    digest: str
    #: `CellDigest.to_json` of each.
    cells: bytes
    #: The subjects of a statement: the notebook, and each cell.
    subjects: bytes

    @classmethod
    def of(cls, cells: Iterable[CellDigest]) -> "CellList":
        """Make a list from the digests of the cells."""
        known = list(cells)
        digest = digest_json([cell.whole for cell in known])
        named = ((f"cell {index}: {cell.id}", cell.whole) for index, cell in enumerate(known, 1))
        subjects = [{"digest": {"sha256": each}, "name": name} for name, each in [("notebook", digest), *named]]
        return cls(digest, _write_texts([cell.to_json() for cell in known]), _write_texts(subjects))

    def read(self) -> list[CellDigest]:
        """Return the digests of the cells."""
        return [CellDigest.from_json(each) for each in json.loads(self.cells)]


def digest_json(value: Any) -> str:
    """Digest a JSON value.

    Raises:
        rfc8785.CanonicalizationError: If it has numbers that different programs read differently.
    """
    return hashlib.sha256(to_canonical(value, mark="'")).hexdigest()


def digest_cell(cell: Mapping[str, Any], *, with_cards: bool = False) -> CellDigest:
    """Digest one cell as it is in the file.

    Args:
        cell: The cell as JSON, of nbformat 4.5.
        with_cards: Whether what pauseflow itself wrote into the outputs counts: the cards of questions and decisions. They
            change when a decision is written into them, so only a record of the end counts them.
    """
    source: Any = _join_lines(cell.get("source", ""))
    if cell.get("attachments"):
        # The pictures of a Markdown cell are part of its content.
        source = [source, {name: _bundle(each) for name, each in cell["attachments"].items()}]
    outputs = [_output(each) for each in cell.get("outputs", []) if with_cards or not is_card(each)]
    return CellDigest(
        id=str(cell.get("id", "")),
        kind=str(cell.get("cell_type", "")),
        source=digest_json(source),
        outputs=tuple(map(digest_json, outputs)),
    )


def is_card(output: Mapping[str, Any]) -> bool:
    """Whether an output was written by pauseflow: a question with its decision, a loss, an ending."""
    found = (output.get("metadata") or {}).get(_OURS)
    return isinstance(found, Mapping) and bool(found.get("kind"))


def is_marker(cell: Mapping[str, Any]) -> bool:
    """Whether it is one of the two cells that papermill's engines add above an error, without other text."""
    expected = _MARKERS.get(str(cell.get("id")))
    is_only_text = cell.get("cell_type") == "markdown" and not cell.get("attachments") and not cell.get("outputs")
    return is_only_text and expected is not None and bool(expected.fullmatch(str(_join_lines(cell.get("source")))))


def _output(output: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(output)
    if "text" in found:
        found["text"] = _join_lines(found["text"])
    if isinstance(found.get("data"), Mapping):
        found["data"] = _bundle(found["data"])
    return found


def _bundle(data: Mapping[str, Any]) -> dict[str, Any]:
    """Join the texts of a MIME bundle; a list that is itself JSON stays a list."""
    is_json = re.compile(r"application/(.*\+)?json").fullmatch
    return {mime: value if is_json(mime) else _join_lines(value) for mime, value in data.items()}


def _join_lines(value: Any) -> Any:
    is_lines = isinstance(value, list) and all(isinstance(line, str) for line in value)
    return "".join(value) if is_lines else value


def to_canonical(value: Any, *, mark: str = "") -> bytes:
    """Write a JSON value as canonical JSON (RFC 8785), so that equal values give equal bytes; see `exact`."""
    if _is_simple(value):
        # The same bytes, ten times faster: only numbers and the order of unusual keys need the library.
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return rfc8785.dumps(exact(value, mark))


def _write_texts(value: Sequence[Any]) -> bytes:
    """Write lists of texts, and objects with sorted names, as canonical JSON, without checking each value."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode() if text.isascii() else to_canonical(value)


def _is_simple(value: Any) -> bool:
    """Whether a value holds only texts, small numbers, booleans, None, lists, and dicts with ASCII keys."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        kind = type(each)
        if kind is str:
            if not each.isascii() and not is_whole_text(each):
                return False
        elif kind is dict:
            if not all(type(key) is str and key.isascii() for key in each) or _is_like_integer(each):
                return False
            waiting += each.values()
        elif kind is list or kind is tuple:
            waiting += each
        elif each is not None and kind is not bool and not (kind is int and abs(each) < 2**53):
            return False
    return True


def exact(value: Any, mark: str = "") -> Any:
    """Replace numbers and texts that programs read differently by ones that all read alike.

    Integers from 2**53 on, which JavaScript rounds, become `{"integer": "9007199254740993"}`; NaN and infinity become
    null, and halves of surrogate pairs a question mark, as in the written notebook.

    Args:
        value: The JSON value.
        mark: Appended to the name `integer` of an object that has no other name, so that it differs from an integer.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < 2**53 else {"integer": str(value)}
    if isinstance(value, Mapping):
        more = mark if _is_like_integer(value) else ""
        return {exact(key) + more: exact(each, mark) for key, each in value.items()}
    return [exact(each, mark) for each in value] if isinstance(value, (list, tuple)) else value


def _is_like_integer(value: Mapping[str, Any]) -> bool:
    """Whether an object looks like a large integer, or like another such object."""
    return len(value) == 1 and next(iter(value)).rstrip("'") == "integer"
