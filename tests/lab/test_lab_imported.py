"""An imported workflow in JupyterLab, as docs/from-pipedream.md shows it; its pictures are taken here."""

import tempfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from acceptance.pipedream_corpus import CORPUS
from lab.conftest import SCREENSHOTS, Lab, Shoot
from lab.test_lab_by_hand import Notebook

from pauseflow_nb.pipedream.write_project import import_workflows

expect: Any = pytest.importorskip("playwright.sync_api").expect
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.may_rerun("JupyterLab draws, loads and moves the focus in its own time"),
]

ORDERS = CORPUS / "github-sync" / "order-approval-p_s17"
EVENT = (
    '%pauseflow trigger {"body": {"customer": "Ada", "items": [{"price": 19.5, "count": 2}, {"price": 3, "count": 1}]}}'
)


def add_cell(path: Path, at: int, source: str) -> None:
    notebook = nbformat.read(path, 4)
    notebook.cells.insert(at, nbformat.v4.new_code_cell(source))
    nbformat.write(notebook, path)


def test_an_imported_workflow_is_read_and_tried_by_hand(lab: Lab, page: Any, shoot: Shoot) -> None:
    report = import_workflows(ORDERS, tempfile.mkdtemp(prefix="orders-", dir=lab.root))
    name = (report.folder / report.made[0].path).relative_to(lab.root).as_posix()
    add_cell(lab.root / name, 3, EVENT)
    page.set_viewport_size({"width": 1100, "height": 800})
    notebook = Notebook(page).open(lab, name)
    expect(page.locator(".jp-NotebookPanel:visible")).to_contain_text("To do by hand:", timeout=40_000)
    shoot(page, "imported-notebook")

    # JupyterLab draws only the cells in sight.
    page.set_viewport_size({"width": 1100, "height": 2400})
    notebook.run_all()
    ask, ship = (page.locator(".jp-CodeCell", has_text=f"%%step {name}") for name in ("ask", "ship"))
    expect(ask.get_by_role("button", name="Approve")).to_be_visible(timeout=60_000)
    ask.screenshot(path=SCREENSHOTS / "imported-waiting.png")
    ask.get_by_label("Data").fill('{"approved": true}')
    ask.get_by_role("button", name="Approve").click()

    expect(ask).to_contain_text("Approved by you", timeout=40_000)
    expect(ship).to_contain_text("'shipped to Ada'", timeout=40_000)
