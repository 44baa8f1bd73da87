"""Read the texts of a form into JSON values, and write values as texts of a form.

A form is input name → texts, as a browser sends it: from the page, the panel and the widgets. Texts are read only
here, in the way of pydantic; for each kind that cannot be read, there is an error message.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pauseflow_nb.forms.choices import choices_by_text, find_choice, text_of_choice
from pauseflow_nb.forms.fields import Field, fields_of
from pauseflow_nb.forms.texts import Unreadable, read_text, write_text
from pauseflow_nb.json_values import JSON

#: Input name → its texts.
Entries: TypeAlias = Mapping[str, list[str]]
#: Path of a value in an answer: names and numbers.
Path: TypeAlias = tuple[str | int, ...]

#: Prefix of the names of our inputs, so that a field may also be called `decision`.
ROOT = "answer"

#: The inputs beside the form: the comment, and any JSON for a question without a schema.
COMMENT, DATA = "comment", "data"
#: Most rows of a list.
_MOST_ROWS = 200
_NOTHING: Any = object()


@dataclass(frozen=True)
class Reading:
    """An answer read from a form."""

    value: JSON
    #: Errors of texts that cannot be read, `{"path", "message"}` each.
    problems: list[dict[str, JSON]] = dataclasses.field(default_factory=list)
    #: Path in the answer → input name.
    inputs: Mapping[Path, str] = dataclasses.field(default_factory=dict)

    @property
    def is_null(self) -> bool:
        """Whether the answer is null, and not missing."""
        return self.value is None and self.inputs.get(()) != COMMENT

    def merge(self, errors: Iterable[Mapping[str, JSON]]) -> list[dict[str, JSON]]:
        """Add the errors of a check, except those of texts that cannot be read."""
        unread = [tuple(each["path"]) for each in self.problems]
        others = [dict(each) for each in errors if not any(_is_below(tuple(each["path"]), path) for path in unread)]
        return [*self.problems, *others]

    def place(self, errors: Iterable[Mapping[str, JSON]]) -> list[dict[str, JSON]]:
        """Add to each error its nearest input, and the message to show there: `{"name", "message"}`."""
        return [{**each, "input": self._nearest(tuple(each["path"]), str(each["message"]))} for each in errors]

    def beside(self, errors: Iterable[Mapping[str, JSON]]) -> dict[str, str]:
        """Return input name → message."""
        messages: dict[str, str] = {}
        for each in self.place(errors):
            name, message = each["input"]["name"], each["input"]["message"]
            messages[name] = f"{messages[name]}; {message}" if name in messages else message
        return messages

    def _nearest(self, path: Path, message: str) -> dict[str, JSON]:
        count = next(count for count in range(len(path), -1, -1) if count == 0 or path[:count] in self.inputs)
        where = ", ".join(f"entry {key + 1}" if isinstance(key, int) else str(key) for key in path[count:])
        return {"name": self.inputs.get(path[:count], ROOT), "message": f"{where} {message}".strip()}


def initial_entries(schema: Mapping[str, JSON]) -> Entries:
    """Return the contents of a new form: the default values."""
    field = fields_of(schema)
    return write_entries(field, field.initial, ROOT)


def write_entries(field: Field, value: JSON, name: str) -> dict[str, list[str]]:
    """Write a value as the contents of a field's inputs."""
    entries: dict[str, list[str]] = {}
    _write(field, value, name, entries)
    return entries


def read_form(schema: Mapping[str, JSON], entries: Entries) -> Reading:
    """Read the contents of a form; a text that cannot be read stays in the value and causes an error."""
    reader = _Reader()
    value = reader.read(fields_of(schema), ROOT, (), entries)
    return Reading({} if value is _NOTHING else value, reader.problems, reader.inputs)


def read_answer(schema: Mapping[str, JSON] | None, entries: Entries) -> tuple[Reading, str | None]:
    """Read an answer from the form of a question, also of one without a schema.

    Returns:
        The answer, and the comment for the record.
    """
    comment = comment_in(entries)
    if schema is not None:
        return read_form(schema, entries), comment
    text = (entries.get(DATA) or [""])[-1]
    if not text.strip():
        # The notebook gets the comment as the answer's field of that name.
        return Reading(None if comment is None else {COMMENT: comment}, inputs={(): COMMENT}), None
    try:
        value = read_text(Field("json", ""), text)
        # Plain text is a comment, whichever input it was typed into.
        is_words = isinstance(value, str) and not text.lstrip().startswith('"')
        return Reading({COMMENT: value} if is_words else value, inputs={(): DATA}), comment
    except Unreadable as problem:
        return Reading(None, [{"path": [], "message": str(problem)}], {(): DATA}), comment


def comment_in(entries: Entries) -> str | None:
    """Return the comment in the inputs of a question; None if nothing was typed."""
    return (entries.get(COMMENT) or [""])[-1].replace("\r\n", "\n").strip() or None


def read_pairs(schema: Mapping[str, JSON], pairs: Mapping[str, JSON]) -> Reading:
    """Read a form or query of a program, converting its texts by the schema."""
    field = fields_of(schema)
    reader = _Reader()
    read: dict[str, JSON] = {}
    for name, entry in pairs.items():
        texts = entry if isinstance(entry, list) else [entry]
        if name not in field.fields or not all(isinstance(text, str) for text in texts):
            read[name] = entry
            continue
        read[name] = reader.read_pair(field.fields[name], texts, (name,))
    return Reading(read, reader.problems)


def escaped(key: str) -> str:
    """Escape a field's name for use in an input's name."""
    return key.replace("~", "~0").replace("/", "~1")


def chooser_name(name: str) -> str:
    """Return the name of the input that chooses a branch of a union; no field's name can end like it: see `escaped`."""
    return f"{name}~is"


def branch_name(field: Field, name: str, number: int) -> str:
    """Return the input name of a branch; for an optional object, the field's own name."""
    return name if len(field.branches) == 1 else f"{name}~b{number}"


# Writing: from values to texts.


def _write(field: Field, value: JSON, name: str, entries: dict[str, list[str]]) -> None:
    if field.is_fixed:
        return
    if field.kind in ("object", "tuple"):
        for key, inner in field.fields.items():
            _write(inner, _inside(value, key, inner.initial), f"{name}/{escaped(key)}", entries)
    elif field.kind == "union":
        _write_union(field, value, name, entries)
    elif value is not None:
        _write_value(field, value, name, entries)


def _write_value(field: Field, value: JSON, name: str, entries: dict[str, list[str]]) -> None:
    item = field.item
    if item is not None and field.is_rows and isinstance(value, list):
        for number, each in enumerate(value):
            _write(item, each, f"{name}/{number}", entries)
    elif item is not None and field.is_flat_list and isinstance(value, list):
        is_chosen = item.kind == "choice"
        texts = [text_of_choice(each) if is_chosen else write_text(item, each) for each in value]
        entries[name] = texts if is_chosen else ["\n".join(texts)]
    elif field.kind == "boolean":
        entries[name] = ["on"] if value is True else []
    elif field.kind == "choice":
        entries[name] = [text_of_choice(value)]
    else:
        entries[name] = [write_text(field, value)]


def _inside(value: JSON, key: str, otherwise: JSON) -> JSON:
    if isinstance(value, dict):
        return value.get(key, otherwise)
    if isinstance(value, list) and key.isdecimal() and int(key) < len(value):
        return value[int(key)]
    return otherwise


def _write_union(field: Field, value: JSON, name: str, entries: dict[str, list[str]]) -> None:
    chosen = find_branch(field, value)
    entries[chooser_name(name)] = ["" if chosen is None else str(chosen)]
    for number, branch in enumerate(field.branches):
        inside = value if number == chosen and value is not None else branch.initial
        _write(branch, inside, branch_name(field, name, number), entries)


def find_branch(field: Field, value: JSON) -> int | None:
    """Return the branch of a union that a value belongs to; the first one if a required value is missing."""
    if value is None:
        return 0 if field.must_be_filled and len(field.branches) > 1 else None
    fitting = (number for number, branch in enumerate(field.branches) if _may_be(branch, value))
    return next(fitting, 0)


def _may_be(branch: Field, value: JSON) -> bool:
    if branch.kind == "choice":
        return value in branch.choices
    if branch.kind == "object":
        tags = {key: each.choices for key, each in branch.fields.items() if each.kind == "choice"}
        return isinstance(value, dict) and all(key not in value or value[key] in tags[key] for key in tags)
    kinds: dict[str, Any] = {"boolean": bool, "integer": int, "number": (int, float), "list": list, "tuple": list}
    kind = kinds.get(branch.kind)
    if kind is None:
        return branch.kind == "json" or isinstance(value, str)
    return isinstance(value, kind) and isinstance(value, bool) == (branch.kind == "boolean")


# Reading: from texts to values.


class _Reader:
    """Reads one form, and records the input of each value and the texts that cannot be read."""

    def __init__(self) -> None:
        self.problems: list[dict[str, JSON]] = []
        self.inputs: dict[Path, str] = {}

    def read(self, field: Field, name: str, path: Path, entries: Entries) -> Any:
        """Read the value of a field; `_NOTHING` if there is none."""
        self.inputs[path] = name
        if field.kind == "union":
            return self._read_union(field, name, path, entries)
        if field.kind in ("object", "tuple"):
            return self._read_object(field, name, path, entries)
        texts = entries.get(name, [])
        if field.kind == "boolean":
            return self.read_named(field, texts, path) if texts else False
        if field.is_rows:
            return self._read_rows(field, name, path, entries)
        return self.read_named(field, texts, path)

    def read_named(self, field: Field, texts: list[str], path: Path) -> Any:
        """Read the texts of a field that has one input."""
        if field.is_flat_list:
            return self._read_list(field, texts, path)
        text = texts[-1] if texts else ""
        if field.kind == "union":
            return self._guess(field, text, path)
        if not text.strip():
            return self._left_empty(field)
        return self._read_single(field, text, path)

    def read_pair(self, field: Field, texts: list[str], path: Path) -> JSON:
        """Read the texts that a program sends under a name: one for each entry of a list; empty texts count."""
        if field.is_flat_list:
            assert field.item is not None
            item = field.item
            choices = choices_by_text(item) if item.kind == "choice" else None
            return [
                self._read_single(item, text, (*path, number), choices) if text.strip() else text
                for number, text in enumerate(texts)
            ]
        attempt = _Reader()
        value = attempt.read_named(field, texts, path)
        if field.kind == "json" and field.takes_any_text and attempt.problems:
            return texts[-1]
        self.problems += attempt.problems
        return texts[-1] if value is _NOTHING else value

    def _read_single(self, field: Field, text: str, path: Path, choices: Mapping[str, JSON] | None = None) -> Any:
        try:
            if field.kind == "choice":
                return find_choice(choices if choices is not None else choices_by_text(field), text)
            return read_text(field, text)
        except Unreadable as problem:
            self.problems.append({"path": list(path), "message": str(problem)})
            return text

    def _left_empty(self, field: Field) -> Any:
        if field.is_fixed:
            return field.choices[0]
        had_value = field.initial is not None
        if field.is_nullable and (field.is_required or had_value):
            return None
        # The default text was deleted on purpose.
        if field.kind in ("text", "long") and isinstance(field.initial, str) and field.initial:
            return ""
        if field.kind == "list" and (field.is_required or (had_value and field.initial)):
            return []
        return _NOTHING

    def _read_object(self, field: Field, name: str, path: Path, entries: Entries) -> Any:
        read: dict[str, Any] = {}
        for key, inner in field.fields.items():
            place = int(key) if field.kind == "tuple" else key
            value = self.read(inner, f"{name}/{escaped(key)}", (*path, place), entries)
            if value is not _NOTHING:
                read[key] = value
        if field.kind == "object":
            return read
        # A tuple has no gaps: entries after a missing one have no place.
        missing = [number for number, each in enumerate(field.fields.values()) if each.must_be_filled]
        missing = [number for number in missing if str(number) not in read]
        self.problems += [{"path": [*path, number], "message": "is required"} for number in missing]
        count = len(field.fields) if missing else max(map(int, read), default=-1) + 1
        return [read.get(str(number)) for number in range(count)]

    def _read_union(self, field: Field, name: str, path: Path, entries: Entries) -> Any:
        chosen = entries.get(chooser_name(name))
        self.inputs[path] = chooser_name(name)
        if chosen is None:
            # A program that does not know the chooser has sent only the fields.
            number = next((n for n in range(len(field.branches)) if _is_written(field, name, n, entries)), None)
        elif not chosen[-1:] or not chosen[-1]:
            number = None
        elif chosen[-1] in map(str, range(len(field.branches))):
            number = int(chosen[-1])
        else:
            self.problems.append({"path": list(path), "message": "must be one of those that are offered"})
            return _NOTHING
        if number is None:
            return self._left_empty(field)
        branch = field.branches[number]
        value = self.read(branch, branch_name(field, name, number), path, entries)
        if branch.kind == "object":
            # The check would accept another branch, in which nothing is missing.
            missing = [key for key, each in branch.fields.items() if each.must_be_filled and key not in value]
            self.problems += [{"path": [*path, key], "message": "is required"} for key in missing]
        return value

    def _guess(self, field: Field, text: str, path: Path) -> Any:
        """Read a text without a chosen branch, as the first branch that can read it."""
        if not text.strip():
            return self._left_empty(field)
        for branch in field.branches:
            attempt = _Reader()
            value = attempt.read_named(branch, [text], path) if branch.kind != "object" else _NOTHING
            if value is not _NOTHING and not attempt.problems:
                return value
        any_json = Field("json", "", schema={})
        return self._read_single(any_json, text, path)

    def _read_rows(self, field: Field, name: str, path: Path, entries: Entries) -> Any:
        assert field.item is not None
        by_row = entries_by_row(name, entries)
        if _MOST_ROWS in by_row:
            message = f"must have at most {_MOST_ROWS} entries in this form: send the answer as JSON"
            self.problems.append({"path": list(path), "message": message})
            by_row.pop(_MOST_ROWS)
        rows: list[JSON] = []
        for number, row in written_rows(field, name, by_row):
            rows.append(self.read(field.item, f"{name}/{number}", (*path, len(rows)), row))
        return rows or self._left_empty(field)

    def _read_list(self, field: Field, texts: list[str], path: Path) -> Any:
        assert field.item is not None
        item = field.item
        choices = choices_by_text(item) if item.kind == "choice" else None
        lines = texts if choices is not None else [line for text in texts for line in _split_lines(text)]
        written = [line for line in lines if line.strip()]
        values = [self._read_single(item, line, (*path, number), choices) for number, line in enumerate(written)]
        return values or self._left_empty(field)


def _is_below(path: Path, place: Path) -> bool:
    return path[: len(place)] == place


def _is_same(texts: list[str], others: list[str]) -> bool:
    return [text for text in texts if text.strip()] == [text for text in others if text.strip()]


def _is_written(field: Field, name: str, number: int, entries: Entries) -> bool:
    """Whether the contents of a branch differ from its default values."""
    below = branch_name(field, name, number)
    drawn = write_entries(field.branches[number], field.branches[number].initial, below)
    names = [key for key in entries if key == below or key.startswith(f"{below}/")]
    return any(not _is_same(entries[key], drawn.get(key, [])) for key in names)


def _split_lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").split("\n")


def entries_by_row(name: str, entries: Entries) -> dict[int, dict[str, list[str]]]:
    """Group the entries of a list by row, so that each row is searched only in its own entries.

    All rows beyond the limit count as one row with the last number.
    """
    rows: dict[int, dict[str, list[str]]] = {}
    for key, texts in entries.items():
        if key.startswith(f"{name}/"):
            number = key[len(name) + 1 :].partition("/")[0]
            if number.isascii() and number.isdecimal():
                at = int(number) if len(number) <= len(str(_MOST_ROWS)) else _MOST_ROWS
                rows.setdefault(min(at, _MOST_ROWS), {})[key] = texts
    return rows


def written_rows(
    field: Field, name: str, by_row: Mapping[int, dict[str, list[str]]]
) -> Iterator[tuple[int, dict[str, list[str]]]]:
    """Return the rows of a list that differ from a blank one."""
    assert field.item is not None
    blank = write_entries(field.item, field.item.initial, f"{name}/~n")
    for number, row in sorted(by_row.items()):
        as_drawn = {key.replace(f"{name}/~n", f"{name}/{number}", 1): texts for key, texts in blank.items()}
        if not all(_is_same(texts, as_drawn.get(key, [])) for key, texts in row.items()):
            yield number, row
