"""The table of forms through the panel: each row is typed into its form, and sent with its button."""

import json
from pathlib import Path
from typing import Any

import pytest
from forms.table import Row, rows
from lab.conftest import Lab
from lab.store import suspend
from lab.workflows import Workflows

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.may_rerun("JupyterLab draws, loads and moves the focus in its own time")]

TYPIST = (Path(__file__).parent / "typist.js").read_text(encoding="utf-8")

#: How many of the rows are tried in each run of the tests; the others are slow.
SLICE = 10


@pytest.mark.thorough
def test_a_slice_of_the_table_is_answered_in_the_panel(still_lab: Lab, page: Any) -> None:
    _answer(still_lab, page, list(rows())[::SLICE])


@pytest.mark.slow
def test_the_whole_table_is_answered_in_the_panel(still_lab: Lab, page: Any) -> None:
    _answer(still_lab, page, list(rows()))


def test_opening_a_form_whose_fields_all_have_defaults_sends_no_answer(still_lab: Lab, page: Any) -> None:
    queue = still_lab.queue()
    fields = {name: {"type": "integer", "default": 1} for name in ("trees", "depth", "leaves")}
    name = suspend(queue, None, notebook="/work/defaults.ipynb", schema={"type": "object", "properties": fields})
    card = Workflows(page).open(still_lab).open_card("defaults.ipynb")

    card.get_by_role("button", name="Answer …").click()

    # What the click could have sent is sent before this second answer is, which says whether it came first.
    card.get_by_label("Trees").fill("7")
    card.get_by_role("button", name="Submit").click()
    page.wait_for_function("name => !document.querySelector(`[data-pf-id='${name}'] form`)", arg=name)
    assert queue.view(name)["steps"]["approve"]["exports"]["$resume_data"]["body"]["trees"] == 7


def _answer(lab: Lab, page: Any, table: list[Row]) -> None:
    queue = lab.queue()
    Workflows(page).open(lab)
    page.evaluate(TYPIST)
    wrong = []
    left_out = []
    for row in table:
        name = suspend(queue, None, notebook="/work/table.ipynb", schema=row.schema)
        response = page.evaluate("([execution, typed]) => window.answer(execution, typed)", [name, row.typed])
        if response["cannot"]:
            # A browser's own inputs refuse what they cannot hold: a date that is none, a choice that is not offered.
            left_out.append(row.name)
        elif row.is_taken:
            body = queue.view(name)["steps"]["approve"]["exports"].get("$resume_data", {}).get("body")
            if json.dumps(body) != json.dumps(row.value):
                wrong.append(f"{row.name}: {json.dumps(body)} and not {json.dumps(row.value)}; {response['problems']}")
        elif set(response["problems"]) != set(row.errors):
            wrong.append(f"{row.name}: said beside {response['problems']} and not {row.errors}")

    assert wrong == []
    assert len(left_out) < len(table) / 5, left_out
