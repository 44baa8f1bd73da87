"""A schema means on the server what it means to pydantic in the notebook."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pauseflow_nb.forms.schema import find_errors, find_problem


class Looking(BaseModel):
    model_config = ConfigDict(regex_engine="python-re")
    name: str = Field(pattern=r"^(?=.*[0-9])\w+$")


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    age: int


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Annotated[str, Field(pattern=r"^\p{Lu}\p{Ll}+\z")], "Élan"),
        (Annotated[str, Field(pattern=r"^\p{Lu}\p{Ll}+\z")], "élan"),
        (Annotated[str, Field(pattern=r"^a\z")], "a\n"),
        (Annotated[str, Field(pattern=r"^\w+$")], "größe"),
        (Annotated[str, Field(pattern=r"^\d+$")], "٣"),
        (Annotated[str, Field(pattern=r"b")], "abc"),
        (Annotated[float, Field(multiple_of=0.01)], 0.29),
        (Annotated[float, Field(multiple_of=0.01)], 0.295),
        (Annotated[float, Field(multiple_of=0.1)], 0.1 + 0.2),
        (Annotated[int, Field(multiple_of=3)], 10**30 + 2),
        (Annotated[int, Field(multiple_of=3)], 10**30 + 3),
        (dict[Annotated[str, Field(pattern=r"^\w+\z")], int], {"größe": 1}),
        (dict[Annotated[str, Field(pattern=r"^[\w]+\z")], int], {"größe": 1}),
        (Looking, {"name": "a1"}),
        (Looking, {"name": "ab"}),
    ],
)
def test_it_takes_and_refuses_what_pydantic_does(kind: Any, value: Any) -> None:
    adapter = TypeAdapter(kind)
    try:
        adapter.validate_python(value)
        fits = True
    except ValidationError:
        fits = False
    schema = adapter.json_schema()

    assert find_problem(schema) is None
    assert (find_errors(schema, value) == []) == fits


def test_fields_with_the_names_of_keywords_are_fields() -> None:
    schema = {
        "type": "object",
        "properties": {"pattern": {"type": "string", "pattern": "^a"}, "default": {"type": "integer"}},
        "default": {"pattern": "("},
        "enum": [{"pattern": "ab", "default": 3}, {"pattern": "b"}],
    }

    assert find_problem(schema) is None
    assert find_errors(schema, {"pattern": "ab", "default": 3}) == []
    assert find_errors(schema, {"pattern": "b"}) == [{"path": ["pattern"], "message": "must match the pattern ^a"}]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "2026-11-20", "2026-13-01"),
        ("date-time", "2026-11-20T14:30:00Z", "2026-11-20"),
        ("time", "14:30:00", "25:00"),
        ("duration", "PT2H", "2 hours"),
        ("email", "a@b", "a@@b"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("uuid", "12345678-1234-1234-1234-123456789abc", "1234"),
        ("uri", "https://example.org", "example.org"),
    ],
)
def test_formats_that_people_type_are_checked(name: str, good: str, bad: str) -> None:
    assert find_errors({"format": name}, good) == []
    assert find_errors({"format": name}, bad) != []
    assert find_errors({"format": name}, 3) == []


@pytest.mark.parametrize("name", ["hostname", "iri", "regex", "json-pointer", "anything"])
def test_other_formats_are_not(name: str) -> None:
    assert find_errors({"format": name}, "( no such thing") == []


def test_of_a_union_the_branch_that_was_meant_says_what_is_wrong() -> None:
    schema = TypeAdapter(Cat | Dog).json_schema()

    assert find_errors(schema, {"kind": "dog", "age": "x"}) == [{"path": ["age"], "message": "must be a whole number"}]
    assert find_errors(schema, {"kind": "cow"}) == [{"path": ["kind"], "message": 'must be "cat" or "dog"'}]


@pytest.mark.parametrize("pattern", ["(", "(?<=a+)b", "[z-a]", "a{99999999999}"])
def test_a_pattern_that_cannot_be_run_is_no_schema(pattern: str) -> None:
    assert "not a regular expression" in (find_problem({"properties": {"a": {"pattern": pattern}}}) or "")
    assert "not a regular expression" in (find_problem({"patternProperties": {pattern: {}}}) or "")


#: Two parts with one `$id`, and a reference into one of them: jsonschema-rs panics.
TWO_OF_ONE_ID = {"allOf": [{"$id": "http://x/y", "$anchor": "z", "$ref": "#z"}, {"$id": "http://x/y"}]}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (TWO_OF_ONE_ID, "is not a JSON Schema: it cannot be compiled"),
        (nested(300), "is not a JSON Schema: Recursion limit reached"),
        (nested(5000), "is nested too deeply"),
    ],
)
def test_a_schema_at_which_the_compiler_fails_is_none(schema: dict[str, Any], expected: str) -> None:
    assert (find_problem(schema) or "").startswith(expected)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$dynamicRef": "#"},
        {"not": {"$ref": "#"}},
        {"not": {"$dynamicRef": "#a"}, "$dynamicAnchor": "a"},
        {"anyOf": [{"type": "integer"}, {"$ref": "#"}]},
        {"if": {"$ref": "#"}, "then": False},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}},
        {"contains": {"$ref": "#"}, "unevaluatedProperties": {"$ref": "#"}},
    ],
)
def test_a_schema_that_refers_to_itself_without_end_is_checked_in_the_end(schema: dict[str, Any]) -> None:
    assert find_problem(schema) is None
    values: list[Any] = ["a", {"a": [1]}, [[]]]
    for value in values:
        assert isinstance(find_errors(schema, value), list)
