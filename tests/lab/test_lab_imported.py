"""An imported workflow in JupyterLab, as docs/from-pipedream.md shows it; its pictures are taken here."""

import tempfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
from acceptance.pipedream_corpus import CORPUS
from lab.conftest import Lab, Shoot
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
    add_cell(lab.root / name, 2, EVENT)
    page.set_viewport_size({"width": 1100, "height": 800})
    notebook = Notebook(page).open(lab, name)
    expect(page.locator(".jp-NotebookPanel:visible")).to_contain_text("To do by hand:", timeout=40_000)
    shoot(page, "imported-notebook")

    notebook.run_all()
    expect(notebook.button(3, "Approve")).to_be_visible(timeout=60_000)
    notebook.output(3).scroll_into_view_if_needed()
    shoot(page, "imported-waiting")
    notebook.button(3, "Approve").click()

    expect(notebook.output(3)).to_contain_text("Approved by you", timeout=40_000)
    expect(notebook.output(4)).to_contain_text("Cannot read properties", timeout=40_000)
