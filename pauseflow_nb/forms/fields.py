"""Which fields a JSON Schema asks for, and what kind each is: the one reading of it for every form.

The approval page makes HTML of it, test mode makes widgets; the panel in JupyterLab reads schemas alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pauseflow_nb.json_values import JSON

__all__ = ["Field", "fields_of", "number_in", "says_nothing", "with_nulls"]

#: Deeper than this a form helps nobody.
_DEEPEST = 8
_LONG_TEXT = 200


@dataclass(frozen=True)
class Field:
    """One field of a form."""

    #: `"text"`, `"long"`, `"number"`, `"integer"`, `"boolean"`, `"choice"`, `"date"`, `"datetime"`, `"object"`,
    #: `"list"`, or `"json"` for what no form can be made of.
    kind: str
    label: str
    description: str = ""
    is_required: bool = False
    #: Whether null is a value of it, and not only no value.
    is_nullable: bool = False
    #: What stands in it at first; None: nothing.
    initial: JSON = None
    choices: list[JSON] = field(default_factory=list)
    #: Of an object.
    fields: "dict[str, Field]" = field(default_factory=dict)
    #: Of a list.
    item: "Field | None" = None
    schema: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def must_be_filled(self) -> bool:
        """Whether something must be written into it: what is required and may be null is null if it is left empty."""
        return self.is_required and not self.is_nullable

    @property
    def is_no_unticked(self) -> bool:
        """Whether a box that is not ticked says no; otherwise it says nothing, as for `Optional[bool] = None`."""
        return self.is_required or self.schema.get("default", False) is not None

    @property
    def is_emptied_text(self) -> bool:
        """Whether a text field that is left empty was emptied on purpose, because a text stood in it."""
        return self.kind in ("text", "long") and isinstance(self.initial, str) and self.initial != ""


def number_in(text: str) -> JSON:
    """Read a number; what is none stays text, and whoever checks the answer says what is wrong with it."""
    for read in (int, float):
        try:
            value: float = read(text.strip())
        except ValueError:
            continue
        if value == value and abs(value) != float("inf"):  # noqa: PLR0124  (NaN is no JSON)
            return value
    return text


def says_nothing(values: Mapping[str, JSON]) -> bool:
    """Whether nobody wrote into an object's fields: boxes that are not ticked alone are no sign that somebody did."""
    return all(
        says_nothing(value) if isinstance(value, Mapping) else value is False or value is None
        for value in values.values()
    )


def with_nulls(asked: Field, written: Mapping[str, Any]) -> dict[str, Any]:
    """Add null to what was written into an object's fields, for those that need a value and were left empty."""
    nulls = {name: None for name, each in asked.fields.items() if each.is_required and each.is_nullable}
    return {**nulls, **written}


def fields_of(schema: Mapping[str, JSON]) -> Field:
    """Read a schema."""
    return _Reading(schema).field(schema, "", is_required=True)


class _Resolved(NamedTuple):
    """A schema without detours."""

    schema: Mapping[str, JSON]
    is_nullable: bool
    #: The `$ref`s that led to it.
    references: frozenset[str]


@dataclass(frozen=True)
class _Reading:
    """Reads one place of a schema."""

    root: Mapping[str, JSON]
    #: How deep it is.
    depth: int = 0
    #: The `$ref`s on the way to it.
    within: frozenset[str] = frozenset()

    def field(self, given: Mapping[str, JSON], name: str, *, is_required: bool) -> Field:
        """Make the field."""
        schema, is_nullable, references = _resolved(given, self.root)
        choices = _choices(schema)
        # A schema may contain itself, and several times: a form of all of it would have no end.
        is_endless = self.depth > _DEEPEST or bool(references & self.within)
        kind = "json" if is_endless else _kind(schema, choices)
        only = choices[0] if len(choices) == 1 and is_required else None
        below = _Reading(self.root, self.depth + 1, self.within | references)
        inner: dict[str, Field] = {}
        if kind == "object":
            needed = schema.get("required") or []
            inner = {
                key: below.field(each, key, is_required=key in needed)
                for key, each in schema["properties"].items()
                if isinstance(each, Mapping)
            }
        item = below.field(schema["items"], "", is_required=True) if kind == "list" else None
        return Field(
            kind,
            _label(given, schema, name),
            str(schema.get("description") or ""),
            is_required,
            is_nullable,
            schema.get("default", only),
            choices,
            inner,
            item,
            schema,
        )


def _label(given: Mapping[str, JSON], schema: Mapping[str, JSON], name: str) -> str:
    if given.get("title") or not name:
        return str(given.get("title") or schema.get("title") or "")
    # The name of the field says more than that of the class behind a `$ref`; written as pydantic writes titles.
    return name if schema is given else name.replace("_", " ").title()


def _choices(schema: Mapping[str, JSON]) -> list[JSON]:
    if isinstance(schema.get("enum"), list):
        return list(schema["enum"])
    return [schema["const"]] if "const" in schema else []


def _kind(schema: Mapping[str, JSON], choices: list[JSON]) -> str:
    if choices:
        return "choice"
    kind, has_fields = schema.get("type"), isinstance(schema.get("properties"), Mapping)
    if kind == "string":
        return _kind_of_text(schema)
    if kind in ("number", "integer", "boolean"):
        return str(kind)
    if kind == "array":
        return "list" if isinstance(schema.get("items"), Mapping) else "json"
    return "object" if has_fields and kind in ("object", None) else "json"


def _kind_of_text(schema: Mapping[str, JSON]) -> str:
    known = {"date": "date", "date-time": "datetime", "textarea": "long"}.get(str(schema.get("format")))
    longest = schema.get("maxLength")
    return known or ("long" if isinstance(longest, int) and longest > _LONG_TEXT else "text")


def _resolved(given: Mapping[str, JSON], root: Mapping[str, JSON]) -> _Resolved:
    """Follow `$ref`, and take `Optional[…]` and `allOf` with one element apart, as pydantic writes them."""
    schema, is_nullable, references = given, given.get("type") == "null", set()
    for _ in range(16):
        if isinstance(schema.get("$ref"), str):
            own = {key: value for key, value in schema.items() if key != "$ref"}
            references.add(schema["$ref"])
            schema = {**_looked_up(schema["$ref"], root), **own}
            continue
        name = next((key for key in ("anyOf", "oneOf", "allOf") if isinstance(schema.get(key), list)), None)
        if name is None:
            break
        others = [each for each in schema[name] if isinstance(each, Mapping) and each.get("type") != "null"]
        is_nullable = is_nullable or len(others) < len(schema[name])
        if len(others) != 1:
            break
        schema = {**others[0], **{key: value for key, value in schema.items() if key != name}}
    if isinstance(schema.get("type"), list):
        kinds = [each for each in schema["type"] if each != "null"]
        is_nullable = is_nullable or len(kinds) < len(schema["type"])
        schema = {**schema, "type": kinds[0] if len(kinds) == 1 else None}
    return _Resolved(schema, is_nullable, frozenset(references))


def _looked_up(reference: str, root: Mapping[str, JSON]) -> Mapping[str, JSON]:
    found: JSON = root
    for name in filter(None, reference.removeprefix("#").split("/")):
        found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}
