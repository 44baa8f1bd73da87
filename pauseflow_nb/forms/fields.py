"""Read a JSON Schema into the fields of a form.

Schemas are read for forms only here: the controls of the approval page, the panel and the widgets are made from
these fields, and typed texts are read by them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from pauseflow_nb.forms.dialect import DECIMAL, ZONE
from pauseflow_nb.json_values import JSON

#: Deepest nesting of a form: deeper ones do not help people.
_DEEPEST = 8
_LONG_TEXT = 200
#: Most branches of a union that a form offers.
_MOST_BRANCHES = 20

_KINDS_OF_TEXT = {
    "date": "date",
    "date-time": "datetime",
    "time": "time",
    "duration": "duration",
    "textarea": "long",
    "password": "password",
}
#: Kind of a branch without a title → its label.
_BRANCHES = {
    "boolean": "Yes or no",
    "choice": "One of a list",
    "date": "Date",
    "datetime": "Date and time",
    "decimal": "Number",
    "duration": "Duration",
    "integer": "Whole number",
    "json": "JSON",
    "list": "List",
    "long": "Text",
    "number": "Number",
    "object": "Fields",
    "password": "Password",
    "text": "Text",
    "time": "Time",
    "tuple": "List",
    "union": "Another kind",
}


@dataclass(frozen=True)
class Field:
    """One field of a form."""

    #: `"text"`, `"long"`, `"password"`, `"number"`, `"integer"`, `"decimal"`, `"boolean"`, `"choice"`, `"date"`, `"time"`,
    #: `"datetime"`, `"duration"`, `"object"`, `"tuple"`, `"list"`, `"union"`, or `"json"` for what no form can be made of.
    kind: str
    label: str
    description: str = ""
    is_required: bool = False
    #: Whether null is a possible value, and not only a missing one.
    is_nullable: bool = False
    #: The default value; None if there is none.
    initial: JSON = None
    choices: list[JSON] = field(default_factory=list)
    #: Labels of the choices, if the schema has them.
    choice_labels: list[str] = field(default_factory=list)
    #: The fields of an object, by name, or of a tuple, by position.
    fields: "dict[str, Field]" = field(default_factory=dict)
    #: The field of a list's entries.
    item: "Field | None" = None
    #: The branches of a union. A single branch is an optional object.
    branches: "list[Field]" = field(default_factory=list)
    #: Whether it is in a branch of a union, and required.
    is_tag: bool = False
    schema: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def must_be_filled(self) -> bool:
        """Whether it must be filled in: a required field that may be null is null if it is left empty."""
        return self.is_required and not self.is_nullable

    @property
    def is_fixed(self) -> bool:
        """Whether it only identifies a branch of a union, so that people need not fill it in."""
        return self.is_tag and len(self.choices) == 1

    @property
    def is_flat_list(self) -> bool:
        """Whether it is a list of single values, which are typed one in each line."""
        return (
            self.kind == "list"
            and self.item is not None
            and self.item.kind not in ("object", "tuple", "list", "json", "union", "boolean")
        )

    @property
    def is_rows(self) -> bool:
        """Whether it is a list of objects, which is shown as rows."""
        return self.kind == "list" and self.item is not None and self.item.kind in ("object", "tuple")

    @property
    def zone(self) -> str:
        """Return the meaning of a time without a zone: `"naive"`, which has no zone, or `"UTC"`."""
        if self.schema.get(ZONE):
            return "naive" if self.schema[ZONE] == "naive" else "UTC"
        is_naive = isinstance(self.initial, str) and "T" in self.initial and not _has_zone(self.initial)
        return "naive" if is_naive else "UTC"

    @property
    def takes_any_text(self) -> bool:
        """Whether text that is not JSON may be its value."""
        kinds = self.schema.get("type")
        return kinds is None and not {"anyOf", "oneOf", "allOf"} & self.schema.keys()


def fields_of(schema: Mapping[str, JSON]) -> Field:
    """Read the fields of a schema."""
    return _Reading(schema).field(schema, "", is_required=True, is_outer=True)


class _Resolved(NamedTuple):
    """A schema with its references resolved."""

    schema: Mapping[str, JSON]
    is_nullable: bool
    #: The `$ref`s that were followed.
    references: frozenset[str]
    #: The branches of a union, without null.
    branches: list[Mapping[str, JSON]]


@dataclass(frozen=True)
class _Reading:
    """Reads one part of a schema."""

    root: Mapping[str, JSON]
    #: Level of nesting.
    depth: int = 0
    #: The `$ref`s on the path to it.
    within: frozenset[str] = frozenset()

    def field(self, written: Mapping[str, JSON], name: str, *, is_required: bool, is_outer: bool = False) -> Field:
        """Make the field."""
        schema, is_nullable, references, branches = resolve_branches(written, self.root)
        choices, choice_labels = _list_choices(schema, branches)
        if None in choices:
            is_nullable = True
            choices, choice_labels = _remove_null(choices, choice_labels)
        # A schema may be recursive: a complete form would be endless.
        is_endless = self.depth > _DEEPEST or bool(references & self.within)
        kind = "json" if is_endless else _find_kind(schema, choices, branches)
        if kind == "boolean" and is_nullable:
            kind, choices, choice_labels = "choice", [True, False], ["Yes", "No"]
        below = _Reading(self.root, self.depth + 1, self.within | references)
        only = choices[0] if len(choices) == 1 and is_required and not is_nullable else None
        made = Field(
            kind,
            _find_label(written, schema, name),
            str(schema.get("description") or ""),
            is_required,
            is_nullable,
            # The secret default of a model appears as asterisks.
            None if kind == "password" else schema.get("default", only),
            choices,
            choice_labels,
            schema=schema,
        )
        return below.fill(made, branches, is_outer=is_outer)

    def fill(self, made: Field, branches: list[Mapping[str, JSON]], *, is_outer: bool) -> Field:
        """Add the fields inside it."""
        schema = made.schema
        if made.kind == "list":
            return replace(made, item=self.field(schema["items"], "", is_required=True))
        if made.kind == "union":
            inner = [_add_tag(self.field(each, "", is_required=True, is_outer=True)) for each in branches]
            return replace(made, branches=[replace(each, label=each.label or _BRANCHES[each.kind]) for each in inner])
        if made.kind not in ("object", "tuple"):
            return made
        made = replace(made, fields=dict(self._inner(made)))
        is_left_out = not is_outer and (made.is_nullable or (not made.is_required and made.initial is None))
        if not is_left_out:
            return made
        inside = _add_tag(replace(made, is_required=True, is_nullable=False, description=""))
        return replace(made, kind="union", fields={}, branches=[inside])

    def _inner(self, made: Field) -> Iterator[tuple[str, Field]]:
        schema = made.schema
        if made.kind == "tuple":
            needed = schema.get("minItems", 0)
            for number, each in enumerate(schema["prefixItems"]):
                inner = self.field(each, f"Entry {number + 1}", is_required=number < needed)
                yield str(number), replace(inner, label=inner.label or f"Entry {number + 1}")
            return
        required = schema.get("required") or []
        for key, each in schema["properties"].items():
            if isinstance(each, Mapping):
                yield key, self.field(each, key, is_required=key in required)


def _add_tag(branch: Field) -> Field:
    fields = {key: replace(each, is_tag=each.is_required) for key, each in branch.fields.items()}
    return replace(branch, fields=fields)


def _find_label(written: Mapping[str, JSON], schema: Mapping[str, JSON], name: str) -> str:
    if written.get("title") or not name:
        return str(written.get("title") or schema.get("title") or "")
    # The name of the field says more than the class behind a `$ref`; it is written like pydantic's titles.
    return name if schema is written else name.replace("_", " ").title()


def _list_choices(schema: Mapping[str, JSON], branches: list[Mapping[str, JSON]]) -> tuple[list[JSON], list[str]]:
    if isinstance(schema.get("enum"), list):
        return list(schema["enum"]), []
    if "const" in schema:
        return [schema["const"]], []
    if branches and all("const" in each or isinstance(each.get("enum"), list) for each in branches):
        # JSON Schema writes choices with labels in this way.
        values = [(value, each) for each in branches for value in each.get("enum", [each.get("const")])]
        labels = [str(each.get("title") or "") if "const" in each else "" for _, each in values]
        return [value for value, _ in values], labels
    return [], []


def _remove_null(choices: list[JSON], labels: list[str]) -> tuple[list[JSON], list[str]]:
    if labels:
        labels = [label for label, each in zip(labels, choices, strict=True) if each is not None]
    return [each for each in choices if each is not None], labels


def _find_kind(schema: Mapping[str, JSON], choices: list[JSON], branches: list[Mapping[str, JSON]]) -> str:
    if choices:
        return "choice"
    if branches:
        return _find_kind_of_union(branches)
    kind, has_fields = schema.get("type"), isinstance(schema.get("properties"), Mapping) and bool(schema["properties"])
    if kind == "string":
        return _find_kind_of_text(schema)
    if kind in ("number", "integer", "boolean"):
        return "decimal" if DECIMAL in schema else str(kind)
    if kind == "array":
        return _find_kind_of_array(schema)
    return "object" if has_fields and kind in ("object", None) else "json"


def _find_kind_of_union(branches: list[Mapping[str, JSON]]) -> str:
    if all(DECIMAL in each for each in branches):
        return "decimal"
    return "union" if len(branches) <= _MOST_BRANCHES else "json"


def _find_kind_of_array(schema: Mapping[str, JSON]) -> str:
    entries = schema.get("prefixItems")
    if isinstance(entries, list) and entries:
        is_closed = schema.get("maxItems") == len(entries) or schema.get("items") is False
        return "tuple" if is_closed and all(isinstance(each, Mapping) for each in entries) else "json"
    return "list" if isinstance(schema.get("items"), Mapping) else "json"


def _find_kind_of_text(schema: Mapping[str, JSON]) -> str:
    if schema.get("writeOnly"):
        return "password"
    longest = schema.get("maxLength")
    # The maximum length of an address does not mean that it is a long text.
    is_long = isinstance(longest, int) and longest > _LONG_TEXT and "format" not in schema
    is_json = schema.get("contentMediaType") == "application/json"
    return _KINDS_OF_TEXT.get(str(schema.get("format"))) or ("long" if is_long or is_json else "text")


def resolve_branches(written: Mapping[str, JSON], root: Mapping[str, JSON]) -> _Resolved:
    """Follow `$ref`, and take `Optional[…]` and `allOf` with one element apart, as pydantic writes them."""
    schema, is_nullable, references = written, written.get("type") == "null", set()
    branches: list[Mapping[str, JSON]] = []
    for _ in range(16):
        if isinstance(schema.get("$ref"), str):
            own = {key: value for key, value in schema.items() if key != "$ref"}
            references.add(schema["$ref"])
            schema = {**look_up(schema["$ref"], root), **own}
            continue
        name = next((key for key in ("anyOf", "oneOf", "allOf") if isinstance(schema.get(key), list)), None)
        if name is None:
            break
        others = [each for each in schema[name] if isinstance(each, Mapping) and each.get("type") != "null"]
        is_nullable = is_nullable or len(others) < len(schema[name])
        if len(others) != 1:
            branches = others if name != "allOf" and "properties" not in schema else []
            break
        schema = {**others[0], **{key: value for key, value in schema.items() if key != name}}
    if isinstance(schema.get("type"), list):
        kinds = [each for each in schema["type"] if each != "null"]
        is_nullable = is_nullable or len(kinds) < len(schema["type"])
        schema = {**schema, "type": kinds[0] if len(kinds) == 1 else None}
        branches = [{**_describe_value(schema), "type": kind} for kind in kinds] if len(kinds) > 1 else branches
    return _Resolved(schema, is_nullable, frozenset(references), branches)


def _describe_value(schema: Mapping[str, JSON]) -> dict[str, JSON]:
    return {key: value for key, value in schema.items() if key not in ("title", "description", "default", "type")}


def look_up(reference: str, root: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Resolve a `$ref`; empty if the schema does not contain it."""
    found: Any = root
    for name in filter(None, reference.removeprefix("#").split("/")):
        found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _has_zone(moment: str) -> bool:
    time = moment.partition("T")[2]
    return time[-1:] in "zZ" or "+" in time or "-" in time
