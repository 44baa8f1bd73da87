"""Triggers in the panel: when each starts next, what became of the last time, and its buttons."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from lab.conftest import Lab, Shoot
from lab.workflows import Workflows

from pauseflow_nb.engine.triggers import managing
from pauseflow_nb.engine.triggers.managing import NewTrigger
from pauseflow_nb.engine.triggers.schedule import Schedule

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [pytest.mark.browser, pytest.mark.may_rerun("JupyterLab draws, loads and moves the focus in its own time")]


@pytest.mark.thorough
def test_triggers_show_next_and_last_and_are_run_and_paused(
    still_lab: Lab, page: Any, shoot: Shoot, tmp_path: Path
) -> None:
    path = tmp_path / "nightly.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%step a\n1")]), path)
    queue = still_lab.queue()
    schedule = managing.add(queue, NewTrigger(str(path), Schedule.read(cron="0 8 * * 1-5")), by="user:ann")["id"]
    http = managing.add(queue, NewTrigger(str(path)), by="user:ann")["id"]
    try:
        panel = Workflows(page).open(still_lab).panel
        panel.get_by_text("Triggers").click()
        row = panel.locator(f"[data-pf-trigger='{schedule}']")
        expect(row).to_contain_text("0 8 * * 1-5 (UTC)")
        expect(row).to_contain_text("Next: ")
        expect(row).to_contain_text("Nothing started yet")
        row.get_by_role("button", name="Run now").click()
        expect(row).to_contain_text("Last: started just now")
        row.get_by_role("button", name="Pause").click()
        expect(row).to_contain_text("Paused")
        shoot(page, "panel-triggers")
        panel.locator(f"[data-pf-trigger='{http}']").get_by_role("button", name="Copy URL").click()
        copied = page.evaluate("() => navigator.clipboard.readText()")

        assert managing.view(queue, schedule)["state"] == "paused"
        assert copied == managing.view(queue, http)["url"]
        row.get_by_role("button", name="Show").click()
        expect(panel.locator(".pf-details")).to_contain_text("nightly.ipynb")
    finally:
        for each in (schedule, http):
            managing.remove(queue, each)
