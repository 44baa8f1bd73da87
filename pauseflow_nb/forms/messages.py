"""Describe in plain English why a value does not fit its schema."""

import json
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pauseflow_nb.forms.dialect import DECIMAL, LIMITS, NAMED, PATTERN, STRICT, find_limit
from pauseflow_nb.json_values import JSON
from pauseflow_nb.validation_words import reword_error

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

#: Longest value that a message repeats, in characters.
_LONGEST_MESSAGE = 200
_LONGEST_KEY = 100
_MOST_NAMES = 10

#: Keywords that distinguish the branches of a union.
_TAGS = ("const", "enum")
#: Keywords whose failure means that the value is of a different kind.
_KINDS = ("type", "falseSchema", *_TAGS)
#: Keywords after `not` that can be described in a few words.
_EXCLUDING = ("type", *_TAGS)

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "empty",
}
_FORMATS = {
    "date": "a date such as 2026-11-20",
    "date-time": "a date and a time such as 2026-11-20T14:30:00Z",
    "time": "a time such as 14:30:00",
    "email": "an e-mail address",
    "duration": 'a duration such as "2 hours" or "PT2H"',
    "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address",
    "base64": "Base64",
    "base64url": "Base64 for URLs",
    "ipv4network": "an IPv4 network, such as 10.0.0.0/8",
    "ipv6network": "an IPv6 network, such as 2001:db8::/32",
    "ipv4interface": "an IPv4 address with or without its network, such as 10.0.0.1/8",
    "ipv6interface": "an IPv6 address with or without its network, such as 2001:db8::1/32",
    "ipvanyaddress": "an IP address",
    "ipvanynetwork": "an IP network, such as 10.0.0.0/8",
    "ipvanyinterface": "an IP address with or without its network, such as 10.0.0.1/8",
    "uuid": "a UUID",
    "uri": "a URL",
    "regex": "a regular expression",
}
#: Keyword that limits a number of things → singular and plural of the thing.
_COUNTED = {
    "minLength": ("at least", "character", "characters"),
    "maxLength": ("at most", "character", "characters"),
    "minItems": ("at least", "entry", "entries"),
    "maxItems": ("at most", "entry", "entries"),
    "minProperties": ("at least", "field", "fields"),
    "maxProperties": ("at most", "field", "fields"),
    "minContains": ("at least", "entry of the kind that is asked for", "entries of the kind that is asked for"),
    "maxContains": ("at most", "entry of the kind that is asked for", "entries of the kind that is asked for"),
}
_LIMITS = {
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "exclusiveMinimum": "must be more than {}",
    "exclusiveMaximum": "must be less than {}",
    "multipleOf": "must be a multiple of {}",
    PATTERN: "must match the pattern {}",
}
_PLAIN = {
    STRICT: "must be a whole number without a point",
    "falseSchema": "is not asked for",
    "required": "is required",
    "contains": "must have an entry of the kind that is asked for",
    "uniqueItems": "must not have the same entry twice",
    "unevaluatedItems": "has more entries than are asked for",
    "unevaluatedProperties": "has fields that are not asked for",
}


def describe_errors(problem: "ValidationError", schema: JSON) -> Iterator[dict[str, JSON]]:
    """Describe an error as `{"path": […], "message": …}`; the message continues the name of the place.

    Args:
        problem: The error of jsonschema-rs.
        schema: The whole schema; None if it is not known.

    Yields:
        One description. For `anyOf`, the errors of the closest branch, which say more than "fits none of them".
    """
    closest = _find_closest_branch(problem)
    if closest is not None:
        for each in closest:
            yield from describe_errors(each, schema)
        return
    error = _Error(problem, schema)
    path, sentence = list(problem.instance_path), _reword(error)
    tags = _find_wrong_tags(problem)
    if tags:
        path, sentence = list(tags[0].instance_path), _join_or([_reword(_Error(each, schema)) for each in tags])
    if error.keyword in ("required", "dependentRequired"):
        path.append(error.kind["property"])
    if error.is_surplus_entry:
        path.pop()
    yield {"path": [_shorten(key, _LONGEST_KEY) for key in path], "message": _shorten(sentence, _LONGEST_MESSAGE)}


class _Error:
    """An error of jsonschema-rs, and the part of the schema that causes it."""

    def __init__(self, problem: "ValidationError", schema: JSON) -> None:
        self.problem = problem
        self.kind: dict[str, Any] = problem.kind.as_dict()
        place = list(problem.schema_path)
        #: Whether the error is an extra entry of a list.
        self.is_surplus_entry = problem.kind.name == "falseSchema" and _is_items(place, list(problem.instance_path))
        if problem.kind.name == "falseSchema" and not self.is_surplus_entry:
            self.keyword, place = "falseSchema", [*place, ""]
        else:
            self.keyword = str(place[-1]) if place else problem.kind.name
        self.root = schema
        #: The part of the schema; empty if it cannot be found.
        self.schema = _find_part(schema, place[:-1])

    @property
    def limit(self) -> Any:
        """Return the value of the keyword in the schema: a number, a list, a type."""
        return self.schema.get(self.keyword, next(iter(self.kind.values()), None))

    @property
    def value(self) -> Any:
        """Return the value that does not fit."""
        return self.problem.instance


def _is_items(place: list[Any], path: list[Any]) -> bool:
    # A field or a definition may also be called `items`.
    return (
        place[-1:] == ["items"]
        and not NAMED.intersection(map(str, place[-2:-1]))
        and isinstance((path or [""])[-1], int)
    )


def _find_closest_branch(problem: "ValidationError") -> "list[ValidationError] | None":
    """Find the branch of `anyOf` or `oneOf` that was probably meant; None if that is not clear."""
    branches = [branch for branch in getattr(problem.kind, "context", None) or () if branch]
    here = len(problem.instance_path)
    # Preferred: a branch of the right type; then with the distinguishing field; then with the deepest error.
    for depth, kinds in ((here, _KINDS), (here + 1, _TAGS)):
        if len(branches) > 1:
            branches = [branch for branch in branches if not any(_is_of_kind(each, depth, kinds) for each in branch)]
    depths = [max(len(each.instance_path) for each in branch) for branch in branches]
    deepest = [branch for branch, depth in zip(branches, depths, strict=True) if depth == max(depths)]
    return deepest[0] if len(deepest) == 1 else None


def _find_wrong_tags(problem: "ValidationError") -> "list[ValidationError]":
    """Find the errors about the distinguishing field of `anyOf` or `oneOf`, if no branch has its value."""
    branches = [branch for branch in getattr(problem.kind, "context", None) or () if branch]
    below = len(problem.instance_path) + 1
    found = [next((each for each in branch if _is_of_kind(each, below, _TAGS)), None) for branch in branches]
    tags = [each for each in found if each is not None]
    places = {tuple(each.instance_path) for each in tags}
    return tags if len(tags) == len(branches) and len(places) == 1 else []


def _is_of_kind(problem: "ValidationError", depth: int, kinds: Collection[str]) -> bool:
    return len(problem.instance_path) == depth and problem.kind.name in kinds


def _find_part(schema: JSON, place: list[Any]) -> dict[str, JSON]:
    for key in place:
        try:
            schema = schema[key]
        except (KeyError, IndexError, TypeError):
            return {}
    return schema if isinstance(schema, dict) else {}


def _reword(error: _Error) -> str:  # noqa: PLR0911  (one word each, and nothing between them)
    kind, limit = error.keyword, error.limit
    if error.problem.kind.name == "propertyNames":
        inner = error.kind["error"]
        return (
            f"has a field {_shorten(inner.instance, _LONGEST_KEY)!r}, whose name {_reword(_Error(inner, error.root))}"
        )
    if kind in _COUNTED:
        how, one, many = _COUNTED[kind]
        return f"must have {how} {limit} {one if limit == 1 else many}"
    if kind in (DECIMAL, LIMITS):
        problem = find_limit({"type": "decimal", **limit}, error.value)
        return "must be a number" if problem is None else _fix_decimal(reword_error(problem))
    if kind in _LIMITS:
        return _LIMITS[kind].format(_format_number(limit))
    if kind == "enum" and not limit:
        return _PLAIN["falseSchema"]
    if kind in ("type", "enum", "const", "format"):
        return f"must be {_describe_limit({**error.schema, kind: limit}, kind)}"
    if kind in ("anyOf", "oneOf"):
        return _explain_match_count(error)
    if kind == "not":
        return _explain_excluded(limit)
    if kind == "items":
        count = len(error.schema.get("prefixItems", ()))
        return f"must have at most {count} {'entry' if count == 1 else 'entries'}"
    if kind == "dependentRequired":
        needed = error.kind["property"]
        present = [name for name, others in limit.items() if needed in others and name in error.value]
        return f"is required with {', '.join(present)}"
    if kind == "additionalProperties" and "unexpected" in error.kind:
        return f"has fields that are not asked for: {_join_some(error.kind['unexpected'])}"
    return _PLAIN.get(kind, f"does not fit {kind!r} in the schema")


def _fix_decimal(sentence: str) -> str:
    if "valid decimal" in sentence:
        return "must be a number"
    return sentence.replace("Decimal input should have no more than", "must have at most")


def _explain_excluded(schema: Any) -> str:
    if not schema or schema is True:
        return _PLAIN["falseSchema"]
    kind = next(iter(schema)) if isinstance(schema, dict) and len(schema) == 1 else None
    return f"must not be {_describe_limit(schema, kind)}" if kind in _EXCLUDING else "is of a kind that is not allowed"


def _describe_limit(schema: Any, kind: str) -> str:
    limit = schema[kind]
    if kind == "type":
        kinds = [limit] if isinstance(limit, str) else limit
        fields = schema.get("properties") if kinds == ["object"] else None
        return (
            f"an object with {_join_fields(fields)}"
            if fields
            else _join_kinds(_TYPES.get(each, each) for each in kinds)
        )
    if kind == "format":
        return _FORMATS.get(limit, f"a valid {limit}")
    if kind == "const" or len(limit) == 1:
        return _format_value(limit if kind == "const" else limit[0])
    return "one of " + ", ".join(map(_format_value, limit))


def _explain_match_count(error: _Error) -> str:
    branches = [branch for branch in error.kind["context"] if branch]
    if len(branches) < len(error.kind["context"]):
        return "fits several of the kinds that are asked for, and must fit one of them only"
    return _join_or([_reword(_Error(branch[0], error.root)) for branch in branches])


def _join_fields(fields: Iterable[str]) -> str:
    names = list(fields)
    return f"the field {names[0]}" if len(names) == 1 else f"the fields {', '.join(names)}"


def _join_or(sentences: list[str]) -> str:
    different = list(dict.fromkeys(sentences))
    if all(each.startswith("must be ") for each in different):
        return "must be " + _join_kinds(each.removeprefix("must be ") for each in different)
    return _join_kinds(different)


def _join_kinds(kinds: Iterable[str]) -> str:
    return " or ".join(kinds)


def _format_value(value: JSON) -> str:
    return "empty" if value is None else json.dumps(value, ensure_ascii=False)


def _format_number(limit: Any) -> Any:
    return int(limit) if isinstance(limit, float) and limit.is_integer() else limit


def _join_some(names: Iterable[str]) -> str:
    few = sorted(names)[:_MOST_NAMES]
    return ", ".join(_shorten(name, _LONGEST_KEY) for name in few)


def _shorten(text: Any, longest: int) -> Any:
    return f"{text[:longest]} …" if isinstance(text, str) and len(text) > longest else text
