"""Everything in the panel by keyboard alone, also while rows come, go, and move to another group."""

from collections.abc import Iterator
from typing import Any

import pytest
from evidence import watch
from lab.conftest import Lab, open_tab, running
from lab.store import fail, start, suspend
from lab.workflows import Workflows

from pauseflow_nb.engine.queue import Queue

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.thorough]


@pytest.fixture(scope="module")
def opened(labs: dict[bool, Lab], browser: Any, request: pytest.FixtureRequest) -> Iterator[Workflows]:
    """JupyterLab in one tab for all of these tests: to load it takes longer than each of them."""
    for page in open_tab(browser, request.node):
        yield Workflows(page).open(running(labs[False]))


@pytest.fixture
def workflows(opened: Workflows, request: pytest.FixtureRequest) -> Workflows:
    watch(request.node, opened.page)
    opened.show()
    opened.panel.get_by_label("Filter by state").select_option("all")
    return opened


def test_everything_can_be_reached_and_used_by_keyboard(still_lab: Lab, workflows: Workflows) -> None:
    suspend(
        still_lab.queue(),
        "keys",
        notebook="/work/keys.ipynb",
        title="Publish?",
        message="It is **right**.",
        seconds=86400,
    )
    workflows.search("keys.ipynb")
    expect(workflows.panel.locator(".pf-card")).to_have_count(1)

    workflows.panel.get_by_label("Search notebook or id").focus()
    assert tab_through(workflows.page, 2) == ["Filter by state", "keys.ipynb"]
    workflows.page.keyboard.press("Enter")
    expect(workflows.panel.get_by_role("button", name="Approve")).to_be_visible()
    # JupyterLab renders Markdown in its own time.
    expect(workflows.panel.locator(".pf-card")).to_contain_text("It is right.")
    assert tab_through(workflows.page, 6) == [
        "It is right.",
        "See the outputs so far",
        "Approve",
        "Cancel the run",
        "Add a comment …",
        "Copy approval link",
    ]


def tab_through(page: Any, count: int) -> list[str]:
    """Press Tab; give the names of what is focused then."""
    reached = []
    for _ in range(count):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim()"
            )
        )
    return reached


def test_arrow_keys_lead_from_row_to_row_across_groups(still_lab: Lab, workflows: Workflows) -> None:
    queue = still_lab.queue()
    listed(queue, "arrow", workflows)
    fail(queue, "arrowfailed", "/work/arrow-4.ipynb")
    expect(workflows.panel.locator(".pf-card")).to_have_count(4)

    workflows.row("arrow-3.ipynb").focus()
    workflows.page.keyboard.press("ArrowDown")
    expect(workflows.row("arrow-2.ipynb")).to_be_focused()
    workflows.page.keyboard.press("ArrowDown")
    workflows.page.keyboard.press("ArrowDown")
    expect(workflows.row("arrow-4.ipynb")).to_be_focused()
    workflows.page.keyboard.press("ArrowDown")
    expect(workflows.row("arrow-4.ipynb")).to_be_focused()
    workflows.page.keyboard.press("ArrowUp")
    workflows.page.keyboard.press("Enter")

    expect(workflows.card("arrow-1.ipynb").get_by_role("button", name="Approve")).to_be_visible()


def test_arrow_keys_lead_on_while_rows_come_and_change(still_lab: Lab, workflows: Workflows) -> None:
    queue = still_lab.queue()
    listed(queue, "busy", workflows)

    workflows.row("busy-3.ipynb").focus()
    workflows.page.keyboard.press("ArrowDown")
    suspend(queue, "busy4", notebook="/work/busy-4.ipynb")
    workflows.page.keyboard.press("ArrowDown")
    expect(workflows.row("busy-1.ipynb")).to_be_focused()
    expect(workflows.row("busy-4.ipynb")).to_be_visible()
    workflows.page.keyboard.press("ArrowUp")
    start(queue, "busy2")
    expect(workflows.group("Running")).to_contain_text("busy-2.ipynb")
    expect(workflows.row("busy-2.ipynb")).to_be_focused()
    workflows.page.keyboard.press("ArrowUp")
    expect(workflows.row("busy-1.ipynb")).to_be_focused()
    # Keys that are pressed while the panel is drawn anew always lead to a row.
    for n in (1, 3, 4):
        start(queue, f"busy{n}")
        for key in ("ArrowUp", "ArrowDown", "ArrowUp"):
            workflows.page.keyboard.press(key)
            assert workflows.page.evaluate("document.activeElement.matches('.pf-name[aria-expanded]')")
    expect(workflows.group("Needs you")).to_have_count(0)

    expect(workflows.panel.locator(".pf-name[aria-expanded]:focus")).to_have_count(1)


def test_the_focus_stays_with_a_row_wherever_it_goes(still_lab: Lab, workflows: Workflows) -> None:
    queue = still_lab.queue()
    listed(queue, "stay", workflows)

    workflows.row("stay-2.ipynb").focus()
    start(queue, "stay2")
    expect(workflows.group("Running")).to_contain_text("stay-2.ipynb")
    expect(workflows.row("stay-2.ipynb")).to_be_focused()
    queue.cancel("stay2", by="user:bob")
    expect(workflows.group("Done")).to_contain_text("stay-2.ipynb")
    expect(workflows.row("stay-2.ipynb")).to_be_focused()

    # Where a row disappears, its neighbour has the focus.
    workflows.panel.get_by_label("Filter by state").select_option("asking")
    workflows.row("stay-3.ipynb").focus()
    queue.cancel("stay3", by="user:bob")
    expect(workflows.row("stay-1.ipynb")).to_be_focused()
    queue.cancel("stay1", by="user:bob")
    expect(workflows.panel).to_contain_text("No execution matches")
    expect(workflows.panel.get_by_role("button", name="Show all")).to_be_focused()


def test_what_is_typed_goes_on_while_other_rows_change(still_lab: Lab, workflows: Workflows) -> None:
    queue = still_lab.queue()
    listed(queue, "typed", workflows)
    card = workflows.open_card("typed-2.ipynb")
    card.get_by_role("button", name="Add a comment").press("Enter")

    card.get_by_role("textbox", name="Comment").press_sequentially("good ")
    start(queue, "typed3")
    card.get_by_role("textbox", name="Comment").press_sequentially("enough ")
    expect(workflows.group("Running")).to_contain_text("typed-3.ipynb")
    expect(card.get_by_role("textbox", name="Comment")).to_be_focused()
    workflows.page.keyboard.type("for us")

    expect(card.get_by_role("textbox", name="Comment")).to_have_value("good enough for us")


def test_an_answer_by_keyboard_leaves_the_focus_on_its_row(still_lab: Lab, workflows: Workflows) -> None:
    queue = still_lab.queue()
    listed(queue, "answer", workflows)

    workflows.row("answer-2.ipynb").press("Enter")
    workflows.card("answer-2.ipynb").get_by_role("button", name="Approve").press("Enter")
    expect(workflows.group("Running")).to_contain_text("answer-2.ipynb")
    expect(workflows.row("answer-2.ipynb")).to_be_focused()

    # What is refused leaves it on the button.
    workflows.row("answer-1.ipynb").press("Enter")
    button = workflows.card("answer-1.ipynb").get_by_role("button", name="Approve")
    workflows.page.route("**/resume*", lambda route: route.fulfill(status=503, json={"error": "the store is away"}))
    button.press("Enter")
    expect(workflows.card("answer-1.ipynb")).to_contain_text("the store is away")
    expect(button).to_be_focused()
    workflows.page.unroute("**/resume*")


def test_details_have_the_focus_and_give_it_back(still_lab: Lab, workflows: Workflows) -> None:
    listed(still_lab.queue(), "back", workflows)
    workflows.row("back-2.ipynb").press("Enter")

    workflows.card("back-2.ipynb").get_by_role("button", name="Details").press("Enter")
    expect(workflows.panel.locator(".pf-details")).to_be_visible()
    expect(workflows.panel.get_by_role("button", name="All workflows")).to_be_focused()
    workflows.page.keyboard.press("Enter")
    expect(workflows.row("back-2.ipynb")).to_be_focused()


def test_the_command_that_shows_the_panel_gives_it_the_focus(workflows: Workflows) -> None:
    workflows.hide()
    workflows.show()

    expect(workflows.panel.get_by_label("Search notebook or id")).to_be_focused()
    workflows.hide()
    workflows.command("pauseflow:show-workflows", keepsFocus=True)
    workflows.panel.locator("h2").wait_for()
    assert not workflows.page.evaluate("document.getElementById('pauseflow-panel').contains(document.activeElement)")


def listed(queue: Queue, name: str, workflows: Workflows) -> None:
    """Let three executions wait, and list only these: the third stands first."""
    for n in (1, 2, 3):
        suspend(queue, f"{name}{n}", notebook=f"/work/{name}-{n}.ipynb")
    workflows.search(f"{name}-")
    expect(workflows.panel.locator(".pf-card")).to_have_count(3)
