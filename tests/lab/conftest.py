"""A real JupyterLab with the extension as it was built, and Chromium in front of it."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias
from urllib.error import URLError
from urllib.request import urlopen

import nbformat
import pytest
from chromium import find, launch
from evidence import has_failed, keep, watch

from pauseflow_nb.engine.queue import Queue
from pauseflow_nb.settings import Settings

ROOT = Path(__file__).parent.parent.parent
BUILT = ROOT / "pauseflow_nb" / "labextension"
SCREENSHOTS = ROOT / "tests" / "screenshots"
TOKEN = "letmein"

#: Drawing its moons without a graphics card takes a quarter of what loading JupyterLab takes.
SPLASH = "@jupyterlab/apputils-extension:splash"
#: Parts of JupyterLab that the panel has nothing to do with: without them a page takes little more than half of the time.
#: `whole_lab` has them.
UNUSED = (
    *("console", "csvviewer", "debugger", "extensionmanager", "help", "htmlviewer", "hub", "imageviewer", "inspector"),
    *(
        "logconsole",
        "lsp",
        "mathjax",
        "mermaid",
        "metadataform",
        "pdf",
        "settingeditor",
        "terminal",
        "toc",
        "tooltip",
        "vega5",
    ),
)

VIEWPORT = {"width": 1400, "height": 900}

#: Takes a picture: `shoot(page, "name")`.
Shoot: TypeAlias = Callable[..., None]

#: Requests that JupyterLab itself lets fail unnoticed while its server is away, ipywidgets in a
#: notebook without a kernel, and Notebook 7 whenever it starts.
NOT_OURS = ("Failed to fetch", "@jupyter-widgets", "/static/notebook/")
#: In the stack of what went wrong in our code.
OURS = "/extensions/pauseflow-nb/"

APPROVE = """\
%%step approve
from pauseflow_nb import flow
flow.suspend(
    timeout="1d", title="Publish the model?", message="It is right about 97% of the wines.",
    data={"accuracy": 0.972, "wines judged": 72},
)
"""


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium, or the reason why this suite is left out."""
    if importlib.util.find_spec("jupyterlab") is None:
        pytest.skip("no JupyterLab here: make test-lab installs it")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("no playwright here: make test-lab installs it")
    if not (BUILT / "package.json").exists():
        pytest.skip("the JupyterLab extension is not built: make lab-build")
    found = find()
    if found is None:
        pytest.skip("no Chromium here: install the package chromium")
    return found


# Not for the whole session: while its driver runs, an event loop runs in this thread, and no other test can run its own.
@pytest.fixture(scope="module")
def driver(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import expect, sync_playwright

    # A click on a busy machine; what waits for a kernel says so where it waits.
    expect.set_options(timeout=10_000)
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="module")
def browser(driver: Any, chromium: str) -> Iterator[Any]:
    browser = launch(driver, chromium)
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A tab of its own; what goes wrong in it fails the test."""
    yield from open_tab(browser, request.node)


@pytest.fixture(scope="module")
def tabs(browser: Any, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Any]]:
    """Tabs for all tests of a module that can do without one of their own: to load JupyterLab takes as long as they do."""
    with ExitStack() as stack:
        yield cache(lambda _server: stack.enter_context(contextmanager(open_tab)(browser, request.node)))


@pytest.fixture
def shared_page(tabs: Callable[[str], Any], request: pytest.FixtureRequest) -> Iterator[Any]:
    """The module's tab of a server as the last test has left it; a test that failed leaves it empty."""
    tab = tabs("lab" if "lab" in request.fixturenames else "still_lab")
    watch(request.node, tab)
    tab.set_viewport_size(VIEWPORT)
    yield tab
    if has_failed(request.node):
        tab.goto("about:blank")


@pytest.fixture
def second_page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Another person's tab."""
    yield from open_tab(browser, request.node)


@pytest.fixture
def whole_page(driver: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A tab of a browser that can do what the headless shell cannot."""
    path = find(is_whole=True)
    if path is None:
        pytest.skip("no whole Chromium here, and the headless shell shows no notifications: install chromium")
    browser = launch(driver, path)
    yield from open_tab(browser, request.node)
    browser.close()


def open_tab(browser: Any, item: pytest.Item) -> Iterator[Any]:
    """Open a tab in a context of its own; what goes wrong in it is an error."""
    context = browser.new_context(viewport=VIEWPORT, permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(30_000)
    watch(item, page)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(f"{error}\n{error.stack}"))
    yield page
    problems = [each for each in errors if OURS in each or not any(word in each for word in NOT_OURS)]
    if problems:
        keep(item)
    context.close()

    assert problems == []


class Lab:
    """A JupyterLab server of our own, with a store of its own."""

    def __init__(self, folder: Path, *, worker: bool, whole: bool = False) -> None:
        self.folder = folder
        self.root = folder / "notebooks"
        self.data = folder / "data"
        self.root.mkdir()
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._config(worker)
        self._disable([SPLASH, *(() if whole else (f"@jupyterlab/{name}-extension" for name in UNUSED))])
        self._process: subprocess.Popen[bytes] | None = None

    def isrunning(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        _started.append(self)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser"],
                cwd=self.root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_for_health()

    def stop(self) -> None:
        if self._process is not None and self.isrunning():
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def queue(self) -> Queue:
        """Open its store, as any other process may."""
        return Queue.open(Settings.load(flags={"data_dir": str(self.data)}, environment={}))

    def notebook(self, name: str, *cells: str, parameters: str | None = None) -> str:
        """Write a notebook; returns its path in the file browser."""
        listed = [nbformat.v4.new_code_cell(source) for source in cells]
        if parameters is not None:
            listed.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        nbformat.write(nbformat.v4.new_notebook(cells=listed, metadata=kernel), self.root / name)
        return name

    def _config(self, worker: bool) -> None:
        extensions = self.folder / "labextensions"
        extensions.mkdir()
        (extensions / "pauseflow-nb").symlink_to(BUILT)
        (self.folder / "settings").mkdir()
        overrides = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
        (self.folder / "settings" / "overrides.json").write_text(json.dumps(overrides))
        config = {
            "ServerApp": {
                "ip": "127.0.0.1",
                "port": self.port,
                "port_retries": 0,
                "root_dir": str(self.root),
                "jpserver_extensions": {"pauseflow_nb": True, "jupyterlab": True, "jupyter_lsp": False},
            },
            "IdentityProvider": {"token": TOKEN},
            "PauseflowExtension": {"start_worker": worker},
            "LabApp": {"expose_app_in_browser": True, "app_settings_dir": str(self.folder / "settings")},
            "JupyterNotebookApp": {"expose_app_in_browser": True},
            "LabServerApp": {"extra_labextensions_path": [str(extensions)]},
        }
        (self.folder / "config").mkdir()
        (self.folder / "config" / "jupyter_server_config.json").write_text(json.dumps(config))
        (self.folder / "config" / "jupyter_lab_config.json").write_text(json.dumps(config))

    def _disable(self, extensions: list[str]) -> None:
        (self.folder / "config" / "labconfig").mkdir()
        disabled = {"disabledExtensions": dict.fromkeys(extensions, True)}
        (self.folder / "config" / "labconfig" / "page_config.json").write_text(json.dumps(disabled))

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PAUSEFLOW"))}
        return {
            **kept,
            "PAUSEFLOW_DATA_DIR": str(self.data),
            "JUPYTER_CONFIG_DIR": str(self.folder / "config"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.folder / "workspaces"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.folder / "user-settings"),
            "IPYTHONDIR": str(self.folder / "ipython"),
        }

    def _wait_for_health(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urlopen(f"{self.url}/pauseflow/api/health", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (URLError, ConnectionError, TimeoutError):
                pass
            if time.monotonic() > deadline or (self._process is not None and self._process.poll() is not None):
                pytest.fail(f"JupyterLab did not start:\n{(self.folder / 'log').read_text()[-3000:]}")
            time.sleep(0.1)


@pytest.fixture(scope="session")
def labs(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Lab]:
    return {worker: Lab(tmp_path_factory.mktemp("lab"), worker=worker) for worker in (True, False)}


@pytest.fixture
def lab(labs: dict[bool, Lab]) -> Lab:
    """A server that runs what is started; shared by all tests, so they look only for what is their own."""
    return running(labs[True])


@pytest.fixture
def still_lab(labs: dict[bool, Lab]) -> Lab:
    """A server without a worker: what is in its store stays as it is."""
    return running(labs[False])


@pytest.fixture
def whole_lab(chromium: str, tmp_path: Path) -> Iterator[Lab]:
    """A server of a test's own that runs what is started, with all that comes with JupyterLab."""
    lab = Lab(tmp_path, worker=True, whole=True)
    lab.start()
    yield lab
    lab.stop()


@pytest.fixture
def own_lab(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server of the test's own, without a worker."""
    lab = Lab(tmp_path_factory.mktemp("own"), worker=False)
    lab.start()
    yield lab
    lab.stop()


def running(lab: Lab) -> Lab:
    """Start a server unless it runs."""
    if not lab.isrunning():
        lab.start()
    return lab


_started: list[Lab] = []


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Stop the servers with the last of these tests: idle, they would take a tenth of the time of all others."""
    if nextitem is None or nextitem.path.parent != item.path.parent:
        while _started:
            _started.pop().stop()


@pytest.fixture(scope="session")
def shoot() -> Shoot:
    """Take a picture of the page for people to look at."""

    def take(page: Any, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=SCREENSHOTS / f"{name}.png")

    return take
