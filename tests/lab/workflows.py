"""The panel and the notebook as a person uses them."""

import re
from contextlib import nullcontext
from typing import Any

#: Closes all documents without asking whether to save them, and opens another, or the launcher.
REPLACE = """async path => {
  [...jupyterapp.shell.widgets('main')].forEach(widget => widget.dispose());
  await (path ? jupyterapp.commands.execute('docmanager:open', { path }) : jupyterapp.commands.execute('launcher:create'));
}"""


class Workflows:
    """One tab that shows JupyterLab."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.panel = page.locator("#pauseflow-panel")

    def open(self, lab: Any, path: str = "", *, shows_panel: bool = True) -> "Workflows":
        """Open JupyterLab in a fresh workspace, with the panel in sight if wanted; a tab that shows it already starts over."""
        if self.page.url.startswith(f"{lab.url}/lab"):
            self._start_over(path)
            if not shows_panel:
                self.hide()
            return self
        tree = f"/tree/{path}" if path else ""
        # What waits before the first count is not announced, and nothing is announced while the panel is shown.
        count = "**/pauseflow/api/executions?*"
        with nullcontext() if shows_panel else self.page.expect_response(count):
            self.page.goto(f"{lab.url}/lab{tree}?reset&token=letmein")
            self._wait()
        if shows_panel:
            self.show()
        return self

    def _wait(self) -> None:
        self.page.wait_for_function("() => window.jupyterapp?.restored.then(() => true)", timeout=40_000)
        # JupyterLab opens its launcher after that, and gives it the focus: a key pressed before is for the launcher.
        self.page.wait_for_function(
            "() => jupyterapp.shell.currentWidget?.node.contains(document.activeElement)", timeout=40_000
        )

    def _start_over(self, path: str) -> None:
        # A notification under the mouse stays.
        self.page.mouse.move(0, 0)
        self.page.evaluate(REPLACE, path)
        self._wait()
        self.command("apputils:dismiss-notification")
        self.page.wait_for_function("() => document.querySelector('.Toastify__toast') === null")
        self.show()
        back = self.panel.get_by_role("button", name="All workflows")
        if back.is_visible():
            back.click()
        self.panel.get_by_label("Filter by state").select_option("all")
        self.search("")

    def hide(self) -> None:
        """Close the sidebar that the panel is in."""
        self.page.evaluate("() => jupyterapp.shell.collapseRight()")
        self.panel.wait_for(state="hidden")

    def show(self) -> None:
        """Bring the panel in sight."""
        self.command("pauseflow:show-workflows")
        self.panel.locator("h2").wait_for()

    def command(self, name: str, **arguments: object) -> None:
        self.page.evaluate("([name, given]) => { void jupyterapp.commands.execute(name, given); }", [name, arguments])

    def card(self, notebook: str) -> Any:
        """The newest execution of a notebook."""
        return self.panel.locator(".pf-card", has=self.page.get_by_role("button", name=notebook, exact=True)).first

    def row(self, notebook: str) -> Any:
        """The button that opens the row of a notebook."""
        return self.panel.locator(".pf-name[aria-expanded]", has_text=notebook).first

    def open_card(self, notebook: str) -> Any:
        """The newest execution of a notebook, once it is listed, with its row opened."""
        card = self.card(notebook)
        row = card.get_by_role("button", name=notebook, exact=True)
        row.wait_for(timeout=40_000)
        if row.get_attribute("aria-expanded") == "false":
            row.click()
        return card

    def group(self, title: str) -> Any:
        """The rows of a group."""
        return self.panel.get_by_role("region", name=title, exact=True)

    def run_open_notebook(self, *, output: str | None = None, **parameters: str) -> None:
        """Start the open notebook as a workflow through its dialog."""
        self.command("pauseflow:run-as-workflow")
        dialog = self.page.locator(".jp-Dialog")
        for name, value in parameters.items():
            dialog.get_by_label(re.compile(f"^{name}")).fill(value)
        if output is not None:
            dialog.get_by_label("Output notebook").fill(output)
        dialog.get_by_role("button", name="Run").click()

    def toast(self, text: str) -> Any:
        return self.page.locator(".Toastify__toast", has_text=text)

    def search(self, text: str) -> None:
        self.panel.get_by_label("Search notebook or id").fill(text)
        # It asks when nobody has typed for a moment.
        self.page.wait_for_timeout(300)
        self.panel.locator(".pf-scroll[aria-busy=false]").first.wait_for()

    def count(self) -> Any:
        """The panel's icon while it counts something."""
        return self.page.locator(".lm-TabBar-tab[data-pf-count]")

    def set(self, name: str, *, value: object) -> None:
        """Change one of our settings, and load the page again to have it read."""
        self.page.evaluate(
            """([name, value]) => jupyterapp.serviceManager.settings.save(
              'pauseflow-nb:plugin', JSON.stringify({[name]: value})
            )""",
            [name, value],
        )
        self.page.reload()
        self._wait()
        # JupyterLab may not have noted yet that the panel was in sight.
        self.show()

    def theme(self, name: str) -> None:
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)

    def widen(self, pixels: int) -> None:
        """Make the sidebar as wide as somebody might drag it."""
        self.page.evaluate(
            """pixels => {
              const split = document.getElementById('jp-main-split-panel');
              const widget = jupyterapp.shell._hsplitPanel;
              const width = split.clientWidth;
              widget.setRelativeSizes([0.2, (0.8 * width - pixels) / width, pixels / width]);
            }""",
            pixels,
        )
        self.page.wait_for_timeout(200)
