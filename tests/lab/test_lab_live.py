"""What happens elsewhere shows at once, and what happened meanwhile is caught up."""

from collections import Counter
from typing import Any

import pytest
from lab.conftest import Lab, Shoot
from lab.store import suspend
from lab.workflows import Workflows

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.may_rerun("JupyterLab draws, loads and moves the focus in its own time")]


@pytest.mark.thorough
def test_a_change_by_another_process_shows_without_asking_again_and_again(still_lab: Lab, page: Any) -> None:
    queue = still_lab.queue()
    workflows = Workflows(page).open(still_lab)
    name = suspend(queue, "quick", notebook="/work/quick.ipynb")
    expect(workflows.card("quick.ipynb")).to_be_visible()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(unstamped(request.url)))
    queue.cancel(name, by="user:bob")

    expect(workflows.card("quick.ipynb").locator(".pf-state")).to_have_text("Cancelled")
    # The three groups and the triggers: once for this change, and perhaps once for the one before.
    assert 0 < max(Counter(requests).values()) <= 2, requests


def unstamped(url: str) -> str:
    """The URL without what keeps browsers from answering it themselves."""
    return url.rpartition("&")[0] or url.partition("?")[0]


@pytest.mark.thorough
def test_a_server_that_restarts_is_caught_up_with(own_lab: Lab, page: Any, shoot: Shoot) -> None:
    queue = own_lab.queue()
    suspend(queue, "before", notebook="/work/before.ipynb")
    workflows = Workflows(page).open(own_lab)
    expect(workflows.card("before.ipynb")).to_be_visible()

    own_lab.stop()
    queue.cancel("before", by="user:bob")
    suspend(queue, "meanwhile", notebook="/work/meanwhile.ipynb")
    expect(workflows.panel).to_contain_text("The server is not heard", timeout=30_000)
    shoot(page, "panel-unheard")
    own_lab.start()

    expect(workflows.card("before.ipynb").locator(".pf-state")).to_have_text("Cancelled", timeout=30_000)
    expect(workflows.card("meanwhile.ipynb")).to_be_visible()
    expect(workflows.panel).not_to_contain_text("The server is not heard")
    shoot(page, "panel-caught-up")
