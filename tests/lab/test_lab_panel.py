"""Approve, cancel and look, in the panel "Workflows"."""

import re
import secrets
from dataclasses import asdict
from typing import Any

import pytest
from lab.conftest import APPROVE, Lab, Shoot
from lab.store import fail, suspend
from lab.workflows import Workflows

from pauseflow_nb.protocol import Loss, Unsaved

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.may_rerun("JupyterLab draws, loads and moves the focus in its own time")]

#: Starting kernels on a busy machine.
LONG = 40_000


@pytest.fixture
def page(shared_page: Any) -> Any:
    return shared_page


def test_a_notebook_runs_asks_and_goes_on_after_approve(lab: Lab, page: Any, shoot: Shoot) -> None:
    lab.notebook("wine.ipynb", "1 + 1", APPROVE, "done = trees", parameters="trees = 200  # how many\nname = 'wine'")
    workflows = Workflows(page).open(lab, "wine.ipynb")
    page.locator(".jp-CodeCell").first.wait_for()

    page.get_by_role("button", name="Run this notebook as a workflow").click()
    page.locator(".jp-Dialog").get_by_label("trees").fill("7")
    shoot(page, "run-dialog")
    page.locator(".jp-Dialog").get_by_role("button", name="Run").click()
    card = workflows.open_card("wine.ipynb")
    expect(card).to_contain_text("Publish the model?", timeout=LONG)
    expect(card).to_contain_text("trees = 7")
    expect(card).to_contain_text("Without an answer the run is cancelled: 23 h 59 min left")
    expect(card).to_contain_text("“Approve” lets the run continue. “Cancel the run” ends it.")
    expect(workflows.count()).to_have_attribute("data-pf-count", re.compile(r"\d+"))
    shoot(page, "panel-waiting")
    card.get_by_role("button", name="Approve").click()
    expect(card.locator(".pf-state")).to_have_text("Completed", timeout=LONG)
    shoot(page, "panel-completed")

    card.get_by_role("button", name="Details").click()
    details = workflows.panel.locator(".pf-details")
    expect(details.get_by_role("region", name="Audit trail")).to_contain_text("approve: Approved by")
    steps = details.get_by_role("region", name="Steps")
    expect(steps).to_contain_text(re.compile(r"approve ?Finished"))
    expect(steps).to_contain_text(re.compile(r"ran .* s · waited .* s"))
    expect(steps.locator(".pf-bar[data-pf-bar=wait]").nth(1)).to_be_attached()
    shoot(page, "panel-details")
    workflows.panel.get_by_role("button", name="All workflows").click()
    expect(card).to_be_visible()


def test_an_answer_with_data_reaches_the_notebook(lab: Lab, page: Any) -> None:
    use = "%%step use\nfrom pauseflow_nb import flow, steps\nflow.export('said', steps.approve.data)"
    lab.notebook("data.ipynb", APPROVE, use)
    workflows = Workflows(page).open(lab, "data.ipynb")
    page.locator(".jp-CodeCell").first.wait_for()
    workflows.run_open_notebook()
    card = workflows.open_card("data.ipynb")
    card.get_by_role("button", name="Add a comment").click(timeout=LONG)

    card.get_by_label("Data as JSON").fill("{comment: fine}")
    card.get_by_role("button", name="Approve").click()
    expect(card.get_by_label("Data as JSON")).to_have_attribute("aria-invalid", "true")
    card.get_by_label("Data as JSON").fill('{"comment": "fine"}')
    card.get_by_role("button", name="Approve").click()

    expect(card.locator(".pf-state")).to_have_text("Completed", timeout=LONG)
    [execution] = [each for each in lab.queue().list() if each["notebook"].endswith("/data.ipynb")]
    assert execution["steps"]["use"]["exports"]["said"] == {"comment": "fine"}


def test_a_typed_comment_is_what_the_notebook_gets(still_lab: Lab, page: Any) -> None:
    queue = still_lab.queue()
    suspend(queue, "comment", notebook="/work/comment.ipynb")
    card = Workflows(page).open(still_lab).open_card("comment.ipynb")

    card.get_by_role("button", name="Add a comment").click()
    card.get_by_role("textbox", name="Comment").fill("looks good")
    card.get_by_role("button", name="Approve").click()

    expect(card.locator(".pf-state")).to_have_text("Queued")
    resumed = queue.view("comment")["steps"]["approve"]["exports"]["$resume_data"]
    assert resumed["body"] == {"comment": "looks good"}


def test_the_author_names_the_buttons(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    suspend(
        still_lab.queue(), "labels", notebook="/work/labels.ipynb", labels={"resume": "Ship it", "cancel": "Stop here"}
    )
    card = Workflows(page).open(still_lab).open_card("labels.ipynb")

    expect(card).to_contain_text("“Ship it” lets the run continue. “Stop here” ends it.")
    shoot(page, "panel-labels")
    card.get_by_role("button", name="Stop here").click()
    page.locator(".jp-Dialog").get_by_role("button", name="Stop here").click()

    expect(card.locator(".pf-state")).to_have_text("Cancelled")


def test_a_question_with_a_schema_is_submitted_and_not_approved(still_lab: Lab, page: Any) -> None:
    schema = {"type": "object", "properties": {"approved": {"type": "boolean", "title": "Approved"}}}
    suspend(still_lab.queue(), "submit", notebook="/work/labelled.ipynb", schema=schema)
    card = Workflows(page).open(still_lab).open_card("labelled.ipynb")

    expect(card.get_by_role("button", name="Submit")).to_be_visible()
    expect(card.get_by_role("button", name="Approve")).to_have_count(0)


def test_those_who_may_not_answer_see_why(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    suspend(still_lab.queue(), "closed", notebook="/work/closed.ipynb", approvers=["bob", "eve"])
    card = Workflows(page).open(still_lab).open_card("closed.ipynb")

    expect(card.get_by_role("button", name="Approve")).to_be_disabled()
    expect(card.get_by_role("button", name="Cancel the run")).to_be_disabled()
    expect(card).to_contain_text("may not answer, only bob, eve")
    shoot(page, "panel-may-not")


def test_a_message_is_markdown_and_runs_no_script(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    message = (
        "Right about **97%** of [72 wines](https://example.org).\n\n"
        "| region | wines | right | wrong | share | note |\n|---|---|---|---|---|---|\n"
        f"| Rhein | 40 | 39 | 1 | 97.5% | {'x' * 200} |\n\n"
        "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 2'>"
    )
    suspend(
        still_lab.queue(),
        "markdown",
        notebook="/work/markdown.ipynb",
        message=message,
        data={"rows": [{"region": "Rhein", "wines": 40, "note": "y" * 300}]},
    )
    workflows = Workflows(page).open(still_lab)
    card = workflows.open_card("markdown.ipynb")

    expect(card.locator(".pf-message strong")).to_have_text("97%")
    expect(card.locator(".pf-message td").first).to_have_text("Rhein")
    wide = card.locator(".pf-message")
    assert wide.evaluate("node => node.scrollWidth > node.clientWidth")
    assert page.evaluate("window.hacked") is None
    shoot(page, "panel-markdown")


def test_cancel_asks_why_and_says_so(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    suspend(still_lab.queue(), "cancelme", notebook="/work/cancelme.ipynb")
    workflows = Workflows(page).open(still_lab)
    card = workflows.open_card("cancelme.ipynb")

    card.get_by_role("button", name="Cancel the run").click()
    page.locator(".jp-Dialog input").fill("not needed any more")
    page.locator(".jp-Dialog").get_by_role("button", name="Cancel the run").click()

    expect(card.locator(".pf-state")).to_have_text("Cancelled")
    expect(card).to_contain_text("not needed any more")
    shoot(page, "panel-cancelled")


@pytest.mark.thorough
def test_what_failed_says_why_and_can_be_retried(lab: Lab, page: Any, shoot: Shoot) -> None:
    lab.notebook(
        "flaky.ipynb",
        "from pathlib import Path",
        "%%step risky\nassert Path('repaired').exists(), 'not repaired yet'",
    )
    workflows = Workflows(page).open(lab, "flaky.ipynb")
    page.locator(".jp-CodeCell").first.wait_for()
    workflows.run_open_notebook()
    card = workflows.open_card("flaky.ipynb")

    expect(card).to_contain_text("Step risky: AssertionError: not repaired yet", timeout=LONG)
    expect(page.locator(".pf-badge")).to_have_text("risky · failed")
    shoot(page, "panel-failed")
    (lab.root / "repaired").touch()
    card.get_by_role("button", name="Retry from the last checkpoint").click()

    expect(card.locator(".pf-state")).to_have_text("Completed", timeout=LONG)


@pytest.mark.thorough
def test_an_execution_that_failed_goes_on_with_the_notebook_as_it_was_corrected(
    lab: Lab, page: Any, shoot: Shoot
) -> None:
    first = "%%step first\nfrom pathlib import Path\nPath('begins').open('a').write('x')"
    lab.notebook("typo.ipynb", first, "%%step wrong\nprnt('right')")
    workflows = Workflows(page).open(lab, "typo.ipynb")
    page.locator(".jp-CodeCell").first.wait_for()
    workflows.run_open_notebook()
    card = workflows.open_card("typo.ipynb")
    expect(card.locator(".pf-state")).to_have_text("Failed", timeout=LONG)
    page.locator(".jp-CodeCell .cm-content").nth(1).click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Shift+Home")
    page.keyboard.type("print('right')")

    card.get_by_role("button", name="Retry with the notebook as it is now").click()
    shoot(page, "panel-retry-edited")
    page.locator(".jp-Dialog").get_by_role("button", name="Run again").click()

    expect(card.locator(".pf-state")).to_have_text("Completed", timeout=LONG)
    assert (lab.root / "begins").read_text() == "x"
    assert "print('right')" in (lab.root / "typo.ipynb").read_text()


def test_executions_are_rows_in_groups_and_open_on_demand(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    queue = still_lab.queue()
    suspend(queue, "rowsask", notebook="/work/rows-ask.ipynb", title="Ship it?", seconds=5 * 3600 + 60)
    suspend(queue, "rowspoll", notebook="/work/rows-poll.ipynb", kind="rerun", on_timeout="resume", seconds=90_000)
    fail(queue, secrets.token_hex(5), "/work/rows-failed.ipynb")
    workflows = Workflows(page).open(still_lab)
    workflows.search("rows-")
    expect(workflows.panel.locator(".pf-card")).to_have_count(3)

    asking = workflows.card("rows-ask.ipynb")
    expect(workflows.group("Needs you")).to_contain_text("rows-ask.ipynb")
    expect(asking).to_contain_text(re.compile("Ship it\\?.*5 h left.*Suspended"))
    expect(asking.get_by_role("button", name="Approve")).to_have_count(0)
    expect(workflows.group("Done")).to_contain_text("Step approve: ValueError: no wine")
    shoot(page, "panel-rows")
    asking.locator(".pf-about").click()
    asking.get_by_role("button", name="Add a comment").click()
    asking.get_by_role("textbox", name="Comment").fill("not yet sent")
    asking.get_by_role("button", name="rows-ask.ipynb").click()
    expect(asking.get_by_role("textbox", name="Comment")).to_be_hidden()
    asking.get_by_role("button", name="rows-ask.ipynb").click()
    expect(asking.get_by_role("textbox", name="Comment")).to_have_value("not yet sent")
    asking.get_by_role("button", name="Approve").click()

    expect(workflows.group("Running")).to_contain_text("rows-ask.ipynb")
    expect(workflows.group("Needs you")).to_have_count(0)


@pytest.mark.thorough
def test_what_has_ended_runs_again_from_a_step(lab: Lab, page: Any, shoot: Shoot) -> None:
    count = "%%step count\nfrom pathlib import Path\nwith Path('counted').open('a') as file:\n    file.write('x')"
    lab.notebook("again.ipynb", "%%step first\nfrom pathlib import Path\nPath('firsts').open('a').write('x')", count)
    workflows = Workflows(page).open(lab, "again.ipynb")
    page.locator(".jp-CodeCell").first.wait_for()
    workflows.run_open_notebook()
    card = workflows.open_card("again.ipynb")
    expect(card.locator(".pf-state")).to_have_text("Completed", timeout=LONG)
    card.get_by_role("button", name="Details").click()

    workflows.panel.get_by_role("button", name="Retry from step count").click()
    page.locator(".jp-Dialog").get_by_role("button", name="Run again").click()

    details = workflows.panel.locator(".pf-details")
    expect(details.locator(".pf-state").first).to_have_text("Completed", timeout=LONG)
    count = details.locator(".pf-step", has=page.get_by_text("count", exact=True))
    expect(count).to_contain_text("2 attempts", timeout=LONG)
    shoot(page, "panel-retried")
    assert ((lab.root / "firsts").read_text(), (lab.root / "counted").read_text()) == ("x", "xx")


def test_several_are_answered_at_once(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    queue = still_lab.queue()
    names = [suspend(queue, f"bulk{n}", notebook=f"/work/bulk-{n}.ipynb", title=f"Ship lot {n}?") for n in range(3)]
    workflows = Workflows(page).open(still_lab)
    workflows.search("bulk-")
    expect(workflows.panel.locator(".pf-card")).to_have_count(3)

    workflows.panel.get_by_role("button", name="Select").click()
    for n in range(2):
        workflows.panel.get_by_role("checkbox", name=f"Choose bulk-{n}.ipynb").check()
    shoot(page, "panel-bulk")
    expect(workflows.panel.get_by_role("button", name="Cancel 2 runs")).to_be_visible()
    workflows.panel.get_by_role("button", name="Approve 2").click()

    expect(workflows.card("bulk-0.ipynb").locator(".pf-state")).to_have_text("Queued")
    expect(workflows.card("bulk-1.ipynb").locator(".pf-state")).to_have_text("Queued")
    assert [queue.view(name)["state"] for name in names] == ["queued", "queued", "suspended"]


@pytest.mark.thorough
def test_that_its_kernel_is_kept_is_said_in_list_and_details(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    lock = asdict(Unsaved("lock", "_thread.lock", "a lock belongs to this process"))
    suspend(still_lab.queue(), "bound", notebook="/work/bound.ipynb", bound=[lock])
    workflows = Workflows(page).open(still_lab)
    card = workflows.open_card("bound.ipynb")
    text = "It keeps its kernel: later cells need lock, which cannot be saved. If the worker restarts, it fails."

    expect(card.locator(".pf-bound")).to_have_text(text)
    shoot(page, "panel-kernel-bound")
    card.get_by_role("button", name="Details").click()
    expect(workflows.panel.locator(".pf-details .pf-bound")).to_have_text(text)


def test_what_did_not_come_back_is_said_in_list_and_details(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    loss = Loss("budget", "helper.Budget", "AttributeError: no Budget in helper")
    suspend(still_lab.queue(), "losses", notebook="/work/losses.ipynb", title="Go on?", losses=[asdict(loss)])
    workflows = Workflows(page).open(still_lab)
    workflows.search("losses.ipynb")
    card = workflows.open_card("losses.ipynb")

    expect(card.get_by_label("Not restored")).to_contain_text("budget (helper.Budget) could not be restored")
    card.get_by_role("button", name="Details").click()
    expect(workflows.panel.locator(".pf-details .pf-losses")).to_contain_text("No later cell needs it.")
    shoot(page, "panel-losses")


def test_the_link_for_others_is_copied(still_lab: Lab, page: Any) -> None:
    suspend(still_lab.queue(), "linkme", notebook="/work/linkme.ipynb")
    workflows = Workflows(page).open(still_lab)

    workflows.open_card("linkme.ipynb").get_by_role("button", name="Copy approval link").click()

    expect(workflows.toast("in the clipboard")).to_be_visible()
    assert "/pauseflow/approve/" in page.evaluate("navigator.clipboard.readText()")


@pytest.mark.thorough
def test_two_tabs_show_the_same_and_one_answer_counts(
    still_lab: Lab, page: Any, second_page: Any, shoot: Shoot
) -> None:
    queue = still_lab.queue()
    first, second = Workflows(page).open(still_lab), Workflows(second_page).open(still_lab)
    suspend(queue, "both", notebook="/work/both.ipynb")
    approve = first.open_card("both.ipynb").get_by_role("button", name="Approve")
    expect(approve).to_be_visible()
    expect(second.open_card("both.ipynb").get_by_role("button", name="Approve")).to_be_visible()

    approve.click()

    expect(second.card("both.ipynb").locator(".pf-state")).to_have_text("Queued", timeout=2000)
    assert [line["what"] for line in queue.audit("both")].count("settled") == 1
    shoot(second_page, "panel-second-tab")


@pytest.mark.thorough
def test_an_answer_that_comes_too_late_says_so(still_lab: Lab, second_page: Any) -> None:
    queue = still_lab.queue()
    # Another one each time, so that the test can be run again.
    late = f"late-{secrets.token_hex(4)}"
    suspend(queue, late, notebook=f"/work/{late}.ipynb")
    workflows = Workflows(second_page).open(still_lab)
    approve = workflows.open_card(f"{late}.ipynb").get_by_role("button", name="Approve")
    expect(approve).to_be_visible()
    # This tab, which no other test has, does not hear of it, as in the moment before an event arrives.
    second_page.evaluate("jupyterapp.serviceManager.events._socket.onmessage = () => undefined")
    # What it heard before, it may be asking about.
    second_page.wait_for_load_state("networkidle")
    queue.cancel(late, by="user:bob")

    approve.click()

    expect(workflows.open_card(f"{late}.ipynb").get_by_role("alert")).to_contain_text("cancelled")


@pytest.mark.thorough
def test_a_question_is_sent_back_with_a_comment(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    queue = still_lab.queue()
    allow, labels = ["resume", "send_back"], {"send_back": "Rework"}
    execution = suspend(queue, "back", notebook="/work/back.ipynb", allow=allow, labels=labels)
    card = Workflows(page).open(still_lab).open_card("back.ipynb")
    expect(card).to_contain_text("“Rework” runs the step again with your comment.")
    expect(card.get_by_role("button", name="Approve")).to_be_visible()
    expect(card.get_by_role("button", name="Cancel the run")).to_have_count(1)
    shoot(page, "panel-send-back")

    card.get_by_role("button", name="Rework").click()
    page.locator(".jp-Dialog").get_by_label("What should change?").fill("Round the totals")
    page.locator(".jp-Dialog").get_by_role("button", name="Rework").click()
    expect(card.locator(".pf-state")).to_have_text("Queued")

    (settled,) = [each for each in queue.audit(execution) if each["what"] == "settled"]
    assert (settled["details"]["action"], settled["details"]["comment"]) == ("send_back", "Round the totals")
