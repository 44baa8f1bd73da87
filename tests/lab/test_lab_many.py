"""Ten thousand executions, none at all, and none that can be shown."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from lab.conftest import Lab, Shoot
from lab.store import fill, suspend
from lab.workflows import Workflows

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [
    pytest.mark.browser,
    pytest.mark.thorough,
    pytest.mark.may_rerun("JupyterLab draws, loads and moves the focus in its own time"),
]


def test_ten_thousand_are_paged_filtered_and_searched(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    fill(still_lab.queue(), 10_000)
    workflows = Workflows(page).open(still_lab)
    cards = workflows.group("Done").locator(".pf-card")
    expect(cards).to_have_count(25)
    older = workflows.panel.get_by_role("button", name="Older")

    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    for page_number in range(1, 5):
        older.click()
        expect(workflows.panel.locator(".pf-pages")).to_contain_text(f"{page_number * 25 + 1}–{page_number * 25 + 25}")  # noqa: RUF001
    # One request for each page, and each for one page of rows.
    queries = [parse_qs(urlsplit(url).query) for url in requests if "/api/executions?" in url]
    assert [(*query["offset"], *query["limit"]) for query in queries if query["offset"] != ["0"]] == [
        ("25", "25"),
        ("50", "25"),
        ("75", "25"),
        ("100", "25"),
    ]
    shoot(page, "panel-ten-thousand")

    workflows.panel.get_by_label("Filter by state").select_option("failed")
    expect(workflows.panel.locator(".pf-card[data-pf-state=failed]")).to_have_count(25)
    workflows.panel.get_by_label("Filter by state").select_option("all")
    workflows.search("many009999")
    expect(cards).to_have_count(1)
    workflows.search("no such notebook")
    expect(workflows.panel).to_contain_text("No execution matches")
    shoot(page, "panel-no-match")
    workflows.panel.get_by_role("button", name="Show all").click()
    expect(cards).to_have_count(25)


def test_an_empty_store_says_what_to_do(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    page.route(
        "**/pauseflow/api/executions?*", lambda route: route.fulfill(json={"executions": [], "next_offset": None})
    )
    workflows = Workflows(page).open(still_lab)

    expect(workflows.panel).to_contain_text("Nothing has run yet")
    expect(workflows.panel.get_by_role("button", name="Run as workflow")).to_be_disabled()
    shoot(page, "panel-empty")


def test_a_store_out_of_reach_is_said_with_a_way_out(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    text = "the store cannot be used: another process keeps it locked"
    suspend(still_lab.queue(), "reached", notebook="/work/reached.ipynb")
    # Without events the panel does not look again by itself, so that it is the button that brings the list.
    page.route_web_socket("**/api/events/subscribe", lambda socket: None)
    page.route("**/pauseflow/api/executions?*", lambda route: route.fulfill(status=503, json={"error": text}))
    workflows = Workflows(page).open(still_lab)
    expect(workflows.panel.get_by_role("alert")).to_contain_text(text)
    shoot(page, "panel-error")

    page.unroute("**/pauseflow/api/executions?*")
    workflows.panel.get_by_role("button", name="Try again").click()

    expect(workflows.card("reached.ipynb")).to_be_visible()
    expect(workflows.panel.get_by_role("alert")).to_have_count(0)


def test_waiting_for_the_server_shows_that_something_comes(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    page.route("**/pauseflow/api/executions?*", lambda route: None)
    workflows = Workflows(page).open(still_lab)

    expect(workflows.panel.get_by_role("status", name="Loading executions")).to_be_visible()
    shoot(page, "panel-loading")
    page.unroute_all(behavior="ignoreErrors")
