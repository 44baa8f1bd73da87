"""Pictures of the panel in every state, light and dark, 360 and 1400 pixels wide, for people to look at.

They are written to `tests/screenshots`.
"""

from pathlib import Path
from typing import Any

import nbformat
import pytest
import sqlalchemy as sa
from axe import found_by_axe
from lab.conftest import Lab, Shoot
from lab.store import complete, fail, start, suspend
from lab.test_lab_looks import DRIFT, ORDER, OVERFLOW
from lab.workflows import Workflows

from pauseflow_nb.engine.clock import Clock
from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.engine.triggers import managing
from pauseflow_nb.engine.triggers.managing import NewTrigger
from pauseflow_nb.engine.triggers.schedule import Schedule

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.slow]

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
WIDTHS = (360, 1400)


def test_every_state_is_drawn_without_overflow_and_without_fault(own_lab: Lab, page: Any, shoot: Shoot) -> None:
    fill_store(own_lab.queue(), own_lab.root)
    # Wide enough for a panel of 1,400 px beside the rest of JupyterLab.
    page.set_viewport_size({"width": 1900, "height": 1500})
    workflows = Workflows(page).open(own_lab)
    expect(workflows.panel.locator(".pf-card")).to_have_count(13)
    workflows.panel.get_by_role("button", name="Select").click()
    for name in ("report.ipynb", "pause.ipynb"):
        workflows.card(name).get_by_role("checkbox").check()

    def shoot_all(name: str) -> None:
        for theme, full_name in THEMES.items():
            workflows.theme(full_name)
            for width in WIDTHS:
                workflows.widen(width)
                shoot(page, f"panel-{name}-{theme}-{width}")
                assert page.evaluate(OVERFLOW) <= 0, (name, theme, width)
            assert found_by_axe(page, "#pauseflow-panel") == [], (name, theme)

    shoot_all("list-bulk")
    workflows.panel.get_by_role("button", name="Done", exact=True).click()
    for name in ("report.ipynb", "drift.ipynb", "odd-row.ipynb", "failed.ipynb", "cancelled.ipynb", "late.ipynb"):
        workflows.open_card(name)
    shoot_all("rows-open")
    for name in ("report.ipynb", "drift.ipynb", "odd-row.ipynb", "failed.ipynb", "cancelled.ipynb", "late.ipynb"):
        workflows.row(name).click()
    form = workflows.open_card("order.ipynb")
    form.get_by_role("button", name="Answer").click()
    shoot_all("form")
    form.get_by_label("Amount").fill("1,000")
    form.get_by_role("button", name="Submit").click()
    expect(form.locator("[aria-invalid]")).to_have_count(3)
    shoot_all("form-errors")
    workflows.row("order.ipynb").click()
    workflows.panel.get_by_text("Triggers").click()
    shoot_all("triggers")
    workflows.panel.get_by_text("Triggers").click()
    for name in ("sent-back.ipynb", "late.ipynb"):
        workflows.open_card(name).get_by_role("button", name="Details").click()
        expect(workflows.panel.locator(".pf-details")).to_be_visible()
        shoot_all(f"details-{name.removesuffix('.ipynb')}")
        workflows.panel.get_by_role("button", name="All workflows").click()


def fill_store(queue: Queue, folder: Path) -> None:
    """Add an execution in each state, and two triggers."""
    # First, because the clock takes the others for those of a worker that has gone.
    suspend(queue, "late", notebook="/work/late.ipynb", title="Send the invoices?", seconds=0.001)
    while queue.state("late") == "suspended":
        Clock(queue).sweep()
    wines = {"accuracy": 0.972, "wines judged": 72}
    suspend(
        queue,
        "report",
        title="Publish the wine model?",
        message="It is **right** about 97% of 72 wines.",
        data=wines,
        seconds=86400.0,
        allow=["resume", "send_back", "cancel"],
    )
    suspend(queue, "pause", notebook="/work/pause.ipynb", kind="pause", seconds=3600.0, on_timeout="fail")
    suspend(queue, "drift", notebook="/work/drift.ipynb", title="Buy 50 ACME?", drift=DRIFT)
    suspend(queue, "order", notebook="/work/order.ipynb", title="What to deliver?", schema=ORDER, seconds=86400.0)
    suspend(queue, "rerun", notebook="/work/rerun.ipynb", kind="rerun", seconds=600.0)
    suspend(queue, "delay", notebook="/work/delay.ipynb", kind="delay", seconds=7200.0)
    suspend(queue, "running", notebook="/work/running.ipynb")
    start(queue, "running")
    suspend(queue, "sentback", notebook="/work/sent-back.ipynb", allow=["resume", "send_back"], title="Good enough?")
    queue.send_back("sentback", by="user:ann", comment="the axis has no unit")
    complete(queue, "done", "/work/done.ipynb")
    fail(queue, "failed", "/work/failed.ipynb")
    suspend(queue, "cancelled", notebook="/work/cancelled.ipynb")
    queue.cancel("cancelled", by="user:bob", text="the numbers are last week's")
    suspend(queue, "odd", notebook="/work/odd-row.ipynb")
    with queue.engine.begin() as connection:
        connection.execute(sa.text("UPDATE executions SET parameters = '{not json' WHERE id = 'odd'"))
    path = folder / "nightly.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%step a\n1")]), path)
    managing.add(queue, NewTrigger(str(path), Schedule.read(cron="0 8 * * 1-5")), by="user:ann")
    managing.add(queue, NewTrigger(str(path)), by="user:ann")
