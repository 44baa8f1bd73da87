"""Answers that come as JSON: what pydantic takes is taken, by every name of a field, bare, and with numbers as text."""

import json
from typing import Any

import pytest
from forms.table import Row

from pauseflow_nb.errors import InvalidAnswer
from pauseflow_nb.forms.lax import extract_answer_for, wrap_value
from pauseflow_nb.forms.schema import find_errors

TYPES = [
    "int",
    "float",
    "bool",
    "str",
    "Decimal",
    "date",
    "datetime",
    "time",
    "timedelta",
    "UUID",
    "int | None",
    "int | str",
    "list[int]",
    "set[int]",
    "dict[str, int]",
    "tuple[int, str]",
    "Literal['a', 1]",
    "StrictInt",
    "StrictBool",
    "Annotated[float, Field(multiple_of=0.01)]",
    "Annotated[Decimal, Field(gt=0, decimal_places=2)]",
    "Optional[list[timedelta]]",
    "Annotated[str, Field(pattern=r'^\\p{Lu}\\z')]",
    "AwareDatetime",
    "NaiveDatetime",
    "PastDate",
    "Annotated[date, Field(gt=date(2026, 11, 20))]",
    "Annotated[datetime, Field(le=datetime(2026, 11, 20, 10))]",
    "Annotated[time, Field(lt=time(10))]",
    "Annotated[timedelta, Field(ge=timedelta(hours=2))]",
    "HttpUrl",
    "PostgresDsn",
    "UUID4",
    "Base64Bytes",
    "dict[int, str]",
    "constr(strip_whitespace=True, min_length=2)",
    "constr(strip_whitespace=True, max_length=1)",
    "Json",
    "timedelta | int",
    "date | float | None",
    "list[UUID | int]",
    "dict[str, time | bool]",
]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -5, 2.0, 0.29, 2.5, 7615917337495251231, 1e300),
    *("", "a", "7", " 7 ", "1_000", "1,000", "0x10", "1e3", "0.29", "0.295", "NaN", "yes", "off", "Ä"),
    *("2026-11-20", "2026-11-20T10:00", "2026-11-20T10:00:00+02:00", "2026-11-20T00:00:00", "10:30", "25:00"),
    *("PT2H", "01:30:00", "12345678-1234-5678-1234-567812345678", "12345678123456781234567812345678"),
    *("ftp://x", "https://x", "c56a4180-65aa-42ec-a945-5fd21dec0538", " ab ", " a ", "eA==", "eA"),
    *([], [1], ["1"], [1, 1], [1, "x"], ["PT2H"], [90], {}, {"a": 1}, {"a": "1"}, {"a": "x"}, {"1": "x"}, {"value": 1}),
]

#: Where the check before the notebook wakes differs from pydantic; `{"value": 1}` is the form of an int, and no bare dict.
EXCEPTIONS = {
    # pydantic takes whole floats up to 64 bits only; the notebook gets those beyond as the numbers that they are.
    **dict.fromkeys(("int", "int | None", "int | str", "timedelta | int"), frozenset({"1e+300"})),
    # No JSON can hold what it means.
    **dict.fromkeys(
        ("float", "date | float | None", "Annotated[float, Field(multiple_of=0.01)]"), frozenset({'"NaN"'})
    ),
    # 1 and true are one choice for pydantic.
    "Literal['a', 1]": frozenset({"true"}),
}


def row_of(python: str) -> Row:
    return Row(python, {}, python, None, None, [])


def is_taken_by_pydantic(row: Row, value: Any) -> bool:
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(row.kind).validate_json(json.dumps(value))
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("python", TYPES)
def test_what_pydantic_takes_bare_is_taken_and_nothing_else(python: str) -> None:
    row = row_of(python)
    taken = {json.dumps(value): find_errors(row.schema, wrap_value(row.schema, value)) == [] for value in VALUES}

    expected = {json.dumps(value): is_taken_by_pydantic(row, value) for value in VALUES}
    others = EXCEPTIONS.get(python, frozenset()) | ({'{"value": 1}'} if python != "dict[str, int]" else set())
    assert {key for key in taken if taken[key]} - others == {key for key in expected if expected[key]} - others


@pytest.mark.parametrize(("takes", "is_taken"), [("", False), (", json_schema_input_type=int | str", True)])
def test_a_validator_before_the_check_takes_more_where_the_schema_says_so(takes: str, is_taken: bool) -> None:
    row = row_of(f"Annotated[int, BeforeValidator(lambda text: str(text).replace(',', ''){takes})]")

    assert (find_errors(row.schema, {"value": "1,000"}) == []) == is_taken


NAMES = """
class Model(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    first: str = Field(alias='firstName')
    n: int = Field(validation_alias=AliasChoices('one', 'two', AliasPath('three', 0)))
"""


@pytest.mark.parametrize(
    "value",
    [
        {"firstName": "x", "one": 1},
        {"first": "x", "two": 1},
        {"first": "x", "three": [1]},
        {"first": "x", "n": 1},
        {"first": "x", "two": "1"},
        {"first": "x"},
        {"first": "x", "three": []},
        {"two": 1},
        {"first": 3, "two": 1},
    ],
)
@pytest.mark.parametrize("extra", ["ignore", "forbid"])
def test_every_name_that_a_model_takes_is_taken(value: Any, extra: str) -> None:
    row = row_of(NAMES.replace("populate_by_name=True", f"populate_by_name=True, extra={extra!r}"))

    assert (find_errors(row.schema, value) == []) == is_taken_by_pydantic(row, value)


def test_a_span_of_ours_under_another_name_becomes_a_duration() -> None:
    row = row_of(
        "class Model(BaseModel):\n"
        "    model_config = ConfigDict(populate_by_name=True, extra='forbid')\n"
        "    wait: timedelta = Field(alias='Wait')"
    )

    for answer in ({"wait": "2 hours"}, {"Wait": "2 hours"}):
        assert find_errors(row.schema, answer) == []
        assert row.form.build(answer).wait.total_seconds() == 7200


def test_a_whole_number_with_an_exponent_is_the_number_that_it_is() -> None:
    row = row_of("list[int]")

    assert row.form.build({"value": [1e20, 3.0]}) == [10**20, 3]


def test_numbers_become_text_where_a_model_says_so() -> None:
    row = row_of("class Model(BaseModel):\n    model_config = ConfigDict(coerce_numbers_to_str=True)\n    a: str")

    assert find_errors(row.schema, {"a": 5}) == []
    assert find_errors(row.schema, {"a": True}) != []


@pytest.mark.parametrize("reason", ["1 // x", "{}[x]", "None.x", "(lambda f: f(f))(lambda f: f(f))"])
def test_a_validator_that_fails_refuses_the_answer(reason: str) -> None:
    """Whatever is typed must not end the run."""
    row = row_of(
        f"class Model(BaseModel):\n    a: int\n    @field_validator('a')\n    def check(cls, x):\n        return {reason}"
    )

    with pytest.raises(InvalidAnswer, match="cannot be checked: "):
        row.form.build({"a": 0})


def test_a_span_of_ours_is_taken_where_a_model_wants_a_duration() -> None:
    row = row_of("dict[str, list[timedelta]]")
    answer = wrap_value(row.schema, {"a": ["2 hours", "PT1M"]})

    assert find_errors(row.schema, answer) == []
    assert [span.total_seconds() for span in row.form.build(answer)["a"]] == [7200, 60]
    assert find_errors(row.schema, wrap_value(row.schema, {"a": ["soon"]})) != []


@pytest.mark.parametrize(
    ("envelope", "answer"),
    [
        ({"body": None, "body_raw": "null"}, {"value": None}),
        ({"body": None, "body_raw": ""}, {"value": None}),
        ({"body": 3, "body_raw": "3"}, {"value": 3}),
        ({"body": {"value": 3}, "body_raw": "…"}, {"value": 3}),
    ],
)
def test_null_and_nothing_are_null_for_an_optional_type(envelope: dict[str, Any], answer: Any) -> None:
    assert extract_answer_for(row_of("int | None").schema, envelope) == answer


def test_nothing_is_no_empty_dict() -> None:
    schema = row_of("dict[str, int]").schema

    assert extract_answer_for(schema, {"body": None, "body_raw": ""}) == {}
    assert extract_answer_for(schema, {"body": {}, "body_raw": "{}"}) == {"value": {}}


def test_the_words_of_a_json_schema_are_taken_literally() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}

    assert find_errors(schema, {"n": "7"}) == [{"path": ["n"], "message": "must be a whole number"}]


def test_limits_of_a_decimal_hold_for_a_text_as_well() -> None:
    row = row_of("Annotated[Decimal, Field(gt=0, max_digits=4, decimal_places=2)]")

    assert find_errors(row.schema, {"value": "-1"}) == [{"path": ["value"], "message": "must be more than 0"}]
    with pytest.raises(InvalidAnswer):
        row.form.judge({"value": "1.234"})
