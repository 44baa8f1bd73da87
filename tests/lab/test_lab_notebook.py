"""Badges on steps, the dialog that runs a notebook, and the output notebook that follows."""

from typing import Any

import pytest
from lab.conftest import APPROVE, Lab, Shoot
from lab.workflows import Workflows

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.may_rerun("JupyterLab draws, loads and moves the focus in its own time")]

LONG = 40_000

#: Asks twice to run again.
POLL = """\
%%step poll
from pauseflow_nb import flow
if flow.context.run.runs < 3:
    flow.rerun("1h", None, 9)
"""


@pytest.fixture
def page(shared_page: Any) -> Any:
    return shared_page


def test_badges_and_the_output_notebook_follow_the_execution(lab: Lab, page: Any, shoot: Shoot) -> None:
    lab.notebook("follow.ipynb", "%%setup\nimport math", APPROVE, "%%step after\nprint('it is', math.floor(3.9))")
    workflows = Workflows(page).open(lab, "follow.ipynb")
    badges = page.locator(".jp-NotebookPanel:visible .pf-badge")
    expect(badges).to_have_text(["setup", "approve", "after"])

    workflows.run_open_notebook()
    expect(badges).to_have_text(["setup", "approve · suspended", "after"], timeout=LONG)
    card = workflows.open_card("follow.ipynb")
    card.get_by_role("button", name="Open output notebook").click()
    output = page.locator(".jp-NotebookPanel:visible")
    expect(output).to_contain_text("It is right about 97% of the wines.", timeout=LONG)
    shoot(page, "output-waiting")
    card.get_by_role("button", name="Approve").click()

    expect(output).to_contain_text("it is 3", timeout=LONG)
    expect(output).to_contain_text("Approved by", timeout=LONG)
    expect(badges).to_have_text(["setup", "approve · finished", "after · finished"], timeout=LONG)
    shoot(page, "output-completed")


@pytest.mark.thorough
def test_a_badge_counts_the_runs_of_a_step_as_it_goes_on(lab: Lab, page: Any, shoot: Shoot) -> None:
    lab.notebook("poll.ipynb", POLL)
    workflows = Workflows(page).open(lab, "poll.ipynb")
    badge = page.locator(".jp-NotebookPanel:visible .pf-badge")
    expect(badge).to_have_text("poll")
    workflows.run_open_notebook()
    again = workflows.open_card("poll.ipynb").get_by_role("button", name="Run again now")
    expect(badge).to_have_text("poll · waiting, run 1 of 10", timeout=LONG)

    again.click()
    expect(badge).to_have_text("poll · waiting, run 2 of 10", timeout=LONG)
    shoot(page, "badge-second-run")
    again.click()

    expect(badge).to_have_text("poll · finished, run 3 of 10", timeout=LONG)
    shoot(page, "badge-done")
    badge.click()
    expect(workflows.panel.locator(".pf-details")).to_contain_text("run 3 of 10")


@pytest.mark.thorough
def test_a_parameter_that_cannot_be_read_is_said_beside_it(lab: Lab, page: Any, shoot: Shoot) -> None:
    lab.notebook("typed.ipynb", "1", parameters="ratio = 0.5  # share of wines\nfolder = None\ntext = 'a#b'")
    workflows = Workflows(page).open(lab, "typed.ipynb")
    page.locator(".jp-CodeCell").first.wait_for()

    workflows.run_open_notebook(ratio="half")

    dialog = page.locator(".jp-Dialog")
    expect(dialog.locator(".pf-problem")).to_contain_text("must be a number")
    expect(dialog.get_by_label("ratio")).to_have_value("half")
    expect(dialog.get_by_label("text")).to_have_value("a#b")
    shoot(page, "run-dialog-problem")
    dialog.get_by_role("button", name="Cancel").click()


def test_parameters_that_are_not_saved_yet_are_asked_for(lab: Lab, page: Any) -> None:
    lab.notebook("unsaved.ipynb", "print(trees)", parameters="trees = 1")
    workflows = Workflows(page).open(lab, "unsaved.ipynb")
    page.locator(".jp-CodeCell").first.wait_for()
    page.evaluate(
        """async source => {
          const notebook = jupyterapp.shell.currentWidget;
          await notebook.context.ready;
          notebook.content.widgets[0].model.sharedModel.setSource(source);
        }""",
        "trees = 2\nfresh = 7615917337495251231",
    )

    workflows.command("pauseflow:run-as-workflow")

    dialog = page.locator(".jp-Dialog")
    expect(dialog.get_by_label("trees")).to_have_value("2")
    expect(dialog.get_by_label("fresh")).to_have_value("7615917337495251231")
    dialog.get_by_role("button", name="Cancel").click()


@pytest.mark.thorough
def test_the_panel_opens_at_the_first_run_and_a_toast_leads_to_it_later(
    lab: Lab, second_page: Any, shoot: Shoot
) -> None:
    page = second_page  # one that was not loaded before
    lab.notebook("shown.ipynb", APPROVE)
    workflows = Workflows(page).open(lab, "shown.ipynb", shows_panel=False)
    page.locator(".jp-CodeCell").first.wait_for()
    expect(workflows.panel).to_be_hidden()

    workflows.run_open_notebook()
    expect(workflows.panel).to_be_visible()
    toast = workflows.toast("runs as a workflow")
    expect(toast).to_be_visible()
    shoot(page, "run-toast")
    # Nothing covers the panel, once the notification has slid into its place.
    page.wait_for_function(
        """() => document.querySelector('.Toastify__toast').getBoundingClientRect().right
          <= document.getElementById('pauseflow-panel').getBoundingClientRect().left"""
    )
    expect(workflows.card("shown.ipynb").locator(".pf-state")).to_have_text("Suspended", timeout=LONG)
    workflows.hide()

    workflows.run_open_notebook(output="shown-2.ipynb")
    expect(workflows.toast("runs as a workflow").last).to_be_visible()
    expect(workflows.panel).to_be_hidden()
    workflows.toast("runs as a workflow").last.get_by_role("button", name="Show").click()
    expect(workflows.panel.locator(".pf-details")).to_be_visible()


@pytest.mark.thorough
def test_an_output_that_is_another_executions_is_refused_and_asked_again(lab: Lab, page: Any) -> None:
    lab.notebook("twice.ipynb", APPROVE)
    workflows = Workflows(page).open(lab, "twice.ipynb")
    page.locator(".jp-CodeCell").first.wait_for()
    workflows.run_open_notebook()
    expect(workflows.card("twice.ipynb")).to_be_visible()

    workflows.run_open_notebook()

    dialog = page.locator(".jp-Dialog")
    expect(dialog.get_by_role("alert")).to_contain_text("twice-output.ipynb")
    dialog.get_by_label("Output notebook").fill("twice-again.ipynb")
    dialog.get_by_role("button", name="Run").click()
    expect(dialog).to_have_count(0)
