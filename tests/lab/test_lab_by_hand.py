"""Cells run by hand in JupyterLab: the calm card, its buttons and its form."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from lab.conftest import Lab, Shoot
from lab.workflows import REPLACE

playwright: Any = pytest.importorskip("playwright.sync_api")
expect, PlaywrightTimeout = playwright.expect, playwright.TimeoutError
pytestmark = [pytest.mark.browser, pytest.mark.may_rerun("JupyterLab draws, loads and moves the focus in its own time")]

LOAD = """\
from datetime import date
from typing import Literal
from pydantic import BaseModel, Field
from pauseflow_nb import flow, steps

class Review(BaseModel):
    verdict: Literal["publish", "wait"] = Field(description="What becomes of the model")
    accuracy: float = Field(ge=0.9, description="As you measured it yourself")
    note: str = "looks good"
    until: date | None = None
    urgent: bool = False
"""
ASK = """\
%%step ask
lot = [1, 2, 3]
flow.suspend(title="Publish the model?", message="It is right about 97% of the wines.", data={"accuracy": 0.972})
"""
FORM = """\
%%step ask
flow.suspend(title="Publish the model?", data={"accuracy": 0.972}, schema=Review)
"""
REPORT = "%%step report\nprint('answered:', steps.ask.data)"
#: Fails as in a kernel of an environment without the package.
NOT_INSTALLED = """\
import os, sys
path = [*sys.path]
sys.path[:] = [each for each in path if not os.path.isdir(os.path.join(each, "pauseflow_nb"))]
try:
    import pauseflow_nb.kernel.hints
finally:
    sys.path[:] = path
"""
CALM = "Workflow execution canceled — this may be due to flow.suspend() usage (not supported in test)"

_HAS_KERNEL = """() => {
  const kernel = jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel;
  return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""


class Notebook:
    """One notebook in one tab."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def open(self, lab: Lab, path: str, *, place: str = "lab/tree", is_loaded_anew: bool = False) -> "Notebook":
        """Open a notebook, in the place of the last one if the tab shows JupyterLab already."""
        if self.page.url.startswith(f"{lab.url}/lab") and place == "lab/tree" and not is_loaded_anew:
            self.page.evaluate(REPLACE, path)
        else:
            self.page.goto(f"{lab.url}/{place}/{path}?reset&token=letmein")
            self.page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)", timeout=40_000)
            if place == "lab/tree":
                self.command("application:toggle-left-area")
        self.page.locator(".jp-CodeCell").first.wait_for()
        # Before that, running a cell asks which kernel it should be.
        self.page.wait_for_function(_HAS_KERNEL, timeout=60_000)
        return self

    def command(self, name: str, **arguments: object) -> None:
        self.page.evaluate("([name, given]) => jupyterapp.commands.execute(name, given)", [name, arguments])

    def wait_for_theme(self, *, is_light: bool) -> None:
        self.page.locator(f"body[data-jp-theme-light='{str(is_light).lower()}']").wait_for(state="attached")
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")

    def run_all(self) -> None:
        self.page.evaluate("() => { void jupyterapp.commands.execute('notebook:run-all-cells'); }")

    def run(self, index: int) -> None:
        self.page.locator(".jp-CodeCell .jp-InputArea-editor").nth(index).click()
        self.page.keyboard.press("Control+Enter")

    def output(self, index: int) -> Any:
        return self.page.locator(".jp-CodeCell").nth(index).locator(".jp-Cell-outputArea")

    def button(self, index: int, words: str) -> Any:
        return self.output(index).get_by_role("button", name=words)

    @property
    def errors(self) -> Any:
        """Red boxes."""
        return self.page.locator("[data-mime-type='application/vnd.jupyter.stderr'], .jp-RenderedError")


@pytest.fixture
def page(shared_page: Any) -> Any:
    return shared_page


@pytest.fixture
def by_hand(still_lab: Lab, page: Any) -> Callable[..., Notebook]:
    def open_notebook(name: str, *cells: str) -> Notebook:
        return Notebook(page).open(still_lab, still_lab.notebook(name, *cells))

    return open_notebook


def test_a_pause_is_calm_and_run_all_stops_and_approve_goes_on(
    by_hand: Callable[..., Notebook], still_lab: Lab, shoot: Shoot, page: Any
) -> None:
    notebook = by_hand("ask.ipynb", LOAD, ASK, REPORT)
    notebook.run_all()

    expect(notebook.output(1)).to_contain_text(CALM, timeout=40_000)
    expect(notebook.output(1)).to_contain_text("Publish the model?")
    expect(notebook.output(1)).to_contain_text("Waiting for your answer: Publish the model?")
    expect(notebook.button(1, "Approve")).to_be_visible()
    expect(notebook.errors).to_have_count(0)
    expect(notebook.output(2)).to_be_empty()
    shoot(page, "byhand-waiting")

    notebook.run(2)
    expect(notebook.output(2)).to_contain_text("Step 'ask' is suspended")
    shoot(page, "byhand-refused")

    notebook.output(1).get_by_label("Data").fill('{"ok": true}')
    notebook.button(1, "Approve").press("Enter")
    expect(notebook.output(1)).to_contain_text("Step 'ask' is approved")
    expect(notebook.output(1)).to_contain_text("Approved by you: Publish the model?")
    expect(notebook.output(1)).not_to_contain_text("canceled")
    expect(notebook.button(1, "Approve")).to_have_count(0)
    # By itself, because the pause had interrupted *Run All*.
    expect(notebook.output(2)).to_contain_text("answered: {'ok': True}")
    shoot(page, "byhand-approved")
    notebook.command("docmanager:save")
    saved = (still_lab.root / "ask.ipynb").read_text()
    assert "Step 'ask' is approved" in saved
    assert "widget-view" not in saved


@pytest.mark.thorough
def test_a_kernel_that_does_not_know_the_package_is_offered_the_next_command(
    by_hand: Callable[..., Notebook], page: Any, shoot: Shoot
) -> None:
    notebook = by_hand("bare.ipynb", "%%step a\nprint('it runs', 3 * 7)", "import pauseflow", NOT_INSTALLED)
    hints = page.locator(".Toastify__toast").filter(has_text="pauseflow_nb")
    line = "from pauseflow_nb import flow, steps"

    notebook.run(1)
    expect(hints.filter(has_text=f"The module is called pauseflow_nb, not pauseflow: write {line}")).to_be_visible(
        timeout=40_000
    )
    notebook.run(2)
    expect(hints.filter(has_text="not installed where this kernel runs: run %pip install pauseflow-nb")).to_be_visible()
    notebook.run(0)
    last = hints.filter(has_text="This kernel does not know %%step yet")
    expect(last).to_be_visible()
    expect(hints).to_have_count(1)
    shoot(page, "byhand-not-imported")
    last.get_by_role("button", name="Insert the import and run").click()

    expect(notebook.output(1)).to_contain_text("it runs 21", timeout=40_000)
    expect(page.locator(".jp-CodeCell .jp-InputArea-editor").nth(0)).to_contain_text(line)
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text(f"the module is `pauseflow_nb`: write `{line}`")
    expect(hints).to_have_count(0)


def test_the_form_says_what_is_wrong_beside_its_fields(
    by_hand: Callable[..., Notebook], shoot: Shoot, page: Any
) -> None:
    notebook = by_hand("form.ipynb", LOAD, FORM, REPORT)
    notebook.run_all()
    accuracy = notebook.output(1).get_by_label("Accuracy")
    expect(accuracy).to_be_visible(timeout=40_000)
    shoot(page, "byhand-form")
    accuracy.fill("0.5")
    notebook.button(1, "Submit").click()

    expect(notebook.output(1).get_by_role("alert").first).to_be_visible()
    expect(notebook.output(1)).to_contain_text("must be at least 0.9")
    shoot(page, "byhand-form-errors")
    notebook.command("apputils:change-theme", theme="JupyterLab Dark")
    notebook.wait_for_theme(is_light=False)
    shoot(page, "byhand-form-dark")
    page.set_viewport_size({"width": 480, "height": 900})
    shoot(page, "byhand-form-narrow")
    notebook.command("apputils:change-theme", theme="JupyterLab Light")
    notebook.wait_for_theme(is_light=True)

    accuracy.fill("0.95")
    notebook.output(1).get_by_label("Verdict").select_option("publish")
    notebook.button(1, "Submit").click()
    expect(notebook.output(2)).to_contain_text("verdict='publish' accuracy=0.95")
    expect(notebook.output(1)).to_contain_text("is approved")


@pytest.mark.thorough
def test_a_rerun_and_a_delay_have_their_own_buttons(by_hand: Callable[..., Notebook], shoot: Shoot, page: Any) -> None:
    rerun = "%%step poll\nif flow.context.run.runs == 1:\n    flow.rerun('1h', {'job': 7}, 3)\nprint('done')"
    notebook = by_hand("rerun.ipynb", LOAD, rerun, "%%step wait\nflow.delay(60_000)")
    notebook.run(0)
    notebook.run(1)
    notebook.button(1, "Run again now").wait_for(timeout=40_000)
    shoot(page, "byhand-rerun")
    notebook.button(1, "Run again now").click()

    expect(notebook.output(1)).to_contain_text("run 2 of 4")
    expect(notebook.output(1)).to_contain_text("done")
    notebook.run(2)
    notebook.button(2, "Skip").click()
    expect(notebook.output(2)).to_contain_text("continue with the next cell")
    shoot(page, "byhand-delay")


@pytest.mark.thorough
def test_a_pause_within_a_step_goes_on_after_approve(by_hand: Callable[..., Notebook], shoot: Shoot, page: Any) -> None:
    hold = "%%step hold\nprint('asking')\nprint('got', flow.pause('1h', schema=int, title='How many?') + 1)"
    notebook = by_hand("hold.ipynb", LOAD, hold, "%%step after\nprint('over')")
    notebook.run_all()
    notebook.button(1, "Submit").wait_for(timeout=40_000)

    expect(notebook.errors).to_have_count(0)
    shoot(page, "byhand-pause")
    notebook.output(1).get_by_label("Value").fill("6")
    notebook.button(1, "Submit").click()
    expect(notebook.output(1)).to_contain_text("got 7")
    expect(notebook.output(2)).to_contain_text("over")


@pytest.mark.thorough
def test_the_buttons_still_work_after_the_page_was_loaded_anew(
    by_hand: Callable[..., Notebook], still_lab: Lab, page: Any
) -> None:
    notebook = by_hand("again.ipynb", LOAD, ASK, REPORT)
    notebook.run_all()
    notebook.button(1, "Approve").wait_for(timeout=40_000)
    notebook.command("docmanager:save")
    notebook.open(still_lab, "again.ipynb", is_loaded_anew=True)
    notebook.button(1, "Approve").click(timeout=40_000)

    expect(notebook.output(1)).to_contain_text("is approved")
    notebook.run(2)
    expect(notebook.output(2)).to_contain_text("answered: {}")


def test_notebook_7_shows_the_same(still_lab: Lab, shoot: Shoot, page: Any) -> None:
    pytest.importorskip("notebook", reason="no Notebook 7 here: make test-lab installs it")
    path = still_lab.notebook("seven.ipynb", LOAD, FORM, REPORT)
    notebook = Notebook(page).open(still_lab, path, place="notebooks")
    notebook.run_all()

    expect(notebook.output(1)).to_contain_text(CALM, timeout=40_000)
    notebook.output(1).get_by_label("Accuracy").fill("0.95")
    notebook.output(1).get_by_label("Verdict").select_option("wait")
    expect(notebook.errors).to_have_count(0)
    expect(notebook.output(2)).to_be_empty()
    shoot(page, "byhand-notebook7")
    notebook.button(1, "Submit").click()
    expect(notebook.output(2)).to_contain_text("verdict='wait' accuracy=0.95")


@pytest.mark.thorough
def test_a_step_is_edited_and_interrupted_as_any_cell(
    by_hand: Callable[..., Notebook], page: Any, shoot: Shoot
) -> None:
    load = "lot_of_wine = 1\nfrom pauseflow_nb import flow"
    notebook = by_hand("edit.ipynb", load, "%%step edit\nimport time", "%%step after\n1")
    notebook.run(0)
    page.locator(".jp-CodeCell .cm-content").nth(1).click()
    page.keyboard.press("Control+End")
    page.keyboard.type("\nlot_of_w")
    step = page.locator(".jp-CodeCell").nth(1)
    completed = step.get_by_text("lot_of_wine")
    # JupyterLab gives a kernel one second, which the first completion on a busy machine may exceed.
    for _ in range(20):
        page.keyboard.press("Tab")
        with suppress(PlaywrightTimeout):
            completed.wait_for(timeout=2_000)
            break
    expect(completed).to_be_visible()
    highlighted = step.locator(".cm-line").nth(1).locator("span").first
    expect(highlighted).to_have_text("import")

    page.keyboard.type("; time.sleep(300)")
    notebook.run_all()
    expect(step.locator(".jp-InputPrompt")).to_have_text("[*]:")
    page.wait_for_function("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'busy'")
    notebook.command("notebook:interrupt-kernel")
    expect(notebook.output(1)).to_contain_text("KeyboardInterrupt")
    expect(notebook.output(1)).to_contain_text("----> 3 lot_of_wine; time.sleep(300)")
    expect(notebook.output(2)).to_be_empty()
    shoot(page, "byhand-interrupted")
