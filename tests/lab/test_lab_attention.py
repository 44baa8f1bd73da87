"""Notifications, the count on the icon, and what has to be switched on."""

from typing import Any

import pytest
from lab.conftest import Lab, Shoot
from lab.store import suspend
from lab.workflows import Workflows

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [
    pytest.mark.browser,
    pytest.mark.thorough,
    pytest.mark.may_rerun("JupyterLab draws, loads and moves the focus in its own time"),
]


@pytest.fixture
def page(shared_page: Any) -> Any:
    return shared_page


def test_a_notification_approves(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    workflows = Workflows(page).open(still_lab, shows_panel=False)
    queue = still_lab.queue()
    suspend(queue, "notice", notebook="/work/notice.ipynb", title="Send the invoices?")
    toast = workflows.toast("notice.ipynb waits: Send the invoices?")
    expect(toast).to_be_visible()
    shoot(page, "notification")

    toast.get_by_role("button", name="Approve").click()

    expect(toast).to_have_count(0)
    assert queue.view("notice")["state"] == "queued"


def test_a_notification_opens_the_execution(still_lab: Lab, page: Any) -> None:
    workflows = Workflows(page).open(still_lab, shows_panel=False)
    suspend(still_lab.queue(), "openme", notebook="/work/openme.ipynb")

    workflows.toast("openme.ipynb waits").get_by_role("button", name="Open").click()

    expect(workflows.panel.locator(".pf-details")).to_have_attribute("data-pf-id", "openme")


def test_a_notification_goes_when_somebody_else_has_answered(still_lab: Lab, page: Any) -> None:
    workflows = Workflows(page).open(still_lab, shows_panel=False)
    queue = still_lab.queue()
    suspend(queue, "gone", notebook="/work/gone.ipynb")
    toast = workflows.toast("gone.ipynb waits")
    expect(toast).to_be_visible()

    queue.resume("gone", by="user:bob")

    expect(toast).to_have_count(0)


def test_no_notification_appears_while_the_panel_is_seen(still_lab: Lab, page: Any) -> None:
    workflows = Workflows(page).open(still_lab)
    suspend(still_lab.queue(), "seen", notebook="/work/seen.ipynb")
    expect(workflows.card("seen.ipynb")).to_be_visible()

    # The next one is announced, so it is not that this page announces nothing.
    workflows.hide()
    suspend(still_lab.queue(), "unseen", notebook="/work/unseen.ipynb")

    expect(workflows.toast("unseen.ipynb waits")).to_be_visible()
    expect(page.locator(".Toastify__toast")).to_have_count(1)


def test_many_make_one_notification_that_goes_when_the_panel_is_opened(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    workflows = Workflows(page).open(still_lab, shows_panel=False)
    for n in range(4):
        suspend(still_lab.queue(), f"lot{n}", notebook=f"/work/lot-{n}.ipynb")

    expect(workflows.toast("4 workflows wait for an answer")).to_be_visible()
    expect(page.locator(".Toastify__toast")).to_have_count(1)
    shoot(page, "notification-many")
    workflows.show()

    expect(page.locator(".Toastify__toast")).to_have_count(0)


def test_a_notification_goes_by_itself(still_lab: Lab, page: Any) -> None:
    workflows = Workflows(page).open(still_lab, shows_panel=False)
    suspend(still_lab.queue(), "brief", notebook="/work/brief.ipynb")
    expect(workflows.toast("brief.ipynb waits")).to_be_visible()

    expect(page.locator(".Toastify__toast")).to_have_count(0, timeout=20_000)


def test_the_icon_counts_and_the_title_only_if_asked_to(still_lab: Lab, page: Any) -> None:
    suspend(still_lab.queue(), "counted", notebook="/work/counted.ipynb")
    workflows = Workflows(page).open(still_lab)
    expect(workflows.count()).to_be_visible()
    assert not page.title().startswith("(")

    workflows.set("browserTitle", value=True)
    page.wait_for_function("() => /^\\(\\d+\\) /.test(document.title)")
    workflows.set("browserTitle", value=False)

    page.wait_for_function("() => !document.title.startsWith('(')")


#: Keeps what the browser shows by the means of the operating system.
TELL = """
window.told = [];
window.Notification = class extends window.Notification {
  constructor(title, more) {
    super(title, more);
    this.addEventListener('show', () => window.told.push(this));
  }
};
"""


def test_the_operating_system_is_told_only_if_asked_to(still_lab: Lab, whole_page: Any) -> None:
    page = whole_page
    queue = still_lab.queue()
    page.context.grant_permissions(["notifications"])
    page.add_init_script(TELL)
    workflows = Workflows(page).open(still_lab, shows_panel=False)
    suspend(queue, "untold", notebook="/work/untold.ipynb")
    expect(workflows.toast("untold.ipynb waits")).to_be_visible()
    assert page.evaluate("window.told") == []

    workflows.set("desktop", value=True)
    suspend(queue, "told", notebook="/work/told.ipynb", title="Ship it?")
    page.wait_for_function("() => window.told.length > 0")

    assert page.evaluate("window.told.map(notice => [notice.title, notice.body])") == [["told.ipynb", "Ship it?"]]
    page.evaluate("window.told[0].dispatchEvent(new Event('click'))")
    expect(workflows.panel.locator(".pf-details")).to_have_attribute("data-pf-id", "told")
    workflows.set("desktop", value=False)
