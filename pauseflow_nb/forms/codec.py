"""What stands in a form: input name → texts, as a browser sends it, to and from JSON values.

The page after a refused answer is made of what was sent, and the first one of the schema's default values.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pauseflow_nb.errors import InvalidAnswer
from pauseflow_nb.forms.fields import Field, fields_of, number_in, says_nothing, with_nulls
from pauseflow_nb.json_values import JSON, read_json

__all__ = [
    "ROOT",
    "Entries",
    "entries_by_row",
    "escaped",
    "initial_entries",
    "is_flat_list",
    "is_rows",
    "is_true",
    "read_form",
    "read_pairs",
    "rows_in",
    "text_of",
]

#: Input name → what stands in it.
Entries: TypeAlias = Mapping[str, list[str]]

#: Names of our inputs begin with this, so that a field may be called `decision` as well.
ROOT = "answer"

#: Rows that a list may have.
_MOST_ROWS = 200

_NOTHING: Any = object()
_TRUE = frozenset({"on", "true", "1", "yes"})
_FALSE = frozenset({"off", "false", "0", "no", ""})


def initial_entries(schema: Mapping[str, JSON]) -> Entries:
    """What stands in a form that nobody has touched: the default values."""
    entries: dict[str, list[str]] = {}
    asked = fields_of(schema)
    _write(asked, asked.initial, ROOT, entries)
    return entries


def read_form(schema: Mapping[str, JSON], entries: Entries) -> JSON:
    """Read what was sent from our page; what cannot be read stays text, so that the schema can say what is wrong.

    Raises:
        InvalidAnswer: If a list has more rows than the page lets anybody add.
    """
    value = _read(fields_of(schema), ROOT, entries)
    return {} if value is _NOTHING else value


def read_pairs(schema: Mapping[str, JSON], pairs: Mapping[str, JSON]) -> JSON:
    """Read a form or query that a program made: its texts become what the schema asks for under these names."""
    asked = fields_of(schema)
    read: dict[str, JSON] = {}
    for name, given in pairs.items():
        texts = given if isinstance(given, list) else [given]
        if name not in asked.fields or not all(isinstance(text, str) for text in texts):
            read[name] = given
            continue
        one = asked.fields[name]
        if is_flat_list(one):
            assert one.item is not None
            known = _choices_by_text(one.item)
            read[name] = [_parsed_or_text(one.item, text, known) for text in texts]
        else:
            read[name] = _parsed_or_text(one, texts[-1])
    return read


def escaped(key: str) -> str:
    """Write a field's name as a part of an input's name."""
    return key.replace("~", "~0").replace("/", "~1")


def is_flat_list(asked: Field) -> bool:
    """Whether it is a list of single values."""
    return asked.kind == "list" and asked.item is not None and asked.item.kind not in ("object", "list", "json")


def is_rows(asked: Field) -> bool:
    """Whether it is a list of objects, which is shown as rows."""
    return asked.kind == "list" and asked.item is not None and asked.item.kind == "object"


def is_true(text: str) -> bool:
    """Whether the text of a box means that it is ticked."""
    return text.lower() in _TRUE


# Writing: a value becomes texts.


def _write(asked: Field, value: JSON, name: str, entries: dict[str, list[str]]) -> None:
    if asked.kind == "object":
        given = value if isinstance(value, dict) else {}
        for key, inner in asked.fields.items():
            _write(inner, given.get(key, inner.initial), f"{name}/{escaped(key)}", entries)
    elif value is None:
        return
    elif is_rows(asked) and isinstance(value, list):
        assert asked.item is not None
        for number, each in enumerate(value):
            _write(asked.item, each, f"{name}/{number}", entries)
    elif is_flat_list(asked) and isinstance(value, list):
        assert asked.item is not None
        texts = [text_of(asked.item, each) for each in value]
        entries[name] = texts if asked.item.kind == "choice" else ["\n".join(texts)]
    elif asked.kind == "boolean":
        entries[name] = ["on"] if value is True else []
    else:
        entries[name] = [text_of(asked, value)]


def text_of(asked: Field, value: JSON) -> str:
    """Write a single value as the text of an input."""
    if asked.kind in ("text", "long", "date") and isinstance(value, str):
        return value
    if asked.kind == "datetime" and isinstance(value, str):
        return _in_utc(value)
    return json.dumps(value, ensure_ascii=False)


def _in_utc(moment: str) -> str:
    """Write a moment as a browser's field takes it; a default that is none of these stays as it is."""
    try:
        read = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    read = read if read.tzinfo is None else read.astimezone(UTC).replace(tzinfo=None)
    return read.isoformat(timespec="minutes")


# Reading: texts become a value.


def _read(asked: Field, name: str, entries: Entries) -> Any:
    if asked.kind == "object":
        read = {key: _read(inner, f"{name}/{escaped(key)}", entries) for key, inner in asked.fields.items()}
        written = with_nulls(asked, {key: value for key, value in read.items() if value is not _NOTHING})
        return _NOTHING if says_nothing(written) and not asked.is_required else written
    texts = entries.get(name, [])
    if asked.kind == "boolean":
        if texts:
            return _parsed(asked, texts[-1])
        return False if asked.is_no_unticked else _NOTHING
    if is_rows(asked):
        if _MOST_ROWS in entries_by_row(name, entries):
            message = f"must have at most {_MOST_ROWS} entries in this form: send the answer as JSON"
            raise InvalidAnswer([{"path": _path_of(name), "message": message}])
        return rows_in(asked, name, entries)
    if is_flat_list(asked):
        return _read_list(asked, texts)
    return _parsed(asked, texts[-1]) if texts else _NOTHING


def rows_in(asked: Field, name: str, entries: Entries) -> Any:
    """Read a list of objects; rows that nobody filled in are none."""
    assert asked.item is not None
    by_row = entries_by_row(name, entries)
    count = min(max(by_row, default=-1) + 1, _MOST_ROWS)
    rows = [_read(asked.item, f"{name}/{number}", by_row.get(number, {})) for number in range(count)]
    filled = [row for row in rows if row is not _NOTHING and not says_nothing(row)]
    return filled if filled or asked.is_required else _NOTHING


def entries_by_row(name: str, entries: Entries) -> dict[int, dict[str, list[str]]]:
    """Take apart what stands in the rows of a list, so that each row is looked for among its own entries only.

    All rows beyond the last one that may be there are one, of that number.
    """
    rows: dict[int, dict[str, list[str]]] = {}
    for key, texts in entries.items():
        if key.startswith(f"{name}/"):
            number = key[len(name) + 1 :].partition("/")[0]
            if number.isascii() and number.isdecimal():
                at = int(number) if len(number) <= len(str(_MOST_ROWS)) else _MOST_ROWS
                rows.setdefault(min(at, _MOST_ROWS), {})[key] = texts
    return rows


def _path_of(name: str) -> list[str | int]:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in name.split("/")[1:]]
    return [int(part) if part.isdecimal() else part for part in parts]


def _read_list(asked: Field, texts: list[str]) -> Any:
    assert asked.item is not None
    lines = texts if asked.item.kind == "choice" else [line for text in texts for line in text.splitlines()]
    known = _choices_by_text(asked.item)
    values = [_parsed(asked.item, line, known) for line in lines]
    written = [value for value in values if value is not _NOTHING]
    return written if written or asked.is_required else _NOTHING


def _choices_by_text(asked: Field) -> dict[str, JSON]:
    """Index the choices by what stands in the form for them, as there may be many of both."""
    known: dict[str, JSON] = {}
    for each in reversed(asked.choices):
        known.update({text_of(asked, each): each, **({each: each} if isinstance(each, str) else {})})
    return known


def _parsed(asked: Field | None, text: str, known: Mapping[str, JSON] | None = None) -> Any:
    kind = "text" if asked is None else asked.kind
    if kind == "boolean" and text.lower() in _TRUE | _FALSE:
        return is_true(text)
    if not text.strip():
        return "" if asked is not None and asked.is_emptied_text else _NOTHING
    if kind == "choice" and asked is not None:
        return (_choices_by_text(asked) if known is None else known).get(text, text)
    return _READERS.get(kind, str)(text)


def _parsed_or_text(asked: Field, text: str, known: Mapping[str, JSON] | None = None) -> JSON:
    value = _parsed(asked, text, known)
    return text if value is _NOTHING else value


def _moment_in(text: str) -> str:
    # What a browser's field gives has no zone; the page says that it means UTC.
    return f"{text}:00Z" if len(text) == len("2026-11-20T14:30") else text


def _json_in(text: str) -> JSON:
    try:
        return read_json(text)
    except ValueError:
        return text


def _lines_in(text: str) -> str:
    return text.replace("\r\n", "\n")


_READERS: dict[str, Callable[[str], Any]] = {
    "datetime": _moment_in,
    "integer": number_in,
    "json": _json_in,
    "list": _json_in,
    "long": _lines_in,
    "number": number_in,
    "object": _json_in,
}
