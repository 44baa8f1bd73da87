"""What does not fit a schema is said in words that need no knowledge of JSON Schema."""

from typing import Any

import pytest

from pauseflow_nb.forms.schema import find_errors, find_problem, join_errors

JSONSCHEMAS_OWN = ("is not of type", "is not valid under", "required property", "schema", "'x'", "Additional", "[1, 1]")


def _describe(schema: Any, value: Any) -> str:
    return join_errors(find_errors({"type": "object", "properties": {"x": schema}}, {"x": value}))


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "integer"}, "a", "x must be a whole number"),
        ({"type": ["number", "null"]}, "a", "x must be a number or empty"),
        ({"type": "object"}, 3, "x must be an object"),
        ({"type": "object", "properties": {"a": {}}}, 3, "x must be an object with the field a"),
        ({"type": "object", "properties": {"a": {}, "b": {}}}, 3, "x must be an object with the fields a, b"),
        ({"type": "object", "required": ["a", "b"]}, {}, "x.a is required; x.b is required"),
        ({"enum": ["red", None, True]}, 3, 'x must be one of "red", empty, true'),
        ({"enum": ["red"]}, 3, 'x must be "red"'),
        ({"const": "größe"}, 3, 'x must be "größe"'),
        ({"minimum": 3.0}, 2, "x must be at least 3"),
        ({"multipleOf": 0.5}, 0.3, "x must be a multiple of 0.5"),
        ({"minLength": 1}, "", "x must have at least 1 character"),
        ({"maxItems": 2}, [1, 2, 3], "x must have at most 2 entries"),
        ({"minProperties": 2}, {}, "x must have at least 2 fields"),
        ({"uniqueItems": True}, [1, 1], "x must not have the same entry twice"),
        ({"contains": {"type": "integer"}}, ["a"], "x must have an entry of the kind that is asked for"),
        (
            {"contains": {"type": "integer"}, "maxContains": 1},
            [1, 2],
            "x must have at most 1 entry of the kind that is",
        ),
        ({"pattern": "^[a-z]+$"}, "Q", "x must match the pattern ^[a-z]+$"),
        ({"propertyNames": {"pattern": "^a"}}, {"b": 1}, "x has a field 'b', whose name must match the pattern ^a"),
        ({"format": "email"}, "Q", "x must be an e-mail address"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "a", "x must be a whole number or empty"),
        (
            {"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 3}]},
            "a",
            "x must have at least 3 characters",
        ),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 1, "x fits several of the kinds that are asked for"),
        ({"not": {"type": "integer"}}, 1, "x must not be a whole number"),
        ({"not": {"minimum": 1}}, 1, "x is of a kind that is not allowed"),
        ({"dependentRequired": {"a": ["b", "c"]}}, {"a": 1}, "x.b is required with a; x.c is required with a"),
        ({"additionalProperties": False, "patternProperties": {"^z": {}}}, {"b": 1, "z": 1}, "not asked for: b"),
        ({"unevaluatedProperties": False}, {"b": 1}, "x has fields that are not asked for"),
        ({"prefixItems": [{}], "items": False}, [1, 2], "x must have at most 1 entry"),
        ({"prefixItems": [{}], "unevaluatedItems": False}, [1, 2], "x has more entries than are asked for"),
        (False, 1, "x is not asked for"),
        ({"not": True}, 1, "x is not asked for"),
        ({"not": {}}, 1, "x is not asked for"),
        ({"not": {"const": 0}}, 0, "x must not be 0"),
        ({"not": {"not": False}}, 1, "x is of a kind that is not allowed"),
        ({"propertyNames": {"not": True}}, {"a": 1}, "x has a field 'a', whose name is not asked for"),
        ({"enum": []}, 1, "x is not asked for"),
        ({"properties": {"items": False}}, {"items": 1}, "x.items is not asked for"),
        ({"dependentSchemas": {"items": False}}, {"items": 1}, "x is not asked for"),
        ({"$defs": {"items": False}, "allOf": [{"$ref": "#/properties/x/$defs/items"}]}, 1, "x is not asked for"),
        ({"$defs": {"items": False}, "items": {"$ref": "#/properties/x/$defs/items"}}, [1], "x.0 is not asked for"),
        ({"items": False}, [1], "x must have at most 0 entries"),
    ],
)
def test_what_does_not_fit(schema: Any, value: Any, expected: str) -> None:
    assert expected in _describe(schema, value)
    assert not any(words in _describe(schema, value) for words in JSONSCHEMAS_OWN)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            {"properties": {"a": {"type": "int"}}},
            'is not a JSON Schema: properties.a.type must be one of "array", "bool',
        ),
        ({"required": "a"}, "is not a JSON Schema: required must be a list"),
        ({"pattern": "("}, "has a pattern that is not a regular expression: ("),
        ({"$ref": "#/nowhere"}, "refers to something outside of it: Pointer '/nowhere' does not exist"),
    ],
)
def test_what_is_no_schema(schema: Any, expected: str) -> None:
    assert (find_problem(schema) or "").startswith(expected)
