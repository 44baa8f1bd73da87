"""Answers of many kinds, as JSON and as forms, through a real kernel: what the notebook gets is what pydantic makes of it."""

from typing import Any

import pytest
from forms.table import rows
from roads.rider import Rider, returned

pytestmark = pytest.mark.acceptance

IMPORTS = """
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Literal, Optional
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

class Code(BaseModel):
    code: Annotated[str, Field(pattern=r'^\\p{Lu}{2}-\\d+$')]

class Address(BaseModel):
    street: str
    no: int = 1

class Person(BaseModel):
    name: str
    addr: Optional[Address] = None

class Moment(BaseModel):
    at: datetime = datetime(2026, 1, 2, 3, 4, 5, 678900)

class Named(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    first: str = Field(alias='firstName')
    n: int = Field(1, validation_alias=AliasChoices('one', 'two'))
"""


def ask(rider: Rider, kind: str) -> str:
    view = rider.run(IMPORTS, f"%%step ask\nflow.suspend('1h', schema={kind})", "%%step use\nrepr(steps.ask.data)")
    assert view["state"] == "suspended"
    return str(view["id"])


@pytest.mark.every(2)
@pytest.mark.parametrize(
    ("kind", "data", "built"),
    [
        ("Code", {"code": "AB-1"}, "Code(code='AB-1')"),
        ("int | None", None, "None"),
        ("int", "7", "7"),
        ("dict[str, int]", {"a": 1}, "{'a': 1}"),
        ("dict[str, int]", {}, "{}"),
        ("timedelta", "2 hours", "datetime.timedelta(seconds=7200)"),
        ("timedelta", 90, "datetime.timedelta(seconds=90)"),
        ("Decimal", "12345678901234567.89", "Decimal('12345678901234567.89')"),
        ("Named", {"first": "x", "two": "5"}, "Named(first='x', n=5)"),
        ("Annotated[float, Field(multiple_of=0.01)]", 0.29, "0.29"),
        ("Person", {"name": "x"}, "Person(name='x', addr=None)"),
    ],
)
def test_json_becomes_what_the_kind_makes_of_it(rider: Rider, kind: str, data: Any, built: str) -> None:
    execution = ask(rider, kind)

    assert returned(rider.answer(execution, data), "use") == built


@pytest.mark.every(2)
@pytest.mark.parametrize(
    ("kind", "typed", "built"),
    [
        ("Person", {"answer/name": ["x"], "answer/addr/street": [""], "answer/addr/no": ["1"]}, "addr=None)"),
        ("Person", {"answer/name": ["x"], "answer/addr~is": ["0"], "answer/addr/street": ["Elm"]}, "no=1))"),
        ("Moment", {"answer/at": ["2026-01-02T03:04:05.678900"]}, "datetime.datetime(2026, 1, 2, 3, 4, 5, 678900))"),
        ("Decimal", {"answer/value": ["12345678901234567.89"]}, "Decimal('12345678901234567.89')"),
        ("Optional[bool]", {"answer/value": ["false"]}, "False"),
        ("int | None", {"answer/value": [""]}, "None"),
        ("int | str", {"answer/value~is": ["1"], "answer/value~b1": ["5"]}, "'5'"),
        ("timedelta", {"answer/value": ["1h 30min"]}, "datetime.timedelta(seconds=5400)"),
    ],
)
def test_a_form_becomes_what_the_kind_makes_of_it(
    rider: Rider, kind: str, typed: dict[str, list[str]], built: str
) -> None:
    execution = ask(rider, kind)

    answer = rider.queue.resume(execution, form=typed, by="user:ada")

    assert answer.status == 200
    assert returned(rider.ride(execution), "use").endswith(built)


def test_every_kind_of_the_table_is_one_for_a_step_as_well(rider: Rider) -> None:
    """The lines that the table has for a notebook make the same schema in its kernel."""
    sources = {row.name: row.source for row in rows() if row.is_taken}
    calls = "\n".join(
        f"names = {{'__name__': 'table'}}\nexec({source!r}, names)\nflow.suspend(schema=names['schema'])"
        for source in sources.values()
    )

    view = rider.run(f"%%step ask\n{calls}")

    assert view["state"] == "suspended"
