"""Draw the pictures in decisions.md: `python docs/draw_decisions.py` runs the example notebook and answers its page.

Needs what the browser tests need: playwright, and a Chromium.
"""

import html
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Error, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
NOTEBOOK = ROOT / "notebooks" / "04_approve_payment.ipynb"
TERMINAL = "margin:0;padding:20px;background:#1c1b19;color:#ece8e1;font:15px/1.6 monospace;white-space:pre-wrap"

sys.path.insert(0, str(ROOT / "tests"))
from chromium import find, launch  # noqa: E402  (beside the tests)


def environment(folder: Path) -> dict[str, str]:
    """Give the commands a store and a port of their own."""
    return os.environ | {"PAUSEFLOW_DATA_DIR": str(folder / "store"), "PAUSEFLOW_PORT": "17391"}


def pauseflow(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command, and wait for it."""
    command = [sys.executable, "-m", "pauseflow_nb", *words]
    return subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)


def open_page(browser: Browser, url: str) -> Page:
    """Open a page of the server, as soon as that is ready."""
    page = browser.new_context(viewport={"width": 760, "height": 900}).new_page()
    for _ in range(60):
        try:
            page.goto(url)
        except Error:
            page.wait_for_timeout(500)
        else:
            return page
    sys.exit("the server did not start")


def draw(browser: Browser, folder: Path) -> None:
    """Answer the question on its page, change a number in the executed notebook, and draw what each shows."""
    ran = pauseflow(folder, "run", str(NOTEBOOK), "paid.ipynb", "--until-pause", "--json")
    execution = json.loads(ran.stdout)
    server = subprocess.Popen([sys.executable, "-m", "pauseflow_nb", "serve"], env=environment(folder))
    try:
        page = open_page(browser, execution["suspended"][0]["approval_url"])
        page.get_by_label("Comment").fill("Checked with the order")
        page.screenshot(path=IMAGES / "decision-page.png", full_page=True)
        page.get_by_role("button", name="Pay").click()
        page.get_by_role("status").wait_for()
        while json.loads(pauseflow(folder, "show", execution["id"], "--json").stdout)["ended_at"] is None:
            page.wait_for_timeout(500)
    finally:
        server.terminate()
        server.wait()
    lines = check(folder)
    changed = (folder / "paid.ipynb").read_text(encoding="utf-8").replace("15,000,000", "75,000,000")
    (folder / "paid.ipynb").write_text(changed, encoding="utf-8")
    lines += ["", *check(folder)]
    page = browser.new_context(viewport={"width": 1000, "height": 100}).new_page()
    page.set_content(f'<body style="{TERMINAL}">{html.escape(chr(10).join(lines))}</body>')
    page.screenshot(path=IMAGES / "decision-verify.png", full_page=True)


def check(folder: Path) -> list[str]:
    """Give the command and what it prints."""
    ended = pauseflow(folder, "verify", "paid.ipynb")
    return ["$ pauseflow verify paid.ipynb", *(ended.stdout + ended.stderr).splitlines()]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        chromium = find()
        if chromium is None:
            sys.exit("no Chromium on this machine")
        draw(launch(driver, chromium), Path(folder))
