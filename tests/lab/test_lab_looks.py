"""Light and dark, wide and narrow, by keyboard alone, and named for those who do not see it."""

from typing import Any

import pytest
from axe import found_by_axe
from lab.conftest import Lab, Shoot
from lab.store import fail, suspend
from lab.workflows import Workflows

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.may_rerun("JupyterLab draws, loads and moves the focus in its own time")]

ORDER = {
    "type": "object",
    "title": "Order",
    "required": ["amount", "size", "address"],
    "properties": {
        "amount": {"type": "integer", "minimum": 1, "title": "Amount", "description": "In pieces"},
        "size": {"enum": ["small", "large"], "title": "Size"},
        "gift": {"type": "boolean", "title": "It is a gift", "default": True},
        "day": {"type": "string", "format": "date", "title": "Day of delivery", "not": {"const": "2026-11-22"}},
        "address": {
            "type": "object",
            "title": "Address",
            "required": ["street"],
            "properties": {"street": {"type": "string", "minLength": 1, "title": "Street"}},
        },
        "notes": {"type": "array", "items": {"type": "string"}, "title": "Notes", "default": ["ring twice"]},
    },
}

#: How much wider than the panel is what stands in it.
OVERFLOW = """() => {
  const shown = document.querySelector('.pf-page:not([hidden]) .pf-scroll');
  return shown.scrollWidth - shown.clientWidth;
}"""


@pytest.fixture
def look(still_lab: Lab, page: Any) -> Workflows:
    queue = still_lab.queue()
    if not queue.list(text="looks.ipynb"):
        suspend(
            queue,
            "looks",
            notebook="/work/a-notebook-with-quite-a-long-name-looks.ipynb",
            title="Publish the wine model?",
            message="It is right about 97% of 72 wines.",
            data={"accuracy": 0.972, "wines judged": 72},
            seconds=86400,
        )
    return Workflows(page)


@pytest.mark.thorough
def test_the_panel_fits_however_wide_it_is(still_lab: Lab, look: Workflows) -> None:
    look.open(still_lab)
    look.search("looks.ipynb")
    expect(look.panel.locator(".pf-card")).to_have_count(1)
    for width in (220, 360, 600):
        look.widen(width)
        assert look.page.evaluate(OVERFLOW) <= 0
    look.open_card("a-notebook-with-quite-a-long-name-looks.ipynb")
    for width in (600, 360, 220):
        look.widen(width)
        assert look.page.evaluate(OVERFLOW) <= 0


DRIFT = [
    {
        "name": "price",
        "reason": "100.0 has become 120.0 (20% more); the tolerance is 1%",
        "rows": [{"place": "", "old": "100.0", "new": "120.0", "changed": True}],
        "more": 0,
    },
    {
        "name": "book",
        "reason": "21 of 900 values differ",
        "rows": [
            {
                "place": "bid, row ACME",
                "old": "a text that does not fit beside another one",
                "new": "same",
                "changed": True,
            },
            {"place": "ask, row ACME", "old": "100.2", "new": "100.2", "changed": False},
        ],
        "more": 20,
    },
]


@pytest.mark.thorough
def test_what_has_changed_stands_beside_what_was_shown(still_lab: Lab, page: Any) -> None:
    suspend(still_lab.queue(), "drifted", notebook="/work/drift.ipynb", title="Buy 50 ACME?", drift=DRIFT)
    workflows = Workflows(page).open(still_lab)
    workflows.search("drift.ipynb")
    card = workflows.open_card("drift.ipynb")

    expect(card).to_contain_text("price has changed: 100.0 has become 120.0 (20% more); the tolerance is 1%.")
    expect(card.locator("mark")).to_have_text(["120.0", "same"])
    expect(card.get_by_role("region", name="book: shown and now")).to_contain_text("100.2")
    expect(card).to_contain_text("And 20 more that have changed.")
    for width in (600, 220):
        workflows.widen(width)
        assert page.evaluate(OVERFLOW) <= 0
    assert found_by_axe(page, "#pauseflow-panel") == []


def test_a_schema_becomes_a_form_with_its_problems_beside_the_fields(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    queue = still_lab.queue()
    suspend(queue, "ordered", notebook="/work/order.ipynb", title="What to deliver?", schema=ORDER, seconds=86400)
    workflows = Workflows(page).open(still_lab)
    card = workflows.open_card("order.ipynb")
    # A long form is shown to who wants to answer.
    expect(card.get_by_label("Amount")).to_have_count(0)
    card.get_by_role("button", name="Answer").click()

    card.get_by_label("Amount").fill("1,000")
    card.get_by_role("button", name="Submit").click()
    expect(card.locator(".pf-problem", has_text="must be a whole number")).to_be_visible()
    expect(card.get_by_label("Size")).to_have_attribute("aria-invalid", "true")
    expect(card.get_by_label("Street")).to_have_attribute("aria-invalid", "true")
    expect(card.get_by_label("Amount")).to_be_focused()
    shoot(page, "panel-form-problems")
    card.get_by_label("Amount").fill("1_000")
    card.get_by_label("Size").select_option(label="large")
    card.get_by_label("Day of delivery").fill("2026-11-22")
    card.get_by_label("Street").fill("Elm 1")
    card.get_by_label("Notes").fill("ring twice\nsecond floor")
    card.get_by_role("button", name="Submit").click()

    # What was typed is still there.
    expect(card.get_by_label("Day of delivery")).to_have_attribute("aria-invalid", "true")
    expect(card.locator("[aria-invalid]")).to_have_count(1)
    expect(card.get_by_label("Street")).to_have_value("Elm 1")
    shoot(page, "panel-form-refused")
    assert queue.state("ordered") == "suspended"
    card.get_by_label("Day of delivery").fill("2026-11-23")
    card.get_by_role("button", name="Submit").click()

    expect(card.locator(".pf-state")).to_have_text("Queued")
    assert queue.view("ordered")["steps"]["approve"]["exports"]["$resume_data"]["body"] == {
        "amount": 1000,
        "size": "large",
        "gift": True,
        "day": "2026-11-23",
        "address": {"street": "Elm 1"},
        "notes": ["ring twice", "second floor"],
    }


#: What a schema may be, though nobody would think of it.
NODE = {"$ref": "#/$defs/Node"}
ODD = {
    "type": "object",
    "title": "x" * 300,
    "required": ["a.b", "constructor", "two words", "children"],
    "properties": {
        "a.b": {"type": "integer", "exclusiveMinimum": 0},
        "a": {"type": "object", "properties": {"b": {"type": "string", "description": "Not the one above"}}},
        "constructor": {"type": "string", "pattern": "^[a-zé]+$"},
        "two words": {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "May be none"},
        "__proto__": {"type": "string"},
        "اسم": {"type": "string", "title": "اسم المشروع (v2)!"},
        "pick": {"enum": [f"choice {n} of very many, with quite a long text in it" for n in range(400)]},
        "children": {"type": "array", "items": {"type": "object", "properties": {"x": NODE, "y": NODE, "z": NODE}}},
        "": {"type": "boolean"},
    },
    "$defs": {"Node": {"type": "object", "properties": dict.fromkeys("abcdefgh", NODE)}},
}


@pytest.mark.thorough
def test_the_oddest_schema_is_a_form_that_fits_and_can_be_sent(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    queue = still_lab.queue()
    title = "هل ننشر النموذج (v2)? " + "A title that goes on and on without an end " * 12 + "x" * 200
    suspend(queue, "odd", notebook="/work/odd.ipynb", title=title, message="<b>x</b>" * 40, schema=ODD)
    workflows = Workflows(page).open(still_lab)
    workflows.search("odd.ipynb")
    card = workflows.open_card("odd.ipynb")
    card.get_by_role("button", name="Answer").click()
    expect(card.get_by_label("a.b")).to_be_visible()
    workflows.theme("JupyterLab Dark")
    workflows.widen(220)

    card.get_by_role("button", name="Submit").click()
    expect(card.locator("[aria-invalid]")).to_have_count(2)
    shoot(page, "panel-odd-form")
    assert page.evaluate(OVERFLOW) <= 0
    assert found_by_axe(page, "#pauseflow-panel") == []
    card.get_by_label("a.b").fill("7")
    card.get_by_label("constructor").fill("été")
    card.get_by_label("__proto__").fill("kept")
    card.get_by_role("button", name="Submit").click()

    expect(card.locator(".pf-state")).to_have_text("Queued")
    body = queue.view("odd")["steps"]["approve"]["exports"]["$resume_data"]["body"]
    assert body == {"a.b": 7, "constructor": "été", "two words": None, "__proto__": "kept", "children": [], "": False}


#: Sizes of all text that is shown, below 12 px.
SMALL = """() => [...document.querySelectorAll('#pauseflow-panel *')]
  .filter(each => [...each.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()))
  .filter(each => each.offsetParent !== null && parseFloat(getComputedStyle(each).fontSize) < 12)
  .map(each => `${each.className}: ${each.textContent}`)"""


@pytest.mark.every(2)
@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_axe_finds_nothing_in_the_panel(still_lab: Lab, look: Workflows, shoot: Shoot, theme: str) -> None:
    queue = still_lab.queue()
    name = f"axe {theme.split()[1].lower()}"
    suspend(
        queue, name, notebook="/work/axe.ipynb", schema=ORDER, message="**Look** at `this` [page](https://example.org)"
    )
    if not queue.list(text="axe-failed.ipynb"):
        fail(queue, "axefailed", "/work/axe-failed.ipynb")
    look.open(still_lab)
    look.theme(theme)
    look.search("axe")
    look.panel.get_by_role("button", name="Select").click()
    look.open_card("axe.ipynb").get_by_role("button", name="Answer").click()
    look.open_card("axe.ipynb").get_by_role("button", name="Submit").click()
    expect(look.open_card("axe.ipynb").locator("[aria-invalid]").first).to_be_visible()
    shoot(look.page, f"panel-axe-{name.split()[1]}")
    assert found_by_axe(look.page, "#pauseflow-panel") == []
    assert look.page.evaluate(SMALL) == []

    look.open_card("axe.ipynb").get_by_role("button", name="Details").click()
    expect(look.panel.locator(".pf-details")).to_be_visible()
    shoot(look.page, f"panel-axe-details-{name.split()[1]}")

    assert found_by_axe(look.page, "#pauseflow-panel") == []
    assert look.page.evaluate(SMALL) == []


def test_everything_has_a_name_for_those_who_do_not_see_it(still_lab: Lab, look: Workflows) -> None:
    look.open(still_lab)
    look.search("looks.ipynb")
    expect(look.panel.locator(".pf-card")).to_have_count(1)

    nameless = look.page.evaluate(
        """() => [...document.querySelectorAll('#pauseflow-panel :is(button, input, select, textarea, progress)')]
          .filter(each => !(each.getAttribute('aria-label') || each.textContent.trim() || each.labels?.length))
          .map(each => each.outerHTML)"""
    )

    assert nameless == []
