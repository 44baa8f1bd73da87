"""What happens elsewhere shows at once, and what happened meanwhile is caught up."""

from typing import Any

import pytest
from lab.conftest import Lab, Shoot
from lab.store import suspend
from lab.workflows import Workflows

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.may_rerun("JupyterLab draws, loads and moves the focus in its own time")]


def test_a_change_by_another_process_shows_within_two_hundred_milliseconds(still_lab: Lab, page: Any) -> None:
    """From the commit to the pixels; the best of five, because this machine may be busy."""
    queue = still_lab.queue()
    workflows = Workflows(page).open(still_lab)
    took = []
    for n in range(5):
        name = suspend(queue, f"quick{n}", notebook=f"/work/quick-{n}.ipynb")
        expect(workflows.card(f"quick-{n}.ipynb")).to_be_visible()
        # Let the panel come to rest: while things change quickly it asks at most three times a second.
        page.wait_for_timeout(600)
        page.evaluate(WATCH, name)
        queue.cancel(name, by="user:bob")
        cancelled_at = page.evaluate("Date.now()")
        seen_at = page.evaluate("window.pauseflowSeen")
        took.append(seen_at - cancelled_at)

    assert min(took) < 200, took


#: Notes when a card says that it was cancelled.
WATCH = """name => {
  // It moves to another group then, as another element.
  const card = () => document.querySelector(`[data-pf-id=${name}]`);
  window.pauseflowSeen = new Promise(resolve => {
    const look = () => card()?.dataset.pfState === 'cancelled' ? resolve(Date.now()) : requestAnimationFrame(look);
    look();
  });
}"""


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
