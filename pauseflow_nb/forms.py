"""Which fields a JSON Schema asks for, and what kind each is: the one reading of it for every form.

The approval page makes HTML of it, test mode makes widgets; the panel in JupyterLab reads schemas alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pauseflow_nb.json_values import JSON

__all__ = ["Field", "fields_of", "number_in", "says_nothing"]

#: Deeper than this a form helps nobody, and a schema may contain itself.
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
    #: What stands in it at first; None: nothing.
    initial: JSON = None
    choices: list[JSON] = field(default_factory=list)
    #: Of an object.
    fields: "dict[str, Field]" = field(default_factory=dict)
    #: Of a list.
    item: "Field | None" = None
    schema: Mapping[str, JSON] = field(default_factory=dict)

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
    return all(value is False for value in values.values())


def fields_of(schema: Mapping[str, JSON]) -> Field:
    """Read a schema."""
    return _field(schema, schema, "", is_required=True, depth=0)


def _field(given: Mapping[str, JSON], root: Mapping[str, JSON], name: str, *, is_required: bool, depth: int) -> Field:
    schema = _resolved(given, root)
    choices = _choices(schema)
    kind = "json" if depth > _DEEPEST else _kind(schema, choices)
    only = choices[0] if len(choices) == 1 and is_required else None
    inner: dict[str, Field] = {}
    if kind == "object":
        needed = schema.get("required") or []
        inner = {
            key: _field(each, root, key, is_required=key in needed, depth=depth + 1)
            for key, each in schema["properties"].items()
            if isinstance(each, Mapping)
        }
    item = _field(schema["items"], root, "", is_required=True, depth=depth + 1) if kind == "list" else None
    return Field(
        kind,
        _label(given, schema, name),
        str(schema.get("description") or ""),
        is_required,
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


def _resolved(given: Mapping[str, JSON], root: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Follow `$ref`, and take `Optional[…]` and `allOf` with one element apart, as pydantic writes them."""
    schema = given
    for _ in range(16):
        if isinstance(schema.get("$ref"), str):
            own = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**_looked_up(schema["$ref"], root), **own}
            continue
        name = next((key for key in ("anyOf", "oneOf", "allOf") if isinstance(schema.get(key), list)), None)
        if name is None:
            break
        others = [each for each in schema[name] if isinstance(each, Mapping) and each.get("type") != "null"]
        if len(others) != 1:
            break
        schema = {**others[0], **{key: value for key, value in schema.items() if key != name}}
    if isinstance(schema.get("type"), list):
        kinds = [each for each in schema["type"] if each != "null"]
        schema = {**schema, "type": kinds[0] if len(kinds) == 1 else None}
    return schema


def _looked_up(reference: str, root: Mapping[str, JSON]) -> Mapping[str, JSON]:
    found: JSON = root
    for name in filter(None, reference.removeprefix("#").split("/")):
        found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}
