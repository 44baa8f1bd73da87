"""The examples of the docs, run by hand in JupyterLab and answered with the buttons below their cells."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from docs_examples import BEFORE, FIRST, README, TUTORIAL, blocks
from lab.conftest import ROOT, Lab, Shoot
from lab.test_lab_by_hand import Notebook

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.may_rerun("JupyterLab draws, loads and moves the focus in its own time")]

#: Starting a kernel on a busy machine, and scikit-learn in it.
LONG = 60_000


@pytest.fixture
def page(shared_page: Any) -> Any:
    return shared_page


@pytest.fixture
def run_all(still_lab: Lab, page: Any) -> Callable[..., Notebook]:
    """Open a notebook of these cells and run all of it."""

    def run(name: str, *cells: str) -> Notebook:
        notebook = Notebook(page).open(still_lab, still_lab.notebook(name, BEFORE, *cells))
        notebook.run_all()
        return notebook

    return run


@pytest.mark.every(2)
@pytest.mark.parametrize(("typed", "expected"), [("", "None"), ("looks good", "looks good")])
def test_the_first_example_goes_on_after_approve(run_all: Callable[..., Notebook], typed: str, expected: str) -> None:
    notebook = run_all(f"first-{bool(typed)}.ipynb", *blocks("docs/steps.md", *FIRST))
    notebook.button(2, "Approve").wait_for(timeout=LONG)

    notebook.output(2).get_by_role("textbox", name="Comment").fill(typed)
    notebook.button(2, "Approve").click()

    expect(notebook.output(3)).to_have_text(f"sent [1, 2]\n{expected}")
    expect(notebook.errors).to_have_count(0)


@pytest.mark.thorough
def test_the_first_example_ends_after_cancel(run_all: Callable[..., Notebook]) -> None:
    notebook = run_all("first-cancelled.ipynb", *blocks("docs/steps.md", *FIRST))
    notebook.button(2, "Cancel the run").click(timeout=LONG)
    expect(notebook.output(2)).to_contain_text("Cancelled by you: Send it out?")

    notebook.run(3)

    expect(notebook.output(3)).to_contain_text("The flow was cancelled in step 'ask', so 'send' did not run.")


def test_the_example_of_a_schema_gets_an_instance(run_all: Callable[..., Notebook], shoot: Shoot, page: Any) -> None:
    cells = [
        FIRST[0],
        *blocks("docs/questions.md", "class Decision", '%%step ask\nflow.suspend("7d", schema', "%%step order"),
    ]
    notebook = run_all("schema.ipynb", *cells, "%%step said\nprint(steps.ask.data)")
    notebook.button(3, "Submit").wait_for(timeout=LONG)

    notebook.output(3).get_by_label("Approved").check()
    notebook.output(3).get_by_label("Amount").fill("5")
    notebook.output(3).get_by_role("textbox", name="Comment").fill("five at most")
    shoot(page, "byhand-docs-schema")
    notebook.button(3, "Submit").click()

    expect(notebook.output(5)).to_have_text("approved=True amount=5")
    expect(notebook.output(3)).to_contain_text("five at most")
    shoot(page, "byhand-docs-answered")


@pytest.mark.thorough
def test_the_example_that_asks_again_ends_when_it_has_its_answer(run_all: Callable[..., Notebook]) -> None:
    notebook = run_all("again.ipynb", FIRST[0], *blocks("docs/reference/flow.md", "%%step confirm"), "print('done')")
    notebook.button(2, "Submit").click(timeout=LONG)
    # JupyterLab runs the step again by itself.
    expect(notebook.output(2)).to_contain_text("run 2")
    notebook.output(2).get_by_label("Value").check()
    notebook.button(2, "Submit").click()

    expect(notebook.output(2)).to_contain_text("run 3")
    expect(notebook.output(3)).to_have_text("done")


@pytest.mark.thorough
def test_the_example_that_may_be_sent_back_runs_again(run_all: Callable[..., Notebook]) -> None:
    notebook = run_all("sent-back.ipynb", FIRST[0], *blocks("docs/questions.md", "%%step draft"))
    notebook.button(2, "Rework").wait_for(timeout=LONG)
    notebook.output(2).get_by_role("textbox", name="Comment").fill("shorter")
    notebook.button(2, "Rework").click()
    expect(notebook.output(2)).to_contain_text("run 2")

    notebook.button(2, "Approve").click()

    expect(notebook.output(2)).to_contain_text("Approved by you")
    expect(notebook.errors).to_have_count(0)


def test_the_example_of_a_pause_gets_its_number_within_the_step(run_all: Callable[..., Notebook]) -> None:
    notebook = run_all(
        "pause.ipynb", FIRST[0], *blocks("docs/reference/flow.md", "%%step order\namount"), "print(amount + 1)"
    )
    notebook.button(2, "Submit").wait_for(timeout=LONG)
    notebook.output(2).get_by_label("Value").fill("7")
    notebook.button(2, "Submit").click()

    expect(notebook.output(3)).to_have_text("8")


def test_the_example_of_a_fresh_cell_asks_once_while_nothing_changes(run_all: Callable[..., Notebook]) -> None:
    price = "from pauseflow_nb import flow\ndef fetch_price(symbol): return 100.0"
    cells = [price, *blocks("docs/fresh.md", "%%fresh price", "%%step ask"), "print('bought')"]
    notebook = run_all("fresh.ipynb", *cells)
    notebook.button(3, "Approve").click(timeout=LONG)

    expect(notebook.output(3)).to_contain_text("Approved by you")
    expect(notebook.errors).to_have_count(0)


@pytest.mark.thorough
def test_the_example_of_the_readme_prints_what_was_answered(run_all: Callable[..., Notebook]) -> None:
    notebook = run_all("readme.ipynb", *blocks("README.md", *README))
    notebook.button(2, "Approve").click(timeout=LONG)

    expect(notebook.output(3)).to_contain_text("{} and the numbers are still here:")


@pytest.mark.slow
def test_the_tutorial_by_hand(run_all: Callable[..., Notebook], shoot: Shoot, page: Any) -> None:
    notebook = run_all("tutorial.ipynb", *blocks("docs/tutorial.md", *TUTORIAL))
    notebook.button(3, "Approve").wait_for(timeout=LONG)
    shoot(page.locator(".jp-CodeCell").nth(3), "tutorial-by-hand")
    notebook.button(3, "Approve").click()

    expect(notebook.output(4)).to_contain_text("published;")


@pytest.mark.slow
def test_the_notebook_of_the_demo_is_run_by_hand(still_lab: Lab, page: Any, shoot: Shoot) -> None:
    shutil.copy(ROOT / "notebooks" / "01_approve_model.ipynb", still_lab.root / "by-hand-model.ipynb")
    notebook = Notebook(page).open(still_lab, "by-hand-model.ipynb")
    notebook.run_all()
    approve = page.get_by_role("button", name="Approve", exact=True)
    approve.wait_for(timeout=LONG)
    shoot(page, "byhand-approve-model")
    approve.click()

    expect(page.locator(".jp-CodeCell").last).to_contain_text("published by process", timeout=LONG)
    assert (still_lab.root / "approved_model.json").exists()
    expect(notebook.errors).to_have_count(0)
