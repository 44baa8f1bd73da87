"""Every row of the table of forms: what is read from the texts, and what pydantic itself says of the answer."""

import json
from typing import Any

import pytest
from forms.table import Row, rows
from pydantic import ValidationError

from pauseflow_nb.errors import InvalidAnswer
from pauseflow_nb.forms.codec import read_form
from pauseflow_nb.forms.controls import draw
from pauseflow_nb.forms.schema import find_errors

ROWS = [pytest.param(row, id=row.name) for row in rows()]


def test_the_table_is_large_enough_to_mean_something() -> None:
    assert len(ROWS) >= 150


def inputs_with_errors(row: Row) -> list[str]:
    """The inputs beside which something is said."""
    reading = read_form(row.schema, row.entries)
    return sorted(reading.beside(reading.merge(find_errors(row.schema, reading.value))))


# To collect and to report a test takes longer than most rows: each row is one test, which asks all that is to be asked.
@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_read_judged_and_drawn_again(row: Row) -> None:
    what_is_typed_is_read_as_the_row_says(row)
    if row.python is not None:
        pydantic_says_the_same_of_the_answer(row)
    a_form_that_is_drawn_again_holds_what_was_typed(row)


def what_is_typed_is_read_as_the_row_says(row: Row) -> None:
    if row.is_taken:
        reading = read_form(row.schema, row.entries)

        assert (inputs_with_errors(row), json.dumps(reading.value)) == ([], json.dumps(row.value))
        # And taken as JSON, too.
        assert find_errors(row.schema, row.value) == []
    else:
        assert inputs_with_errors(row) == sorted(row.errors)


def pydantic_says_the_same_of_the_answer(row: Row) -> None:
    """The kind itself is the judge: what is taken is an instance, what is refused is none as it was typed."""
    if row.is_taken:
        row.form.build(row.value)
        return
    reading = read_form(row.schema, row.entries)
    if row.stricter:
        row.form.build(reading.value)
        return
    with pytest.raises((ValidationError, InvalidAnswer)):
        row.form.build(reading.value)


def a_form_that_is_drawn_again_holds_what_was_typed(row: Row) -> None:
    drawn: dict[str, list[str]] = {}
    for control in draw(row.schema, row.entries).walk():
        if control.kind not in ("object", "rows", "choice", "choices"):
            drawn[control.name] = control.texts

    typed: Any = {name: [text for text in texts if text] for name, texts in row.typed.items() if name in drawn}
    assert {name: [text for text in drawn.get(name, []) if text] for name in typed} == typed
