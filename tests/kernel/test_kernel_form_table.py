"""The table of forms, typed into widgets: the notebook gets what the approval page would give it."""

from typing import Any

import pytest
from forms.table import Row, rows
from kernel.by_hand import ByHand, fill, problems, texts
from traitlets import TraitError


@pytest.mark.every(6)
@pytest.mark.parametrize("row", list(rows()), ids=lambda row: row.name)
def test_a_form_of_widgets_answers_as_the_table_says(kernel: Any, row: Row) -> None:
    kernel.run(row.source)
    by_hand = ByHand(kernel)
    buttons = by_hand.ask("flow.suspend(schema=schema)")
    try:
        fill(buttons, row.typed)
    except (ValueError, TraitError):
        pytest.skip("no widget lets anybody type this")
    buttons.buttons["Submit"].click()

    if row.is_taken:
        assert texts(buttons._summary) == ""
        assert kernel.session.test_mode.exports["a"]["$resume_data"]["body"] == row.value
    else:
        assert problems(buttons) == {name for name in row.errors if name != "answer"}
        assert "and nothing was answered" in texts(buttons._summary)
        assert kernel.session.test_mode.waiting is not None
